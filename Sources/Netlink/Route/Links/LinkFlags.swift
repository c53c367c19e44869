/// `ifi_flags` of a link (`IFF_*` of `linux/if.h`).
public struct LinkFlags: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public var rawValue: UInt32

  /// Takes the bits as they are on the wire.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `IFF_UP`: switched on by the administrator.
  public static let up = Self(rawValue: 0x1)
  /// `IFF_BROADCAST`.
  public static let broadcast = Self(rawValue: 0x2)
  /// `IFF_LOOPBACK`.
  public static let loopback = Self(rawValue: 0x8)
  /// `IFF_POINTOPOINT`.
  public static let pointToPoint = Self(rawValue: 0x10)
  /// `IFF_RUNNING`: able to carry packets.
  public static let running = Self(rawValue: 0x40)
  /// `IFF_NOARP`: no address resolution.
  public static let noARP = Self(rawValue: 0x80)
  /// `IFF_PROMISC`: receives everything, because it was asked to; see also `Link.promiscuity`.
  public static let promiscuous = Self(rawValue: 0x100)
  /// `IFF_ALLMULTI`: receives all multicast.
  public static let allMulticast = Self(rawValue: 0x200)
  /// `IFF_MULTICAST`.
  public static let multicast = Self(rawValue: 0x1000)
  /// `IFF_LOWER_UP`: has a carrier.
  public static let lowerUp = Self(rawValue: 0x10000)
}

/// `IFLA_OPERSTATE`, the state of RFC 2863.
public enum OperationalState: UInt8, Hashable, Sendable {
  /// `IF_OPER_UNKNOWN`: the driver does not say; as good as up when it is running.
  case unknown
  /// `IF_OPER_NOTPRESENT`.
  case notPresent
  /// `IF_OPER_DOWN`.
  case down
  /// `IF_OPER_LOWERLAYERDOWN`: what it stands on is down, such as the other end of a veth pair.
  case lowerLayerDown
  /// `IF_OPER_TESTING`.
  case testing
  /// `IF_OPER_DORMANT`: waits for something outside, such as 802.1X.
  case dormant
  /// `IF_OPER_UP`.
  case up
}
