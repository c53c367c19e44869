public import NetworkAddresses

/// A DHCPv4 message (RFC 2131, section 2): the BOOTP header and the options behind the magic cookie.
public struct DHCPv4Message: Hashable, Sendable {
  /// What a message asks or says (option 53; RFC 2132, section 9.6).
  public enum Kind: UInt8, Sendable, CaseIterable {
    /// Client, to everybody: who has an address for me?
    case discover = 1
    /// Server: this one, if you ask for it.
    case offer = 2
    /// Client: I take this one, or would like to keep it.
    case request = 3
    /// Client: somebody else has the address.
    case decline = 4
    /// Server: it is yours.
    case acknowledgement = 5
    /// Server: it is not.
    case refusal = 6
    /// Client: I am done with it.
    case release = 7
    /// Client: I have an address, tell me the rest.
    case inform = 8

    /// The name that the RFC gives it, without "DHCP" in front: `DISCOVER`, `ACK`, `NAK`, …
    public var name: String {
      switch self {
      case .discover: "DISCOVER"
      case .offer: "OFFER"
      case .request: "REQUEST"
      case .decline: "DECLINE"
      case .acknowledgement: "ACK"
      case .refusal: "NAK"
      case .release: "RELEASE"
      case .inform: "INFORM"
      }
    }
  }

  /// `op`: whether a server sent it (2) or a client (1).
  public var isReply = false
  /// `xid`: the client's choice, which answers repeat.
  public var transactionID: UInt32 = 0
  /// `secs`: since the client began.
  public var seconds: UInt16 = 0
  /// The flag by which the client asks for answers to all of its link.
  public var wantsBroadcast = false
  /// `ciaddr`: the address that the client has and answers to.
  public var clientAddress = IPv4Address.any
  /// `yiaddr`: the address that the server gives.
  public var yourAddress = IPv4Address.any
  /// `siaddr`: the next server of a boot; not the DHCP server.
  public var nextServer = IPv4Address.any
  /// `giaddr`: the relay on the way.
  public var relayAddress = IPv4Address.any
  /// `chaddr`, as far as it counts.
  public var hardwareAddress = MACAddress(rawValue: 0)
  /// Option 53; `nil` for a BOOTP message, which has none.
  public var kind: Kind?
  /// All options but 53 (the kind) and 52 (where else options are, which is resolved on reading).
  public var options = DHCPv4Options()

  /// A client's message.
  public init(_ kind: Kind, transactionID: UInt32, hardwareAddress: MACAddress) {
    self.kind = kind
    self.transactionID = transactionID
    self.hardwareAddress = hardwareAddress
  }

  private init() {}

  /// `99.130.83.99` (RFC 2131, section 3).
  static let cookie: UInt32 = 0x6382_5363
  private static let headerSize = 236

  /// Reads a message; `nil` for what is not one of DHCP over Ethernet. Options that are cut off are left out, and
  /// bytes that follow the end of the options are not looked at.
  public init?(decoding bytes: [UInt8]) {
    self.init()
    var reader = ByteReader(bytes)
    guard bytes.count >= Self.headerSize + 4, let operation = reader.byte(), operation == 1 || operation == 2,
      reader.byte() == 1, reader.byte() == 6, reader.byte() != nil,  // Ethernet, its address's length, hops
      let transactionID: UInt32 = reader.number(), let seconds: UInt16 = reader.number(),
      let flags: UInt16 = reader.number(), let client: UInt32 = reader.number(),
      let your: UInt32 = reader.number(), let next: UInt32 = reader.number(),
      let relay: UInt32 = reader.number(), let hardware = reader.bytes(16), let serverName = reader.bytes(64),
      let file = reader.bytes(128), reader.number(UInt32.self) == Self.cookie
    else { return nil }
    isReply = operation == 2
    self.transactionID = transactionID
    self.seconds = seconds
    wantsBroadcast = flags & 0x8000 != 0
    clientAddress = IPv4Address(rawValue: client)
    yourAddress = IPv4Address(rawValue: your)
    nextServer = IPv4Address(rawValue: next)
    relayAddress = IPv4Address(rawValue: relay)
    hardwareAddress = MACAddress(bytes: hardware.prefix(6))!

    // An option that occurs again goes on where it stopped before, and the order of the three fields is fixed (RFC
    // 3396, section 5). Where they are is said in the first of them.
    var parts = DHCPv4Options.Collector()
    parts.read(reader.rest)
    let overload = parts.options[.overload]?.first ?? 0
    if overload & 1 != 0 { parts.read(file) }
    if overload & 2 != 0 { parts.read(serverName) }
    options = parts.options
    kind = options[.messageType].flatMap { $0.count == 1 ? Kind(rawValue: $0[0]) : nil }
    options[.messageType] = nil
    options[.overload] = nil
  }

  /// The message's bytes, padded to 300: shorter ones are dropped by some BOOTP relays (RFC 1542, section 2.1).
  public func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(400)
    bytes += [isReply ? 2 : 1, 1, 6, 0]
    bytes.append(bigEndian: transactionID)
    bytes.append(bigEndian: seconds)
    bytes.append(bigEndian: wantsBroadcast ? UInt16(0x8000) : 0)
    for address in [clientAddress, yourAddress, nextServer, relayAddress] {
      bytes.append(bigEndian: address.rawValue)
    }
    bytes += hardwareAddress.bytes
    bytes += [UInt8](repeating: 0, count: 10 + 64 + 128)
    bytes.append(bigEndian: Self.cookie)
    // The kind first: servers that look no further find it there.
    if let kind { bytes += [DHCPv4OptionCode.messageType.rawValue, 1, kind.rawValue] }
    options.encode(into: &bytes)
    bytes.append(DHCPv4OptionCode.end.rawValue)
    if bytes.count < 300 { bytes += [UInt8](repeating: 0, count: 300 - bytes.count) }
    return bytes
  }
}
