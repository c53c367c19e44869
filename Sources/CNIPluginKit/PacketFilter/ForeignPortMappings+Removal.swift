import CNI
import NetworkAddresses
public import Netlink

extension ForeignPortMappings {
  /// Removes what is in nf_tables: what iptables-nft made there, and the Go plugin's own tables.
  public func remove(_ socket: inout NetfilterSocket) throws(NetlinkError) {
    let tables = try ForeignTables(&socket)
    for family in [AddressFamily.ipv4, .ipv6] where tables.contains(Self.hostPortTable(family)) {
      try removeFromHostPortTable(family, &socket)
    }
    let wanted = tables.natFamilies.flatMap { family in
      [chainName, oldChainName].map { Chain(ForeignTables.nat(family), $0) }
    }
    let found = try socket.chains(named: wanted).compactMap { $0 }
    try Self.remove(found, &socket)
  }

  /// Removes containers' chains, the rules that lead to them, and what nobody needs then.
  private static func remove(_ chains: [Chain], _ socket: inout NetfilterSocket) throws(NetlinkError) {
    for chain in chains {
      let callers = [entrance, oldEntrance].map { Chain(chain.table, $0) }
      try socket.deleteChain(chain, jumpsFrom: callers)
    }
    for family in [AddressFamily.ipv4, .ipv6] {
      guard chains.contains(where: { $0.table == ForeignTables.nat(family) }) else { continue }
      try removeCommonIfUnused(family, &socket)
      try IPTablesSkeleton.removeUnused(family, &socket)
    }
  }

  /// Removes the common chains when no container's ports are mapped any more.
  private static func removeCommonIfUnused(
    _ family: AddressFamily, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) {
    let table = ForeignTables.nat(family)
    try socket.commitUnlessBusy { (socket: inout NetfilterSocket) throws(NetlinkError) in
      let chains = try socket.chains(named: common.map { Chain(table, $0.name) })
      var transaction = NFTransaction()
      for (chain, (name, callers)) in zip(chains, common) {
        guard let chain else { continue }
        let isEntrance = name == entrance || name == oldEntrance
        var calls: [Rule] = []
        for caller in callers {
          calls += try socket.rules(in: Chain(table, caller)).filter { $0.jumpTargets.contains(name) }
        }
        // It counts the rules in it, and those that lead to it.
        let content = isEntrance ? 0 : try socket.rules(in: chain).count
        guard chain.useCount == UInt32(calls.count + content) else {
          // While a container's ports are mapped, all stays that it may need.
          if isEntrance { return nil }
          continue
        }
        for call in calls { transaction.delete(call) }
        transaction.delete(chain)
      }
      return transaction
    }
  }

  /// The container's part of the Go plugin's nf_tables form, and the rest with the last container.
  private func removeFromHostPortTable(
    _ family: AddressFamily, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) {
    let table = Self.hostPortTable(family)
    let id = containerID
    try socket.commitUnlessBusy { (socket: inout NetfilterSocket) throws(NetlinkError) in
      // What there is besides the containers' rules leads to them.
      let rules = try socket.rules(in: table).filter {
        !["prerouting", "output", "hostports_all"].contains($0.chain.name)
      }
      let own = rules.filter { $0.comment == id }
      if own.isEmpty { return nil }
      var transaction = NFTransaction()
      if own.count == rules.count {
        transaction.delete(table)
      } else {
        for rule in own { transaction.delete(rule) }
      }
      return transaction
    }
  }

  // MARK: GC

  static func removeAll(where stale: StaleMarks, _ socket: inout NetfilterSocket) throws(NetlinkError) {
    let valid = validComments(stale)
    let families = try ForeignTables(&socket).natFamilies
    for family in families {
      let table = ForeignTables.nat(family)
      var names: Set<String> = []
      for chain in [entrance, oldEntrance] {
        for rule in try socket.rules(in: Chain(table, chain)) {
          if let name = staleTarget(
            rule.jumpTargets.first, rule.extensionComments.first ?? rule.comment, stale.network, valid)
          {
            names.insert(name)
          }
        }
      }
      try remove(names.sorted().map { Chain(table, $0) }, &socket)
    }
  }

  /// The chain of a container that is not valid any more, if that is where the rule leads.
  static func staleTarget(
    _ target: String?, _ comment: String?, _ network: String, _ valid: Set<String>
  ) -> String? {
    guard let target, target.hasPrefix("CNI-DN-") || target.hasPrefix("CNI-SN-"), let comment else {
      return nil
    }
    // Old plugins wrote two kinds.
    let asNow = comment.hasPrefix("snat ") ? "dnat " + comment.dropFirst(5) : comment
    guard asNow.hasPrefix(commentBeginning(of: network)), !valid.contains(asNow) else { return nil }
    return target
  }
}
