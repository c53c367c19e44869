/// A field of the packet, or something known about it, that a rule can ask for: the left side of `ip saddr 10.22.0.5`.
public enum Selector: String, Hashable, Sendable, CaseIterable {
  /// The IPv4 source address.
  case ipSource = "ip saddr"
  /// The IPv4 destination address.
  case ipDestination = "ip daddr"
  /// The protocol above IPv4.
  case ipProtocol = "ip protocol"
  /// The IPv6 source address.
  case ip6Source = "ip6 saddr"
  /// The IPv6 destination address.
  case ip6Destination = "ip6 daddr"
  /// The source address of the frame.
  case etherSource = "ether saddr"
  /// The destination address of the frame.
  case etherDestination = "ether daddr"
  /// The name of the device it came by.
  case inputInterface = "iifname"
  /// The name of the device it leaves by.
  case outputInterface = "oifname"
  /// IPv4 or IPv6.
  case family = "meta nfproto"
  /// The protocol above IP.
  case l4Protocol = "meta l4proto"
  /// The packet's mark.
  case mark = "meta mark"
  /// The source port of TCP.
  case tcpSourcePort = "tcp sport"
  /// The destination port of TCP.
  case tcpDestinationPort = "tcp dport"
  /// The source port of UDP.
  case udpSourcePort = "udp sport"
  /// The destination port of UDP.
  case udpDestinationPort = "udp dport"
  /// The source port of SCTP.
  case sctpSourcePort = "sctp sport"
  /// The destination port of SCTP.
  case sctpDestinationPort = "sctp dport"
  /// The source port, whichever protocol; the rule must have looked at the protocol.
  case sourcePort = "th sport"
  /// The destination port, whichever protocol; the rule must have looked at the protocol.
  case destinationPort = "th dport"
  /// What connection tracking makes of the packet: see `Statement.connection(_:)`.
  case connectionState = "ct state"
  /// What happened to the connection: see `Statement.connection(status:)`.
  case connectionStatus = "ct status"
  /// The connection's mark.
  case connectionMark = "ct mark"
  /// What the routing table says the destination is.
  case destinationType = "fib daddr type"

  /// The type of the value; nil for those that no set has as its key here.
  public var type: NFTType? {
    switch self {
    case .ipSource, .ipDestination: .ipv4Address
    case .ip6Source, .ip6Destination: .ipv6Address
    case .etherSource, .etherDestination: .etherAddress
    case .inputInterface, .outputInterface: .interfaceName
    case .ipProtocol, .l4Protocol: .internetProtocol
    case .mark, .connectionMark: .mark
    case .tcpSourcePort, .tcpDestinationPort, .udpSourcePort, .udpDestinationPort, .sctpSourcePort,
      .sctpDestinationPort, .sourcePort, .destinationPort:
      .internetService
    case .family, .connectionState, .connectionStatus, .destinationType: nil
    }
  }

  /// What the packet must be before the field means anything.
  enum Dependency: Hashable {
    case family(NetfilterFamily)
    case transport(InternetProtocol)
    case ethernet
  }

  var dependency: Dependency? {
    switch self {
    case .ipSource, .ipDestination, .ipProtocol: .family(.ip)
    case .ip6Source, .ip6Destination: .family(.ip6)
    case .etherSource, .etherDestination: .ethernet
    case .tcpSourcePort, .tcpDestinationPort: .transport(.tcp)
    case .udpSourcePort, .udpDestinationPort: .transport(.udp)
    case .sctpSourcePort, .sctpDestinationPort: .transport(.sctp)
    default: nil
    }
  }

  /// Where in the packet it is; nil for what is not in the packet.
  var payload: (base: PayloadExpression.Base, offset: UInt32, length: UInt32)? {
    switch self {
    case .ipSource: (.network, 12, 4)
    case .ipDestination: (.network, 16, 4)
    case .ipProtocol: (.network, 9, 1)
    case .ip6Source: (.network, 8, 16)
    case .ip6Destination: (.network, 24, 16)
    case .etherSource: (.link, 6, 6)
    case .etherDestination: (.link, 0, 6)
    case .tcpSourcePort, .udpSourcePort, .sctpSourcePort, .sourcePort: (.transport, 0, 2)
    case .tcpDestinationPort, .udpDestinationPort, .sctpDestinationPort, .destinationPort: (.transport, 2, 2)
    default: nil
    }
  }

  /// Bytes it takes in a register.
  var length: Int { type?.length ?? (self == .family ? 1 : 4) }

  /// Reads it into a register.
  func load(into register: Register = .first) -> Expression {
    if let payload {
      return .payload(
        PayloadExpression(payload.base, offset: payload.offset, length: payload.length, into: register))
    }
    return switch self {
    case .inputInterface: .meta(MetaExpression(.inputInterfaceName, into: register))
    case .outputInterface: .meta(MetaExpression(.outputInterfaceName, into: register))
    case .family: .meta(MetaExpression(.nfProtocol, into: register))
    case .l4Protocol: .meta(MetaExpression(.l4Protocol, into: register))
    case .connectionState: .conntrack(ConntrackExpression(.state, into: register))
    case .connectionStatus: .conntrack(ConntrackExpression(.status, into: register))
    case .connectionMark: .conntrack(ConntrackExpression(.mark, into: register))
    case .destinationType: .fib(FIBExpression(result: 3, flags: 2, destination: register))
    default: .meta(MetaExpression(.mark, into: register))
    }
  }

  /// What an expression reads, if it is one of these; `length` may be less for a prefix. `family` and
  /// `transport` are what the rule has asked for before, which decides between fields at the same place.
  init?(loadedBy expression: Expression, family: NetfilterFamily?, transport: InternetProtocol?) {
    for selector in Self.allCases {
      switch selector.dependency {
      case .family(let needed): if family != needed { continue }
      case .transport(let needed): if transport != needed { continue }
      default: break
      }
      switch (expression, selector.load()) {
      case (.payload(let found), .payload(let own)):
        if found.base == own.base, found.offset == own.offset, (1...own.length).contains(found.length) {
          self = selector
          return
        }
      case (.meta(let found), .meta(let own)):
        if found.key == own.key, found.destination != nil {
          self = selector
          return
        }
      case (.conntrack(let found), .conntrack(let own)):
        if found.key == own.key, found.destination != nil, found.direction == nil {
          self = selector
          return
        }
      case (.fib(let found), .fib(let own)):
        if found.flags == own.flags, found.result == own.result {
          self = selector
          return
        }
      default: break
      }
    }
    return nil
  }

  /// Reads the value from its bytes.
  func value(_ bytes: [UInt8]) -> NFTValue {
    if let type, bytes.count == type.length, let value = NFTValue(type, bytes) { return value }
    if self == .family, bytes == [2] { return .family(.ipv4) }
    if self == .family, bytes == [10] { return .family(.ipv6) }
    if self == .destinationType, bytes.count == 4, let type = FIBAddressType(rawValue: bytes.hostOrder) {
      return .addressType(type)
    }
    return .bytes(bytes)
  }
}
