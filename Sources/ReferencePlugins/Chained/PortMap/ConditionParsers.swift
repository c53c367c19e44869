import NetworkAddresses
import Netlink

/// The part of nft's language that conditions of port mappings are made of: addresses, interfaces, marks, protocols and
/// ports.
struct NFTConditionParser {
  private let family: AddressFamily

  init(_ family: AddressFamily) { self.family = family }

  func parse(_ words: inout ConditionWords) throws(ConditionError) -> [ConditionMatch] {
    var matches: [ConditionMatch] = []
    while words.peek != nil { matches.append(try match(&words)) }
    return matches
  }

  private func match(_ words: inout ConditionWords) throws(ConditionError) -> ConditionMatch {
    let first = try words.next()
    switch first {
    case "ip", "ip6":
      guard first == (family == .ipv4 ? "ip" : "ip6") else {
        throw ConditionError("\"\(first)\" is not of the family that this key is for", remedy: "")
      }
      let second = try words.next()
      guard let field = Selector(rawValue: first + " " + second),
        field.type == .ipv4Address || field.type == .ipv6Address
      else { throw .unknown(second) }
      return try values(field, &words) { text throws(ConditionError) in try .addresses(text, family) }
    case "iifname": return try interface(&words)
    case "mark": return try mark(&words)
    case "meta":
      let second = try words.next()
      switch second {
      case "iifname": return try interface(&words)
      case "mark": return try mark(&words)
      case "l4proto":
        return try values(.l4Protocol, &words) { text throws(ConditionError) in try Self.transport(text) }
      default: throw .unknown(second)
      }
    case "tcp", "udp", "sctp", "th":
      let second = try words.next()
      guard let field = Selector(rawValue: first + " " + second), field.type == .internetService else {
        throw .unknown(second)
      }
      return try values(field, &words) { text throws(ConditionError) in try .ports(text, separator: "-") }
    default: throw .unknown(first)
    }
  }

  private func interface(_ words: inout ConditionWords) throws(ConditionError) -> ConditionMatch {
    try values(.inputInterface, &words) { text throws(ConditionError) in
      try .interface(text, wildcard: "*")
    }
  }

  private static func transport(_ text: String) throws(ConditionError) -> Statement.Operand {
    switch text {
    case "tcp": .value(.protocol(.tcp))
    case "udp": .value(.protocol(.udp))
    case "sctp": .value(.protocol(.sctp))
    default: throw .unknown(text)
    }
  }

  /// `mark 0x100`, `mark & 0xff00 == 0x100`, `mark and 0xff00 != 0x100`.
  private func mark(_ words: inout ConditionWords) throws(ConditionError) -> ConditionMatch {
    guard words.take("&") || words.take("and") else {
      return try values(.mark, &words) { text throws(ConditionError) in
        .value(.mark(try Statement.Operand.number(text)))
      }
    }
    let mask = try Statement.Operand.number(words.next())
    let relation = try Self.relation(&words)
    return ConditionMatch(
      .mark, relation, [.masked(mask, equals: try Statement.Operand.number(words.next()))])
  }

  private static func relation(_ words: inout ConditionWords) throws(ConditionError) -> Statement.Relation {
    if words.take("!=") || words.take("ne") { return .notEqual }
    _ = words.take("==") || words.take("eq")
    return .equal
  }

  /// `VALUE`, `!= VALUE`, `{ VALUE, VALUE }`.
  private func values(
    _ field: Selector, _ words: inout ConditionWords,
    _ operand: (String) throws(ConditionError) -> Statement.Operand
  ) throws(ConditionError) -> ConditionMatch {
    let relation = try Self.relation(&words)
    guard words.take("{") else { return ConditionMatch(field, relation, [try operand(words.next())]) }
    var operands: [Statement.Operand] = []
    for text in try words.list() { operands.append(try operand(text)) }
    guard words.take("}") else { throw .unknown(words.peek) }
    return ConditionMatch(field, relation, operands)
  }
}

/// The part of iptables' language that conditions of port mappings are made of.
struct IPTablesConditionParser {
  private let family: AddressFamily

  init(_ family: AddressFamily) { self.family = family }

  func parse(_ words: inout ConditionWords) throws(ConditionError) -> [ConditionMatch] {
    var matches: [ConditionMatch] = []
    while words.peek != nil {
      let relation: Statement.Relation = words.take("!") ? .notEqual : .equal
      if let match = try match(relation, &words) { matches.append(match) }
    }
    return matches
  }

  private func match(
    _ relation: Statement.Relation, _ words: inout ConditionWords
  ) throws(ConditionError) -> ConditionMatch? {
    let option = try words.next()
    switch option {
    case "-s", "--source", "--src": return try addresses(.ipSource, .ip6Source, relation, &words)
    case "-d", "--destination", "--dst":
      return try addresses(.ipDestination, .ip6Destination, relation, &words)
    case "--src-range": return try addresses(.ipSource, .ip6Source, relation, &words)
    case "--dst-range": return try addresses(.ipDestination, .ip6Destination, relation, &words)
    case "-i", "--in-interface":
      return ConditionMatch(.inputInterface, relation, [try .interface(words.next(), wildcard: "+")])
    case "-p", "--protocol", "--proto":
      let name = try words.next()
      switch name.lowercased() {
      case "tcp": return ConditionMatch(.l4Protocol, relation, [.value(.protocol(.tcp))])
      case "udp": return ConditionMatch(.l4Protocol, relation, [.value(.protocol(.udp))])
      case "sctp": return ConditionMatch(.l4Protocol, relation, [.value(.protocol(.sctp))])
      default: throw .unknown(name)
      }
    case "--sport", "--source-port":
      return ConditionMatch(.sourcePort, relation, [try .ports(words.next(), separator: ":")])
    case "--mark":
      let parts = try words.next().split(separator: "/", maxSplits: 1).map(String.init)
      let value = try Statement.Operand.number(parts.first ?? "")
      guard parts.count == 2 else { return ConditionMatch(.mark, relation, [.value(.mark(value))]) }
      let mask = try Statement.Operand.number(parts[1])
      return ConditionMatch(.mark, relation, [.masked(mask, equals: value)])
    case "-m", "--match":
      let name = try words.next()
      // What these have to say comes with options of their own.
      guard relation == .equal, ["mark", "iprange", "tcp", "udp", "sctp"].contains(name) else {
        throw .unknown(name)
      }
      return nil
    default: throw .unknown(option)
    }
  }

  private func addresses(
    _ four: Selector, _ six: Selector, _ relation: Statement.Relation, _ words: inout ConditionWords
  ) throws(ConditionError) -> ConditionMatch? {
    var operands: [Statement.Operand] = []
    let texts = try words.list()
    func isEverything(_ text: String) -> Bool {
      IPPrefix(text).map { $0.isDefault && $0.family == family } ?? false
    }
    // It is true of every packet (`-s 0.0.0.0/0`).
    if relation == .equal, texts.contains(where: isEverything) { return nil }
    for text in texts { operands.append(try .addresses(text, family)) }
    return ConditionMatch(family == .ipv4 ? four : six, relation, operands)
  }
}
