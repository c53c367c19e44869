public import NetworkAddresses

/// One value in a rule or in a set's key: what nft writes as `10.22.0.5`, `"veth1a2b"`, `tcp` or `0x00002000`.
public enum NFTValue: Hashable, Sendable, CustomStringConvertible {
  /// `ipv4_addr`.
  case ipv4(IPv4Address)
  /// `ipv6_addr`.
  case ipv6(IPv6Address)
  /// `ether_addr`.
  case mac(MACAddress)
  /// `ifname`, up to 15 bytes.
  case interface(String)
  /// `inet_service`.
  case port(UInt16)
  /// `inet_proto`.
  case `protocol`(InternetProtocol)
  /// `mark`.
  case mark(UInt32)
  /// `nfproto`: ipv4 or ipv6.
  case family(AddressFamily)
  /// `fib_addrtype`.
  case addressType(FIBAddressType)
  /// Bytes of a type that is not known here.
  case bytes([UInt8])

  /// An address of either family.
  public init(_ address: IPAddress) {
    switch address {
    case .v4(let address): self = .ipv4(address)
    case .v6(let address): self = .ipv6(address)
    }
  }

  /// Reads a value of that type; nil if there are too few bytes, or they are no value of it.
  public init?(_ type: NFTType, _ bytes: some Collection<UInt8>) {
    guard bytes.count >= type.length else { return nil }
    let value = Array(bytes.prefix(type.length))
    switch type {
    case .ipv4Address:
      guard let address = IPv4Address(bytes: value) else { return nil }
      self = .ipv4(address)
    case .ipv6Address:
      guard let address = IPv6Address(bytes: value) else { return nil }
      self = .ipv6(address)
    case .etherAddress:
      guard let address = MACAddress(bytes: value) else { return nil }
      self = .mac(address)
    case .internetProtocol: self = .protocol(InternetProtocol(rawValue: value[0]))
    case .internetService: self = .port(UInt16(value[0]) << 8 | UInt16(value[1]))
    case .mark: self = .mark(value.hostOrder)
    case .interfaceName:
      guard let name = String(validating: value.prefix { $0 != 0 }, as: UTF8.self) else { return nil }
      self = .interface(name)
    }
  }

  /// The bytes on the wire, unpadded.
  public var bytes: [UInt8] {
    switch self {
    case .ipv4(let address): return address.bytes
    case .ipv6(let address): return address.bytes
    case .mac(let address): return address.bytes
    case .interface(let name):
      var bytes = Array(name.utf8.prefix(15))
      bytes.append(contentsOf: repeatElement(0, count: 16 - bytes.count))
      return bytes
    case .port(let port): return [UInt8(port >> 8), UInt8(port & 0xff)]
    case .protocol(let number): return [number.rawValue]
    case .mark(let mark): return [UInt8](hostOrder: mark)
    case .family(let family): return [family == .ipv4 ? 2 : 10]
    case .addressType(let type): return [UInt8](hostOrder: type.rawValue)
    case .bytes(let bytes): return bytes
    }
  }

  /// As nft lists it.
  public var description: String {
    switch self {
    case .ipv4(let address): address.description
    case .ipv6(let address): address.description
    case .mac(let address): address.description
    case .interface(let name): "\"\(name)\""
    case .port(let port): String(port)
    case .protocol(let number): number.description
    case .mark(let mark): hexadecimal(mark)
    case .family(let family): family == .ipv4 ? "ipv4" : "ipv6"
    case .addressType(let type): "\(type)"
    case .bytes(let bytes): "0x" + bytes.map { hexadecimalDigits($0) }.joined()
    }
  }
}

extension Collection<NFTValue> {
  /// As nft writes a concatenation: `"veth1a2b" . 02:42:ac:11:00:02`.
  var keyText: String {
    var text = ""
    for value in self { text += text.isEmpty ? value.description : " . " + value.description }
    return text
  }

  /// A lone value as it is; several each padded to 4 bytes.
  var keyBytes: [UInt8] {
    if count == 1 { return first!.bytes }
    var bytes: [UInt8] = []
    for value in self {
      bytes.append(contentsOf: value.bytes)
      while bytes.count & 3 != 0 { bytes.append(0) }
    }
    return bytes
  }
}

extension [NFTValue] {
  /// Reads a key of those types; what cannot be read becomes `.bytes`.
  init(_ types: [NFTType], _ bytes: ArraySlice<UInt8>) {
    self = []
    var rest = bytes
    for type in types {
      guard let value = NFTValue(type, rest) else { break }
      append(value)
      rest = rest.dropFirst((type.length + 3) & ~3)
    }
    if count < types.count || types.isEmpty { self = [.bytes([UInt8](bytes))] }
  }
}

extension [UInt8] {
  init(hostOrder value: UInt32) {
    self = Swift.withUnsafeBytes(of: value) { Array($0) }
  }

  /// The first four bytes in host byte order; 0 if there are fewer.
  var hostOrder: UInt32 {
    count < 4 ? 0 : withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
  }
}

func hexadecimalDigits(_ byte: UInt8) -> String {
  (byte < 16 ? "0" : "") + String(byte, radix: 16)
}

/// Eight digits, as nft prints a mark.
func hexadecimal(_ value: UInt32) -> String {
  let digits = String(value, radix: 16)
  return "0x" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
}
