/// One change of the rule set: a verb, and the value it is about.
public struct NFTCommand: Hashable, Sendable, CustomStringConvertible {
  /// What is done.
  public enum Verb: String, Hashable, Sendable {
    /// Made, unless it is there; a rule goes to the end of its chain.
    case add
    /// Made; it must not be there (`EEXIST`). Of a set, map or element: also not with another content.
    case create
    /// Of a rule: goes to the beginning of its chain, or before its `position`.
    case insert
    /// Taken away; it must be there (`ENOENT`), and nothing may refer to it (`EBUSY`).
    case delete
    /// As `delete`; also, nothing may be in it (`EBUSY`): no chain or set in a table, no rule in a chain, no
    /// element in a set.
    case deleteEmpty
    /// Its content is taken away: the rules of a table or chain, the elements of a set.
    case flush
  }

  /// What it is done to.
  public enum Object: Hashable, Sendable {
    /// A table.
    case table(Table)
    /// A chain.
    case chain(Chain)
    /// A rule.
    case rule(Rule)
    /// A set or map.
    case set(NFTSet)
    /// Elements of one set or map.
    case elements([Element], NFTSet)
  }

  /// What is done.
  public var verb: Verb
  /// What it is done to.
  public var object: Object

  /// A change.
  public init(_ verb: Verb, _ object: Object) {
    self.verb = verb
    self.object = object
  }

  private var makes: Bool { verb == .add || verb == .create || verb == .insert }

  /// The line for `nft -f`: `create element inet cni sources4 { 10.22.0.5 : accept }`.
  public var description: String {
    let word = verb == .deleteEmpty ? "delete" : verb.rawValue
    switch object {
    case .table(let table): return "\(word) \(makes ? table.description : "table \(table.reference)")"
    case .chain(let chain): return "\(word) \(makes ? chain.description : "chain \(chain.reference)")"
    case .set(let set): return "\(word) \(makes ? set.description : "\(set.kind) \(set.reference)")"
    case .rule(let rule):
      if verb == .flush { return "flush chain \(rule.chain.reference)" }
      let line = "\(word) rule \(rule.chain.reference)"
      guard makes else { return line + (rule.handle.map { " handle \($0)" } ?? "") }
      return "\(line)\(rule.position.map { " position \($0)" } ?? "") \(rule)"
    case .elements(let elements, let set):
      if verb == .flush { return "flush set \(set.reference)" }
      let list = elements.map { makes ? $0.description : $0.keyText }.joined(separator: ", ")
      return "\(word) element \(set.reference) { \(list) }"
    }
  }

  /// To follow "cannot": `add element { 10.22.0.5 } to map inet cni masquerade`.
  var operation: NetlinkOperation {
    let word = verb == .deleteEmpty ? "delete empty" : verb.rawValue
    switch object {
    case .table(let table): return NetlinkOperation("\(word) table \(table.reference)")
    case .chain(let chain): return NetlinkOperation("\(word) chain \(chain.reference)")
    case .set(let set): return NetlinkOperation("\(word) \(set.kind) \(set.reference)")
    case .rule(let rule):
      let text = makes ? " { \(rule) }" : rule.handle.map { " handle \($0)" } ?? "s"
      return NetlinkOperation("\(word) rule\(text) \(makes ? "to" : "of") chain \(rule.chain.reference)")
    case .elements(let elements, let set):
      var list = elements.prefix(3).map { makes ? $0.description : $0.keyText }.joined(separator: ", ")
      if elements.count > 3 { list += ", … \(elements.count) in all" }
      return NetlinkOperation(
        "\(word) element { \(list) } \(makes ? "to" : "of") \(set.kind) \(set.reference)")
    }
  }

  /// `NFT_MSG_*`.
  private var messageType: UInt16 {
    switch object {
    case .table: verb == .flush ? 8 : makes ? 0 : 2
    case .chain: verb == .flush ? 8 : makes ? 3 : 5
    case .rule: makes ? 6 : 8
    case .set: verb == .flush ? 14 : makes ? 9 : 11
    case .elements: makes ? 12 : 14
    }
  }

  private var flags: NetlinkMessageFlags {
    var flags: NetlinkMessageFlags = .request
    guard makes else { return verb == .deleteEmpty ? [.request, .nonRecursive] : flags }
    // As nft has it: a table is made also without being asked to.
    if case .table = object {} else { flags.insert(.create) }
    if verb == .create { flags.insert(.exclusive) }
    if case .rule = object, verb != .insert { flags.insert(.append) }
    return flags
  }

  private var family: NetfilterFamily {
    switch object {
    case .table(let table): table.family
    case .chain(let chain): chain.table.family
    case .rule(let rule): rule.chain.table.family
    case .set(let set): set.table.family
    case .elements(_, let set): set.table.family
    }
  }

  func encode(
    into builder: inout MessageBuilder, sequence: UInt32, acknowledged: Bool, numbers: inout SetNumbers
  ) {
    let flags = acknowledged ? flags.union(.acknowledge) : flags
    builder.message(type: NFTMessage.subsystem | messageType, flags: flags, sequence: sequence) {
      $0.netfilterHeader(family.rawValue)
      encodeBody(into: &$0, numbers: &numbers)
    }
  }

  private func encodeBody(into builder: inout MessageBuilder, numbers: inout SetNumbers) {
    switch object {
    case .table(let table): makes ? table.encode(into: &builder) : table.encodeReference(into: &builder)
    case .chain(let chain):
      if verb == .flush {
        builder.attribute(1, string: chain.table.name)
        builder.attribute(2, string: chain.name)
      } else if makes {
        chain.encode(into: &builder)
      } else {
        chain.encodeReference(into: &builder)
      }
    case .rule(let rule):
      makes ? rule.encode(into: &builder, numbers: &numbers) : rule.encodeReference(into: &builder)
    case .set(let set):
      if verb == .flush {
        builder.attribute(2, string: set.name)
        builder.attribute(1, string: set.table.name)
      } else if makes {
        set.encode(into: &builder, id: numbers.number(of: set.name, in: set.table))
      } else {
        set.encodeReference(into: &builder)
      }
    case .elements(let elements, let set):
      set.encodeReference(into: &builder)
      if makes { builder.attribute(4, bigEndian: numbers.number(of: set.name, in: set.table)) }
      guard verb != .flush else { return }
      builder.nested(3) {
        var index: UInt16 = 0
        for element in elements {
          element.encode(into: &$0, set: set, index: &index, keyOnly: !makes)
        }
      }
    }
  }
}

/// Numbers of nfnetlink (`linux/netfilter/nfnetlink.h`).
enum NFTMessage {
  /// `NFNL_SUBSYS_NFTABLES` in the upper byte of a message type.
  static let subsystem: UInt16 = 10 << 8
  /// `NFNL_MSG_BATCH_BEGIN`.
  static let batchBegin: UInt16 = 16
  /// `NFNL_MSG_BATCH_END`.
  static let batchEnd: UInt16 = 17
}

extension MessageBuilder {
  /// `struct nfgenmsg`: family, version 0, resource.
  mutating func netfilterHeader(_ family: UInt8, resource: UInt16 = 0) {
    append(family)
    append(UInt8(0))
    append(bigEndian: resource)
  }
}
