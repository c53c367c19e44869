/// At which layer frames are handed on (`IPVLAN_MODE_*` of `linux/if_link.h`).
public enum IPVlanMode: UInt16, Hashable, Sendable {
  /// Link layer: the interfaces resolve addresses themselves, and receive broadcast and multicast.
  case l2 = 0
  /// Network layer: the link's namespace routes; no address resolution, broadcast or multicast.
  case l3 = 1
  /// As `l3`, and packets pass the link's packet filter and connection tracking.
  case l3s = 2
}

/// Settings of an ipvlan (`IFLA_IPVLAN_*` of `linux/if_link.h`). What is nil is not touched.
///
/// Mode and flags are the link's below, not the interface's: one that is created with others changes those of all that
/// are there.
public struct IPVlanSettings: Hashable, Sendable {
  /// `IFLA_IPVLAN_MODE`; nil at creation: `l3`.
  public var mode: IPVlanMode?
  /// `IFLA_IPVLAN_FLAGS`.
  public var flags: IPVlanFlags?

  /// Settings in the order of the kernel's numbers.
  public init(mode: IPVlanMode? = nil, flags: IPVlanFlags? = nil) {
    self.mode = mode
    self.flags = flags
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, ifPresent: mode?.rawValue)
    builder.attribute(2, ifPresent: flags?.rawValue)
  }

  /// Reads settings; those that are not there, or not as wide as they should be, stay nil.
  public init(_ attributes: Attributes) {
    mode = attributes[1].flatMap { $0.integer() }.flatMap(IPVlanMode.init(rawValue:))
    flags = attributes[2].flatMap { $0.integer() }.map(IPVlanFlags.init(rawValue:))
  }
}

/// Whether the interfaces on one link reach each other; neither: directly (`IPVLAN_F_*` of `linux/if_link.h`).
public struct IPVlanFlags: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public var rawValue: UInt16

  /// Takes the bits as they are on the wire.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `IPVLAN_F_PRIVATE`: not at all.
  public static let `private` = Self(rawValue: 1)
  /// `IPVLAN_F_VEPA`: by way of the switch that the link is connected to.
  public static let vepa = Self(rawValue: 2)
}

extension LinkKind {
  /// An interface that shares the hardware address of another one, `LinkSpecification.link`: the IP address tells
  /// whose a frame is.
  public static func ipvlan(_ settings: IPVlanSettings = IPVlanSettings()) -> LinkKind {
    LinkKind("ipvlan") { settings.encode(into: &$0) }
  }
}

extension Link {
  /// The settings of an ipvlan; nil for other kinds.
  public var ipvlan: IPVlanSettings? { kind == "ipvlan" ? kindData.map(IPVlanSettings.init) : nil }
}
