/// An Internet Protocol version 4 address.
public struct IPv4Address: Hashable, Sendable {
  /// The address as a number in host byte order: `10.0.0.1` is `0x0a000001`.
  public var rawValue: UInt32

  /// An address from its number in host byte order.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// An address from its four parts, in the order in which they are written.
  @inlinable
  public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
  }

  /// An address from four bytes in network order; `nil` for any other number of bytes.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 4 else { return nil }
    rawValue = 0
    for byte in bytes { rawValue = rawValue << 8 | UInt32(byte) }
  }

  /// The four bytes in network order.
  public var bytes: [UInt8] {
    [
      UInt8(truncatingIfNeeded: rawValue >> 24), UInt8(truncatingIfNeeded: rawValue >> 16),
      UInt8(truncatingIfNeeded: rawValue >> 8), UInt8(truncatingIfNeeded: rawValue),
    ]
  }

  /// `0.0.0.0`.
  public static let any = IPv4Address(rawValue: 0)
  /// `255.255.255.255`.
  public static let broadcast = IPv4Address(rawValue: .max)
  /// `127.0.0.1`.
  public static let loopback = IPv4Address(127, 0, 0, 1)

  /// The network mask of a prefix length from 0 to 32: 24 is `255.255.255.0`.
  public static func mask(length: Int) -> IPv4Address {
    IPv4Address(rawValue: length == 0 ? 0 : .max << (32 - UInt32(length)))
  }

  /// Whether this is `0.0.0.0`.
  @inlinable
  public var isUnspecified: Bool { rawValue == 0 }
  /// Whether the address lies in `127.0.0.0/8`.
  @inlinable
  public var isLoopback: Bool { rawValue >> 24 == 127 }
  /// Whether the address lies in `224.0.0.0/4`.
  @inlinable
  public var isMulticast: Bool { rawValue >> 28 == 0xe }
  /// Whether the address lies in `169.254.0.0/16`.
  @inlinable
  public var isLinkLocal: Bool { rawValue >> 16 == 0xa9fe }

  /// The address that follows; `nil` after `255.255.255.255`.
  @inlinable
  public var next: IPv4Address? { rawValue == .max ? nil : IPv4Address(rawValue: rawValue + 1) }
  /// The address before; `nil` before `0.0.0.0`.
  @inlinable
  public var previous: IPv4Address? { rawValue == 0 ? nil : IPv4Address(rawValue: rawValue - 1) }

  /// The address `offset` further on, or back if it is negative; `nil` if it would leave the address space.
  @inlinable
  public func advanced(by offset: some BinaryInteger) -> IPv4Address? {
    guard let magnitude = UInt32(exactly: offset.magnitude) else { return nil }
    let (value, overflow) =
      offset < 0
      ? rawValue.subtractingReportingOverflow(magnitude) : rawValue.addingReportingOverflow(magnitude)
    return overflow ? nil : IPv4Address(rawValue: value)
  }
}

extension IPv4Address: Comparable {
  /// Numeric order, which is also the order of the bytes.
  @inlinable
  public static func < (a: IPv4Address, b: IPv4Address) -> Bool { a.rawValue < b.rawValue }
}

extension IPv4Address: LosslessStringConvertible {
  /// An address from four decimal numbers with dots. As in `inet_pton(3)`, no other form is an address: neither
  /// leading zeros, which some programs take for octal, nor fewer parts, nor white space.
  public init?(_ text: String) {
    var text = text
    guard let address = text.withUTF8({ IPv4Address(utf8: $0) }) else { return nil }
    self = address
  }

  init?(utf8 bytes: UnsafeBufferPointer<UInt8>) {
    var scanner = AddressScanner(bytes)
    guard let address = IPv4Address(from: &scanner), scanner.isAtEnd else { return nil }
    self = address
  }

  init?(from scanner: inout AddressScanner) {
    guard let a = scanner.readDecimal(upTo: 255), scanner.skip(UInt8(ascii: ".")),
      let b = scanner.readDecimal(upTo: 255), scanner.skip(UInt8(ascii: ".")),
      let c = scanner.readDecimal(upTo: 255), scanner.skip(UInt8(ascii: ".")),
      let d = scanner.readDecimal(upTo: 255)
    else { return nil }
    rawValue = a << 24 | b << 16 | c << 8 | d
  }

  /// Four decimal numbers with dots: `10.0.0.1`.
  public var description: String {
    String(unsafeUninitializedCapacity: longestAddressText) {
      var writer = AddressWriter($0)
      write(to: &writer)
      return writer.count
    }
  }

  func write(to writer: inout AddressWriter) {
    writer.writeDecimal(UInt8(truncatingIfNeeded: rawValue >> 24))
    writer.write(UInt8(ascii: "."))
    writer.writeDecimal(UInt8(truncatingIfNeeded: rawValue >> 16))
    writer.write(UInt8(ascii: "."))
    writer.writeDecimal(UInt8(truncatingIfNeeded: rawValue >> 8))
    writer.write(UInt8(ascii: "."))
    writer.writeDecimal(UInt8(truncatingIfNeeded: rawValue))
  }
}
