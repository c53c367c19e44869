/// The number of a DHCPv4 option (RFC 2132 and those after it; IANA, "BOOTP Vendor Extensions and DHCP Options").
public struct DHCPv4OptionCode: RawRepresentable, Hashable, Sendable {
  /// The number.
  public let rawValue: UInt8

  /// The option with this number.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// 0: filler, without length.
  public static let pad = DHCPv4OptionCode(rawValue: 0)
  /// 1: the network mask.
  public static let subnetMask = DHCPv4OptionCode(rawValue: 1)
  /// 3: routers, the preferred one first.
  public static let routers = DHCPv4OptionCode(rawValue: 3)
  /// 6: DNS servers, the preferred one first.
  public static let domainNameServers = DHCPv4OptionCode(rawValue: 6)
  /// 12: the client's name.
  public static let hostName = DHCPv4OptionCode(rawValue: 12)
  /// 15: the domain in which names are looked up.
  public static let domainName = DHCPv4OptionCode(rawValue: 15)
  /// 26: the interface's MTU.
  public static let interfaceMTU = DHCPv4OptionCode(rawValue: 26)
  /// 28: the broadcast address.
  public static let broadcastAddress = DHCPv4OptionCode(rawValue: 28)
  /// 33: pairs of network and router, classful.
  public static let staticRoutes = DHCPv4OptionCode(rawValue: 33)
  /// 50: the address that the client would like.
  public static let requestedAddress = DHCPv4OptionCode(rawValue: 50)
  /// 51: for how many seconds the address is given.
  public static let leaseTime = DHCPv4OptionCode(rawValue: 51)
  /// 52: whether the fields `file` (1) and `sname` (2) hold options.
  public static let overload = DHCPv4OptionCode(rawValue: 52)
  /// 53: the message's kind.
  public static let messageType = DHCPv4OptionCode(rawValue: 53)
  /// 54: the server's address, which also is its name.
  public static let serverIdentifier = DHCPv4OptionCode(rawValue: 54)
  /// 55: the options that the client would like to know.
  public static let parameterRequestList = DHCPv4OptionCode(rawValue: 55)
  /// 56: why a server or client says no.
  public static let message = DHCPv4OptionCode(rawValue: 56)
  /// 57: the longest message that the client takes.
  public static let maximumMessageSize = DHCPv4OptionCode(rawValue: 57)
  /// 58: T1, after how many seconds to renew.
  public static let renewalTime = DHCPv4OptionCode(rawValue: 58)
  /// 59: T2, after how many seconds to ask any server.
  public static let rebindingTime = DHCPv4OptionCode(rawValue: 59)
  /// 60: what kind of client it is.
  public static let vendorClassIdentifier = DHCPv4OptionCode(rawValue: 60)
  /// 61: by what the server knows the client again.
  public static let clientIdentifier = DHCPv4OptionCode(rawValue: 61)
  /// 77: what kind of user it is (RFC 3004).
  public static let userClass = DHCPv4OptionCode(rawValue: 77)
  /// 119: domains to search names in (RFC 3397).
  public static let domainSearch = DHCPv4OptionCode(rawValue: 119)
  /// 121: routes with the length of their networks (RFC 3442).
  public static let classlessStaticRoutes = DHCPv4OptionCode(rawValue: 121)
  /// 249: the same under the number that Microsoft's clients ask for.
  public static let microsoftClasslessStaticRoutes = DHCPv4OptionCode(rawValue: 249)
  /// 255: what follows is no option.
  public static let end = DHCPv4OptionCode(rawValue: 255)

  /// The names of dhcp-options(5), as configurations use them.
  private static let names: [(String, DHCPv4OptionCode)] = [
    ("subnet-mask", .subnetMask), ("time-offset", .init(rawValue: 2)), ("routers", .routers),
    ("domain-name-servers", .domainNameServers), ("host-name", .hostName), ("domain-name", .domainName),
    ("interface-mtu", .interfaceMTU), ("broadcast-address", .broadcastAddress),
    ("static-routes", .staticRoutes), ("nis-domain", .init(rawValue: 40)),
    ("ntp-servers", .init(rawValue: 42)), ("vendor-encapsulated-options", .init(rawValue: 43)),
    ("dhcp-requested-address", .requestedAddress), ("dhcp-lease-time", .leaseTime),
    ("dhcp-message-type", .messageType), ("dhcp-server-identifier", .serverIdentifier),
    ("dhcp-parameter-request-list", .parameterRequestList), ("dhcp-message", .message),
    ("dhcp-max-message-size", .maximumMessageSize), ("dhcp-renewal-time", .renewalTime),
    ("dhcp-rebinding-time", .rebindingTime), ("vendor-class-identifier", .vendorClassIdentifier),
    ("dhcp-client-identifier", .clientIdentifier), ("user-class", .userClass), ("fqdn", .init(rawValue: 81)),
    ("domain-search", .domainSearch), ("classless-static-routes", .classlessStaticRoutes),
    ("rfc3442-classless-static-routes", .classlessStaticRoutes),
    ("ms-classless-static-routes", .microsoftClasslessStaticRoutes),
  ]

  /// An option by its name in dhcp-options(5), such as `host-name`, or its number in decimal; `nil` if it has neither.
  public init?(_ text: String) {
    if let named = Self.names.first(where: { $0.0 == text })?.1 {
      self = named
    } else if text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = UInt8(text) {
      rawValue = number
    } else {
      return nil
    }
  }
}

extension DHCPv4OptionCode: CustomStringConvertible {
  /// The number with the name, if it has one: `12 (host-name)`.
  public var description: String {
    let name = Self.names.first { $0.1 == self }?.0
    return name.map { "\(rawValue) (\($0))" } ?? String(rawValue)
  }
}
