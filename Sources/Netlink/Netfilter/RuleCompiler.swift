import NetworkAddresses

/// Turns statements into the instructions that nft makes of them: with what must be known first put before, and
/// registers given out.
struct RuleCompiler {
  /// Of the rule's table.
  let family: NetfilterFamily
  /// The result.
  private(set) var expressions: [Expression] = []
  /// What the rule already knows about the packet.
  private var knownFamily: NetfilterFamily?
  private var knownTransport: InternetProtocol?
  private var knowsEthernet: Bool

  init(family: NetfilterFamily) {
    self.family = family
    knownFamily = family == .ip || family == .ip6 ? family : nil
    knowsEthernet = family == .bridge || family == .netdev
  }

  static func compile(_ statements: [Statement], family: NetfilterFamily) -> [Expression] {
    var compiler = RuleCompiler(family: family)
    compiler.expressions.reserveCapacity(statements.count * 3)
    for statement in statements { compiler.add(statement) }
    return compiler.expressions
  }

  private mutating func add(_ statement: Statement) {
    switch statement {
    case .match(let field, let relation, let operand): match(field, relation, operand)
    case .lookup(let fields, let relation, let set):
      load(fields)
      expressions.append(.lookup(LookupExpression(set.name, isInverted: relation == .notEqual)))
    case .prefixLookup(let fields, let length, let set):
      load(fields, prefixLength: length)
      expressions.append(.lookup(LookupExpression(set.name)))
    case .verdict(let verdict): expressions.append(.immediate(ImmediateExpression(verdict)))
    case .verdictMap(let fields, let map):
      load(fields)
      expressions.append(.lookup(LookupExpression(map.name, into: .verdict)))
    case .count(let counter): expressions.append(.counter(counter))
    case .masqueraded(let flags): expressions.append(.masquerade(MasqueradeExpression(flags)))
    case .redirect(let port, let flags):
      guard let port else { return expressions.append(.redirect(RedirectExpression(flags: flags))) }
      expressions.append(.immediate(ImmediateExpression(NFTValue.port(port).bytes)))
      expressions.append(.redirect(RedirectExpression(port: .first, flags: flags.union(.portsGiven))))
    case .destinationNAT(let target, let flags): translate(target, flags, isDestination: true)
    case .sourceNAT(let target, let flags): translate(target, flags, isDestination: false)
    case .setMark(let field, let keeping, let flipping): set(field, keeping, flipping)
    case .limit(let limit): expressions.append(.limit(limit))
    case .log(let log): expressions.append(.log(log))
    case .rejected(let reject): expressions.append(.reject(reject))
    case .notrack: expressions.append(.notrack)
    case .raw(let expression):
      expressions.append(expression)
      learnFromInstructions()
    }
  }

  /// What two instructions that were given as they are tell about the packet.
  private mutating func learnFromInstructions() {
    guard expressions.count >= 2, case .compare(let comparison) = expressions[expressions.count - 1],
      comparison.operation == .equal, case .meta(let meta) = expressions[expressions.count - 2]
    else { return }
    switch (meta.key, comparison.data) {
    case (.protocol, [0x08, 0x00]): knownFamily = .ip
    case (.protocol, [0x86, 0xdd]): knownFamily = .ip6
    case (.inputInterfaceType, _): knowsEthernet = true
    default: break
    }
  }

  /// Sees to it that the packet has such a field.
  private mutating func require(_ field: Selector) {
    switch field.dependency {
    case nil: break
    case .family(let needed):
      guard knownFamily != needed else { return }
      knownFamily = needed
      if family == .bridge || family == .netdev {
        expressions.append(.meta(MetaExpression(.protocol)))
        expressions.append(.compare(CompareExpression(.equal, needed == .ip ? [0x08, 0x00] : [0x86, 0xdd])))
      } else {
        expressions.append(.meta(MetaExpression(.nfProtocol)))
        expressions.append(.compare(CompareExpression(.equal, [needed.rawValue])))
      }
    case .transport(let needed):
      guard knownTransport != needed else { return }
      knownTransport = needed
      expressions.append(.meta(MetaExpression(.l4Protocol)))
      expressions.append(.compare(CompareExpression(.equal, [needed.rawValue])))
    case .ethernet:
      guard !knowsEthernet else { return }
      knowsEthernet = true
      expressions.append(.meta(MetaExpression(.inputInterfaceType)))
      // ARPHRD_ETHER, 16 bits in host order.
      expressions.append(.compare(CompareExpression(.equal, withUnsafeBytes(of: UInt16(1)) { Array($0) })))
    }
  }

