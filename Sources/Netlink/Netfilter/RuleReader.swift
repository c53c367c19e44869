import NetworkAddresses

/// Finds the statements that a rule's instructions stand for. What it cannot read stays `.raw`, so that
/// compiling the result gives the same instructions again.
struct RuleReader {
  private let expressions: [Expression]
  private var position = 0
  private var statements: [Statement] = []
  private var knownFamily: NetfilterFamily?
  private var knownTransport: InternetProtocol?

  static func statements(of expressions: [Expression], family: NetfilterFamily) -> [Statement] {
    var reader = RuleReader(expressions: expressions, family: family)
    return dropDependencies(reader.read(), family: family)
  }

  private init(expressions: [Expression], family: NetfilterFamily) {
    self.expressions = expressions
    knownFamily = family == .ip || family == .ip6 ? family : nil
  }

  /// Leaves out the conditions that a later one implies, as a list of nft does.
  private static func dropDependencies(_ all: [Statement], family: NetfilterFamily) -> [Statement] {
    let expressions = RuleCompiler.compile(all, family: family)
    var statements = all
    var index = 0
    while index < statements.count {
      if case .match = statements[index] {
        var shorter = statements
        shorter.remove(at: index)
        if RuleCompiler.compile(shorter, family: family) == expressions {
          statements = shorter
          continue
        }
      } else if case .raw = statements[index], index + 1 < statements.count {
        // A condition on the Ethernet or device type, which is no statement of its own.
        var shorter = statements
        shorter.removeSubrange(index...(index + 1))
        if RuleCompiler.compile(shorter, family: family) == expressions {
          statements = shorter
          continue
        }
      }
      index += 1
    }
    return statements
  }

  private mutating func read() -> [Statement] {
    while position < expressions.count {
      let start = position
      if let statement = next() {
        statements.append(statement)
      } else {
        position = start
        note(expressions[position])
        statements.append(.raw(expressions[position]))
        position += 1
      }
    }
    return statements
  }

  /// `meta protocol` in a bridge table tells the family too.
  private mutating func note(_ expression: Expression) {
    guard case .compare(let comparison) = expression, comparison.operation == .equal, position > 0,
      case .meta(let meta) = expressions[position - 1], meta.key == .protocol
    else { return }
    if comparison.data == [0x08, 0x00] { knownFamily = .ip }
    if comparison.data == [0x86, 0xdd] { knownFamily = .ip6 }
  }

  private func peek(_ offset: Int = 0) -> Expression? {
    position + offset < expressions.count ? expressions[position + offset] : nil
  }

  private mutating func next() -> Statement? {
    guard let expression = peek() else { return nil }
    switch expression {
    case .immediate(let immediate):
      if case .verdict(let verdict) = immediate.data, immediate.destination == .verdict {
        position += 1
        return .verdict(verdict)
      }
      return constant()
    case .counter(let counter): return take(.count(counter))
    case .masquerade(let masquerade): return take(.masqueraded(masquerade.flags))
    case .redirect(let redirect) where redirect.port == nil: return take(.redirect(port: nil, redirect.flags))
    case .limit(let limit): return take(.limit(limit))
    case .log(let log): return take(.log(log))
    case .reject(let reject): return take(.rejected(reject))
    case .notrack: return take(.notrack)
    case .meta, .payload, .conntrack, .fib: return condition()
    default: return nil
    }
  }

  private mutating func take(_ statement: Statement) -> Statement {
    position += 1
    return statement
  }

