/// How far an address or a route reaches (`RT_SCOPE_*` of `linux/rtnetlink.h`).
public struct RouteScope: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// The number on the wire; any may be used.
  public var rawValue: UInt8
  /// Takes the number on the wire.
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Takes the number on the wire.
  public init(integerLiteral value: UInt8) { rawValue = value }

  /// `RT_SCOPE_UNIVERSE`: everywhere.
  public static let universe = Self(rawValue: 0)
  /// `RT_SCOPE_SITE`.
  public static let site = Self(rawValue: 200)
  /// `RT_SCOPE_LINK`: on the attached link, without a gateway.
  public static let link = Self(rawValue: 253)
  /// `RT_SCOPE_HOST`: this machine.
  public static let host = Self(rawValue: 254)
  /// `RT_SCOPE_NOWHERE`; in a request to delete: whatever it is.
  public static let nowhere = Self(rawValue: 255)
}

/// Who made a route (`RTPROT_*` of `linux/rtnetlink.h`).
public struct RouteProtocol: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// The number on the wire; any above `static` may be used.
  public var rawValue: UInt8
  /// Takes the number on the wire.
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Takes the number on the wire.
  public init(integerLiteral value: UInt8) { rawValue = value }

  /// `RTPROT_KERNEL`: came with an address.
  public static let kernel = Self(rawValue: 2)
  /// `RTPROT_BOOT`: what `ip route add` says.
  public static let boot = Self(rawValue: 3)
  /// `RTPROT_STATIC`.
  public static let `static` = Self(rawValue: 4)
}

/// What happens to packets that a route matches (`RTN_*` of `linux/rtnetlink.h`).
public struct RouteType: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// The number on the wire.
  public var rawValue: UInt8
  /// Takes the number on the wire.
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Takes the number on the wire.
  public init(integerLiteral value: UInt8) { rawValue = value }

  /// `RTN_UNICAST`: on to the gateway or the link.
  public static let unicast = Self(rawValue: 1)
  /// `RTN_LOCAL`: taken in.
  public static let local = Self(rawValue: 2)
  /// `RTN_BROADCAST`.
  public static let broadcast = Self(rawValue: 3)
  /// `RTN_ANYCAST`.
  public static let anycast = Self(rawValue: 4)
  /// `RTN_MULTICAST`.
  public static let multicast = Self(rawValue: 5)
  /// `RTN_BLACKHOLE`: dropped in silence.
  public static let blackhole = Self(rawValue: 6)
  /// `RTN_UNREACHABLE`: refused as unreachable.
  public static let unreachable = Self(rawValue: 7)
  /// `RTN_PROHIBIT`: refused as prohibited.
  public static let prohibit = Self(rawValue: 8)
  /// `RTN_THROW`: looked up in the next table.
  public static let `throw` = Self(rawValue: 9)
}
