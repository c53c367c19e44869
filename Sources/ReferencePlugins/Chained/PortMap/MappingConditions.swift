import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// What has to be true of a packet before its port is looked up (`conditionsV4`, `conditionsV6`).
struct MappingConditions: Hashable, Sendable {
  /// Of each family: alternatives, each of them statements that must all be true. One without statements is always true.
  var ipv4: [[Statement]] = [[]]
  var ipv6: [[Statement]] = [[]]

  /// No conditions.
  static let none = MappingConditions()

  func alternatives(_ family: AddressFamily) -> [[Statement]] { family == .ipv4 ? ipv4 : ipv6 }

  /// What distinguishes the names of the sets and chains of mappings with these conditions; empty for those without.
  var suffix: String {
    if self == .none { return "" }
    let text = [ipv4, ipv6].map { alternatives in
      alternatives.map { $0.map(\.description).joined(separator: " ") }.joined(separator: " or ")
    }.joined(separator: "; ")
    return "-" + String(Owner(network: text).linkName(prefix: ""))
  }

  /// Whether conditions that begin with this word, or text of several, are written for iptables, and not for nft.
  static func isOfIPTables(_ beginning: String) -> Bool {
    beginning.hasPrefix("-") || beginning == "!" || beginning.hasPrefix("! ")
  }

  /// Whether these are words of iptables' that only iptables understands.
  static func needIPTables(_ texts: [String], family: AddressFamily) -> Bool {
    var words = ConditionWords(texts)
    guard let first = words.peek, isOfIPTables(first) else { return false }
    do {
      _ = try IPTablesConditionParser(family).parse(&words)
      return false
    } catch { return error.isUnknownWord }
  }

  /// How many alternatives the lists of a condition may multiply to. Each is two rules.
  private static let limit = 64

  /// Reads the list of a key, in nft's or in iptables' words.
  ///
  /// - Throws: code 7 that names the word that is not understood.
  static func parse(
    _ texts: [String], family: AddressFamily, key: String, of keys: ConfigurationObject
  ) throws(CNIError) -> [[Statement]] {
    var words = ConditionWords(texts)
    guard let first = words.peek else { return [[]] }
    var alternatives: [[Statement]] = [[]]
    do throws(ConditionError) {
      let matches =
        isOfIPTables(first)
        ? try IPTablesConditionParser(family).parse(&words) : try NFTConditionParser(family).parse(&words)
      for match in matches {
        switch match.relation {
        case .notEqual: alternatives = alternatives.map { $0 + match.statements }
        case .equal: alternatives = alternatives.flatMap { old in match.statements.map { old + [$0] } }
        }
        if alternatives.count > limit {
          throw ConditionError("leads to more than \(limit) combinations of its lists")
        }
      }
    } catch {
      throw keys.failure(key, error.reason, remedy: error.remedy)
    }
    return alternatives
  }
}

/// Why a condition cannot be used.
struct ConditionError: Error {
  let reason: String
  let remedy: String
  /// Whether a word is not known here, which may well make sense to somebody else.
  var isUnknownWord = false

  init(
    _ reason: String, remedy: String = "set \"backend\" to \"iptables\", which takes any text of iptables"
  ) {
    self.reason = reason
    self.remedy = remedy
  }

  static func unknown(_ word: String?) -> ConditionError {
    var error = ConditionError(word.map { "\"\($0)\" is not understood" } ?? "ends too early")
    error.isUnknownWord = word != nil
    return error
  }
}

/// A field and the values that it may have, or may not.
struct ConditionMatch {
  let relation: Statement.Relation
  /// One for each value.
  let statements: [Statement]

  init(_ field: Selector, _ relation: Statement.Relation, _ operands: [Statement.Operand]) {
    self.relation = relation
    statements = operands.map { .match(field, relation, $0) }
  }
}

/// The words of a condition, however they are spread over the list's strings.
struct ConditionWords {
  private var rest: ArraySlice<String>

  init(_ texts: [String]) {
    var words: [String] = []
    for text in texts {
      var word = ""
      var isQuoted = false
      func end() {
        if !word.isEmpty { words.append(word) }
        word = ""
      }
      for character in text {
        switch character {
        case "\"": isQuoted.toggle()
        case " " where !isQuoted, "\t" where !isQuoted: end()
        case "{" where !isQuoted, "}" where !isQuoted, "," where !isQuoted:
          end()
          words.append(String(character))
        default: word.append(character)
        }
      }
      end()
    }
    rest = words[...]
  }

  var peek: String? { rest.first }

  mutating func next() throws(ConditionError) -> String {
    guard let word = rest.popFirst() else { throw .unknown(nil) }
    return word
  }

  /// Takes the next word if it is this one.
  mutating func take(_ word: String) -> Bool {
    guard rest.first == word else { return false }
    rest.removeFirst()
    return true
  }

  /// Values with commas between them, up to the first that has none behind it.
  mutating func list() throws(ConditionError) -> [String] {
    var values = [try next()]
    while take(",") {
      // nft allows one more at the end.
      if peek == "}" { break }
      values.append(try next())
    }
    return values
  }
}

// MARK: - Values

extension Statement.Operand {
  /// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`.
  static func addresses(_ text: String, _ family: AddressFamily) throws(ConditionError) -> Self {
    let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2 {
      guard let low = IPAddress(String(parts[0])), let high = IPAddress(String(parts[1])),
        low.family == family, let range = IPRange(low, high)
      else { throw ConditionError("\"\(text)\" is no range of \(family) addresses", remedy: "") }
      return .range(NFTValue(range.lower), NFTValue(range.upper))
    }
    if let address = IPAddress(text), address.family == family { return .value(NFTValue(address)) }
    guard let prefix = IPPrefix(text), prefix.family == family else {
      throw ConditionError("\"\(text)\" is no \(family) address or subnet", remedy: "")
    }
    guard !prefix.isDefault else {
      throw ConditionError("\"\(text)\" is all there is, and no condition", remedy: "leave it out")
    }
    return prefix.length == family.bitWidth ? .value(NFTValue(prefix.address)) : .prefix(prefix.network)
  }

  /// `eth0`, `eth*` or, for iptables, `eth+`.
  static func interface(_ text: String, wildcard: Character) throws(ConditionError) -> Self {
    let isPrefix = text.last == wildcard
    let name = isPrefix ? String(text.dropLast()) : text
    guard !name.isEmpty, name.utf8.count <= 15, !name.utf8.contains(UInt8(ascii: "/")) else {
      throw ConditionError("\"\(text)\" is no name of an interface", remedy: "")
    }
    return isPrefix ? .interfacePrefix(name) : .value(.interface(name))
  }

  /// `80`, `1000-2000` or, for iptables, `1000:2000`.
  static func ports(_ text: String, separator: Character) throws(ConditionError) -> Self {
    let parts = text.split(separator: separator, maxSplits: 1, omittingEmptySubsequences: false).map {
      UInt16($0)
    }
    if parts.count == 1, let port = parts[0] { return .value(.port(port)) }
    guard parts.count == 2, let low = parts[0], let high = parts[1], low <= high else {
      throw ConditionError("\"\(text)\" is no port or range of ports", remedy: "")
    }
    return .range(.port(low), .port(high))
  }

  /// A number as people write marks: `0x2000`, `8192`.
  static func number(_ text: String) throws(ConditionError) -> UInt32 {
    let number =
      text.hasPrefix("0x") || text.hasPrefix("0X") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
    guard let number else { throw ConditionError("\"\(text)\" is no number of 32 bits", remedy: "") }
    return number
  }
}
