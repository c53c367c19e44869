import CNI
import NetworkAddresses
import Netlink
import SystemPackage

/// Masquerading of what an attachment's addresses send beyond their own network (`ipMasq`).
///
/// All attachments of all networks share one nf_tables table, with a set and a chain for each subnet:
///
/// ```
/// table inet cni_masquerade {
///   set net-10.22.0.0-16 { type ipv4_addr
///     elements = { 10.22.0.5 comment "cni:NETWORK/CONTAINER/eth0" } }
///   chain net-10.22.0.0-16 { type nat hook postrouting priority srcnat
///     ip saddr @net-10.22.0.0-16 ip daddr != 10.22.0.0/16 ip daddr != 224.0.0.0/4 masquerade }
/// }
/// ```
///
/// An attachment is one element per address, so the thousandth costs what the first did, for ADD and for a packet.
/// (A verdict map, which would do with one chain for all subnets, does not have that property: the kernel walks all of
/// it whenever an element comes that leads to a chain.) The chain of a subnet goes with its last element, the table
/// with its last chain.
public struct Masquerade: Sendable {
  /// Who keeps the rules (`ipMasqBackend`).
  public enum Backend: String, Sendable, CaseIterable {
    /// The kernel's nf_tables, spoken to directly.
    case nftables
    /// The form of the Go plugins, through `iptables-restore`.
    case iptables

    /// The back end of a configuration; `nil` where `ipMasq` is not set.
    public init?(_ keys: ConfigurationObject) throws(CNIError) {
      let backend: Backend? = try keys.choice("ipMasqBackend")
      guard try keys.flag("ipMasq") else { return nil }
      self = backend ?? .nftables
    }
  }

  /// The attachment's addresses, each with the length of its network.
  let prefixes: [IPPrefix]
  let owner: Owner

  /// The masquerading of one attachment.
  public init(prefixes: [IPPrefix], owner: Owner) {
    self.prefixes = prefixes
    self.owner = owner
  }

  /// Installs the rules for all addresses.
  public func install(_ backend: Backend) throws {
    switch backend {
    case .iptables: try ForeignMasquerade(owner).installIPTables(prefixes)
    case .nftables:
      var socket = try NetfilterSocket()
      var layouts: [String: OwnedTable.Layout] = [:]
      for prefix in prefixes { layouts[Self.name(prefix)] = Self.layout(prefix) }
      // An address that is somebody else's was left by an attachment that had it before: the lease says that it is this
      // one's now.
      try Self.owned.install(
        keys.map { .init(Element(key: $0.key), in: $0.set) }, layouts: Array(layouts.values), owner: owner,
        in: &socket, ifTaken: { _ in .replace })
    }
  }

  /// Removes what this or another implementation installed for the attachment. Nothing to remove is no error.
  ///
  /// - Parameters:
  ///   - knowsPrefixes: Whether `prefixes` are all addresses there were. If not, the owner's elements are looked for.
  ///   - includingForeign: Whether the rules of the Go plugins, in iptables or nf_tables, are looked for as well.
  public func remove(knowsPrefixes: Bool = true, includingForeign: Bool = true) throws {
    var steps = EveryStep()
    steps.attempt {
      try PacketFilter.ifAvailable { socket in
        if knowsPrefixes {
          if !prefixes.isEmpty { try Self.owned.remove(keys, of: owner, from: &socket) }
        } else {
          try Self.owned.removeAll(of: owner, from: &socket)
        }
        if includingForeign { try ForeignMasquerade(owner).remove(&socket) }
      }
    }
    if includingForeign { steps.attempt { try ForeignMasquerade(owner).removeLegacy() } }
    try steps.finish()
  }

  /// Throws unless every address is masqueraded, by whichever implementation.
  public func verify() throws {
    let foreign = ForeignMasquerade(owner)
    for prefix in prefixes {
      var isPresent = false
      try PacketFilter.ifAvailable { socket in
        isPresent = try isMasqueraded(prefix, &socket) || foreign.isPresent(prefix.family, &socket)
      }
      if isPresent || foreign.isPresentInLegacyTable(prefix.family) { continue }
      throw CNIError(.internalError, "\(prefix.address) is not masqueraded any more, ipMasq asks for it")
    }
  }

