import NetworkAddresses

/// Settings of a bridge (`IFLA_BR_*` of `linux/if_link.h`). What is nil is not touched.
public struct BridgeSettings: Hashable, Sendable {
  /// `IFLA_BR_FORWARD_DELAY`: how long a port listens and learns before it forwards, hundredths of a second.
  public var forwardDelay: UInt32?
  /// `IFLA_BR_HELLO_TIME`, of the spanning tree, hundredths of a second.
  public var helloTime: UInt32?
  /// `IFLA_BR_MAX_AGE`, of the spanning tree, hundredths of a second.
  public var maximumAge: UInt32?
  /// `IFLA_BR_AGEING_TIME`: after which a learned address is forgotten, hundredths of a second; 0: at once.
  public var ageingTime: UInt32?
  /// `IFLA_BR_STP_STATE`: whether it takes part in the spanning tree protocol.
  public var spanningTree: Bool?
  /// `IFLA_BR_PRIORITY`, of the spanning tree.
  public var priority: UInt16?
  /// `IFLA_BR_VLAN_FILTERING`: whether ports see only the VLANs they are members of.
  public var vlanFiltering: Bool?
  /// `IFLA_BR_VLAN_PROTOCOL`: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
  public var vlanProtocol: UInt16?
  /// `IFLA_BR_GROUP_FWD_MASK`: which link-local groups 01:80:c2:00:00:0x are forwarded, one bit each.
  public var groupForwardMask: UInt16?
  /// `IFLA_BR_GROUP_ADDR`: where spanning tree packets go.
  public var groupAddress: MACAddress?
  /// `IFLA_BR_MCAST_ROUTER`: 0 no router, 1 learned, 2 always one.
  public var multicastRouter: UInt8?
  /// `IFLA_BR_MCAST_SNOOPING`: whether multicast goes only where it was asked for.
  public var multicastSnooping: Bool?
  /// `IFLA_BR_MCAST_QUERY_USE_IFADDR`.
  public var multicastQueryUsesInterfaceAddress: Bool?
  /// `IFLA_BR_MCAST_QUERIER`: whether the bridge asks itself.
  public var multicastQuerier: Bool?
  /// `IFLA_BR_MCAST_HASH_ELASTICITY`; without effect since Linux 4.21.
  public var multicastHashElasticity: UInt32?
  /// `IFLA_BR_MCAST_HASH_MAX`: most entries of the multicast table.
  public var multicastHashMaximum: UInt32?
  /// `IFLA_BR_MCAST_LAST_MEMBER_CNT`.
  public var multicastLastMemberCount: UInt32?
  /// `IFLA_BR_MCAST_STARTUP_QUERY_CNT`.
  public var multicastStartupQueryCount: UInt32?
  /// `IFLA_BR_MCAST_LAST_MEMBER_INTVL`, hundredths of a second.
  public var multicastLastMemberInterval: UInt64?
  /// `IFLA_BR_MCAST_MEMBERSHIP_INTVL`, hundredths of a second.
  public var multicastMembershipInterval: UInt64?
  /// `IFLA_BR_MCAST_QUERIER_INTVL`, hundredths of a second.
  public var multicastQuerierInterval: UInt64?
  /// `IFLA_BR_MCAST_QUERY_INTVL`, hundredths of a second.
  public var multicastQueryInterval: UInt64?
  /// `IFLA_BR_MCAST_QUERY_RESPONSE_INTVL`, hundredths of a second.
  public var multicastQueryResponseInterval: UInt64?
  /// `IFLA_BR_MCAST_STARTUP_QUERY_INTVL`, hundredths of a second.
  public var multicastStartupQueryInterval: UInt64?
  /// `IFLA_BR_NF_CALL_IPTABLES`: whether bridged IPv4 passes iptables; on too if the sysctl says so for all.
  public var callsIPTables: Bool?
  /// `IFLA_BR_NF_CALL_IP6TABLES`.
  public var callsIP6Tables: Bool?
  /// `IFLA_BR_NF_CALL_ARPTABLES`.
  public var callsARPTables: Bool?
  /// `IFLA_BR_VLAN_DEFAULT_PVID`: the VLAN new ports are untagged members of; 0: none.
  public var vlanDefaultPVID: UInt16?
  /// `IFLA_BR_VLAN_STATS_ENABLED`.
  public var vlanStatistics: Bool?
  /// `IFLA_BR_MCAST_STATS_ENABLED`.
  public var multicastStatistics: Bool?
  /// `IFLA_BR_MCAST_IGMP_VERSION`: 2 or 3.
  public var multicastIGMPVersion: UInt8?
  /// `IFLA_BR_MCAST_MLD_VERSION`: 1 or 2.
  public var multicastMLDVersion: UInt8?
  /// `IFLA_BR_VLAN_STATS_PER_PORT`; cannot be changed while there are ports.
  public var vlanStatisticsPerPort: Bool?
  /// `IFLA_BR_FDB_MAX_LEARNED`: most learned addresses, 0: no limit. Since Linux 6.7.
  public var maximumLearned: UInt32?
  /// `IFLA_BR_MULTI_BOOLOPT`: switches. Written: those in `mask` become as in `values`. Read: those in `mask` exist.
  public var options: Options?

