import NetworkAddresses

/// `AF_BRIDGE`: bridge ports, their VLANs, forwarding entries.
let bridgeFamily: UInt8 = 7

extension AddressFamily {
  /// `AF_INET`, `AF_INET6`.
  var number: UInt8 { self == .ipv4 ? 2 : 10 }

  init?(number: UInt8) {
    switch number {
    case 2: self = .ipv4
    case 10: self = .ipv6
    default: return nil
    }
  }
}

extension MessageBuilder {
  mutating func attribute(_ type: UInt16, _ address: IPAddress) {
    switch address {
    case .v4(let address): attribute(type, bigEndian: address.rawValue)
    case .v6(let address): attribute(type, bigEndian: address.rawValue)
    }
  }

  mutating func attribute(_ type: UInt16, _ address: MACAddress) {
    header(type, payload: 6)
    append(bigEndian: UInt16(truncatingIfNeeded: address.rawValue >> 32))
    append(bigEndian: UInt32(truncatingIfNeeded: address.rawValue))
    pad()
  }

  /// The attribute, if there is a value for it.
  mutating func attribute<T: FixedWidthInteger>(_ type: UInt16, ifPresent value: T?) {
    if let value { attribute(type, value) }
  }

  /// The attribute as one byte, 0 or 1, if there is a value for it.
  mutating func attribute(_ type: UInt16, ifPresent value: Bool?) {
    if let value { attribute(type, UInt8(value ? 1 : 0)) }
  }
}

extension Attribute {
  /// 4 or 16 bytes as an address.
  var ipAddress: IPAddress? {
    switch value.count {
    case 4: bigEndian(as: UInt32.self).map { .v4(IPv4Address(rawValue: $0)) }
    case 16: bigEndian(as: UInt128.self).map { .v6(IPv6Address(rawValue: $0)) }
    default: nil
    }
  }

  /// 6 bytes as an address.
  var macAddress: MACAddress? { MACAddress(bytes: value) }

  /// One byte as a truth value.
  var flag: Bool? { integer(as: UInt8.self).map { $0 != 0 } }
}

/// Fields of a fixed header in front of the attributes.
struct FixedHeader {
  private let bytes: ArraySlice<UInt8>

  /// nil if the message is shorter than `size`. Offsets read later lie within it.
  init?(_ bytes: ArraySlice<UInt8>, size: Int) {
    guard bytes.count >= size else { return nil }
    self.bytes = bytes.prefix(size)
  }

  func byte(_ offset: Int) -> UInt8 { bytes[bytes.startIndex + offset] }

  func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as: T.Type = T.self) -> T {
    bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
  }
}
