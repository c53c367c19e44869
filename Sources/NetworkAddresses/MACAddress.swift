/// The six byte hardware address of an Ethernet interface (EUI-48).
public struct MACAddress: Hashable, Sendable {
  /// The address as a number: the first byte on the wire is the most significant of the lower 48 bits.
  public let rawValue: UInt64

  /// An address from its number, of which the upper 16 bits are ignored.
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

  /// An address from six bytes in the order of the wire; `nil` for any other number of bytes.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 6 else { return nil }
    var value: UInt64 = 0
    for byte in bytes { value = value << 8 | UInt64(byte) }
    rawValue = value
  }

  /// The six bytes in the order of the wire.
  public var bytes: [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 6) { buffer, count in
      for index in 0..<6 { buffer[index] = UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * index)) }
      count = 6
    }
  }

  /// `ff:ff:ff:ff:ff:ff`.
  public static let broadcast = MACAddress(rawValue: .max)

  /// A random unicast address from the range for local administration (IEEE 802).
  public static func random<G: RandomNumberGenerator>(using generator: inout G) -> MACAddress {
    MACAddress(rawValue: generator.next() & ~(0x01 << 40) | 0x02 << 40)
  }

  /// Whether the address is that of a group, the broadcast address included.
  @inlinable
  public var isMulticast: Bool { rawValue >> 40 & 0x01 != 0 }
  /// Whether the address was not given by a manufacturer.
  @inlinable
  public var isLocallyAdministered: Bool { rawValue >> 40 & 0x02 != 0 }
  /// Whether all bytes are 0, which no interface may have.
  @inlinable
  public var isZero: Bool { rawValue == 0 }
}

extension MACAddress: Comparable {
  /// The order of the bytes.
  @inlinable
  public static func < (a: MACAddress, b: MACAddress) -> Bool { a.rawValue < b.rawValue }
}

extension MACAddress: LosslessStringConvertible {
  /// An address from `aa:bb:cc:dd:ee:ff`, `aa-bb-cc-dd-ee-ff` or `aabb.ccdd.eeff`, in either case. Each group has
  /// all of its digits.
  public init?(_ text: String) {
    var text = text
    guard let address = text.withUTF8({ MACAddress(utf8: $0) }) else { return nil }
    self = address
  }

  init?(utf8 bytes: UnsafeBufferPointer<UInt8>) {
    let digitsInGroup: Int
    let separator: UInt8
    switch bytes.count {
    case 17:
      digitsInGroup = 2
      separator = bytes[2]
      guard separator == UInt8(ascii: ":") || separator == UInt8(ascii: "-") else { return nil }
    case 14:
      digitsInGroup = 4
      separator = UInt8(ascii: ".")
    default: return nil
    }
    var value: UInt64 = 0
    for (index, byte) in bytes.enumerated() {
      if index % (digitsInGroup + 1) == digitsInGroup {
        guard byte == separator else { return nil }
      } else {
        guard let digit = hexadecimalDigit(byte) else { return nil }
        value = value << 4 | UInt64(digit)
      }
    }
    rawValue = value
  }

  /// Lower case with colons: `aa:bb:cc:dd:ee:ff`.
  public var description: String {
    String(unsafeUninitializedCapacity: 17) {
      var writer = AddressWriter($0)
      for index in 0..<6 {
        if index > 0 { writer.write(UInt8(ascii: ":")) }
        let byte = UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * index))
        writer.writeHexadecimalDigit(byte >> 4)
        writer.writeHexadecimalDigit(byte & 0xf)
      }
      return writer.count
    }
  }
}
