import CNI
import NetworkAddresses
import Netlink
import SystemPackage

/// Drops frames that a container sends with another source address than its own (`macspoofchk`).
///
/// ```
/// table bridge cni_spoofcheck {
///   set guarded { type ifname
///     elements = { "veth1a2b3c4d" comment "cni:NETWORK/CONTAINER/eth0" } }
///   set allowed { type ifname . ether_addr
///     elements = { "veth1a2b3c4d" . 02:00:5e:10:00:01 comment "cni:NETWORK/CONTAINER/eth0" } }
///   chain prerouting { type filter hook prerouting priority dstnat
///     iifname @guarded iifname . ether saddr != @allowed drop }
/// }
/// ```
///
/// One rule decides for every frame, however many ports are guarded, and a port more costs ADD the same as the first.
public struct SpoofCheck: Sendable {
  let port: String
  let mac: MACAddress
  let owner: Owner

  /// The guard of one bridge port.
  public init(port: String, mac: MACAddress, owner: Owner) {
    self.port = port
    self.mac = mac
    self.owner = owner
  }

  private static let table = Table(.bridge, "cni_spoofcheck")
  private static let guarded = NFTSet(table, "guarded", key: [.interfaceName])
  private static let allowed = NFTSet(table, "allowed", key: [.interfaceName, .etherAddress])
  private static let prerouting = Chain(
    table, "prerouting",
    base: .init(.filter, hook: .prerouting, priority: .bridgeDestinationNAT, policy: .accept))

  /// Installs the guard.
  public func install() throws {
    var socket = try NetfilterSocket()
    let mark = owner.mark(limit: Owner.commentLimit)
    for attempt in 0..<50 {
      var transaction = NFTransaction()
      if try !Self.exists(Self.prerouting, &socket) {
        transaction.create(Self.table)
        transaction.create(Self.guarded)
        transaction.create(Self.allowed)
        transaction.create(Self.prerouting)
        transaction.add(
          Rule(
            in: Self.prerouting,
            [
              .inputInterface(in: Self.guarded), .fields(.inputInterface, .etherSource, notIn: Self.allowed),
              .drop,
            ]))
      } else {
        // The port's name follows from its owner: an earlier attachment of the same owner may have left it.
        for left in try Self.elements(of: Self.allowed, port: port, &socket) {
          transaction.delete(Element(key: left.key), from: Self.allowed)
        }
      }
      transaction.add(Element(.interface(port), comment: mark), to: Self.guarded)
      transaction.create(Element(.interface(port), .mac(mac), comment: mark), in: Self.allowed)
      // Somebody else may have made, or removed, the table meanwhile.
      if try socket.commit(transaction, unless: { ($0.isExists || $0.isNotFound) && attempt < 49 }) { return }
    }
  }

  /// Removes an owner's guard; also the one that the Go plugins made for it.
  public static func remove(_ owner: Owner) throws {
    try PacketFilter.ifAvailable { socket in try remove(owner, &socket) }
  }

  private static func remove(_ owner: Owner, _ socket: inout NetfilterSocket) throws {
    for port in owner.linkNames {
      guard let element = try socket.element([.interface(port)], of: guarded),
        owner.owns(element.comment ?? "", limit: Owner.commentLimit)
      else { continue }
      try removePorts([port], from: &socket)
      break
    }
    try removeForeign(owner, &socket)
  }

  /// Removes the guards of stale attachments.
  public static func removeAll(where stale: StaleMarks) throws {
    try PacketFilter.ifAvailable { socket in try removeAll(where: stale, &socket) }
  }

  private static func removeAll(where stale: StaleMarks, _ socket: inout NetfilterSocket) throws {
    let elements = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.elements(of: guarded)
    }
    let ports = (elements ?? []).filter { $0.comment.map(stale.contains) == true }.compactMap {
      if case .interface(let port)? = $0.key.first { port } else { nil }
    }
    if !ports.isEmpty { try removePorts(ports, from: &socket) }
  }

  /// Throws unless the port is guarded.
  public static func verify(port: String, owner: Owner) throws {
    var socket = try NetfilterSocket()
    if let element = try socket.element([.interface(port)], of: guarded),
      owner.owns(element.comment ?? "", limit: Owner.commentLimit), try exists(prerouting, &socket)
    {
      return
    }
    if try exists(foreignChain(owner), &socket) { return }
    throw CNIError(
      .internalError, "source addresses at \(port) are not checked any more, macspoofchk asks for it")
  }

  private static func elements(
    of set: NFTSet, port: String, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> [Element] {
    let elements = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.elements(of: set) }
    return (elements ?? []).filter { $0.key.first == .interface(port) }
  }

  private static func exists(_ chain: Chain, _ socket: inout NetfilterSocket) throws(NetlinkError) -> Bool {
    try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.chain(chain.name, in: chain.table) }
      != nil
  }

  private static func removePorts(_ ports: [String], from socket: inout NetfilterSocket) throws {
    var transaction = NFTransaction()
    for port in ports {
      transaction.delete(Element(.interface(port)), from: guarded)
      for element in try elements(of: allowed, port: port, &socket) {
        transaction.delete(Element(key: element.key), from: allowed)
      }
    }
    _ = try socket.commit(transaction, unless: \.isNotFound)
    guard
      try PacketFilter.absentAsNil({ () throws(NetlinkError) in try NetfilterSocket().isEmpty(guarded) })
        == true
    else { return }
    transaction = NFTransaction()
    transaction.delete(prerouting)
    transaction.delete(guarded, ifEmpty: true)
    transaction.delete(allowed, ifEmpty: true)
    guard try socket.commit(transaction, unless: { $0.isNotFound || $0.errno == .resourceBusy }) else {
      return
    }
    try PacketFilter.removeIfEmpty(table, from: &socket)
  }

  // MARK: What the Go plugins make

  private static let foreignTable = Table(.bridge, "nat")

  /// Their chain of one attachment; its rules lead to a second one with `-mac` behind the name.
  private static func foreignChain(_ owner: Owner) -> Chain {
    let attachment = owner.attachment
    return Chain(
      foreignTable,
      "cni-br-iface-\(attachment?.containerID ?? "")-\(attachment?.interfaceName ?? "")")
  }

  private static func removeForeign(_ owner: Owner, _ socket: inout NetfilterSocket) throws {
    let chain = foreignChain(owner)
    let addresses = Chain(foreignTable, chain.name + "-mac")
    guard try socket.deleteChain(chain, jumpsFrom: [Chain(foreignTable, "PREROUTING")]) else { return }
    try socket.deleteChain(addresses, jumpsFrom: [])
  }
}
