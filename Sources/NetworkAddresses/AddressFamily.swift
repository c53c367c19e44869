/// The two families of Internet addresses.
public enum AddressFamily: Sendable, Hashable, CaseIterable {
  /// Internet Protocol version 4, 32 bit addresses.
  case ipv4
  /// Internet Protocol version 6, 128 bit addresses.
  case ipv6

  /// The number of bits in an address: 32 or 128.
  @inlinable
  public var bitWidth: Int { self == .ipv4 ? 32 : 128 }

  /// The number of bytes in an address: 4 or 16.
  @inlinable
  public var byteCount: Int { self == .ipv4 ? 4 : 16 }
}

extension AddressFamily: CustomStringConvertible {
  /// `IPv4` or `IPv6`.
  public var description: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
