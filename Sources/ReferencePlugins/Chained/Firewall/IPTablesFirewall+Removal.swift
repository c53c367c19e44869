import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// DEL: what goes of the table, and what stays.
extension IPTablesFirewall {
  /// Removes the rules of the addresses in both forms, whoever made them, and the chains with the last of them. What is
  /// in nf_tables goes without a program. An administrator's rules, and what leads to them, stay; and so do chains that
  /// somebody else calls.
  func remove(_ addresses: [IPAddress]) throws {
    var steps = EveryStep()
    steps.attempt { try PacketFilter.ifAvailable { socket in try removeNFT(addresses, &socket) } }
    steps.attempt { try removeLegacy(addresses) }
    try steps.finish()
  }

  /// What has to go of a table.
  private struct Removal {
    /// Rules of `CNI-FORWARD`.
    var rules: [IPTablesRule] = []
    /// Rules of `FORWARD` that lead to chains that go.
    var entrances: [IPTablesRule] = []
    /// Each before those that it leads to.
    var chains: [String] = []
  }

  /// - Parameter foreign: How many rules lead to a chain that are in none of the chains of `state`.
  private func removal(
    of addresses: [IPAddress], _ state: State, foreign: [String: Int] = [:]
  ) -> Removal? {
    guard let own = state[Self.chain] else { return nil }
    var removal = Removal()
    let lines = addresses.flatMap(Self.lines)
    var stays: [IPTablesRule] = []
    for rule in own.rules {
      if lines.contains(where: { rule.isLike($0.rule) }) {
        removal.rules.append(rule)
      } else {
        stays.append(rule)
      }
    }
    if removal.rules.isEmpty {
      // Somebody may have flushed the table. Chains that nobody's packets come to any more are of no use to anyone.
      let isEntered = (state[Self.forward]?.rules ?? []).contains { $0.target.chain == Self.chain }
      guard own.rules.isEmpty, !isEntered else { return nil }
    }
    // Nothing but ways to an administrator's rules is left: no container is.
    guard stays.allSatisfy({ $0.target.chain != nil && !$0.hasOtherConditions }) else { return removal }
    let admins = stays.compactMap(\.target.chain)
    if admins.allSatisfy({ state[$0]?.rules.isEmpty == true }) {
      removal.chains = [Self.chain] + Set(admins).sorted()
      // Flushed, the first no longer leads to this one.
      if own.rules.isEmpty, state[adminChain]?.rules.isEmpty == true { removal.chains.append(adminChain) }
    }
    removal.chains += Self.stages.filter { state[$0] != nil }
    // What a chain that stays leads to stays as well.
    while let used = removal.chains.first(where: { isUsed($0, besides: removal.chains, state, foreign) }) {
      removal.chains.removeAll { $0 == used }
    }
    if removal.rules.isEmpty, removal.chains.isEmpty { return nil }
    removal.entrances = (state[Self.forward]?.rules ?? []).filter { rule in
      removal.chains.contains { Self.isEntrance(rule, to: $0) }
    }
    return removal
  }

  /// Whether a rule that stays leads to the chain.
  private func isUsed(
    _ chain: String, besides gone: [String], _ state: State, _ foreign: [String: Int]
  ) -> Bool {
    foreign[chain, default: 0] > 0
      || state.values.contains { caller in
        !gone.contains(caller.name)
          && caller.rules.contains { rule in
            rule.target.chain == chain
              && !(caller.name == Self.forward && Self.isEntrance(rule, to: chain))
          }
      }
  }

  /// Whether a rule of `FORWARD` is one that leads to a chain of the plugins, for every packet. To an administrator's chain
  /// only the plugins' own leads for their sake.
  private static func isEntrance(_ rule: IPTablesRule, to chain: String) -> Bool {
    guard chain == self.chain || stages.contains(chain) else { return false }
    var bare = IPTablesRule(target: .jump(chain))
    bare.comment = rule.comment
    return rule.isLike(bare)
  }

  private func removeNFT(_ addresses: [IPAddress], _ socket: inout NetfilterSocket) throws(NetlinkError) {
    // Where the Go plugins have never been, that is all.
    guard try socket.chainIfPresent(Self.chain, in: table.nftTable) != nil else { return }
    try socket.commitPrepared { (socket) throws(NetlinkError) in
      var state = try table.chains([Self.forward, Self.chain] + Self.stages, in: .nft, &socket)
      let others = Set(state[Self.chain]?.rules.compactMap(\.target.chain) ?? []).union([adminChain])
      state.merge(try table.chains(others.sorted(), in: .nft, &socket)) { $1 }
      guard var removal = removal(of: addresses, state) else { return nil }
      if !removal.chains.isEmpty {
        let foreign = try rulesElsewhere(leadingTo: removal.chains, state, &socket)
        removal = self.removal(of: addresses, state, foreign: foreign) ?? removal
      }
      var transaction = NFTransaction()
      for (chain, rules) in [(Self.chain, removal.rules), (Self.forward, removal.entrances)] {
        for handle in rules.compactMap(\.handle) {
          transaction.delete(Rule(in: Chain(table.nftTable, chain), handle: handle))
        }
      }
      for chain in removal.chains { transaction.delete(Chain(table.nftTable, chain)) }
      return transaction
    }
  }

  /// How many rules lead to each of these chains that are in none of the chains of `state`. The kernel counts what is in a
  /// chain, and what leads to it.
  private func rulesElsewhere(
    leadingTo names: [String], _ state: State, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> [String: Int] {
    var counts: [String: Int] = [:]
    for case let chain? in try socket.chains(named: names.map { Chain(table.nftTable, $0) }) {
      var known = state[chain.name]?.rules.count ?? 0
      for caller in state.values { known += caller.rules.count { $0.target.chain == chain.name } }
      counts[chain.name] = Int(chain.useCount ?? 0) - known
    }
    return counts
  }

  private func removeLegacy(_ addresses: [IPAddress]) throws {
    let all = try table.chains(nil, in: .legacy)
    guard all[Self.chain] != nil else { return }
    var failed: CNIError?
    for _ in 0..<20 {
      let state = try table.chains(nil, in: .legacy)
      guard let removal = removal(of: addresses, state) else { return }
      do throws(CNIError) {
        return try IPTables(family).restore(batch(removal), form: .legacy)
      } catch {
        failed = error
      }
    }
    if let failed { throw failed }
  }

  private func batch(_ removal: Removal) -> IPTablesBatch {
    var batch = IPTablesBatch()
    for rule in removal.rules {
      guard let prefix = rule.source?.value ?? rule.destination?.value else { continue }
      for line in Self.lines(for: prefix.address) where rule.isLike(line.rule) {
        batch.delete(line.text, from: Self.chain, of: .filter)
      }
    }
    for rule in removal.entrances {
      guard let chain = rule.target.chain else { continue }
      let line = rule.comment.map { Self.jump(to: chain, comment: $0) }
      batch.delete(line?.text ?? "-j \(chain)", from: Self.forward, of: .filter)
    }
    for chain in removal.chains { batch.flush(chain, in: .filter) }
    for chain in removal.chains { batch.remove(chain, from: .filter) }
    return batch
  }
}
