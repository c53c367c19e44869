/// `bitwise`: `destination = source & mask ^ flip` (`enum nft_bitwise_attributes`, `NFT_BITWISE_MASK_XOR`).
public struct BitwiseExpression: Hashable, Sendable {
  /// The register read.
  public var source: Register
  /// The register written.
  public var destination: Register
  /// The bits kept.
  public var mask: [UInt8]
  /// The bits turned over afterwards; as many bytes as `mask`.
  public var flip: [UInt8]
  /// Whether the operation is named (`NFTA_BITWISE_OP`): nft does so where a person wrote the operator, and
  /// leaves it out where a prefix or a flag stands for it.
  public var namesOperation: Bool

  /// Masks the first register in place.
  public init(mask: [UInt8], flip: [UInt8]? = nil, namesOperation: Bool = false) {
    source = .first
    destination = .first
    self.mask = mask
    self.flip = flip ?? [UInt8](repeating: 0, count: mask.count)
    self.namesOperation = namesOperation
  }

  /// Nil also for shifts.
  init?(_ fields: Attributes) {
    let operation: UInt32? = fields[6]?.bigEndian()
    guard operation == nil || operation == 0, let source = fields.register(1),
      let destination = fields.register(2), let mask = fields.data(4), let flip = fields.data(5)
    else { return nil }
    self.init(mask: mask, flip: flip, namesOperation: operation != nil)
    self.source = source
    self.destination = destination
  }

  func encode(into builder: inout MessageBuilder) {
    builder.register(1, source)
    builder.register(2, destination)
    if namesOperation { builder.attribute(6, bigEndian: UInt32(0)) }
    builder.attribute(3, bigEndian: UInt32(mask.count))
    builder.data(4, mask)
    builder.data(5, flip)
  }
}
