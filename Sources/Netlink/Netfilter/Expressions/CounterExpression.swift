/// `counter`: counts the packets that got so far (`enum nft_counter_attributes`).
public struct CounterExpression: Hashable, Sendable {
  /// How many packets; in a rule to be made, where counting begins.
  public var packets: UInt64
  /// How many bytes.
  public var bytes: UInt64

  /// Counts from zero, or from what is said.
  public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
    self.packets = packets
    self.bytes = bytes
  }

  init(_ fields: Attributes) {
    self.init(packets: fields[2]?.bigEndian() ?? 0, bytes: fields[1]?.bigEndian() ?? 0)
  }

  func encode(into builder: inout MessageBuilder) {
    guard packets != 0 || bytes != 0 else { return }
    builder.attribute(1, bigEndian: bytes)
    builder.attribute(2, bigEndian: packets)
  }
}
