public import NetworkAddresses

/// A DHCP unique identifier: by it a server knows a client, and a client a server (RFC 8415, section 11). Compared as bytes;
/// only who makes one looks inside.
public struct DUID: Hashable, Sendable, CustomStringConvertible {
  /// Type code and identifier, 3 to 130 bytes.
  public let bytes: [UInt8]

  /// An identifier as it came; `nil` unless there are 3 to 130 bytes.
  public init?(bytes: some Collection<UInt8>) {
    guard 3...130 ~= bytes.count else { return nil }
    self.bytes = Array(bytes)
  }

  /// DUID-LL (type 3): made of an Ethernet address.
  public init(linkLayer mac: MACAddress) {
    bytes = [0, 3, 0, 1] + mac.bytes
  }

  /// DUID-UUID (type 4, RFC 6355), from a UUID in network order.
  public init(uuid: UInt128) {
    var bytes: [UInt8] = [0, 4]
    bytes.append(bigEndian: uuid)
    self.bytes = bytes
  }

  /// DUID-UUID, made of the first 16 bytes of a digest: whoever computes the digest of the same name again gets the same
  /// identifier. They become a UUID of version 8 (RFC 9562, section 5.8).
  ///
  /// - Precondition: `digest` has at least 16 bytes.
  public init(digest: some Collection<UInt8>) {
    precondition(digest.count >= 16)
    var uuid: UInt128 = 0
    for byte in digest.prefix(16) { uuid = uuid << 8 | UInt128(byte) }
    uuid = uuid & ~(0xf << 76) | 0x8 << 76
    uuid = uuid & ~(0x3 << 62) | 0x2 << 62
    self.init(uuid: uuid)
  }

  /// Two hexadecimal digits a byte, colons between: `00:03:00:01:02:1a:7b:00:00:05`.
  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
