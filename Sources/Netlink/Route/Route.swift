import NetworkAddresses

/// An entry of a routing table (`RTM_NEWROUTE`).
public struct Route: Hashable, Sendable {
  /// One way of a route that has several.
  public struct NextHop: Hashable, Sendable {
    /// nil: directly on the link.
    public var gateway: IPAddress?
    /// Index of the interface.
    public var interface: Int32?
    /// Its share, from 1 on.
    public var weight: Int
    /// `RTNH_F_ONLINK`: the gateway is on the link whatever the addresses say.
    public var isOnLink: Bool

    /// One way, with a share in proportion to the others'.
    public init(gateway: IPAddress?, interface: Int32? = nil, weight: Int = 1, isOnLink: Bool = false) {
      self.gateway = gateway
      self.interface = interface
      self.weight = weight
      self.isOnLink = isOnLink
    }
  }

  /// `RT_TABLE_MAIN`.
  public static let mainTable: UInt32 = 254
  /// `RT_TABLE_LOCAL`.
  public static let localTable: UInt32 = 255

  /// Where to; a length of 0 is the default route.
  public var destination: IPPrefix
  /// nil: directly on the link. May be of the other family (IPv4 through an IPv6 gateway).
  public var gateway: IPAddress?
  /// Index of the interface.
  public var interface: Int32?
  /// The source address of packets that have none yet (`RTA_PREFSRC`).
  public var preferredSource: IPAddress?
  /// The metric: of several the lowest is taken. nil: the kernel's default, 0 for IPv4 and 1024 for IPv6.
  public var priority: UInt32?
  /// nil: the main table, 254. Any 32-bit number.
  public var table: UInt32?
  /// nil: for IPv4 what follows from gateway and type; always 0 for IPv6. To delete: whatever it is.
  public var scope: RouteScope?
  /// nil: `boot`. To delete: whatever it is.
  public var `protocol`: RouteProtocol?
  /// nil: `unicast`. To delete: whatever it is.
  public var type: RouteType?
  /// Bytes (`RTAX_MTU`).
  public var mtu: UInt32?
  /// Bytes (`RTAX_ADVMSS`).
  public var advertisedMSS: UInt32?
  /// `RTNH_F_ONLINK`: the gateway is on the link whatever the addresses say.
  public var isOnLink: Bool
  /// Type of service.
  public var typeOfService: UInt8
  /// Several ways; then `gateway` and `interface` are nil.
  public var nextHops: [NextHop]

  /// A route; leaves to the kernel what is not said.
  public init(
    destination: IPPrefix, gateway: IPAddress? = nil, interface: Int32? = nil,
    preferredSource: IPAddress? = nil, priority: UInt32? = nil, table: UInt32? = nil,
    scope: RouteScope? = nil, protocol: RouteProtocol? = nil, type: RouteType? = nil, mtu: UInt32? = nil,
    advertisedMSS: UInt32? = nil, isOnLink: Bool = false, nextHops: [NextHop] = []
  ) {
    self.destination = destination
    self.gateway = gateway
    self.interface = interface
    self.preferredSource = preferredSource
    self.priority = priority
    self.table = table
    self.scope = scope
    self.protocol = `protocol`
    self.type = type
    self.mtu = mtu
    self.advertisedMSS = advertisedMSS
    self.isOnLink = isOnLink
    typeOfService = 0
    self.nextHops = nextHops
  }
}

/// Attributes of routes (`RTA_*` of `linux/rtnetlink.h`).
enum RouteAttribute {
  static let destination: UInt16 = 1
  static let outputInterface: UInt16 = 4
  static let gateway: UInt16 = 5
  static let priority: UInt16 = 6
  static let preferredSource: UInt16 = 7
  static let metrics: UInt16 = 8
  static let multipath: UInt16 = 9
  static let table: UInt16 = 15
  static let via: UInt16 = 18
  /// `RTAX_MTU`, inside `metrics`.
  static let mtu: UInt16 = 2
  /// `RTAX_ADVMSS`, inside `metrics`.
  static let advertisedMSS: UInt16 = 8
  /// `RTNH_F_ONLINK`.
  static let onLinkFlag: UInt32 = 4
}
