/// `lookup`: the rule goes on only if the set has what the register holds, or with `isInverted` if it has not;
/// with `destination`, what the map says goes there: a value, or a verdict (`enum nft_lookup_attributes`).
public struct LookupExpression: Hashable, Sendable {
  /// The name of the set, of the rule's table.
  public var set: String
  /// The register with the key.
  public var source: Register
  /// Where a map's answer goes.
  public var destination: Register?
  /// Whether the key must be missing.
  public var isInverted: Bool
  /// The number that the transaction gives the set.
  var setID: UInt32?

  /// Looks up.
  public init(_ set: String, into destination: Register? = nil, isInverted: Bool = false) {
    self.set = set
    source = .first
    self.destination = destination
    self.isInverted = isInverted
  }

  init?(_ fields: Attributes) {
    guard let set = fields[1]?.string, let source = fields.register(2) else { return nil }
    let flags: UInt32 = fields[5]?.bigEndian() ?? 0
    self.init(set, into: fields.register(3), isInverted: flags & 1 != 0)
    self.source = source
  }

  func encode(into builder: inout MessageBuilder) {
    builder.register(2, source)
    if let destination { builder.register(3, destination) }
    builder.attribute(1, string: set)
    if let setID { builder.attribute(4, bigEndian: setID) }
    if isInverted { builder.attribute(5, bigEndian: UInt32(1)) }
  }
}
