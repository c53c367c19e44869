/// Settings of a link as a port of a bridge (`IFLA_BRPORT_*` of `linux/if_link.h`). What is nil is not touched.
public struct BridgePortSettings: Hashable, Sendable {
  /// `IFLA_BRPORT_STATE`, of the spanning tree.
  public var state: State?
  /// `IFLA_BRPORT_PRIORITY`, of the spanning tree, 0–63.
  public var priority: UInt16?
  /// `IFLA_BRPORT_COST`, of the spanning tree.
  public var cost: UInt32?
  /// `IFLA_BRPORT_MODE`: packets may leave by the port they came from.
  public var hairpin: Bool?
  /// `IFLA_BRPORT_GUARD`: spanning tree packets are dropped here (`guard` of iproute2).
  public var guardsRoot: Bool?
  /// `IFLA_BRPORT_PROTECT`: never becomes the way to the root (`root_block`).
  public var blocksRoot: Bool?
  /// `IFLA_BRPORT_FAST_LEAVE`: multicast stops at once when a member leaves.
  public var fastLeave: Bool?
  /// `IFLA_BRPORT_LEARNING`: source addresses are learned.
  public var learning: Bool?
  /// `IFLA_BRPORT_UNICAST_FLOOD`: receives unicast to unknown addresses.
  public var unicastFlood: Bool?
  /// `IFLA_BRPORT_PROXYARP`.
  public var proxyARP: Bool?
  /// `IFLA_BRPORT_PROXYARP_WIFI`.
  public var proxyARPWiFi: Bool?
  /// `IFLA_BRPORT_MULTICAST_ROUTER`: 0 no router, 1 learned, 2 always one, 3 for now.
  public var multicastRouter: UInt8?
  /// `IFLA_BRPORT_MCAST_FLOOD`: receives multicast nobody asked for.
  public var multicastFlood: Bool?
  /// `IFLA_BRPORT_MCAST_TO_UCAST`.
  public var multicastToUnicast: Bool?
  /// `IFLA_BRPORT_VLAN_TUNNEL`.
  public var vlanTunnel: Bool?
  /// `IFLA_BRPORT_BCAST_FLOOD`: receives broadcast.
  public var broadcastFlood: Bool?
  /// `IFLA_BRPORT_GROUP_FWD_MASK`: as that of the bridge.
  public var groupForwardMask: UInt16?
  /// `IFLA_BRPORT_NEIGH_SUPPRESS`: the bridge answers ARP and ND for what it knows.
  public var neighbourSuppression: Bool?
  /// `IFLA_BRPORT_ISOLATED`: nothing passes to other isolated ports.
  public var isolated: Bool?
  /// `IFLA_BRPORT_BACKUP_PORT`: index of the port that takes over without carrier; 0: none.
  public var backupPort: Int32?
  /// `IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT`.
  public var multicastHostsLimit: UInt32?
  /// `IFLA_BRPORT_LOCKED`: only known source addresses pass.
  public var locked: Bool?
  /// `IFLA_BRPORT_MAB`.
  public var macAuthenticationBypass: Bool?
  /// `IFLA_BRPORT_MCAST_MAX_GROUPS`; 0: no limit.
  public var multicastMaximumGroups: UInt32?
  /// `IFLA_BRPORT_NEIGH_VLAN_SUPPRESS`.
  public var neighbourVLANSuppression: Bool?
  /// `IFLA_BRPORT_BACKUP_NHID`; 0: none.
  public var backupNexthop: UInt32?

  /// `BR_STATE_*` of `linux/if_bridge.h`.
  public enum State: UInt8, Hashable, Sendable {
    /// Out of service.
    case disabled
    /// Nothing passes, nothing is learned.
    case listening
    /// Nothing passes yet.
    case learning
    /// In service.
    case forwarding
    /// Shut to prevent a loop.
    case blocking
  }

  /// Nothing set: all as the kernel has it.
  public init() {}

