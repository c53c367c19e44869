public import NetworkAddresses
public import Netlink

/// One table of iptables for one address family.
///
/// A kernel has up to two of each: one that `iptables-nft` made of nf_tables, and the older one of `iptables-legacy`.
/// Packets pass through both. Nothing here runs a program: the first is read over netlink, the second with
/// `getsockopt`, as the programs do it themselves.
///
/// ```swift
/// let filter = IPTablesTable(.filter, .ipv4)
/// for form in try filter.formsInUse(chains: ["FORWARD"]) { … }   // somebody's rules are here
/// let chain = try filter.chain("FORWARD", in: .nft, &socket)     // what they are
/// ```
public struct IPTablesTable: Hashable, Sendable {
  /// The table's name, the same in both families and forms.
  public enum Name: String, Hashable, Sendable, CaseIterable {
    /// Which packets may pass.
    case filter
    /// Address translation.
    case nat
    /// Changes of packets.
    case mangle
    /// Before connection tracking.
    case raw

    /// The chains that the kernel calls.
    public var baseChains: [String] {
      switch self {
      case .filter: ["INPUT", "FORWARD", "OUTPUT"]
      case .nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]
      case .mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
      case .raw: ["PREROUTING", "OUTPUT"]
      }
    }
  }

  /// Where a table is kept.
  public enum Form: String, Hashable, Sendable, CaseIterable {
    /// In nf_tables, as tables `ip NAME` and `ip6 NAME` with base chains in capitals.
    case nft
    /// In the kernel's ip_tables and ip6_tables.
    case legacy
  }

  /// The table's name.
  public let name: Name
  /// Of which packets.
  public let family: AddressFamily

  /// The table of that name for that family.
  public init(_ name: Name, _ family: AddressFamily) {
    self.name = name
    self.family = family
  }

  /// The same in nf_tables.
  public var nftTable: Table { Table(family == .ipv4 ? .ip : .ip6, name.rawValue) }
}

// MARK: - Where a host's rules live

extension IPTablesTable {
  /// What a chain of the CNI plugins, Go's or ours, is called.
  static let pluginPrefix = "CNI-"

  /// The forms in which somebody uses this table: one of its base chains has a policy other than accept, or a rule that
  /// does not just lead to a chain of the CNI plugins (`CNI-…`). A table that was merely looked at, which makes it, is
  /// not in use.
  ///
  /// - Parameter chains: Only these base chains; all of the table if nil.
  /// - Throws: `NetlinkError` if nf_tables refuses to tell. A kernel without nf_tables, or without the legacy tables, has
  ///   no rules in them.
  public func formsInUse(chains: [String]? = nil) throws -> Set<Form> {
    var forms: Set<Form> = isLegacyInUse(chains: chains) ? [.legacy] : []
    try PacketFilter.ifAvailable { socket in
      if try isNFTInUse(chains: chains, &socket) { forms.insert(.nft) }
    }
    return forms
  }

  /// The same with a socket that is open already.
  public func formsInUse(
    chains: [String]? = nil, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> Set<Form> {
    var forms: Set<Form> = isLegacyInUse(chains: chains) ? [.legacy] : []
    if try isNFTInUse(chains: chains, &socket) { forms.insert(.nft) }
    return forms
  }

  /// Where a rule of this table belongs so that the host's own rules and it are in one place; nil if nobody uses the
  /// table, so that it does not matter.
  public func formForNewRules() throws -> Form? {
    let forms = try formsInUse()
    return forms.contains(.nft) ? .nft : forms.first
  }

  private func isNFTInUse(
    chains: [String]?, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> Bool {
    try isInUse(socket.chains(named: nftChains(chains)), &socket)
  }

  /// The base chains as nf_tables knows them.
  func nftChains(_ names: [String]? = nil) -> [Chain] {
    (names ?? name.baseChains).map { Chain(nftTable, $0) }
  }

  /// Whether one of these base chains, as they were found in nf_tables, has a policy or a rule of somebody's own.
  ///
  /// A chain that is not there, or empty with policy accept, costs nothing more; of others only the beginning is read,
  /// unless all of it is the plugins' own.
  func isInUse(_ found: [Chain?], _ socket: inout NetfilterSocket) throws(NetlinkError) -> Bool {
    for case let chain? in found {
      if chain.base?.policy == .drop { return true }
      if chain.useCount == 0 { continue }
      let beginning = try NetfilterSocket().firstRules(in: chain)
      if beginning.rules.contains(where: { !$0.isOfPlugins }) { return true }
      if !beginning.isWhole, try socket.rules(in: chain).contains(where: { !$0.isOfPlugins }) { return true }
    }
    return false
  }

  private func isLegacyInUse(chains: [String]?) -> Bool {
    LegacyTable(self)?.isInUse(chains ?? name.baseChains) ?? false
  }
}

extension LegacyTable {
  /// Whether one of the base chains has a policy or a rule of somebody's own.
  func isInUse(_ names: [String]) -> Bool {
    names.contains { name in
      guard let chain = self[name] else { return false }
      return chain.policy == .drop
        || chain.rules.contains { $0.target.chain?.hasPrefix(IPTablesTable.pluginPrefix) != true }
    }
  }
}

extension Rule {
  /// Whether it does nothing but lead to a chain of the CNI plugins.
  fileprivate var isOfPlugins: Bool {
    jumpTargets.contains { $0.utf8.starts(with: IPTablesTable.pluginPrefix.utf8) }
  }
}

// MARK: - What is in them

extension IPTablesTable {
  /// One chain with its rules, in order; nil if there is none.
  ///
  /// - Throws: `NetlinkError`. A legacy table that cannot be read has no chains.
  public func chain(
    _ name: String, in form: Form, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> IPTablesChain? {
    switch form {
    case .legacy: return LegacyTable(self)?[name]
    case .nft:
      guard let chain = try socket.chainIfPresent(name, in: nftTable) else { return nil }
      let rules = chain.useCount == 0 ? [] : try socket.rules(in: chain)
      return IPTablesChain(name: name, policy: chain.base?.policy, rules: rules.map(IPTablesRule.init))
    }
  }

  /// Chains with their rules, by their names; those that are not there are left out.
  ///
  /// - Parameters:
  ///   - names: Nil: all of a legacy table; in nf_tables they are to be named.
  ///   - form: Which of the host's two tables is meant.
  ///   - socket: A socket in the namespace of the table.
  public func chains(
    _ names: [String]?, in form: Form, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> [String: IPTablesChain] {
    guard form == .nft else { return legacyChains(names) }
    var chains: [String: IPTablesChain] = [:]
    for name in names ?? self.name.baseChains { chains[name] = try chain(name, in: form, &socket) }
    return chains
  }

  /// The same without a socket at hand.
  public func chains(_ names: [String]?, in form: Form) throws(NetlinkError) -> [String: IPTablesChain] {
    guard form == .nft else { return legacyChains(names) }
    var socket = try NetfilterSocket()
    return try chains(names, in: form, &socket)
  }

  private func legacyChains(_ names: [String]?) -> [String: IPTablesChain] {
    var chains: [String: IPTablesChain] = [:]
    for chain in LegacyTable(self)?.chains ?? [] where names?.contains(chain.name) ?? true {
      chains[chain.name] = chain
    }
    return chains
  }
}
