import NetworkAddresses

/// `IFA_F_*` of `linux/if_addr.h`.
public struct AddressFlags: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public var rawValue: UInt32

  /// Takes the bits as they are on the wire.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `IFA_F_SECONDARY` of IPv4: another address of the same prefix came first.
  public static let secondary = Self(rawValue: 0x1)
  /// `IFA_F_TEMPORARY` of IPv6: a privacy address.
  public static let temporary = Self(rawValue: 0x1)
  /// `IFA_F_NODAD`: used at once, without asking whether somebody else has it.
  public static let noDAD = Self(rawValue: 0x2)
  /// `IFA_F_OPTIMISTIC`: used while it is being asked.
  public static let optimistic = Self(rawValue: 0x4)
  /// `IFA_F_DADFAILED`: somebody else has it.
  public static let dadFailed = Self(rawValue: 0x8)
  /// `IFA_F_HOMEADDRESS`.
  public static let homeAddress = Self(rawValue: 0x10)
  /// `IFA_F_DEPRECATED`: not chosen for what begins now.
  public static let deprecated = Self(rawValue: 0x20)
  /// `IFA_F_TENTATIVE`: cannot be used yet.
  public static let tentative = Self(rawValue: 0x40)
  /// `IFA_F_PERMANENT`: does not expire.
  public static let permanent = Self(rawValue: 0x80)
  /// `IFA_F_MANAGETEMPADDR`.
  public static let manageTemporary = Self(rawValue: 0x100)
  /// `IFA_F_NOPREFIXROUTE`: no route to the prefix comes with it.
  public static let noPrefixRoute = Self(rawValue: 0x200)
  /// `IFA_F_MCAUTOJOIN`.
  public static let multicastAutoJoin = Self(rawValue: 0x400)
  /// `IFA_F_STABLE_PRIVACY`.
  public static let stablePrivacy = Self(rawValue: 0x800)
}

/// An address of an interface (`RTM_NEWADDR`).
public struct InterfaceAddress: Hashable, Sendable {
  /// `struct ifa_cacheinfo`, in seconds from now.
  public struct Lifetimes: Hashable, Sendable {
    /// Without end.
    public static let infinite = UInt32.max
    /// After which it is deprecated.
    public var preferred: UInt32
    /// After which it is gone.
    public var valid: UInt32

    /// `preferred` may not be longer than `valid`.
    public init(preferred: UInt32, valid: UInt32) {
      self.preferred = preferred
      self.valid = valid
    }
  }

  /// The address with the length of its prefix.
  public var prefix: IPPrefix
  /// The other end of a point-to-point link; nil: the prefix is that of a network.
  public var peer: IPAddress?
  /// IPv4 only.
  public var broadcast: IPv4Address?
  /// Where it is valid.
  public var scope: RouteScope
  /// When written: those to be set.
  public var flags: AddressFlags
  /// IPv4 only: the interface's name, perhaps with `:` and more behind.
  public var label: String?
  /// nil: for ever.
  public var lifetimes: Lifetimes?
  /// `IFA_RT_PRIORITY`: metric of the route to the prefix.
  public var routePriority: UInt32?
  /// The interface that has it, when read.
  public var index: Int32?

  /// An address to be given to an interface.
  public init(
    _ prefix: IPPrefix, peer: IPAddress? = nil, broadcast: IPv4Address? = nil, scope: RouteScope = .universe,
    flags: AddressFlags = [], label: String? = nil, lifetimes: Lifetimes? = nil, routePriority: UInt32? = nil
  ) {
    self.prefix = prefix
    self.peer = peer
    self.broadcast = broadcast
    self.scope = scope
    self.flags = flags
    self.label = label
    self.lifetimes = lifetimes
    self.routePriority = routePriority
  }

  /// Reads an `RTM_NEWADDR` or `RTM_DELADDR` of IPv4 or IPv6; nil for anything else.
  public init?(_ message: ReceivedMessage) {
    guard message.type == RouteMessageType.newAddress || message.type == RouteMessageType.deleteAddress,
      let header = FixedHeader(message.payload, size: 8), AddressFamily(number: header.byte(0)) != nil
    else { return nil }
    var local: IPAddress?
    var address: IPAddress?
    flags = AddressFlags(rawValue: UInt32(header.byte(2)))
    scope = RouteScope(rawValue: header.byte(3))
    index = header.load(4)
    for attribute in message.attributes(after: 8) {
      switch attribute.type {
      case 1: address = attribute.ipAddress
      case 2: local = attribute.ipAddress
      case 3: label = attribute.string
      case 4: broadcast = attribute.ipAddress?.ipv4
      case 6:
        guard let info = FixedHeader(attribute.value, size: 8) else { continue }
        lifetimes = Lifetimes(preferred: info.load(0), valid: info.load(4))
      case 8: flags = attribute.integer().map(AddressFlags.init(rawValue:)) ?? flags
      case 9: routePriority = attribute.integer()
      default: break
      }
    }
    guard let own = local ?? address, let prefix = IPPrefix(address: own, length: Int(header.byte(1))),
      prefix.family.number == header.byte(0)
    else { return nil }
    self.prefix = prefix
    if let address, let local, address != local { peer = address }
  }

  func encode(index: Int32, into builder: inout MessageBuilder) {
    builder.append(prefix.family.number)
    builder.append(UInt8(prefix.length))
    builder.append(UInt8(truncatingIfNeeded: flags.rawValue))
    builder.append(scope.rawValue)
    builder.append(index)
    builder.attribute(2, prefix.address)
    if let broadcast { builder.attribute(4, bigEndian: broadcast.rawValue) }
    if let label { builder.attribute(3, string: label) }
    builder.attribute(9, ifPresent: routePriority)
    // The header has room for the first eight only.
    if flags.rawValue > 0xff { builder.attribute(8, flags.rawValue) }
    builder.attribute(1, peer ?? prefix.address)
    if let lifetimes {
      builder.header(6, payload: 16)  // struct ifa_cacheinfo
      builder.append(lifetimes.preferred)
      builder.append(lifetimes.valid)
      builder.append(UInt64(0))
    }
  }
}
