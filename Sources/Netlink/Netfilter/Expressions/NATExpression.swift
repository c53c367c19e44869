/// `NF_NAT_RANGE_*`, those a rule may say.
public struct NATFlags: OptionSet, Hashable, Sendable {
  /// The bits as on the wire.
  public var rawValue: UInt32
  /// The bits as on the wire.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Ports are said too; set where they are.
  static let portsGiven = Self(rawValue: 2)
  /// `random`: the port is chosen at random if it must be changed.
  public static let random = Self(rawValue: 4)
  /// `persistent`: a client always gets the same address of several.
  public static let persistent = Self(rawValue: 8)
  /// `fully-random`: the port is chosen at random, always.
  public static let fullyRandom = Self(rawValue: 16)

  /// As nft writes it, with a space before; empty for none.
  var suffix: String {
    let words = [(Self.random, "random"), (.fullyRandom, "fully-random"), (.persistent, "persistent")]
      .filter { contains($0.0) }.map(\.1)
    return words.isEmpty ? "" : " " + words.joined(separator: ",")
  }
}

/// `masq`: the source becomes the address of the device that the packet leaves by (`enum nft_masq_attributes`).
public struct MasqueradeExpression: Hashable, Sendable {
  /// How the port is chosen.
  public var flags: NATFlags

  /// Masquerades.
  public init(_ flags: NATFlags = []) { self.flags = flags }

  init(_ fields: Attributes) {
    flags = NATFlags(rawValue: fields[1]?.bigEndian() ?? 0)
  }

  func encode(into builder: inout MessageBuilder) {
    if !flags.isEmpty { builder.attribute(1, bigEndian: flags.rawValue) }
  }
}

/// `nat`: source or destination become what registers say (`enum nft_nat_attributes`).
public struct NATExpression: Hashable, Sendable {
  /// Whether the destination is changed, else the source.
  public var isDestination: Bool
  /// IPv4 or IPv6.
  public var family: NetfilterFamily
  /// Where the address is.
  public var address: Register?
  /// Where the port is.
  public var port: Register?
  /// How it is chosen.
  public var flags: NATFlags

  /// Changes the destination, or the source.
  public init(
    isDestination: Bool, family: NetfilterFamily, address: Register?, port: Register? = nil,
    flags: NATFlags = []
  ) {
    self.isDestination = isDestination
    self.family = family
    self.address = address
    self.port = port
    self.flags = flags
  }

  /// Nil also for ranges and prefixes, which have upper ends in registers of their own.
  init?(_ fields: Attributes) {
    guard let type: UInt32 = fields[1]?.bigEndian(), let family: UInt32 = fields[2]?.bigEndian(),
      let family = UInt8(exactly: family).flatMap(NetfilterFamily.init(rawValue:))
    else { return nil }
    let address = fields.register(3)
    let port = fields.register(5)
    // The kernel repeats the lower register where no upper one was given.
    if let upper = fields.register(4), upper != address { return nil }
    if let upper = fields.register(6), upper != port { return nil }
    self.init(
      isDestination: type == 1, family: family, address: address, port: port,
      flags: NATFlags(rawValue: fields[7]?.bigEndian() ?? 0))
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, bigEndian: UInt32(isDestination ? 1 : 0))
    builder.attribute(2, bigEndian: UInt32(family.rawValue))
    if let address { builder.register(3, address) }
    if let port { builder.register(5, port) }
    if !flags.isEmpty { builder.attribute(7, bigEndian: flags.rawValue) }
  }
}

/// `redir`: the destination becomes the host itself (`enum nft_redir_attributes`).
public struct RedirectExpression: Hashable, Sendable {
  /// Where the port is; nil: it stays.
  public var port: Register?
  /// How it is chosen.
  public var flags: NATFlags

  /// Redirects.
  public init(port: Register? = nil, flags: NATFlags = []) {
    self.port = port
    self.flags = flags
  }

  init(_ fields: Attributes) {
    port = fields.register(1)
    flags = NATFlags(rawValue: fields[3]?.bigEndian() ?? 0)
  }

  func encode(into builder: inout MessageBuilder) {
    if let port { builder.register(1, port) }
    if !flags.isEmpty { builder.attribute(3, bigEndian: flags.rawValue) }
  }
}
