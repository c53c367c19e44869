/// What a process has made of a TUN or TAP device (`IFLA_TUN_*` of `linux/if_link.h`). Read only: the kernel makes them by
/// `/dev/net/tun` alone. Since Linux 4.17.
public struct TunSettings: Hashable, Sendable {
  /// Whether it carries Ethernet frames (TAP), not packets (TUN).
  public private(set) var isTap = false
  /// The user ID that may attach to it; nil: none is set.
  public private(set) var owner: UInt32?
  /// The group ID that may.
  public private(set) var group: UInt32?
  /// Whether it stays when no process is attached.
  public private(set) var isPersistent = false
  /// Whether several descriptors can be attached.
  public private(set) var isMultiQueue = false

  /// Reads settings; those that are not there, or not as wide as they should be, stay as for a device without any.
  public init(_ attributes: Attributes) {
    for attribute in attributes {
      switch attribute.type {
      case 1: owner = attribute.integer()
      case 2: group = attribute.integer()
      case 3: isTap = attribute.integer() == UInt8(2)  // IFF_TAP
      case 6: isPersistent = attribute.integer() == UInt8(1)
      case 7: isMultiQueue = attribute.integer() == UInt8(1)
      default: break
      }
    }
  }
}

extension Link {
  /// The settings of a TUN or TAP device; nil for other kinds.
  public var tun: TunSettings? { kind == "tun" ? kindData.map(TunSettings.init) : nil }
}
