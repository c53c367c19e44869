import NetworkAddresses

/// A network interface as the kernel describes it (`RTM_NEWLINK`).
public struct Link: Hashable, Sendable {
  /// Unique in its namespace.
  public let index: Int32
  /// At most 15 bytes, unique in its namespace, changeable.
  public private(set) var name = ""
  /// `IFLA_INFO_KIND`, such as `bridge`; nil for hardware and the loopback interface.
  public private(set) var kind: String?
  /// Up, running and so on.
  public let flags: LinkFlags
  /// `ARPHRD_*` of `linux/if_arp.h`: 1 Ethernet, 772 loopback.
  public let hardwareType: UInt16
  /// nil if it has none, or one that is not of 6 bytes.
  public private(set) var mac: MACAddress?
  /// `IFLA_ADDRESS` as it is: 6 bytes with Ethernet, 20 with InfiniBand, none for CAN.
  public var hardwareAddress: [UInt8] { Array(addressBytes) }
  /// The one the hardware came with.
  public private(set) var permanentMAC: MACAddress?
  /// Bytes.
  public private(set) var mtu: UInt32 = 0
  /// Bytes.
  public private(set) var minimumMTU: UInt32?
  /// Bytes; 0: no limit.
  public private(set) var maximumMTU: UInt32?
  /// The link that it is a port of.
  public private(set) var master: Int32?
  /// `IFLA_LINK`: the other end of a pair, or the link it stands on; in the namespace `linkNamespaceID` if that
  /// is not nil. 0: somewhere out of sight.
  public private(set) var link: Int32?
  /// `IFLA_LINK_NETNSID`: the namespace that `link` is in, as this namespace counts others; nil: this one.
  public private(set) var linkNamespaceID: Int32?
  /// A free text (`IFLA_IFALIAS`).
  public private(set) var alias: String?
  /// Whether packets can pass.
  public private(set) var operationalState = OperationalState.unknown
  /// Packets.
  public private(set) var transmitQueueLength: UInt32 = 0
  /// How many want it to receive everything. The flag `.promiscuous` speaks only for the administrator.
  public private(set) var promiscuity: UInt32 = 0
  /// `IFLA_GROUP`.
  public private(set) var group: UInt32 = 0
  /// `IFLA_NUM_TX_QUEUES`.
  public private(set) var transmitQueues: UInt32 = 0
  /// `IFLA_NUM_RX_QUEUES`.
  public private(set) var receiveQueues: UInt32 = 0
  /// Other names (`IFLA_ALT_IFNAME`), up to 127 bytes long.
  public private(set) var alternativeNames: [String] = []
  /// `IFLA_INFO_SLAVE_KIND`: what it is a port of, such as `bridge`.
  public private(set) var portKind: String?

  /// `IFLA_PARENT_DEV_NAME`: the device that it is an interface of, `0000:00:05.0` or `virtio2`. Before Linux 5.14, and
  /// of links without hardware, nil.
  public private(set) var parentDevice: String?
  /// `IFLA_PARENT_DEV_BUS_NAME`: the bus that `parentDevice` is on: `pci`, `virtio`, `auxiliary`, `usb`.
  public private(set) var parentBus: String?

  private var addressBytes: ArraySlice<UInt8> = []
  private var kindBytes: ArraySlice<UInt8>?
  private var portBytes: ArraySlice<UInt8>?

  /// The settings of its kind (`IFLA_INFO_DATA`), for the file that knows the kind.
  public var kindData: Attributes? { kindBytes.map(Attributes.init) }
  /// The settings it has as a port (`IFLA_INFO_SLAVE_DATA`).
  public var portData: Attributes? { portBytes.map(Attributes.init) }
  /// `IFF_UP`.
  public var isUp: Bool { flags.contains(.up) }

  /// Reads an `RTM_NEWLINK` or `RTM_DELLINK`; nil if the message is something else or has no whole header.
  public init?(_ message: ReceivedMessage) {
    guard message.type == RouteMessageType.newLink || message.type == RouteMessageType.deleteLink,
      let header = FixedHeader(message.payload, size: 16)
    else { return nil }
    hardwareType = header.load(2)
    index = header.load(4)
    flags = LinkFlags(rawValue: header.load(8))
    for attribute in message.attributes(after: 16) {
      switch attribute.type {
      case LinkAttribute.name: name = attribute.string ?? ""
      case LinkAttribute.address:
        mac = attribute.macAddress
        addressBytes = attribute.value
      case LinkAttribute.permanentAddress: permanentMAC = attribute.macAddress
      case LinkAttribute.parentDeviceName: parentDevice = attribute.string
      case LinkAttribute.parentDeviceBus: parentBus = attribute.string
      case LinkAttribute.mtu: mtu = attribute.integer() ?? 0
      case LinkAttribute.minimumMTU: minimumMTU = attribute.integer()
      case LinkAttribute.maximumMTU: maximumMTU = attribute.integer()
      case LinkAttribute.master: master = attribute.integer()
      case LinkAttribute.link: link = attribute.integer()
      case LinkAttribute.linkNamespaceID: linkNamespaceID = attribute.integer()
      case LinkAttribute.alias: alias = attribute.string
      case LinkAttribute.operationalState:
        operationalState = attribute.integer().flatMap(OperationalState.init(rawValue:)) ?? .unknown
      case LinkAttribute.transmitQueueLength: transmitQueueLength = attribute.integer() ?? 0
      case LinkAttribute.promiscuity: promiscuity = attribute.integer() ?? 0
      case LinkAttribute.group: group = attribute.integer() ?? 0
      case LinkAttribute.transmitQueues: transmitQueues = attribute.integer() ?? 0
      case LinkAttribute.receiveQueues: receiveQueues = attribute.integer() ?? 0
      case LinkAttribute.properties:
        for property in attribute.nested where property.type == LinkAttribute.alternativeName {
          if let name = property.string { alternativeNames.append(name) }
        }
      case LinkAttribute.linkInfo: readLinkInfo(attribute.nested)
      default: break
      }
    }
  }

  private mutating func readLinkInfo(_ info: Attributes) {
    for attribute in info {
      switch attribute.type {
      case 1: kind = attribute.string
      case 2: kindBytes = attribute.value
      case 4: portKind = attribute.string
      case 5: portBytes = attribute.value
      default: break
      }
    }
  }
}