  /// Reads the fields into registers one behind the other; of the first one, an address, only a prefix where its length
  /// is given.
  private mutating func load(_ fields: [Selector], prefixLength: Int? = nil) {
    for field in fields { require(field) }
    var word = 0
    for field in fields {
      expressions.append(field.load(into: Register(word: word)))
      if word == 0, let prefixLength {
        let mask = IPAddress.mask(field.type == .ipv6Address ? .ipv6 : .ipv4, length: prefixLength)
        expressions.append(.bitwise(BitwiseExpression(mask: mask.bytes, namesOperation: true)))
      }
      word += (field.length + 3) / 4
    }
  }

  private mutating func match(_ field: Selector, _ relation: Statement.Relation, _ operand: Statement.Operand)
  {
    require(field)
    let operation: CompareExpression.Operation = relation == .equal ? .equal : .notEqual
    func compare(_ bytes: [UInt8]) -> Expression { .compare(CompareExpression(operation, bytes)) }
    switch operand {
    case .value(let value):
      expressions += [field.load(), compare(value.bytes)]
      if relation == .equal { learn(field, value) }
    case .prefix(let prefix):
      let bytes = prefix.first.bytes
      if prefix.length > 0, prefix.length % 8 == 0, let payload = field.payload {
        // Whole bytes: as many are read as the prefix has.
        let count = prefix.length / 8
        expressions.append(
          .payload(PayloadExpression(payload.base, offset: payload.offset, length: UInt32(count))))
        expressions.append(compare(Array(bytes.prefix(count))))
      } else {
        expressions += [
          field.load(), .bitwise(BitwiseExpression(mask: prefix.mask.bytes)), compare(bytes),
        ]
      }
    case .range(let low, let high):
      expressions.append(field.load())
      if relation == .notEqual {
        expressions.append(.range(RangeExpression(low.bytes, high.bytes, isInverted: true)))
      } else {
        expressions.append(.compare(CompareExpression(.greaterOrEqual, low.bytes)))
        expressions.append(.compare(CompareExpression(.lessOrEqual, high.bytes)))
      }
    case .interfacePrefix(let name): expressions += [field.load(), compare(Array(name.utf8.prefix(15)))]
    case .masked(let mask, let value):
      expressions += [
        field.load(), .bitwise(BitwiseExpression(mask: [UInt8](hostOrder: mask), namesOperation: true)),
        compare([UInt8](hostOrder: value)),
      ]
    case .states(let states): matchAny(field, states.rawValue, relation)
    case .statuses(let statuses): matchAny(field, statuses.rawValue, relation)
    }
  }

  /// Whether one of the bits is set, or none of them.
  private mutating func matchAny(_ field: Selector, _ bits: UInt32, _ relation: Statement.Relation) {
    expressions += [
      field.load(), .bitwise(BitwiseExpression(mask: [UInt8](hostOrder: bits))),
      .compare(CompareExpression(relation == .equal ? .notEqual : .equal, [0, 0, 0, 0])),
    ]
  }

  /// What a condition tells about the packet need not be asked again.
  private mutating func learn(_ field: Selector, _ value: NFTValue) {
    switch (field, value) {
    case (.family, .family(let family)): knownFamily = family == .ipv4 ? .ip : .ip6
    case (.l4Protocol, .protocol(let transport)), (.ipProtocol, .protocol(let transport)):
      knownTransport = transport
    default: break
    }
  }

  private mutating func translate(_ target: Statement.NATTarget, _ flags: NATFlags, isDestination: Bool) {
    switch target {
    case .address(let address, let port):
      expressions.append(.immediate(ImmediateExpression(address.bytes)))
      if let port {
        expressions.append(
          .immediate(ImmediateExpression(NFTValue.port(port).bytes, into: Register(word: 4))))
      }
      expressions.append(
        .nat(
          NATExpression(
            isDestination: isDestination, family: address.family == .ipv4 ? .ip : .ip6, address: .first,
            port: port == nil ? nil : Register(word: 4), flags: port == nil ? flags : flags.union(.portsGiven)
          )))
    case .map(let fields, let map, let target, let hasPort):
      load(fields)
      expressions.append(.lookup(LookupExpression(map.name, into: .first)))
      expressions.append(
        .nat(
          NATExpression(
            isDestination: isDestination, family: target == .ipv4 ? .ip : .ip6, address: .first,
            port: hasPort ? Register(word: target == .ipv4 ? 1 : 4) : nil, flags: flags)))
    }
  }

  private mutating func set(_ field: Selector, _ keeping: UInt32, _ flipping: UInt32) {
    if keeping == 0 {
      expressions.append(.immediate(ImmediateExpression([UInt8](hostOrder: flipping))))
    } else {
      expressions.append(field.load())
      expressions.append(
        .bitwise(
          BitwiseExpression(
            mask: [UInt8](hostOrder: keeping), flip: [UInt8](hostOrder: flipping), namesOperation: true)))
    }
    expressions.append(
      field == .connectionMark
        ? .conntrack(ConntrackExpression(set: .mark)) : .meta(MetaExpression(set: .mark)))
  }
}
