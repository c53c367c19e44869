import NetworkAddresses

/// A neighbour on a link: which MAC address an IP address has there; or, as a forwarding entry of a bridge or
/// tunnel, behind which port a MAC address is (`RTM_NEWNEIGH`, `linux/neighbour.h`).
public struct Neighbour: Hashable, Sendable {
  /// `NUD_*`.
  public struct State: OptionSet, Hashable, Sendable {
    /// The bits as they are on the wire.
    public var rawValue: UInt16
    /// Takes the bits as they are on the wire.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `NUD_INCOMPLETE`: being asked.
    public static let incomplete = Self(rawValue: 0x1)
    /// `NUD_REACHABLE`: confirmed lately. A bridge: ages.
    public static let reachable = Self(rawValue: 0x2)
    /// `NUD_STALE`.
    public static let stale = Self(rawValue: 0x4)
    /// `NUD_DELAY`.
    public static let delay = Self(rawValue: 0x8)
    /// `NUD_PROBE`.
    public static let probe = Self(rawValue: 0x10)
    /// `NUD_FAILED`: nobody answered.
    public static let failed = Self(rawValue: 0x20)
    /// `NUD_NOARP`: never asked; may be removed. A bridge: does not age.
    public static let noARP = Self(rawValue: 0x40)
    /// `NUD_PERMANENT`: stays. A bridge: an address of its own.
    public static let permanent = Self(rawValue: 0x80)
  }

  /// `NTF_*`.
  public struct Flags: OptionSet, Hashable, Sendable {
    /// The bits as they are on the wire.
    public var rawValue: UInt8
    /// Takes the bits as they are on the wire.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `NTF_USE`.
    public static let use = Self(rawValue: 0x1)
    /// `NTF_SELF`: the table of the link itself.
    public static let onLink = Self(rawValue: 0x2)
    /// `NTF_MASTER`: the table of the bridge that the link is a port of.
    public static let onMaster = Self(rawValue: 0x4)
    /// `NTF_PROXY`: answered on behalf of the address.
    public static let proxy = Self(rawValue: 0x8)
    /// `NTF_EXT_LEARNED`.
    public static let externallyLearned = Self(rawValue: 0x10)
    /// `NTF_OFFLOADED`.
    public static let offloaded = Self(rawValue: 0x20)
    /// `NTF_STICKY`: a forwarding entry that does not move to another port.
    public static let sticky = Self(rawValue: 0x40)
    /// `NTF_ROUTER`.
    public static let router = Self(rawValue: 0x80)
  }

  /// Index of the link.
  public var interface: Int32
  /// The neighbour's address; the far end of a tunnel for forwarding entries, which mostly have none.
  public var address: IPAddress?
  /// nil while it is not known.
  public var mac: MACAddress?
  /// How sure it is.
  public var state: State
  /// Which table, and what sort of entry.
  public var flags: Flags
  /// Of a forwarding entry.
  public var vlan: UInt16?
  /// The bridge, when a forwarding entry is read.
  public var master: Int32?
  /// `AF_BRIDGE`: a forwarding entry.
  public var isForwardingEntry: Bool

  /// A neighbour with that address.
  public init(
    interface: Int32, address: IPAddress, mac: MACAddress?, state: State = .permanent, flags: Flags = []
  ) {
    self.interface = interface
    self.address = address
    self.mac = mac
    self.state = state
    self.flags = flags
    isForwardingEntry = false
  }

  /// A forwarding entry: that MAC address is behind this port.
  public init(
    forwarding mac: MACAddress, to port: Int32, vlan: UInt16? = nil, state: State = .noARP,
    flags: Flags = .onMaster
  ) {
    interface = port
    self.mac = mac
    self.vlan = vlan
    self.state = state
    self.flags = flags
    isForwardingEntry = true
  }

  /// Reads an `RTM_NEWNEIGH` or `RTM_DELNEIGH` of IPv4, IPv6 or a bridge; nil for anything else.
  public init?(_ message: ReceivedMessage) {
    guard message.type == RouteMessageType.newNeighbour || message.type == RouteMessageType.deleteNeighbour,
      let header = FixedHeader(message.payload, size: 12)
    else { return nil }
    isForwardingEntry = header.byte(0) == bridgeFamily
    guard isForwardingEntry || AddressFamily(number: header.byte(0)) != nil else { return nil }
    interface = header.load(4)
    state = State(rawValue: header.load(8))
    flags = Flags(rawValue: header.byte(10))
    for attribute in message.attributes(after: 12) {
      switch attribute.type {
      case 1: address = attribute.ipAddress
      case 2: mac = attribute.macAddress
      case 5: vlan = attribute.integer()
      case 9: master = attribute.integer()
      default: break
      }
    }
  }

  func encode(into builder: inout MessageBuilder) {
    // struct ndmsg
    builder.append(isForwardingEntry ? bridgeFamily : address?.family.number ?? 0)
    builder.append(UInt8(0))
    builder.append(UInt16(0))
    builder.append(interface)
    builder.append(state.rawValue)
    builder.append(flags.rawValue)
    builder.append(UInt8(0))
    if isForwardingEntry {
      if let mac { builder.attribute(2, mac) }
      if let address { builder.attribute(1, address) }
    } else {
      if let address { builder.attribute(1, address) }
      if let mac { builder.attribute(2, mac) }
    }
    builder.attribute(5, ifPresent: vlan)
  }
}
