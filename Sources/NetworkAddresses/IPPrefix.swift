/// An address with the length of its network part, such as `10.1.2.3/24`. The bits after the network part are kept,
/// because the same notation names a network and an interface's address in it; ``network`` clears them.
public struct IPPrefix: Hashable, Sendable {
  /// The address, host bits included.
  public let address: IPAddress
  /// The number of bits of the network part, from 0 to 32 or 128.
  public let length: Int

  /// A prefix; `nil` if the length is negative or greater than the address is wide.
  public init?(address: IPAddress, length: Int) {
    guard length >= 0, length <= address.family.bitWidth else { return nil }
    self.init(unchecked: address, length)
  }

  init(unchecked address: IPAddress, _ length: Int) {
    self.address = address
    self.length = length
  }

  /// The prefix that contains only this address: `/32` or `/128`.
  public static func host(_ address: IPAddress) -> IPPrefix {
    IPPrefix(unchecked: address, address.family.bitWidth)
  }

  /// The prefix that contains every address of a family: `0.0.0.0/0` or `::/0`.
  public static func everything(_ family: AddressFamily) -> IPPrefix {
    IPPrefix(unchecked: .unspecified(family), 0)
  }

  /// The length of a mask such as `255.255.255.0`; `nil` if its ones are not all on the left.
  public static func length(ofMask mask: IPAddress) -> Int? {
    let width = mask.family.bitWidth
    let value = mask.numericValue
    let length = (value << UInt128(128 - width)).leadingOnes
    return IPAddress.mask(mask.family, length: length).numericValue == value ? length : nil
  }

  /// The address's family.
  public var family: AddressFamily { address.family }

  /// The network mask as an address: `255.255.255.0`.
  public var mask: IPAddress { .mask(family, length: length) }

  /// The network address: all host bits are 0.
  public var first: IPAddress {
    switch address {
    case .v4(let a): .v4(IPv4Address(rawValue: a.rawValue & IPv4Address.mask(length: length).rawValue))
    case .v6(let a): .v6(IPv6Address(rawValue: a.rawValue & IPv6Address.mask(length: length).rawValue))
    }
  }

  /// The last address: all host bits are 1.
  public var last: IPAddress {
    switch address {
    case .v4(let a): .v4(IPv4Address(rawValue: a.rawValue | ~IPv4Address.mask(length: length).rawValue))
    case .v6(let a): .v6(IPv6Address(rawValue: a.rawValue | ~IPv6Address.mask(length: length).rawValue))
    }
  }

  /// The broadcast address of an IPv4 network; `nil` for `/31` (RFC 3021) and `/32`, which have none, and for IPv6.
  public var broadcast: IPv4Address? { length <= 30 ? last.ipv4 : nil }

  /// The same prefix with all host bits 0.
  public var network: IPPrefix { IPPrefix(unchecked: first, length) }

  /// Whether all host bits are 0.
  public var isNetwork: Bool { first == address }

  /// Whether this is the destination of a default route: length 0.
  public var isDefault: Bool { length == 0 }

  /// All addresses of the prefix, network address and broadcast address included.
  public var range: IPRange { IPRange(unchecked: first, last) }

  /// Whether the address is in the network. An address of the other family is not.
  public func contains(_ other: IPAddress) -> Bool {
    switch (address, other) {
    case (.v4(let a), .v4(let b)):
      (a.rawValue ^ b.rawValue) & IPv4Address.mask(length: length).rawValue == 0
    case (.v6(let a), .v6(let b)):
      (a.rawValue ^ b.rawValue) & IPv6Address.mask(length: length).rawValue == 0
    default: false
    }
  }

  /// Whether all addresses of the other prefix are in this one.
  public func contains(_ other: IPPrefix) -> Bool { other.length >= length && contains(other.address) }

  /// Whether some address is in both.
  public func overlaps(_ other: IPPrefix) -> Bool {
    other.length >= length ? contains(other.address) : other.contains(address)
  }

  /// The IPv4 prefix behind an IPv4-mapped one (`::ffff:10.0.0.1/120` is `10.0.0.1/24`), and others as they are.
  public var unmapped: IPPrefix {
    guard length >= 96, case .v6(let address) = address, let mapped = address.mapped else { return self }
    return IPPrefix(unchecked: .v4(mapped), length - 96)
  }
}

extension UInt128 {
  fileprivate var leadingOnes: Int { (~self).leadingZeroBitCount }
}

extension IPPrefix: LosslessStringConvertible {
  /// A prefix from `address/length`. The length is a plain decimal number, and may not be left out.
  public init?(_ text: String) {
    var text = text
    guard let prefix = text.withUTF8({ IPPrefix(utf8: $0) }) else { return nil }
    self = prefix
  }

  init?(utf8 bytes: UnsafeBufferPointer<UInt8>) {
    var scanner = AddressScanner(bytes)
    guard let address = IPAddress(from: &scanner), scanner.skip(UInt8(ascii: "/")),
      let length = scanner.readDecimal(upTo: UInt32(address.family.bitWidth)), scanner.isAtEnd
    else { return nil }
    self.init(unchecked: address, Int(length))
  }

  /// `address/length`, host bits included.
  public var description: String {
    String(unsafeUninitializedCapacity: longestAddressText) {
      var writer = AddressWriter($0)
      address.write(to: &writer)
      writer.write(UInt8(ascii: "/"))
      writer.writeDecimal(UInt8(length))
      return writer.count
    }
  }
}
