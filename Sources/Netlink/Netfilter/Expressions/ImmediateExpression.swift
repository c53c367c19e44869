/// `immediate`: puts a constant into a register, or a verdict into the verdict register
/// (`enum nft_immediate_attributes`).
public struct ImmediateExpression: Hashable, Sendable {
  /// What is put there.
  public enum Content: Hashable, Sendable {
    /// Decides about the packet.
    case verdict(Verdict)
    /// A constant.
    case value([UInt8])
  }

  /// Where to.
  public var destination: Register
  /// What.
  public var data: Content

  /// Decides.
  public init(_ verdict: Verdict) {
    destination = .verdict
    data = .verdict(verdict)
  }

  /// Loads a constant.
  public init(_ bytes: [UInt8], into destination: Register = .first) {
    self.destination = destination
    data = .value(bytes)
  }

  init?(_ fields: Attributes) {
    guard let destination = fields.register(1), let content = fields[2]?.nested else { return nil }
    if let verdict = content[2].flatMap({ Verdict($0.nested) }) {
      self.init(verdict)
      self.destination = destination
    } else if let value = content[1]?.value {
      self.init(Array(value), into: destination)
    } else {
      return nil
    }
  }

  func encode(into builder: inout MessageBuilder) {
    builder.register(1, destination)
    switch data {
    case .verdict(let verdict): builder.nested(2) { verdict.encode(into: &$0) }
    case .value(let bytes): builder.data(2, bytes)
    }
  }
}
