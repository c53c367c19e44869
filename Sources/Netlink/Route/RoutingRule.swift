import NetworkAddresses

/// A rule that chooses the routing table (`RTM_NEWRULE`, `linux/fib_rules.h`). What is nil is not asked.
public struct RoutingRule: Hashable, Sendable {
  /// What a rule does with the packets it matches (`FR_ACT_*`).
  public enum Action: UInt8, Hashable, Sendable {
    /// Looks into `table`.
    case lookUp = 1
    /// Goes on at the rule with priority `target`.
    case goTo = 2
    /// Nothing.
    case nothing = 3
    /// Drops in silence.
    case blackhole = 6
    /// Refuses as unreachable.
    case unreachable = 7
    /// Refuses as prohibited.
    case prohibit = 8
  }

  /// Rules are of one family.
  public var family: AddressFamily
  /// The order: lowest first. nil: before those that are there, after 0.
  public var priority: UInt32?
  /// Where from.
  public var source: IPPrefix?
  /// Where to.
  public var destination: IPPrefix?
  /// The name of the interface it came in by; `lo` for what this machine sends.
  public var inputInterface: String?
  /// The name of the interface that a socket is bound to.
  public var outputInterface: String?
  /// Firewall mark.
  public var mark: UInt32?
  /// Which bits of the mark count; nil: all.
  public var markMask: UInt32?
  /// For `.lookUp`; nil: the main table, and to delete any. Any 32-bit number.
  public var table: UInt32?
  /// What it does.
  public var action: Action
  /// For `.goTo`.
  public var target: UInt32?
  /// `FIB_RULE_INVERT`: matches what it would not match.
  public var isInverted: Bool
  /// Routes found are passed over if their prefix is this long or shorter.
  public var suppressedPrefixLength: UInt32?
  /// 6 TCP, 17 UDP and so on.
  public var ipProtocol: UInt8?
  /// Ports.
  public var sourcePorts: ClosedRange<UInt16>?
  /// Ports.
  public var destinationPorts: ClosedRange<UInt16>?
  /// Owner of the socket.
  public var userIDs: ClosedRange<UInt32>?
  /// Type of service.
  public var typeOfService: UInt8
  /// The table is that of the VRF the packet belongs to.
  public var usesVRF: Bool
  /// Who made it; nil: not said. To delete: whatever it is.
  public var `protocol`: RouteProtocol?

  /// A rule that matches everything of the family that is not said to be narrower.
  public init(
    family: AddressFamily, priority: UInt32? = nil, source: IPPrefix? = nil, destination: IPPrefix? = nil,
    inputInterface: String? = nil, outputInterface: String? = nil, mark: UInt32? = nil,
    markMask: UInt32? = nil, table: UInt32? = nil, action: Action = .lookUp, isInverted: Bool = false
  ) {
    self.family = family
    self.priority = priority
    self.source = source
    self.destination = destination
    self.inputInterface = inputInterface
    self.outputInterface = outputInterface
    self.mark = mark
    self.markMask = markMask
    self.table = table
    self.action = action
    self.isInverted = isInverted
    typeOfService = 0
    usesVRF = false
  }
}

extension RoutingRule {
  /// `FIB_RULE_INVERT`.
  private static let invert: UInt32 = 2

  func encode(deleting: Bool, into builder: inout MessageBuilder) {
    let looksUp = action == .lookUp
    let table = table ?? (looksUp && !usesVRF && !deleting ? Route.mainTable : 0)
    // struct fib_rule_hdr
    builder.append(family.number)
    builder.append(UInt8(destination?.length ?? 0))
    builder.append(UInt8(source?.length ?? 0))
    builder.append(typeOfService)
    builder.append(UInt8(exactly: table) ?? 0)
    builder.append(UInt16(0))
    // To delete, a rule that looks up is the usual one and need not be said to.
    builder.append(deleting && looksUp ? 0 : action.rawValue)
    builder.append(isInverted ? Self.invert : 0)
    builder.attribute(6, ifPresent: priority)
    if let source { builder.attribute(2, source.network.address) }
    if let destination { builder.attribute(1, destination.network.address) }
    builder.attribute(10, ifPresent: mark)
    builder.attribute(16, ifPresent: markMask)
    if table > 255 { builder.attribute(15, table) }
    builder.attribute(14, ifPresent: suppressedPrefixLength)
    if let inputInterface { builder.attribute(3, string: inputInterface) }
    if let outputInterface { builder.attribute(17, string: outputInterface) }
    if usesVRF { builder.attribute(19, UInt8(1)) }
    if let userIDs {
      builder.header(20, payload: 8)
      builder.append(userIDs.lowerBound)
      builder.append(userIDs.upperBound)
    }
    builder.attribute(22, ifPresent: ipProtocol)
    Self.encode(23, sourcePorts, into: &builder)
    Self.encode(24, destinationPorts, into: &builder)
    builder.attribute(4, ifPresent: target)
    builder.attribute(21, ifPresent: `protocol`?.rawValue)
  }

  private static func encode(
    _ type: UInt16, _ ports: ClosedRange<UInt16>?, into builder: inout MessageBuilder
  ) {
    guard let ports else { return }
    builder.header(type, payload: 4)  // struct fib_rule_port_range
    builder.append(ports.lowerBound)
    builder.append(ports.upperBound)
  }

  /// Reads an `RTM_NEWRULE` or `RTM_DELRULE` of IPv4 or IPv6; nil for anything else, and for actions unknown here.
  public init?(_ message: ReceivedMessage) {
    guard message.type == RouteMessageType.newRule || message.type == RouteMessageType.deleteRule,
      let header = FixedHeader(message.payload, size: 12), let family = AddressFamily(number: header.byte(0)),
      let action = Action(rawValue: header.byte(7))
    else { return nil }
    self.init(family: family, action: action)
    typeOfService = header.byte(3)
    table = UInt32(header.byte(4))
    isInverted = header.load(8, as: UInt32.self) & Self.invert != 0
    for attribute in message.attributes(after: 12) {
      switch attribute.type {
      case 1: destination = attribute.ipAddress.flatMap { IPPrefix(address: $0, length: Int(header.byte(1))) }
      case 2: source = attribute.ipAddress.flatMap { IPPrefix(address: $0, length: Int(header.byte(2))) }
      case 3: inputInterface = attribute.string
      case 4: target = attribute.integer()
      case 6: priority = attribute.integer()
      case 10: mark = attribute.integer()
      case 14: suppressedPrefixLength = attribute.integer(as: UInt32.self).flatMap { $0 == .max ? nil : $0 }
      case 15: table = attribute.integer() ?? table
      case 16: markMask = attribute.integer()
      case 17: outputInterface = attribute.string
      case 19: usesVRF = attribute.flag ?? false
      case 20: userIDs = Self.range(attribute, of: UInt32.self)
      case 21: `protocol` = attribute.integer().map(RouteProtocol.init(rawValue:))
      case 22: ipProtocol = attribute.integer()
      case 23: sourcePorts = Self.range(attribute, of: UInt16.self)
      case 24: destinationPorts = Self.range(attribute, of: UInt16.self)
      default: break
      }
    }
  }

  private static func range<T: FixedWidthInteger & BitwiseCopyable>(
    _ attribute: Attribute, of: T.Type
  ) -> ClosedRange<T>? {
    let size = MemoryLayout<T>.size
    guard let bounds = FixedHeader(attribute.value, size: 2 * size) else { return nil }
    let (lower, upper) = (bounds.load(0, as: T.self), bounds.load(size, as: T.self))
    return lower <= upper ? lower...upper : nil
  }
}
