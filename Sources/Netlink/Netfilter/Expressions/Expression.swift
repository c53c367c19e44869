/// One instruction of the kernel's rule machine (`enum nft_expr_attributes`): a rule is a list of them, working
/// on registers. A `Statement` is what a person writes; it stands for one to five of these.
public enum Expression: Hashable, Sendable {
  /// `meta`: a property of the packet that is not in it.
  case meta(MetaExpression)
  /// `payload`: bytes of the packet.
  case payload(PayloadExpression)
  /// `cmp`: compares a register, and ends the rule if that fails.
  case compare(CompareExpression)
  /// `range`: as `cmp`, with two limits.
  case range(RangeExpression)
  /// `bitwise`: masks a register.
  case bitwise(BitwiseExpression)
  /// `lookup`: in a set or map.
  case lookup(LookupExpression)
  /// `immediate`: a constant, or a verdict.
  case immediate(ImmediateExpression)
  /// `counter`.
  case counter(CounterExpression)
  /// `masq`.
  case masquerade(MasqueradeExpression)
  /// `nat`.
  case nat(NATExpression)
  /// `redir`.
  case redirect(RedirectExpression)
  /// `fib`: asks the routing table.
  case fib(FIBExpression)
  /// `ct`: asks connection tracking, or marks a connection.
  case conntrack(ConntrackExpression)
  /// `limit`.
  case limit(LimitExpression)
  /// `log`.
  case log(LogExpression)
  /// `reject`.
  case reject(RejectExpression)
  /// `notrack`.
  case notrack
  /// `match` or `target`: an iptables extension, as iptables-nft makes them.
  case xtables(XTablesExpression)
  /// Any other, as it is on the wire.
  case other(name: String, data: [UInt8])

  /// `NFTA_EXPR_NAME`.
  public var name: String {
    switch self {
    case .meta: "meta"
    case .payload: "payload"
    case .compare: "cmp"
    case .range: "range"
    case .bitwise: "bitwise"
    case .lookup: "lookup"
    case .immediate: "immediate"
    case .counter: "counter"
    case .masquerade: "masq"
    case .nat: "nat"
    case .redirect: "redir"
    case .fib: "fib"
    case .conntrack: "ct"
    case .limit: "limit"
    case .log: "log"
    case .reject: "reject"
    case .notrack: "notrack"
    case .xtables(let expression): expression.isTarget ? "target" : "match"
    case .other(let name, _): name
    }
  }

  /// Appends one entry of `NFTA_RULE_EXPRESSIONS`.
  func encode(into builder: inout MessageBuilder) {
    builder.nested(1) {
      $0.attribute(1, string: name)
      if case .notrack = self { return }
      $0.nested(2) { encodeData(into: &$0) }
    }
  }

  private func encodeData(into builder: inout MessageBuilder) {
    switch self {
    case .meta(let expression): expression.encode(into: &builder)
    case .payload(let expression): expression.encode(into: &builder)
    case .compare(let expression): expression.encode(into: &builder)
    case .range(let expression): expression.encode(into: &builder)
    case .bitwise(let expression): expression.encode(into: &builder)
    case .lookup(let expression): expression.encode(into: &builder)
    case .immediate(let expression): expression.encode(into: &builder)
    case .counter(let expression): expression.encode(into: &builder)
    case .masquerade(let expression): expression.encode(into: &builder)
    case .nat(let expression): expression.encode(into: &builder)
    case .redirect(let expression): expression.encode(into: &builder)
    case .fib(let expression): expression.encode(into: &builder)
    case .conntrack(let expression): expression.encode(into: &builder)
    case .limit(let expression): expression.encode(into: &builder)
    case .log(let expression): expression.encode(into: &builder)
    case .reject(let expression): expression.encode(into: &builder)
    case .xtables(let expression): expression.encode(into: &builder)
    case .notrack: break
    case .other(_, let data): builder.append(bytes: data)
    }
  }

  /// Reads one entry of `NFTA_RULE_EXPRESSIONS`; nil if it has no name. What lacks an attribute that it cannot
  /// be without is `.other`.
  init?(_ attributes: Attributes) {
    guard let name = attributes[1]?.string else { return nil }
    let data = attributes[2]
    let fields = data?.nested ?? Attributes([])
    self =
      Self.known(name, fields) ?? .other(name: name, data: data.map { Array($0.value) } ?? [])
  }

  private static func known(_ name: String, _ fields: Attributes) -> Expression? {
    switch name {
    case "meta": MetaExpression(fields).map(Expression.meta)
    case "payload": PayloadExpression(fields).map(Expression.payload)
    case "cmp": CompareExpression(fields).map(Expression.compare)
    case "range": RangeExpression(fields).map(Expression.range)
    case "bitwise": BitwiseExpression(fields).map(Expression.bitwise)
    case "lookup": LookupExpression(fields).map(Expression.lookup)
    case "immediate": ImmediateExpression(fields).map(Expression.immediate)
    case "counter": .counter(CounterExpression(fields))
    case "masq": .masquerade(MasqueradeExpression(fields))
    case "nat": NATExpression(fields).map(Expression.nat)
    case "redir": .redirect(RedirectExpression(fields))
    case "fib": FIBExpression(fields).map(Expression.fib)
    case "ct": ConntrackExpression(fields).map(Expression.conntrack)
    case "limit": LimitExpression(fields).map(Expression.limit)
    case "log": .log(LogExpression(fields))
    case "reject": RejectExpression(fields).map(Expression.reject)
    case "notrack": .notrack
    case "match", "target": XTablesExpression(fields, isTarget: name == "target").map(Expression.xtables)
    default: nil
    }
  }

  /// The chain that this jumps or goes to.
  public var jumpTarget: String? {
    if case .immediate(let expression) = self, case .verdict(let verdict) = expression.data {
      verdict.target
    } else {
      nil
    }
  }
}

/// A register (`enum nft_registers`): 16 of 4 bytes, of which four in a row also go by an older number.
public struct Register: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public var rawValue: UInt32
  /// The number on the wire.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `NFT_REG_VERDICT`: not data, but what becomes of the packet.
  public static let verdict = Self(rawValue: 0)
  /// `NFT_REG_1`: the first, of 16 bytes.
  public static let first = Self(rawValue: 1)

  /// The register that begins `word` times 4 bytes behind the first; the old number where there is one, as nft
  /// does it.
  public init(word: Int) {
    rawValue = UInt32(word % 4 == 0 ? 1 + word / 4 : 8 + word)
  }

  /// In units of 4 bytes from the first; nil for the verdict register and numbers that are none.
  public var word: Int? {
    switch rawValue {
    case 1...4: Int(rawValue - 1) * 4
    case 8...23: Int(rawValue - 8)
    default: nil
    }
  }
}

extension Attributes {
  /// A big-endian 32-bit attribute as a register.
  func register(_ type: UInt16) -> Register? {
    self[type]?.bigEndian().map(Register.init(rawValue:))
  }

  /// `NFTA_DATA_VALUE` inside the attribute.
  func data(_ type: UInt16) -> [UInt8]? {
    self[type]?.nested[1].map { Array($0.value) }
  }
}

extension MessageBuilder {
  mutating func register(_ type: UInt16, _ register: Register) {
    attribute(type, bigEndian: register.rawValue)
  }

  /// `NFTA_DATA_VALUE` inside an attribute.
  mutating func data(_ type: UInt16, _ bytes: [UInt8]) {
    nested(type) { $0.attribute(1, bytes: bytes) }
  }
}
