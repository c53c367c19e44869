/// How the interfaces on one link reach each other (`MACVLAN_MODE_*` of `linux/if_link.h`).
public enum MacvlanMode: UInt32, Hashable, Sendable {
  /// Not at all.
  case `private` = 1
  /// By way of the switch that the link is connected to, if it reflects frames (802.1Qbg).
  case vepa = 2
  /// Directly. Never the link itself.
  case bridge = 4
  /// There is only one, and it takes the link over: its hardware address is the link's.
  case passthru = 8
  /// Each receives from the hardware addresses on its list only.
  case source = 16
}

/// Settings of a macvlan (`IFLA_MACVLAN_*` of `linux/if_link.h`). What is nil is not touched.
public struct MacvlanSettings: Hashable, Sendable {
  /// `IFLA_MACVLAN_MODE`; nil at creation: `vepa`. `passthru` can neither be left nor entered later.
  public var mode: MacvlanMode?
  /// `IFLA_MACVLAN_FLAGS`, of which 1 is `MACVLAN_FLAG_NOPROMISC`: in mode `passthru`, the link is not made promiscuous.
  public var flags: UInt16?
  /// `IFLA_MACVLAN_BC_QUEUE_LEN`: how many broadcast and multicast frames may wait. What the link uses is the most that
  /// any of its interfaces asks for. Since Linux 5.11; 1000 unless said.
  public var broadcastQueueLength: UInt32?
  /// `IFLA_MACVLAN_BC_QUEUE_LEN_USED`: what the link uses. Read only.
  public private(set) var usedBroadcastQueueLength: UInt32?

  /// Settings in the order of the kernel's numbers.
  public init(mode: MacvlanMode? = nil, flags: UInt16? = nil, broadcastQueueLength: UInt32? = nil) {
    self.mode = mode
    self.flags = flags
    self.broadcastQueueLength = broadcastQueueLength
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(7, ifPresent: broadcastQueueLength)
    builder.attribute(1, ifPresent: mode?.rawValue)
    builder.attribute(2, ifPresent: flags)
  }

  /// Reads settings; those that are not there, or not as wide as they should be, stay nil.
  public init(_ attributes: Attributes) {
    for attribute in attributes {
      switch attribute.type {
      case 1: mode = attribute.integer().flatMap(MacvlanMode.init(rawValue:))
      case 2: flags = attribute.integer()
      case 7: broadcastQueueLength = attribute.integer()
      case 8: usedBroadcastQueueLength = attribute.integer()
      default: break
      }
    }
  }
}

extension LinkKind {
  /// An Ethernet interface with a hardware address of its own on another one, `LinkSpecification.link`.
  public static func macvlan(_ settings: MacvlanSettings = MacvlanSettings()) -> LinkKind {
    LinkKind("macvlan") { settings.encode(into: &$0) }
  }
}

extension Link {
  /// The settings of a macvlan; nil for other kinds.
  public var macvlan: MacvlanSettings? { kind == "macvlan" ? kindData.map(MacvlanSettings.init) : nil }
}