  /// What `set` sets.
  public init(_ set: (inout Self) -> Void) { set(&self) }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, ifPresent: state?.rawValue)
    builder.attribute(2, ifPresent: priority)
    builder.attribute(3, ifPresent: cost)
    builder.attribute(4, ifPresent: hairpin)
    builder.attribute(5, ifPresent: guardsRoot)
    builder.attribute(6, ifPresent: blocksRoot)
    builder.attribute(7, ifPresent: fastLeave)
    builder.attribute(8, ifPresent: learning)
    builder.attribute(9, ifPresent: unicastFlood)
    builder.attribute(10, ifPresent: proxyARP)
    builder.attribute(12, ifPresent: proxyARPWiFi)
    builder.attribute(25, ifPresent: multicastRouter)
    builder.attribute(27, ifPresent: multicastFlood)
    builder.attribute(28, ifPresent: multicastToUnicast)
    builder.attribute(29, ifPresent: vlanTunnel)
    builder.attribute(30, ifPresent: broadcastFlood)
    builder.attribute(31, ifPresent: groupForwardMask)
    builder.attribute(32, ifPresent: neighbourSuppression)
    builder.attribute(33, ifPresent: isolated)
    builder.attribute(34, ifPresent: backupPort)
    builder.attribute(37, ifPresent: multicastHostsLimit)
    builder.attribute(39, ifPresent: locked)
    builder.attribute(40, ifPresent: macAuthenticationBypass)
    builder.attribute(42, ifPresent: multicastMaximumGroups)
    builder.attribute(43, ifPresent: neighbourVLANSuppression)
    builder.attribute(44, ifPresent: backupNexthop)
  }

  /// Reads settings; those that are not there, or not as wide as they should be, stay nil.
  public init(_ attributes: Attributes) {
    for attribute in attributes {
      switch attribute.type {
      case 1: state = attribute.integer().flatMap(State.init(rawValue:))
      case 2: priority = attribute.integer()
      case 3: cost = attribute.integer()
      case 4: hairpin = attribute.flag
      case 5: guardsRoot = attribute.flag
      case 6: blocksRoot = attribute.flag
      case 7: fastLeave = attribute.flag
      case 8: learning = attribute.flag
      case 9: unicastFlood = attribute.flag
      case 10: proxyARP = attribute.flag
      case 12: proxyARPWiFi = attribute.flag
      case 25: multicastRouter = attribute.integer()
      case 27: multicastFlood = attribute.flag
      case 28: multicastToUnicast = attribute.flag
      case 29: vlanTunnel = attribute.flag
      case 30: broadcastFlood = attribute.flag
      case 31: groupForwardMask = attribute.integer()
      case 32: neighbourSuppression = attribute.flag
      case 33: isolated = attribute.flag
      case 34: backupPort = attribute.integer()
      case 37: multicastHostsLimit = attribute.integer()
      case 39: locked = attribute.flag
      case 40: macAuthenticationBypass = attribute.flag
      case 42: multicastMaximumGroups = attribute.integer()
      case 43: neighbourVLANSuppression = attribute.flag
      case 44: backupNexthop = attribute.integer()
      default: break
      }
    }
  }
}

extension BridgePortSettings {
  /// The body of an `RTM_NEWLINK`. It takes names, which the bridge family's own `RTM_SETLINK` does not.
  func encode(_ link: LinkSelector, into builder: inout MessageBuilder) {
    builder.linkHeader(index: link.index)
    link.encodeName(into: &builder)
    // No IFLA_INFO_KIND, though iproute2 sends "bridge_slave": new kernels would look for a module of that name.
    builder.nested(LinkAttribute.linkInfo, flagged: false) { info in
      info.nested(5, flagged: false) { encode(into: &$0) }  // IFLA_INFO_SLAVE_DATA
    }
  }
}

extension Link {
  /// The settings as a port of a bridge; nil if it is none.
  public var bridgePort: BridgePortSettings? {
    portKind == "bridge" ? portData.map(BridgePortSettings.init) : nil
  }
}
