/// `cmp`: the rule goes on only if the comparison of a register with a constant holds (`enum nft_cmp_attributes`).
public struct CompareExpression: Hashable, Sendable {
  /// `enum nft_cmp_ops`.
  public enum Operation: UInt32, Hashable, Sendable {
    /// `==`.
    case equal = 0
    /// `!=`.
    case notEqual = 1
    /// `<`.
    case less = 2
    /// `<=`.
    case lessOrEqual = 3
    /// `>`.
    case greater = 4
    /// `>=`.
    case greaterOrEqual = 5
  }

  /// The register.
  public var source: Register
  /// How it must stand to the constant.
  public var operation: Operation
  /// The constant; only so many bytes are compared.
  public var data: [UInt8]

  /// Compares.
  public init(_ operation: Operation, _ data: [UInt8], source: Register = .first) {
    self.source = source
    self.operation = operation
    self.data = data
  }

  init?(_ fields: Attributes) {
    guard let source = fields.register(1), let data = fields.data(3),
      let operation = fields[2]?.bigEndian().flatMap(Operation.init(rawValue:))
    else { return nil }
    self.init(operation, data, source: source)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.register(1, source)
    builder.attribute(2, bigEndian: operation.rawValue)
    builder.data(3, data)
  }
}

/// `range`: the rule goes on only if a register lies between two constants, or with `isInverted` if it does not
/// (`enum nft_range_attributes`).
public struct RangeExpression: Hashable, Sendable {
  /// The register.
  public var source: Register
  /// Whether it must lie outside.
  public var isInverted: Bool
  /// The lower limit, inclusive.
  public var lower: [UInt8]
  /// The upper limit, inclusive.
  public var upper: [UInt8]

  /// Compares.
  public init(_ lower: [UInt8], _ upper: [UInt8], isInverted: Bool = false, source: Register = .first) {
    self.source = source
    self.isInverted = isInverted
    self.lower = lower
    self.upper = upper
  }

  init?(_ fields: Attributes) {
    guard let source = fields.register(1), let operation: UInt32 = fields[2]?.bigEndian(),
      let lower = fields.data(3), let upper = fields.data(4)
    else { return nil }
    self.init(lower, upper, isInverted: operation == 1, source: source)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.register(1, source)
    builder.attribute(2, bigEndian: UInt32(isInverted ? 1 : 0))
    builder.data(3, lower)
    builder.data(4, upper)
  }
}
