/// `meta`: reads a property of the packet into a register, or with `source` sets it (`enum nft_meta_attributes`).
public struct MetaExpression: Hashable, Sendable {
  /// `enum nft_meta_keys`.
  public struct Key: RawRepresentable, Hashable, Sendable {
    /// The number on the wire.
    public var rawValue: UInt32
    /// The number on the wire.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The Ethernet type of the frame.
    public static let `protocol` = Self(rawValue: 1)
    /// The packet's mark.
    public static let mark = Self(rawValue: 3)
    /// The name of the device it came by.
    public static let inputInterfaceName = Self(rawValue: 6)
    /// The name of the device it leaves by.
    public static let outputInterfaceName = Self(rawValue: 7)
    /// What kind of device it came by (`ARPHRD_*`).
    public static let inputInterfaceType = Self(rawValue: 8)
    /// IPv4 or IPv6 (`NFPROTO_*`).
    public static let nfProtocol = Self(rawValue: 15)
    /// The protocol above IP.
    public static let l4Protocol = Self(rawValue: 16)
  }

  /// Which property.
  public var key: Key
  /// Where it is read to.
  public var destination: Register?
  /// Where it is set from.
  public var source: Register?

  /// Reads.
  public init(_ key: Key, into destination: Register = .first) {
    self.key = key
    self.destination = destination
  }

  /// Sets.
  public init(set key: Key, from source: Register = .first) {
    self.key = key
    self.source = source
  }

  init?(_ fields: Attributes) {
    guard let key: UInt32 = fields[2]?.bigEndian() else { return nil }
    self.key = Key(rawValue: key)
    destination = fields.register(1)
    source = fields.register(3)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(2, bigEndian: key.rawValue)
    if let destination { builder.register(1, destination) }
    if let source { builder.register(3, source) }
  }
}
