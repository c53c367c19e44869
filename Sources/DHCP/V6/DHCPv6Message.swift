public import NetworkAddresses

/// A message between a DHCPv6 client and a server (RFC 8415, section 8), with its options in order.
///
/// Both directions are pure functions of bytes. Bytes from the network never make it trap: what does not hold together as a
/// message is `nil`, and an option whose content is not what its code says stays what it is, bytes
/// (``DHCPv6Option/other(code:data:)``).
public struct DHCPv6Message: Hashable, Sendable {
  /// Message types between client and server (RFC 8415, section 7.3).
  public enum Kind: UInt8, Sendable, CaseIterable {
    /// Looks for servers.
    case solicit = 1
    /// A server says what it would give.
    case advertise = 2
    /// Asks one server for addresses.
    case request = 3
    /// Asks any server whether addresses still belong on the link.
    case confirm = 4
    /// Asks the server that gave addresses to extend their lifetimes.
    case renew = 5
    /// Asks any server for the same.
    case rebind = 6
    /// A server's answer to all but SOLICIT, or to that with rapid commit.
    case reply = 7
    /// Gives addresses back.
    case release = 8
    /// Says that somebody else has the address.
    case decline = 9
    /// A server wants the client to renew.
    case reconfigure = 10
    /// Asks for other settings than addresses.
    case informationRequest = 11

    /// The name in the RFC: `SOLICIT`, `ADVERTISE`, …
    public var name: String {
      switch self {
      case .solicit: "SOLICIT"
      case .advertise: "ADVERTISE"
      case .request: "REQUEST"
      case .confirm: "CONFIRM"
      case .renew: "RENEW"
      case .rebind: "REBIND"
      case .reply: "REPLY"
      case .release: "RELEASE"
      case .decline: "DECLINE"
      case .reconfigure: "RECONFIGURE"
      case .informationRequest: "INFORMATION-REQUEST"
      }
    }
  }

  /// What the message asks or answers.
  public var kind: Kind
  /// Chosen by the client, repeated by the server: 24 bits.
  public var transactionID: UInt32
  /// In the order of the wire.
  public var options: [DHCPv6Option]

  /// A message. Of the transaction ID, the upper 8 bits are ignored.
  public init(_ kind: Kind, transactionID: UInt32, options: [DHCPv6Option] = []) {
    self.kind = kind
    self.transactionID = transactionID & 0xff_ffff
    self.options = options
  }

  /// Reads the payload of a UDP datagram. `nil` for messages that relay agents and servers exchange (they have another
  /// header), for a type that is not known, and if an option's length leads beyond the end.
  public init?(decoding bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard let code = reader.byte(), let kind = Kind(rawValue: code),
      let high = reader.byte(), let low = reader.number(UInt16.self),
      let options = DHCPv6Option.list(reader.rest, in: .message)
    else { return nil }
    self.kind = kind
    transactionID = UInt32(high) << 16 | UInt32(low)
    self.options = options
  }

  /// The payload of a UDP datagram.
  public func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(256)
    bytes.append(bigEndian: UInt32(kind.rawValue) << 24 | transactionID & 0xff_ffff)
    for option in options { option.write(to: &bytes) }
    return bytes
  }

  /// The client's identifier.
  public var clientID: DUID? {
    options.firstValue { if case .clientID(let duid) = $0 { duid } else { nil } }
  }
  /// The server's identifier.
  public var serverID: DUID? {
    options.firstValue { if case .serverID(let duid) = $0 { duid } else { nil } }
  }
  /// How much the server would like to be chosen; 0 without the option.
  public var preference: UInt8 {
    options.firstValue { if case .preference(let value) = $0 { value } else { nil } } ?? 0
  }
  /// The outcome for the message as a whole; success without the option.
  public var status: DHCPv6Status { options.status }
  /// Whether the server has committed itself in answer to SOLICIT, or the client asks for that.
  public var isRapidCommit: Bool { options.contains(.rapidCommit) }
  /// Recursive name servers; empty without the option.
  public var dnsServers: [IPv6Address] {
    options.firstValue { if case .dnsServers(let addresses) = $0 { addresses } else { nil } } ?? []
  }
  /// The search list; empty without the option.
  public var domainSearch: [String] {
    options.firstValue { if case .domainSearch(let names) = $0 { names } else { nil } } ?? []
  }
  /// The upper limit of the time between two SOLICITs, in seconds, that the server orders.
  public var solicitMaximum: UInt32? {
    options.firstValue { if case .solicitMaximum(let seconds) = $0 { seconds } else { nil } }
  }
  /// The association of that number, if the message has one.
  public func association(_ id: UInt32) -> DHCPv6Association? {
    options.firstValue {
      if case .association(let association) = $0, association.id == id { association } else { nil }
    }
  }
}

extension [DHCPv6Option] {
  /// A singleton option that is there several times counts once: the first.
  func firstValue<T>(_ value: (DHCPv6Option) -> T?) -> T? {
    for option in self { if let found = value(option) { return found } }
    return nil
  }

  var status: DHCPv6Status {
    firstValue { if case .status(let status) = $0 { status } else { nil } } ?? DHCPv6Status(.success)
  }
}
