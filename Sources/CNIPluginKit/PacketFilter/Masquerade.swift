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
      for prefix in prefixes { try install(prefix, in: &socket) }
    }
  }

  /// Removes what this or another implementation installed for the attachment. Nothing to remove is no error.
  ///
  /// - Parameters:
  ///   - knowsPrefixes: Whether `prefixes` are all addresses there were. If not, the owner's elements are looked for.
  ///   - includingForeign: Whether the rules of the Go plugins, in iptables or nf_tables, are looked for as well.
  public func remove(knowsPrefixes: Bool = true, includingForeign: Bool = true) throws {
    var failure: (any Error)?
    do {
      try Self.ifAvailable { socket in
        if knowsPrefixes {
          for prefix in prefixes { try remove(prefix, from: &socket) }
        } else {
          try Self.removeElements(from: &socket) { owner.owns($0, limit: Self.commentLimit) }
        }
        if includingForeign { try ForeignMasquerade(owner).remove(&socket) }
      }
    } catch { failure = error }
    if includingForeign { try ForeignMasquerade(owner).removeLegacy() }
    if let failure { throw failure }
  }

  /// Throws unless every address is masqueraded, by whichever implementation.
  public func verify() throws {
    let foreign = ForeignMasquerade(owner)
    for prefix in prefixes {
      var isPresent = false
      try Self.ifAvailable { socket in
        isPresent = try isMasqueraded(prefix, &socket) || foreign.isPresent(prefix.family, &socket)
      }
      if isPresent || foreign.isPresentInLegacyTable(prefix.family) { continue }
      throw CNIError(.internalError, "\(prefix.address) is not masqueraded any more, ipMasq asks for it")
    }
  }

  private func isMasqueraded(_ prefix: IPPrefix, _ socket: inout NetfilterSocket) throws -> Bool {
    guard let element = try socket.element([NFTValue(prefix.address)], of: Self.set(prefix)),
      owner.owns(element.comment ?? "", limit: Self.commentLimit)
    else { return false }
    let chain = Self.chain(prefix)
    return try Self.absentAsNil { () throws(NetlinkError) in try socket.rules(in: chain) }?.count == 1
  }

  /// Removes the elements of all owners that `isStale` says are so, and what the Go plugins left of the same.
  public static func removeAll(where isStale: StaleMarks) throws {
    try ifAvailable { socket in
      try removeElements(from: &socket, where: isStale.contains)
      try ForeignMasquerade.removeAll(where: isStale, &socket)
    }
  }

  /// Runs `body`, which looks for rules, or removes them. In a kernel without nf_tables there are none: that must not
  /// keep an attachment from being removed.
  static func ifAvailable(_ body: (inout NetfilterSocket) throws -> Void) throws {
    do {
      var socket = try NetfilterSocket()
      try body(&socket)
    } catch let error as NetlinkError where isMissing(after: error) {
      return
    }
  }

  /// Whether an error means that the kernel has no nf_tables. It has many words for that: no such protocol without
  /// nfnetlink, and an invalid request where nfnetlink does not know whom to hand it to. So it is asked for the least.
  private static func isMissing(after error: NetlinkError) -> Bool {
    switch error.errno {
    case .protocolNotSupported, .addressFamilyNotSupported: return true
    case .invalidArgument, .notSupportedOnSocket:
      do throws(NetlinkError) {
        var socket = try NetfilterSocket()
        _ = try socket.generation()
        return false
      } catch { return error.errno == .invalidArgument || error.isUnsupported }
    default: return false
    }
  }

  /// Throws code 50 when the back end cannot be used: nf_tables is not in the kernel, or iptables not on the host.
  public static func checkRequirements(_ backend: Backend = .nftables) throws(CNIError) {
    if backend == .iptables {
      if HostProgram("iptables-restore").isInstalled { return }
      throw CNIError(
        .notAvailable, "iptables-restore is not installed, and ipMasqBackend asks for it",
        details: "install iptables, or leave ipMasqBackend out: nf_tables needs no program")
    }
    do {
      var socket = try NetfilterSocket()
      _ = try socket.generation()
    } catch {
      throw CNIError(
        .notAvailable, "nf_tables is not usable: \(error)",
        details: "load the kernel module nf_tables, or set ipMasqBackend to iptables")
    }
  }

  // MARK: Layout

  static let commentLimit = 127
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

  private static func createSubnet(_ prefix: IPPrefix, _ transaction: inout NFTransaction) {
    let set = set(prefix)
    let multicast = IPPrefix(prefix.family == .ipv4 ? "224.0.0.0/4" : "ff00::/8")!
    transaction.add(table)
    transaction.create(set)
    transaction.create(chain(prefix))
    transaction.add(
      Rule(
        in: chain(prefix),
        [
          prefix.family == .ipv4 ? .ipSource(in: set) : .ip6Source(in: set),
          .destination(.notEqual, prefix.network), .destination(.notEqual, multicast), .masquerade,
        ]))
  }

  // MARK: Steps

  /// Adds one element and whatever of the layout it needs.
  ///
  /// What is there is asked first, not found out by failing: the kernel waits for a grace period after every
  /// transaction that it has to abort.
  private func install(_ prefix: IPPrefix, in socket: inout NetfilterSocket) throws {
    let set = Self.set(prefix)
    let key = NFTValue(prefix.address)
    let element = Element(key, comment: owner.mark(limit: Self.commentLimit))
    for attempt in 0..<50 {
      var transaction = NFTransaction()
      let present = try Self.absentAsNil { () throws(NetlinkError) in
        try socket.chain(set.name, in: Self.table)
      }
      if present == nil {
        Self.createSubnet(prefix, &transaction)
      } else if try socket.element([key], of: set) != nil {
        // What an attachment left that had the address before: the lease says that it is this one's now.
        transaction.delete(Element(key), from: set)
      }
      transaction.create(element, in: set)
      // Somebody else may have made, or removed, what this builds on since it was asked for.
      if try socket.commit(transaction, unless: { ($0.isExists || $0.isNotFound) && attempt < 49 }) { return }
    }
  }

  private func remove(_ prefix: IPPrefix, from socket: inout NetfilterSocket) throws {
    let set = Self.set(prefix)
    guard let element = try socket.element([NFTValue(prefix.address)], of: set),
      owner.owns(element.comment ?? "", limit: Self.commentLimit)
    else { return }
    try Self.remove([element], of: set, from: &socket)
  }

  private static func removeElements(
    from socket: inout NetfilterSocket, where isMeant: (String) -> Bool
  ) throws {
    let sets = try absentAsNil { () throws(NetlinkError) in try socket.sets(in: table) }
    for set in sets ?? [] {
      let elements = try absentAsNil { () throws(NetlinkError) in try socket.elements(of: set) }
      let meant = (elements ?? []).filter { $0.comment.map(isMeant) == true }
      if !meant.isEmpty { try remove(meant, of: set, from: &socket) }
    }
  }

  private static func remove(
    _ elements: [Element], of set: NFTSet, from socket: inout NetfilterSocket
  ) throws {
    var transaction = NFTransaction()
    transaction.delete(elements, from: set)
    guard try socket.commit(transaction, unless: \.isNotFound) else { return }
    guard try absentAsNil({ () throws(NetlinkError) in try NetfilterSocket().isEmpty(set) }) == true else {
      return
    }
    transaction = NFTransaction()
    transaction.delete(chain(set.name))
    transaction.delete(set, ifEmpty: true)
    // An address may have come since; then they stay, and whoever brought it removes them in the end.
    guard try socket.commit(transaction, unless: { $0.isNotFound || $0.errno == .resourceBusy }) else {
      return
    }
    try removeIfEmpty(table, from: &socket)
  }

  /// Removes a table without chains, unless something comes into it at the same time.
  static func removeIfEmpty(_ table: Table, from socket: inout NetfilterSocket) throws(NetlinkError) {
    guard try absentAsNil({ () throws(NetlinkError) in try socket.chains(in: table) })?.isEmpty == true else {
      return
    }
    var transaction = NFTransaction()
    transaction.delete(table, ifEmpty: true)
    _ = try socket.commit(transaction, unless: { $0.isNotFound || $0.errno == .resourceBusy })
  }

  static func absentAsNil<R>(_ body: () throws(NetlinkError) -> R) throws(NetlinkError) -> R? {
    do { return try body() } catch  where error.isNotFound { return nil }
  }
}
