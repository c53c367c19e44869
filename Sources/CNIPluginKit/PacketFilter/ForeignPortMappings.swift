import CNI
public import NetworkAddresses
import Netlink

/// Port mappings as the Go plugin lays them out, so that a container can change hands in either direction.
///
/// It knows two forms. iptables, in the table `nat`:
///
/// ```
/// PREROUTING, OUTPUT: to an address of the host's    -j CNI-HOSTPORT-DNAT
/// CNI-HOSTPORT-DNAT:  a container's ports            -j CNI-DN-xxxx   (comment: network and container)
/// CNI-DN-xxxx:        a port, from the container itself or from 127.0.0.1  -j CNI-HOSTPORT-SETMARK
///                     a port                         -j DNAT
/// POSTROUTING:                                       -j CNI-HOSTPORT-MASQ
/// CNI-HOSTPORT-MASQ:  what is marked                 -j MASQUERADE
/// ```
///
/// And, since v1.6, nf_tables: `ip cni_hostport` and `ip6 cni_hostport`, with a rule for each port in the chain
/// `hostports` and rules in `masquerading`, all with the container's ID as comment. Only the first is made here; both
/// are verified and removed. What all containers share goes with the last of them.
public struct ForeignPortMappings: Sendable {
  let network: String
  let containerID: String

  /// The port mappings of one attachment. The Go plugin does not tell two attachments of a container to the same network
  /// apart.
  public init(_ owner: Owner) {
    self.init(network: owner.network, containerID: owner.attachment?.containerID ?? "")
  }

  init(network: String, containerID: String) {
    self.network = network
    self.containerID = containerID
  }

  // MARK: Names

  /// The container's chain: 28 bytes, the last 21 of them the beginning of a SHA-512.
  var chainName: String { "CNI-DN-" + SHA512.hexadecimal(network + containerID, length: 21) }
  /// The chain that plugins before v0.8 made beside it.
  var oldChainName: String { "CNI-SN-" + SHA512.hexadecimal(network + containerID, length: 21) }

  /// What a rule that leads to the container's chain says it is for. iptables' comments have room for 255 bytes.
  var comment: String { Self.commentBeginning(of: network).shortened(with: containerID + "\"") }

  static func commentBeginning(of network: String) -> String { "dnat name: \"\(network)\" id: \"" }

  /// Who jumps to the containers' chains.
  static let entrance = "CNI-HOSTPORT-DNAT"
  static let oldEntrance = "CNI-HOSTPORT-SNAT"
  static let marking = "CNI-HOSTPORT-SETMARK"
  static let masquerading = "CNI-HOSTPORT-MASQ"

  /// The chains that all containers share, and the base chains from which they are called. In this order they can be
  /// removed.
  static let common: [(name: String, callers: [String])] = [
    (entrance, ["PREROUTING", "OUTPUT"]), (oldEntrance, ["POSTROUTING", "OUTPUT"]),
    (masquerading, ["POSTROUTING"]), (marking, []),
  ]

  /// Where the Go plugin's nf_tables form is.
  static func hostPortTable(_ family: AddressFamily) -> Table {
    Table(NetfilterFamily(family), "cni_hostport")
  }

  // MARK: Commands

  /// Removes both forms, also iptables-legacy's. Without anything of theirs on the host this is one question to the
  /// kernel and a look at two files, and no process.
  public func remove() throws {
    var steps = EveryStep()
    steps.attempt { try PacketFilter.ifAvailable { socket in try remove(&socket) } }
    steps.attempt { try removeLegacy() }
    try steps.finish()
  }

  /// Throws unless one of the forms leads all mappings to the address.
  public func verify(_ mappings: [PortMapping], to address: IPAddress, _ settings: Settings) throws {
    if try isPresent(mappings, to: address, settings) { return }
    throw CNIError(
      .internalError,
      "the ports of the host do not lead to \(address) any more: \(mappings.map(\.hostDescription).joined(separator: ", "))"
    )
  }

  /// GC: removes what the iptables form left of stale attachments. The nf_tables form does not say which network its
  /// rules are for, so those of another network's container would look stale: they stay until DEL.
  public static func removeAll(where stale: StaleMarks) throws {
    var steps = EveryStep()
    steps.attempt { try PacketFilter.ifAvailable { socket in try removeAll(where: stale, &socket) } }
    steps.attempt { try removeAllLegacy(where: stale) }
    try steps.finish()
  }

  /// The comments of the attachments that are to stay.
  static func validComments(_ stale: StaleMarks) -> Set<String> {
    Set(
      stale.valid.map { ForeignPortMappings(network: stale.network, containerID: $0.containerID).comment })
  }
}

extension String {
  /// Both texts, cut with dots to what fits into a comment of iptables. (The Go plugin writes a third dot, for which
  /// iptables has no room.)
  fileprivate func shortened(with rest: String) -> String {
    let text = self + rest
    guard text.utf8.count > 255 else { return text }
    return String(decoding: text.utf8.prefix(253), as: UTF8.self) + ".."
  }
}