  /// Constants in registers, and what is done with them.
  private mutating func constant() -> Statement? {
    guard case .immediate(let first)? = peek(), case .value(let bytes) = first.data,
      first.destination == .first
    else { return nil }
    switch peek(1) {
    case .meta(let meta) where meta.source == .first && meta.key == .mark && bytes.count == 4:
      position += 2
      return .set(.mark, to: bytes.hostOrder)
    case .conntrack(let ct) where ct.source == .first && ct.key == .mark && bytes.count == 4:
      position += 2
      return .set(.connectionMark, to: bytes.hostOrder)
    case .redirect(let redirect) where redirect.port == .first && bytes.count == 2:
      position += 2
      return .redirect(port: port(bytes), redirect.flags.subtracting(.portsGiven))
    case .nat(let nat) where nat.address == .first && nat.port == nil:
      guard let address = IPAddress(bytes: bytes) else { return nil }
      position += 2
      return translation(nat, .address(address), nat.flags)
    case .immediate(let second):
      guard case .value(let portBytes) = second.data, portBytes.count == 2, case .nat(let nat)? = peek(2),
        nat.address == .first, nat.port == second.destination, let address = IPAddress(bytes: bytes)
      else { return nil }
      position += 3
      return translation(
        nat, .address(address, port: port(portBytes)), nat.flags.subtracting(.portsGiven))
    default: return nil
    }
  }

  private func port(_ bytes: [UInt8]) -> UInt16 { UInt16(bytes[0]) << 8 | UInt16(bytes[1]) }

  private func translation(
    _ nat: NATExpression, _ target: Statement.NATTarget, _ flags: NATFlags
  ) -> Statement {
    nat.isDestination ? .destinationNAT(target, flags) : .sourceNAT(target, flags)
  }

  /// Fields in registers, and what they are compared with or looked up in.
  private mutating func condition() -> Statement? {
    if let lookup = prefixLookup() { return lookup }
    var fields: [Selector] = []
    let start = position
    while let expression = peek(),
      let field = Selector(loadedBy: expression, family: knownFamily, transport: knownTransport)
    {
      fields.append(field)
      position += 1
    }
    guard let field = fields.first, let then = peek() else { return nil }
    if case .lookup(let lookup) = then {
      // Only if the registers are those that the compiler gives out.
      var word = 0
      for (index, field) in fields.enumerated() {
        guard expressions[start + index] == field.load(into: Register(word: word)) else { return nil }
        word += (field.length + 3) / 4
      }
      return self.lookup(fields, lookup)
    }
    guard fields.count == 1 else { return nil }
    return comparison(field, load: expressions[start])
  }

  /// The prefix of an address, further fields, and a set that all of it is looked up in.
  private mutating func prefixLookup() -> Statement? {
    guard let first = peek(), case .bitwise(let bitwise)? = peek(1), bitwise.source == .first,
      bitwise.destination == .first, !bitwise.flip.contains(where: { $0 != 0 }),
      let address = Selector(loadedBy: first, family: knownFamily, transport: knownTransport),
      address.type == .ipv4Address || address.type == .ipv6Address, first == address.load(),
      bitwise.mask.count == address.length,
      let length = prefixLength(
        [UInt8](repeating: 0, count: bitwise.mask.count), bitwise.mask.map { ~$0 })
    else { return nil }
    var fields = [address]
    var word = (address.length + 3) / 4
    var offset = 2
    while let expression = peek(offset),
      let field = Selector(loadedBy: expression, family: knownFamily, transport: knownTransport),
      expression == field.load(into: Register(word: word))
    {
      fields.append(field)
      word += (field.length + 3) / 4
      offset += 1
    }
    guard fields.count > 1, case .lookup(let lookup)? = peek(offset), lookup.source == .first,
      lookup.destination == nil, !lookup.isInverted
    else { return nil }
    position += offset + 1
    return .prefixLookup(fields, length: length, .init(lookup.set))
  }

  private mutating func lookup(_ fields: [Selector], _ lookup: LookupExpression) -> Statement? {
    guard lookup.source == .first else { return nil }
    let name = NFTSet.Name(lookup.set)
    guard let destination = lookup.destination else {
      return take(.lookup(fields, lookup.isInverted ? .notEqual : .equal, name))
    }
    if destination == .verdict { return take(.verdictMap(fields, name)) }
    guard destination == .first, case .nat(let nat)? = peek(1), nat.address == .first,
      nat.family == .ip || nat.family == .ip6
    else { return nil }
    let family: AddressFamily = nat.family == .ip ? .ipv4 : .ipv6
    position += 2
    return translation(nat, .map(fields, name, family: family, hasPort: nat.port != nil), nat.flags)
  }
}

