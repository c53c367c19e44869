/// `payload`: reads bytes of the packet into a register (`enum nft_payload_attributes`).
public struct PayloadExpression: Hashable, Sendable {
  /// `enum nft_payload_bases`.
  public enum Base: UInt32, Hashable, Sendable {
    /// From the Ethernet header.
    case link = 0
    /// From the IP header.
    case network = 1
    /// From the TCP, UDP, SCTP, … header.
    case transport = 2
    /// From what follows the transport header.
    case inner = 3
  }

  /// Where counting begins.
  public var base: Base
  /// Bytes from there.
  public var offset: UInt32
  /// Bytes to read.
  public var length: UInt32
  /// Where they are read to.
  public var destination: Register

  /// Reads.
  public init(_ base: Base, offset: UInt32, length: UInt32, into destination: Register = .first) {
    self.base = base
    self.offset = offset
    self.length = length
    self.destination = destination
  }

  /// Nil also for a payload that is written, which has no destination.
  init?(_ fields: Attributes) {
    guard let base = fields[2]?.bigEndian().flatMap(Base.init(rawValue:)),
      let offset: UInt32 = fields[3]?.bigEndian(), let length: UInt32 = fields[4]?.bigEndian(),
      let destination = fields.register(1)
    else { return nil }
    self.init(base, offset: offset, length: length, into: destination)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.register(1, destination)
    builder.attribute(2, bigEndian: base.rawValue)
    builder.attribute(3, bigEndian: offset)
    builder.attribute(4, bigEndian: length)
  }
}
