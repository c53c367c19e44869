/// `fib`: asks the routing table about the packet (`enum nft_fib_attributes`).
public struct FIBExpression: Hashable, Sendable {
  /// `enum nft_fib_result`: 1 device index, 2 device name, 3 address type.
  public var result: UInt32
  /// `enum nft_fib_flags`: 1 source address, 2 destination address, 4 mark, 8 input device, 16 output device,
  /// 32 whether there is a route.
  public var flags: UInt32
  /// Where the answer goes.
  public var destination: Register

  /// `fib daddr type`.
  public static let destinationType = FIBExpression(result: 3, flags: 2, destination: .first)

  /// Asks.
  public init(result: UInt32, flags: UInt32, destination: Register) {
    self.result = result
    self.flags = flags
    self.destination = destination
  }

  init?(_ fields: Attributes) {
    guard let destination = fields.register(1), let result: UInt32 = fields[2]?.bigEndian(),
      let flags: UInt32 = fields[3]?.bigEndian()
    else { return nil }
    self.init(result: result, flags: flags, destination: destination)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(3, bigEndian: flags)
    builder.attribute(2, bigEndian: result)
    builder.register(1, destination)
  }
}
