import CNI
import NetworkAddresses
import Netlink
import SystemPackage

/// Masquerading of what an attachment's addresses send beyond their own network (`ipMasq`).
///
/// All attachments of all networks share one nf_tables table:
///
/// ```
/// table inet cni_masquerade {
///   map sources4 { type ipv4_addr : verdict
///     elements = { 10.22.0.5 comment "cni:NETWORK/CONTAINER/eth0" : goto net-10.22.0.0-16 } }
///   map sources6 { type ipv6_addr : verdict }
///   chain postrouting { type nat hook postrouting priority srcnat
///     ip saddr vmap @sources4
///     ip6 saddr vmap @sources6 }
///   chain net-10.22.0.0-16 {
///     ip daddr 10.22.0.0/16 return
///     ip daddr 224.0.0.0/4 return
///     masquerade }
/// }
/// ```
///
/// An attachment is one element per address, so the thousandth costs what the first did, for ADD and for a packet.
/// The chain of a subnet goes with its last element, the table with its last chain.
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
    var socket = try NetfilterSocket()
    if knowsPrefixes {
      for prefix in prefixes { try remove(prefix, from: &socket) }
    } else {
      try Self.removeElements(from: &socket) { owner.owns($0, limit: Self.commentLimit) }
    }
    if includingForeign { try ForeignMasquerade(owner).remove(&socket) }
  }

  /// Throws unless every address is masqueraded, by whichever implementation.
  public func verify() throws {
    var socket = try NetfilterSocket()
    for prefix in prefixes {
      let element = try Self.absentAsNil { () throws(NetlinkError) in
        try socket.element([NFTValue(prefix.address)], of: Self.map(prefix.family))
      }
      if let comment = element??.comment, owner.owns(comment, limit: Self.commentLimit) { continue }
      if try ForeignMasquerade(owner).isPresent(prefix.family, &socket) { continue }
      throw CNIError(.internalError, "\(prefix.address) is not masqueraded any more, ipMasq asks for it")
    }
  }

  /// Removes the elements of all owners that `isStale` says are so, and what the Go plugins left of the same.
  public static func removeAll(where isStale: StaleMarks) throws {
    var socket = try NetfilterSocket()
    try removeElements(from: &socket, where: isStale.contains)
    try ForeignMasquerade.removeAll(where: isStale, &socket)
  }

  /// Throws code 50 when nf_tables cannot be used.
  public static func checkRequirements() throws(CNIError) {
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
  private static let sources4 = NFTSet.map(table, "sources4", [.ipv4Address], to: .verdict)
  private static let sources6 = NFTSet.map(table, "sources6", [.ipv6Address], to: .verdict)
  private static let postrouting = Chain(
    table, "postrouting",
    base: .init(.nat, hook: .postrouting, priority: .sourceNAT, policy: .accept))

  private static func map(_ family: AddressFamily) -> NFTSet { family == .ipv4 ? sources4 : sources6 }

  /// The chain of a subnet: `net-10.22.0.0-16`, `net-fd00_22__-64` (a chain's name takes no colon).
  private static func chain(_ prefix: IPPrefix) -> Chain {
    let address = String(prefix.network.address.description.map { $0 == ":" ? "_" : $0 })
    return Chain(table, "net-\(address)-\(prefix.length)")
  }

  private static let rulesOfChain = 3

  private static func createTable(_ transaction: inout NFTransaction) {
    transaction.create(table)
    transaction.create(sources4)
    transaction.create(sources6)
    transaction.create(postrouting)
    transaction.add(Rule(in: postrouting, [.vmap(.ipSource, in: sources4)]))
    transaction.add(Rule(in: postrouting, [.vmap(.ip6Source, in: sources6)]))
  }

  private static func createChain(_ prefix: IPPrefix, _ transaction: inout NFTransaction) {
    let chain = chain(prefix)
    let multicast = IPPrefix(prefix.family == .ipv4 ? "224.0.0.0/4" : "ff00::/8")!
    transaction.create(chain)
    transaction.add(Rule(in: chain, [.destination(.equal, prefix.network), .return]))
    transaction.add(Rule(in: chain, [.destination(.equal, multicast), .return]))
    transaction.add(Rule(in: chain, [.masquerade]))
  }

  // MARK: Steps

  /// Adds one element and whatever of the layout it needs.
  ///
  /// What is there is asked first, not found out by failing: the kernel waits for a grace period after every
  /// transaction that it has to abort.
  private func install(_ prefix: IPPrefix, in socket: inout NetfilterSocket) throws {
    let map = Self.map(prefix.family)
    let chain = Self.chain(prefix)
    let key = NFTValue(prefix.address)
    let element = Element(key, verdict: .goto(chain.name), comment: owner.mark(limit: Self.commentLimit))
    for attempt in 0..<50 {
      let present = try Self.absentAsNil { () throws(NetlinkError) in
        try socket.chain(chain.name, in: Self.table)
      }
      var transaction = NFTransaction()
      if present == nil {
        let base = try Self.absentAsNil { () throws(NetlinkError) in
          try socket.chain(Self.postrouting.name, in: Self.table)
        }
        if base == nil { Self.createTable(&transaction) }
        Self.createChain(prefix, &transaction)
      } else if try socket.element([key], of: map) != nil {
        // What an attachment left that had the address before: the lease says that it is this one's now.
        transaction.delete(Element(key), from: map)
      }
      transaction.create(element, in: map)
      // Somebody else may have made, or removed, what this builds on since it was asked for.
      if try socket.commit(transaction, unless: { ($0.isExists || $0.isNotFound) && attempt < 49 }) { return }
    }
  }

  private func remove(_ prefix: IPPrefix, from socket: inout NetfilterSocket) throws {
    let map = Self.map(prefix.family)
    let key = NFTValue(prefix.address)
    let element = try Self.absentAsNil { () throws(NetlinkError) in try socket.element([key], of: map) }
    guard let comment = element??.comment, owner.owns(comment, limit: Self.commentLimit) else { return }
    try Self.remove(element!!, of: map, from: &socket)
  }

  private static func removeElements(
    from socket: inout NetfilterSocket, where isMeant: (String) -> Bool
  ) throws {
    for map in [sources4, sources6] {
      let elements = try absentAsNil { () throws(NetlinkError) in try socket.elements(of: map) }
      for element in elements ?? [] where element.comment.map(isMeant) == true {
        try remove(element, of: map, from: &socket)
      }
    }
  }

  private static func remove(_ element: Element, of map: NFTSet, from socket: inout NetfilterSocket) throws {
    var transaction = NFTransaction()
    transaction.delete(Element(key: element.key), from: map)
    guard try socket.commit(transaction, unless: \.isNotFound) else { return }
    guard case .verdict(let verdict) = element.data, let name = verdict.target else { return }
    try removeChainIfUnused(name, from: &socket)
  }

  private static func removeChainIfUnused(_ name: String, from socket: inout NetfilterSocket) throws {
    // The kernel counts a chain's rules and the elements that lead to it.
    let chain = try absentAsNil { () throws(NetlinkError) in try socket.chain(name, in: table) }
    guard let chain, let uses = chain.useCount, uses <= rulesOfChain else { return }
    var transaction = NFTransaction()
    transaction.delete(Chain(table, name))
    guard try socket.commit(transaction, unless: { $0.isNotFound || $0.errno == .resourceBusy }) else {
      return
    }
    try removeIfEmpty(table, but: postrouting, from: &socket)
  }

  /// Removes a table whose last chain is its base chain, unless something comes into it at the same time.
  static func removeIfEmpty(
    _ table: Table, but base: Chain, from socket: inout NetfilterSocket
  ) throws(NetlinkError) {
    do {
      try socket.commitPrepared { (socket) throws(NetlinkError) in
        guard try socket.chains(in: table).allSatisfy({ $0.name == base.name }) else { return nil }
        var transaction = NFTransaction()
        transaction.delete(table)
        return transaction
      }
    } catch  where error.isNotFound {}
  }

  static func absentAsNil<R>(_ body: () throws(NetlinkError) -> R) throws(NetlinkError) -> R? {
    do { return try body() } catch  where error.isNotFound { return nil }
  }
}