extension RuleReader {
  /// `position` is behind the load; moves it behind what was understood.
  private mutating func comparison(_ field: Selector, load: Expression) -> Statement? {
    switch peek() {
    case .compare(let first) where first.source == .first:
      if first.operation == .greaterOrEqual, case .compare(let second)? = peek(1), second.source == .first,
        second.operation == .lessOrEqual, load == field.load()
      {
        position += 2
        return .match(field, .equal, .range(field.value(first.data), field.value(second.data)))
      }
      guard let relation = relation(first.operation) else { return nil }
      return equality(field, load, relation, first.data)
    case .range(let range) where range.isInverted && range.source == .first && load == field.load():
      position += 1
      return .match(field, .notEqual, .range(field.value(range.lower), field.value(range.upper)))
    case .bitwise(let bitwise): return masked(field, bitwise, load)
    default: return nil
    }
  }

  private func relation(_ operation: CompareExpression.Operation) -> Statement.Relation? {
    switch operation {
    case .equal: .equal
    case .notEqual: .notEqual
    default: nil
    }
  }

  private mutating func equality(
    _ field: Selector, _ load: Expression, _ relation: Statement.Relation, _ data: [UInt8]
  ) -> Statement? {
    if case .payload(let payload) = load, Int(payload.length) < field.length {
      let padded = data + [UInt8](repeating: 0, count: max(0, field.length - data.count))
      guard data.count == Int(payload.length), let address = IPAddress(bytes: padded),
        let prefix = IPPrefix(address: address, length: data.count * 8)
      else { return nil }
      return take(.match(field, relation, .prefix(prefix)))
    }
    if field.type == .interfaceName, data.count < 16 {
      guard let name = String(validating: data, as: UTF8.self) else { return nil }
      return take(.match(field, relation, .interfacePrefix(name)))
    }
    let value = field.value(data)
    if relation == .equal {
      switch (field, value) {
      case (.family, .family(let family)): knownFamily = family == .ipv4 ? .ip : .ip6
      case (.l4Protocol, .protocol(let transport)), (.ipProtocol, .protocol(let transport)):
        knownTransport = transport
      default: break
      }
    }
    return take(.match(field, relation, .value(value)))
  }

  private mutating func masked(_ field: Selector, _ bitwise: BitwiseExpression, _ load: Expression)
    -> Statement?
  {
    guard bitwise.source == .first, bitwise.destination == .first, load == field.load() else { return nil }
    if bitwise.mask.count == 4, field == .mark || field == .connectionMark {
      let sets: Bool =
        switch peek(1) {
        case .meta(let meta): meta.source == .first && meta.key == .mark && field == .mark
        case .conntrack(let ct): ct.source == .first && ct.key == .mark && field == .connectionMark
        default: false
        }
      if sets {
        position += 2
        return .setMark(field, keeping: bitwise.mask.hostOrder, flipping: bitwise.flip.hostOrder)
      }
    }
    guard !bitwise.flip.contains(where: { $0 != 0 }), case .compare(let comparison)? = peek(1),
      comparison.source == .first, comparison.data.count == bitwise.mask.count,
      let relation = relation(comparison.operation)
    else { return nil }
    if field == .connectionState || field == .connectionStatus {
      guard comparison.data == [0, 0, 0, 0], bitwise.mask.count == 4 else { return nil }
      let bits = bitwise.mask.hostOrder
      let operand: Statement.Operand =
        field == .connectionState ? .states(.init(rawValue: bits)) : .statuses(.init(rawValue: bits))
      position += 2
      return .match(field, relation == .equal ? .notEqual : .equal, operand)
    }
    if let address = IPAddress(bytes: comparison.data),
      field.type == .ipv4Address || field.type == .ipv6Address
    {
      let zero = [UInt8](repeating: 0, count: bitwise.mask.count)
      let ones = bitwise.mask.map { ~$0 }
      guard let length = prefixLength(zero, ones), let prefix = IPPrefix(address: address, length: length)
      else {
        return nil
      }
      position += 2
      return .match(field, relation, .prefix(prefix))
    }
    guard bitwise.mask.count == 4, field.type == .mark else { return nil }
    position += 2
    return .match(field, relation, .masked(bitwise.mask.hostOrder, equals: comparison.data.hostOrder))
  }
}
