import NetworkAddresses

/// The type of a set's key, or of a part of it. The numbers are nft's own (`enum datatypes`): the kernel only
/// hands them back, and nft prints the elements by them.
public enum NFTType: UInt32, Hashable, Sendable, CaseIterable {
  /// `ipv4_addr`.
  case ipv4Address = 7
  /// `ipv6_addr`.
  case ipv6Address = 8
  /// `ether_addr`.
  case etherAddress = 9
  /// `inet_proto`: the protocol above IP.
  case internetProtocol = 12
  /// `inet_service`: a port.
  case internetService = 13
  /// `mark`: of a packet or connection.
  case mark = 19
  /// `ifname`: the name of a device.
  case interfaceName = 41

  /// The word nft uses.
  public var name: String {
    switch self {
    case .ipv4Address: "ipv4_addr"
    case .ipv6Address: "ipv6_addr"
    case .etherAddress: "ether_addr"
    case .internetProtocol: "inet_proto"
    case .internetService: "inet_service"
    case .mark: "mark"
    case .interfaceName: "ifname"
    }
  }

  /// Bytes of a value, without the padding that it gets within a concatenation.
  public var length: Int {
    switch self {
    case .ipv4Address, .mark: 4
    case .ipv6Address, .interfaceName: 16
    case .etherAddress: 6
    case .internetProtocol: 1
    case .internetService: 2
    }
  }

  /// `enum byteorder` of nft: 0 does not matter, 1 host, 2 network.
  var byteOrder: UInt32 {
    switch self {
    case .ipv4Address, .ipv6Address, .etherAddress, .internetService: 2
    case .mark, .interfaceName: 1
    case .internetProtocol: 0
    }
  }
}

/// Several types one behind the other, each padded to 4 bytes.
extension Collection<NFTType> {
  /// As nft writes it: `ifname . ether_addr`.
  var typeText: String { map(\.name).joined(separator: " . ") }
  /// Bytes: a lone value is not padded.
  var dataLength: Int { count == 1 ? first!.length : reduce(0) { $0 + ($1.length + 3) & ~3 } }
  /// nft's number for the concatenation: 6 bits each.
  var typeNumber: UInt32 { reduce(0) { $0 << 6 | $1.rawValue } }
}

extension [NFTType] {
  /// The types that such a number stands for; nil if one of them is not known here.
  init?(typeNumber: UInt32) {
    var types: [NFTType] = []
    var rest = typeNumber
    while rest != 0 {
      guard let type = NFTType(rawValue: rest & 0x3f) else { return nil }
      types.insert(type, at: 0)
      rest >>= 6
    }
    guard !types.isEmpty else { return nil }
    self = types
  }
}

/// A protocol above IP (`IPPROTO_*`).
public struct InternetProtocol: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// The number.
  public var rawValue: UInt8
  /// Any number.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// 1.
  public static let icmp = Self(rawValue: 1)
  /// 6.
  public static let tcp = Self(rawValue: 6)
  /// 17.
  public static let udp = Self(rawValue: 17)
  /// 58.
  public static let icmpv6 = Self(rawValue: 58)
  /// 132.
  public static let sctp = Self(rawValue: 132)
  /// 136.
  public static let udplite = Self(rawValue: 136)

  /// The name, as in /etc/protocols, of those that are named here, else the number.
  public var description: String {
    switch rawValue {
    case 1: "icmp"
    case 6: "tcp"
    case 17: "udp"
    case 33: "dccp"
    case 58: "ipv6-icmp"
    case 132: "sctp"
    case 136: "udplite"
    default: String(rawValue)
    }
  }
}

/// What kind of address the routing table says it is (`RTN_*`), as `fib daddr type` gives it.
public enum FIBAddressType: UInt32, Hashable, Sendable {
  /// A gateway or a neighbour reaches it.
  case unicast = 1
  /// One of the host's own.
  case local = 2
  /// A broadcast address of a network the host is on.
  case broadcast = 3
  /// An anycast address.
  case anycast = 4
  /// A multicast address.
  case multicast = 5
  /// Dropped without a word.
  case blackhole = 6
  /// Refused: unreachable.
  case unreachable = 7
  /// Refused: prohibited.
  case prohibit = 8
}
