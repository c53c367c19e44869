/// An Internet Protocol version 6 address, without a zone.
public struct IPv6Address: Hashable, Sendable {
  /// The address as a number in host byte order: `::1` is 1.
  public var rawValue: UInt128

  /// An address from its number in host byte order.
  @inlinable
  public init(rawValue: UInt128) { self.rawValue = rawValue }

  /// An address from its eight groups, in the order in which they are written.
  public init(
    _ a: UInt16, _ b: UInt16, _ c: UInt16, _ d: UInt16, _ e: UInt16, _ f: UInt16, _ g: UInt16, _ h: UInt16
  ) {
    let high = UInt64(a) << 48 | UInt64(b) << 32 | UInt64(c) << 16 | UInt64(d)
    let low = UInt64(e) << 48 | UInt64(f) << 32 | UInt64(g) << 16 | UInt64(h)
    rawValue = UInt128(high) << 64 | UInt128(low)
  }

  /// An address from sixteen bytes in network order; `nil` for any other number of bytes.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 16 else { return nil }
    rawValue = 0
    for byte in bytes { rawValue = rawValue << 8 | UInt128(byte) }
  }

  /// The IPv4-mapped form `::ffff:a.b.c.d` of an IPv4 address (RFC 4291, section 2.5.5.2).
  public init(mapping address: IPv4Address) {
    rawValue = 0xffff << 32 | UInt128(address.rawValue)
  }

  /// The sixteen bytes in network order.
  public var bytes: [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 16) { buffer, count in
      for index in 0..<16 { buffer[index] = UInt8(truncatingIfNeeded: rawValue >> UInt128(120 - 8 * index)) }
      count = 16
    }
  }

  /// One of the eight 16 bit groups, counted from 0 in the order in which they are written.
  func group(_ index: Int) -> UInt16 { UInt16(truncatingIfNeeded: rawValue >> UInt128(112 - 16 * index)) }

  /// `::`.
  public static let any = IPv6Address(rawValue: 0)
  /// `::1`.
  public static let loopback = IPv6Address(rawValue: 1)
  /// `ff02::1`, all nodes on the link.
  public static let allNodes = IPv6Address(0xff02, 0, 0, 0, 0, 0, 0, 1)

  /// The multicast group in which neighbours ask who has this address (RFC 4291, section 2.7.1).
  public var solicitedNodeGroup: IPv6Address {
    IPv6Address(rawValue: IPv6Address(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).rawValue | rawValue & 0xff_ffff)
  }

  /// The network mask of a prefix length from 0 to 128: 64 is `ffff:ffff:ffff:ffff::`.
  public static func mask(length: Int) -> IPv6Address {
    IPv6Address(rawValue: length == 0 ? 0 : .max << (128 - UInt128(length)))
  }

  /// Whether this is `::`.
  @inlinable
  public var isUnspecified: Bool { rawValue == 0 }
  /// Whether this is `::1`.
  @inlinable
  public var isLoopback: Bool { rawValue == 1 }
  /// Whether the address lies in `ff00::/8`.
  @inlinable
  public var isMulticast: Bool { rawValue >> 120 == 0xff }
  /// Whether the address lies in `fe80::/10`.
  @inlinable
  public var isLinkLocal: Bool { rawValue >> 118 == 0x3fa }

  /// The IPv4 address inside an IPv4-mapped one (`::ffff:a.b.c.d`); `nil` for all others.
  @inlinable
  public var mapped: IPv4Address? {
    rawValue >> 32 == 0xffff ? IPv4Address(rawValue: UInt32(truncatingIfNeeded: rawValue)) : nil
  }

  /// The address that follows; `nil` after the last.
  @inlinable
  public var next: IPv6Address? { rawValue == .max ? nil : IPv6Address(rawValue: rawValue + 1) }
  /// The address before; `nil` before `::`.
  @inlinable
  public var previous: IPv6Address? { rawValue == 0 ? nil : IPv6Address(rawValue: rawValue - 1) }

  /// The address `offset` further on, or back if it is negative; `nil` if it would leave the address space.
  @inlinable
  public func advanced(by offset: some BinaryInteger) -> IPv6Address? {
    guard let magnitude = UInt128(exactly: offset.magnitude) else { return nil }
    let (value, overflow) =
      offset < 0
      ? rawValue.subtractingReportingOverflow(magnitude) : rawValue.addingReportingOverflow(magnitude)
    return overflow ? nil : IPv6Address(rawValue: value)
  }
}

extension IPv6Address: Comparable {
  /// Numeric order, which is also the order of the bytes.
  @inlinable
  public static func < (a: IPv6Address, b: IPv6Address) -> Bool { a.rawValue < b.rawValue }
}