  private func isMasqueraded(_ prefix: IPPrefix, _ socket: inout NetfilterSocket) throws -> Bool {
    guard let element = try socket.element([NFTValue(prefix.address)], of: Self.set(prefix)),
      owner.owns(element.comment ?? "", limit: Owner.commentLimit)
    else { return false }
    let chain = Self.chain(prefix)
    return try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.rules(in: chain) }?.count == 1
  }

  /// Removes the elements of all owners that `isStale` says are so, and what the Go plugins left of the same.
  public static func removeAll(where isStale: StaleMarks) throws {
    var steps = EveryStep()
    steps.attempt {
      try PacketFilter.ifAvailable { socket in
        try owned.removeAll(from: &socket, where: isStale.contains)
        try ForeignMasquerade.removeAll(where: isStale, &socket)
      }
    }
    steps.attempt { try ForeignMasquerade.removeAllLegacy(where: isStale) }
    try steps.finish()
  }

  /// Throws code 50 when the back end cannot be used: nf_tables is not in the kernel, or iptables not on the host.
  public static func checkRequirements(_ backend: Backend = .nftables) throws(CNIError) {
    if backend == .iptables {
      if HostProgram("iptables-restore").isInstalled { return }
      throw CNIError(
        .notAvailable, "iptables-restore is not installed, and ipMasqBackend asks for it",
        details: "install iptables, or leave ipMasqBackend out: nf_tables needs no program")
    }
    try PacketFilter.checkAvailability(otherwise: "set ipMasqBackend to iptables")
  }

  // MARK: Layout

  private static let table = Table(.inet, "cni_masquerade")

  /// The name of a subnet's set and chain: `net-10.22.0.0-16`, `net-fd00_22__-64` (it takes no colon).
  private static func name(_ prefix: IPPrefix) -> String {
    let address = String(prefix.network.address.description.map { $0 == ":" ? "_" : $0 })
    return "net-\(address)-\(prefix.length)"
  }

  private static func set(_ prefix: IPPrefix) -> NFTSet {
    NFTSet(table, name(prefix), key: [prefix.family == .ipv4 ? .ipv4Address : .ipv6Address])
  }

  private static func chain(_ name: String) -> Chain {
    Chain(table, name, base: .init(.nat, hook: .postrouting, priority: .sourceNAT, policy: .accept))
  }

  private static func chain(_ prefix: IPPrefix) -> Chain { chain(name(prefix)) }

  private static let owned = OwnedTable(table) { name in
    // The colons of an IPv6 address have become something else in the name.
    let key: NFTType = name.utf8.contains(UInt8(ascii: "_")) ? .ipv6Address : .ipv4Address
    return OwnedTable.Layout(sets: [NFTSet(table, name, key: [key])], chains: [chain(name)])
  }

  private static func layout(_ prefix: IPPrefix) -> OwnedTable.Layout {
    let set = set(prefix)
    let multicast = IPPrefix(prefix.family == .ipv4 ? "224.0.0.0/4" : "ff00::/8")!
    let rule = Rule(
      in: chain(prefix),
      [
        prefix.family == .ipv4 ? .ipSource(in: set) : .ip6Source(in: set),
        .destination(.notEqual, prefix.network), .destination(.notEqual, multicast), .masquerade,
      ])
    return OwnedTable.Layout(sets: [set], chains: [chain(prefix)], rules: [rule])
  }

  /// Each address once.
  private var keys: [(key: [NFTValue], set: NFTSet)] {
    var seen: Set<IPPrefix> = []
    return prefixes.compactMap {
      seen.insert($0).inserted ? (key: [NFTValue($0.address)], set: Self.set($0)) : nil
    }
  }
}