  /// Values of some of the switches.
  public struct Options: Hashable, Sendable {
    /// Which are on.
    public var values: BridgeOptions
    /// Which are spoken of.
    public var mask: BridgeOptions

    /// The switches in `mask`, on if in `values`.
    public init(values: BridgeOptions, mask: BridgeOptions) {
      self.values = values
      self.mask = mask
    }
  }

  /// Nothing set: all as the kernel has it.
  public init() {}

  /// What `set` sets.
  public init(_ set: (inout Self) -> Void) { set(&self) }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, ifPresent: forwardDelay)
    builder.attribute(2, ifPresent: helloTime)
    builder.attribute(3, ifPresent: maximumAge)
    builder.attribute(4, ifPresent: ageingTime)
    builder.attribute(5, ifPresent: spanningTree.map { UInt32($0 ? 1 : 0) })
    builder.attribute(6, ifPresent: priority)
    builder.attribute(7, ifPresent: vlanFiltering)
    builder.attribute(8, ifPresent: vlanProtocol?.bigEndian)
    builder.attribute(9, ifPresent: groupForwardMask)
    if let groupAddress { builder.attribute(20, groupAddress) }
    builder.attribute(22, ifPresent: multicastRouter)
    builder.attribute(23, ifPresent: multicastSnooping)
    builder.attribute(24, ifPresent: multicastQueryUsesInterfaceAddress)
    builder.attribute(25, ifPresent: multicastQuerier)
    builder.attribute(26, ifPresent: multicastHashElasticity)
    builder.attribute(27, ifPresent: multicastHashMaximum)
    builder.attribute(28, ifPresent: multicastLastMemberCount)
    builder.attribute(29, ifPresent: multicastStartupQueryCount)
    builder.attribute(30, ifPresent: multicastLastMemberInterval)
    builder.attribute(31, ifPresent: multicastMembershipInterval)
    builder.attribute(32, ifPresent: multicastQuerierInterval)
    builder.attribute(33, ifPresent: multicastQueryInterval)
    builder.attribute(34, ifPresent: multicastQueryResponseInterval)
    builder.attribute(35, ifPresent: multicastStartupQueryInterval)
    builder.attribute(36, ifPresent: callsIPTables)
    builder.attribute(37, ifPresent: callsIP6Tables)
    builder.attribute(38, ifPresent: callsARPTables)
    builder.attribute(39, ifPresent: vlanDefaultPVID)
    builder.attribute(41, ifPresent: vlanStatistics)
    builder.attribute(42, ifPresent: multicastStatistics)
    builder.attribute(43, ifPresent: multicastIGMPVersion)
    builder.attribute(44, ifPresent: multicastMLDVersion)
    builder.attribute(45, ifPresent: vlanStatisticsPerPort)
    builder.attribute(49, ifPresent: maximumLearned)
    if let changes = options {
      builder.header(46, payload: 8)  // IFLA_BR_MULTI_BOOLOPT: struct br_boolopt_multi
      builder.append(changes.values.rawValue)
      builder.append(changes.mask.rawValue)
    }
  }

  /// Reads settings; those that are not there, or not as wide as they should be, stay nil.
  public init(_ attributes: Attributes) {
    for attribute in attributes {
      switch attribute.type {
      case 1: forwardDelay = attribute.integer()
      case 2: helloTime = attribute.integer()
      case 3: maximumAge = attribute.integer()
      case 4: ageingTime = attribute.integer()
      case 5: spanningTree = attribute.integer(as: UInt32.self).map { $0 != 0 }
      case 6: priority = attribute.integer()
      case 7: vlanFiltering = attribute.flag
      case 8: vlanProtocol = attribute.bigEndian()
      case 9: groupForwardMask = attribute.integer()
      case 20: groupAddress = attribute.macAddress
      case 22: multicastRouter = attribute.integer()
      case 23: multicastSnooping = attribute.flag
      case 24: multicastQueryUsesInterfaceAddress = attribute.flag
      case 25: multicastQuerier = attribute.flag
      case 26: multicastHashElasticity = attribute.integer()
      case 27: multicastHashMaximum = attribute.integer()
      case 28: multicastLastMemberCount = attribute.integer()
      case 29: multicastStartupQueryCount = attribute.integer()
      case 30: multicastLastMemberInterval = attribute.integer()
      case 31: multicastMembershipInterval = attribute.integer()
      case 32: multicastQuerierInterval = attribute.integer()
      case 33: multicastQueryInterval = attribute.integer()
      case 34: multicastQueryResponseInterval = attribute.integer()
      case 35: multicastStartupQueryInterval = attribute.integer()
      case 36: callsIPTables = attribute.flag
      case 37: callsIP6Tables = attribute.flag
      case 38: callsARPTables = attribute.flag
      case 39: vlanDefaultPVID = attribute.integer()
      case 41: vlanStatistics = attribute.flag
      case 42: multicastStatistics = attribute.flag
      case 43: multicastIGMPVersion = attribute.integer()
      case 44: multicastMLDVersion = attribute.integer()
      case 45: vlanStatisticsPerPort = attribute.flag
      case 49: maximumLearned = attribute.integer()
      case 46:
        guard attribute.value.count == 8 else { continue }
        let (values, mask) = attribute.value.withUnsafeBytes {
          ($0.loadUnaligned(as: UInt32.self), $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        }
        options = Options(values: BridgeOptions(rawValue: values), mask: BridgeOptions(rawValue: mask))
      default: break
      }
    }
  }
}

/// The switches that a bridge keeps as bits (`BR_BOOLOPT_*` of `linux/if_bridge.h`).
public struct BridgeOptions: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public var rawValue: UInt32

  /// Takes the bits as they are on the wire.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `BR_BOOLOPT_NO_LL_LEARN`: learn nothing from link-local packets.
  public static let noLinkLocalLearning = Self(rawValue: 1)
  /// `BR_BOOLOPT_MCAST_VLAN_SNOOPING`: multicast snooping for each VLAN on its own.
  public static let multicastVLANSnooping = Self(rawValue: 2)
  /// `BR_BOOLOPT_MST_ENABLE`: a spanning tree for each group of VLANs.
  public static let multipleSpanningTrees = Self(rawValue: 4)
}

extension LinkKind {
  /// A switch for Ethernet; its ports are the links that have it as their master.
  public static func bridge(_ settings: BridgeSettings = BridgeSettings()) -> LinkKind {
    LinkKind("bridge") { settings.encode(into: &$0) }
  }
}

extension Link {
  /// The settings of a bridge; nil for other kinds.
  public var bridge: BridgeSettings? { kind == "bridge" ? kindData.map(BridgeSettings.init) : nil }
}
