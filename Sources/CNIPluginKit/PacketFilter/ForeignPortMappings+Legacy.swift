import CNI
import NetworkAddresses

/// iptables-legacy's tables are the kernel's, too, but only its own programs change them. They are called only where a
/// look into the table has found something.
extension ForeignPortMappings {
  /// Removes what iptables-legacy made.
  public func removeLegacy() throws {
    try Self.removeLegacy { family in
      guard let table = LegacyTable(IPTablesTable(.nat, family)) else { return [] }
      return [chainName, oldChainName].filter { table[$0] != nil }
    }
  }

  static func removeAllLegacy(where stale: StaleMarks) throws {
    let valid = validComments(stale)
    try removeLegacy { family in
      guard let table = LegacyTable(IPTablesTable(.nat, family)) else { return [] }
      let rules = (table[entrance]?.rules ?? []) + (table[oldEntrance]?.rules ?? [])
      return Set(
        rules.compactMap { staleTarget($0.target.chain, $0.comment, stale.network, valid) }
      ).sorted()
    }
  }

  /// `choose` says which chains are there that have to go.
  private static func removeLegacy(_ choose: (AddressFamily) -> [String]) throws {
    var steps = EveryStep()
    for family in [AddressFamily.ipv4, .ipv6] {
      steps.attempt { try removeLegacy(family, choose) }
    }
    try steps.finish()
  }

  private static func removeLegacy(_ family: AddressFamily, _ choose: (AddressFamily) -> [String]) throws {
    let iptables = IPTables(family)
    // Another plugin may change the table between the look and the change, which then finds nothing to change.
    for attempt in 1... {
      let names = choose(family)
      if names.isEmpty { return }
      do {
        let saved = SavedTable(try iptables.saveLegacy(.nat))
        return try iptables.restore(saved.removal(of: names), form: .legacy)
      } catch {
        if attempt == 20 { throw error }
      }
    }
  }
}

/// The table `nat` as `iptables-save` prints it.
struct SavedTable {
  private struct Line {
    let text: Substring
    let chain: Substring
    let target: String?
  }

  private let lines: [Line]
  private let chains: Set<Substring>

  init(_ text: String) {
    var lines: [Line] = []
    var chains: Set<Substring> = []
    for line in text.split(separator: "\n") {
      if line.hasPrefix(":") { chains.insert(line.dropFirst().prefix { $0 != " " }) }
      guard line.hasPrefix("-A ") else { continue }
      let chain = line.dropFirst(3).prefix { $0 != " " }
      lines.append(Line(text: line, chain: chain, target: Self.target(of: line)))
    }
    self.lines = lines
    self.chains = chains
  }

  /// Where a line of `iptables-save` leads: what follows `-j` or `-g`, outside of quotation marks.
  static func target(of line: Substring) -> String? {
    var words: [String] = [""]
    var (isQuoted, isEscaped) = (false, false)
    for character in line {
      switch character {
      case _ where isEscaped:
        words[words.count - 1].append(character)
        isEscaped = false
      case "\\" where isQuoted: isEscaped = true
      case "\"":
        isQuoted.toggle()
        // So that a quoted word is never taken for an option.
        words[words.count - 1].append(character)
      case " " where !isQuoted: words.append("")
      default: words[words.count - 1].append(character)
      }
    }
    for (index, word) in words.enumerated().dropLast() where word == "-j" || word == "-g" {
      return words[index + 1]
    }
    return nil
  }

  /// Removes the containers' chains, what leads to them, and the common chains if no container needs them then.
  func removal(of names: [String]) -> IPTablesBatch {
    var batch = IPTablesBatch()
    var gone = Set(names)
    var rest = lines
    func remove(_ name: String) {
      for line in rest where line.target == name && !gone.contains(String(line.chain)) {
        batch.add("-D" + line.text.dropFirst(2), to: .nat)
      }
      rest.removeAll { $0.target == name && !gone.contains(String($0.chain)) }
    }
    for name in names { remove(name) }
    // Nobody leads to them any more; but they may lead to each other.
    for name in names { batch.flush(name, in: .nat) }
    for name in names { batch.remove(name, from: .nat) }
    rest.removeAll { gone.contains(String($0.chain)) }

    let entrances = [ForeignPortMappings.entrance, ForeignPortMappings.oldEntrance]
    guard !rest.contains(where: { entrances.contains(String($0.chain)) }) else { return batch }
    for (name, callers) in ForeignPortMappings.common where chains.contains(Substring(name)) {
      let calls = rest.filter { $0.target == name }
      guard calls.allSatisfy({ callers.contains(String($0.chain)) }) else { continue }
      remove(name)
      gone.insert(name)
      if !entrances.contains(name) { batch.flush(name, in: .nat) }
      // Fails if something has come into it, and all of this with it.
      batch.remove(name, from: .nat)
      rest.removeAll { String($0.chain) == name }
    }
    return batch
  }
}
