/// A rule of a chain, as a value that reads like the line nft has for it, and prints that line.
public struct Rule: Hashable, Sendable, CustomStringConvertible {
  /// Where it is.
  public var chain: Chain
  /// Conditions and actions, in order.
  public var statements: [Statement]
  /// Shown by `nft list`: whose it is, or what it is for.
  public var comment: String?
  /// The kernel's number for it, by which it is deleted; nil for a value that was not listed.
  public var handle: UInt64?
  /// In a rule to be made: the handle of the rule behind which it is added, or before which it is inserted;
  /// nil: the end, or the beginning, of the chain. In a listed one, the rule before it.
  public var position: UInt64?

  /// A rule to be made.
  public init(in chain: Chain, _ statements: [Statement], comment: String? = nil, position: UInt64? = nil) {
    self.chain = chain
    self.statements = statements
    self.comment = comment
    self.position = position
  }

  /// A rule to be deleted, by the handle that a list gave.
  public init(in chain: Chain, handle: UInt64) {
    self.chain = chain
    statements = []
    self.handle = handle
  }

  /// As nft lists it: `ip saddr 10.22.0.5 masquerade comment "…"`.
  public var description: String {
    statements.map { $0.text(family: chain.table.family) }.joined(separator: " ") + commentSuffix(comment)
  }

  /// The kernel's instructions for it.
  public var expressions: [Expression] { RuleCompiler.compile(statements, family: chain.table.family) }

  /// The chains that it jumps or goes to on its own account, not through a verdict map.
  public var jumpTargets: [String] {
    statements.compactMap { statement in
      switch statement {
      case .verdict(let verdict): verdict.target
      case .raw(let expression): expression.jumpTarget
      default: nil
      }
    }
  }

  /// The texts of iptables' `-m comment`, as iptables-nft leaves them.
  public var extensionComments: [String] {
    statements.compactMap { statement in
      if case .raw(.xtables(let expression)) = statement { expression.comment } else { nil }
    }
  }

  /// Whether its comment, nft's or iptables', begins so.
  public func isCommented(prefix: String) -> Bool {
    comment?.utf8.starts(with: prefix.utf8) == true
      || extensionComments.contains { $0.utf8.starts(with: prefix.utf8) }
  }

  func encodeReference(into builder: inout MessageBuilder) {
    builder.attribute(1, string: chain.table.name)
    builder.attribute(2, string: chain.name)
    if let handle { builder.attribute(3, bigEndian: handle) }
  }

  /// `numbers` gives the sets their numbers in the transaction.
  func encode(into builder: inout MessageBuilder, numbers: inout SetNumbers) {
    builder.attribute(1, string: chain.table.name)
    builder.attribute(2, string: chain.name)
    builder.nested(4) {
      for expression in expressions {
        guard case .lookup(var lookup) = expression else {
          expression.encode(into: &$0)
          continue
        }
        lookup.setID = numbers.number(of: lookup.set, in: chain.table)
        Expression.lookup(lookup).encode(into: &$0)
      }
    }
    if let position { builder.attribute(6, bigEndian: position) }
    if let comment { builder.attribute(7, bytes: UserData.bytes(comment: comment)) }
  }

  /// Reads an `NFT_MSG_NEWRULE`; nil for what is not one.
  init?(_ message: ReceivedMessage) {
    guard let family = message.netfilterFamily else { return nil }
    let attributes = message.netfilterAttributes
    guard let table = attributes[1]?.string, let chain = attributes[2]?.string else { return nil }
    self.init(in: Chain(Table(family, table), chain), [])
    for attribute in attributes {
      switch attribute.type {
      case 3: handle = attribute.bigEndian()
      case 4:
        let expressions = attribute.nested.compactMap { $0.type == 1 ? Expression($0.nested) : nil }
        statements = RuleReader.statements(of: expressions, family: family)
      case 6: position = attribute.bigEndian()
      case 7: comment = UserData.text(in: attribute)
      default: break
      }
    }
  }
}

/// The numbers of the sets that a transaction speaks of (`NFTA_SET_ID`), given in the order of their first mention.
struct SetNumbers {
  private var names: [(family: NetfilterFamily, table: String, set: String)] = []

  mutating func number(of set: String, in table: Table) -> UInt32 {
    let found = names.firstIndex { $0.set == set && $0.table == table.name && $0.family == table.family }
    if let found { return UInt32(found + 1) }
    names.append((table.family, table.name, set))
    return UInt32(names.count)
  }
}
