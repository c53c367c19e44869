/// An Internet address of either family.
public enum IPAddress: Hashable, Sendable {
  /// An IPv4 address.
  case v4(IPv4Address)
  /// An IPv6 address.
  case v6(IPv6Address)

  /// An address from four or sixteen bytes in network order; `nil` for any other number of bytes.
  public init?(bytes: some Collection<UInt8>) {
    if let address = IPv4Address(bytes: bytes) {
      self = .v4(address)
    } else if let address = IPv6Address(bytes: bytes) {
      self = .v6(address)
    } else {
      return nil
    }
  }

  /// `0.0.0.0` or `::`.
  public static func unspecified(_ family: AddressFamily) -> IPAddress {
    family == .ipv4 ? .v4(.any) : .v6(.any)
  }

  /// The network mask of a prefix length from 0 to the width of the family.
  public static func mask(_ family: AddressFamily, length: Int) -> IPAddress {
    family == .ipv4 ? .v4(.mask(length: length)) : .v6(.mask(length: length))
  }

  /// The address's family.
  @inlinable
  public var family: AddressFamily {
    switch self {
    case .v4: .ipv4
    case .v6: .ipv6
    }
  }

  /// The four or sixteen bytes in network order.
  public var bytes: [UInt8] {
    switch self {
    case .v4(let address): address.bytes
    case .v6(let address): address.bytes
    }
  }

  /// The IPv4 address, if it is one.
  @inlinable
  public var ipv4: IPv4Address? {
    if case .v4(let address) = self { address } else { nil }
  }

  /// The IPv6 address, if it is one.
  @inlinable
  public var ipv6: IPv6Address? {
    if case .v6(let address) = self { address } else { nil }
  }

  /// The address's number in host byte order, whatever its family.
  @inlinable
  public var numericValue: UInt128 {
    switch self {
    case .v4(let address): UInt128(address.rawValue)
    case .v6(let address): address.rawValue
    }
  }

  /// An address from its number; `nil` if the family has no such number.
  @inlinable
  public init?(family: AddressFamily, numericValue: UInt128) {
    switch family {
    case .ipv4:
      guard let value = UInt32(exactly: numericValue) else { return nil }
      self = .v4(IPv4Address(rawValue: value))
    case .ipv6: self = .v6(IPv6Address(rawValue: numericValue))
    }
  }

  /// The IPv4 address behind an IPv4-mapped one (`::ffff:a.b.c.d`), and every other address as it is.
  public var unmapped: IPAddress {
    if case .v6(let address) = self, let mapped = address.mapped { .v4(mapped) } else { self }
  }

  /// Whether this is `0.0.0.0` or `::`.
  @inlinable
  public var isUnspecified: Bool { numericValue == 0 }

  /// Whether the address is in `127.0.0.0/8` or is `::1`.
  @inlinable
  public var isLoopback: Bool {
    switch self {
    case .v4(let address): address.isLoopback
    case .v6(let address): address.isLoopback
    }
  }

  /// Whether the address is in `224.0.0.0/4` or `ff00::/8`.
  @inlinable
  public var isMulticast: Bool {
    switch self {
    case .v4(let address): address.isMulticast
    case .v6(let address): address.isMulticast
    }
  }

  /// Whether the address is in `169.254.0.0/16` or `fe80::/10`.
  @inlinable
  public var isLinkLocal: Bool {
    switch self {
    case .v4(let address): address.isLinkLocal
    case .v6(let address): address.isLinkLocal
    }
  }

  /// The address that follows in its family; `nil` after the last.
  @inlinable
  public var next: IPAddress? { advanced(by: 1) }

  /// The address before in its family; `nil` before the first.
  @inlinable
  public var previous: IPAddress? { advanced(by: -1) }

  /// The address `offset` further on, or back if it is negative; `nil` if it would leave the address space.
  @inlinable
  public func advanced(by offset: some BinaryInteger) -> IPAddress? {
    switch self {
    case .v4(let address): address.advanced(by: offset).map(IPAddress.v4)
    case .v6(let address): address.advanced(by: offset).map(IPAddress.v6)
    }
  }
}

extension IPAddress: Comparable {
  /// Numeric order within a family; IPv4 before IPv6.
  @inlinable
  public static func < (a: IPAddress, b: IPAddress) -> Bool {
    switch (a, b) {
    case (.v4(let a), .v4(let b)): a < b
    case (.v6(let a), .v6(let b)): a < b
    case (.v4, .v6): true
    case (.v6, .v4): false
    }
  }
}

extension IPAddress: LosslessStringConvertible {
  /// An address from its text form, see ``IPv4Address/init(_:)`` and ``IPv6Address/init(_:)``.
  public init?(_ text: String) {
    var text = text
    guard let address = text.withUTF8({ IPAddress(utf8: $0) }) else { return nil }
    self = address
  }

  init?(utf8 bytes: UnsafeBufferPointer<UInt8>) {
    var scanner = AddressScanner(bytes)
    guard let address = IPAddress(from: &scanner), scanner.isAtEnd else { return nil }
    self = address
  }

  init?(from scanner: inout AddressScanner) {
    // A colon is in every IPv6 address, and within its first five bytes.
    let start = scanner.position
    let isIPv6 = scanner.bytes[start..<min(start + 5, scanner.end)].contains(UInt8(ascii: ":"))
    if isIPv6 {
      guard let address = IPv6Address(from: &scanner) else { return nil }
      self = .v6(address)
    } else {
      guard let address = IPv4Address(from: &scanner) else { return nil }
      self = .v4(address)
    }
  }

  /// The address in its canonical text form.
  public var description: String {
    switch self {
    case .v4(let address): address.description
    case .v6(let address): address.description
    }
  }

  func write(to writer: inout AddressWriter) {
    switch self {
    case .v4(let address): address.write(to: &writer)
    case .v6(let address): address.write(to: &writer)
    }
  }
}
