/// A queueing discipline: what decides when a link sends which packet (`RTM_NEWQDISC`).
public struct Qdisc: Hashable, Sendable {
  /// Index of the link.
  public var link: Int32
  /// Where it is attached: `.root`, `.ingress`, or a class.
  public var parent: TrafficHandle
  /// Its number. When it is made, nil or `.unspecified`: the kernel chooses one.
  public var handle: TrafficHandle
  /// What it is.
  public var kind: TrafficKind

  /// A qdisc of a link.
  public init(
    link: Int32, parent: TrafficHandle = .root, handle: TrafficHandle = .unspecified, kind: TrafficKind
  ) {
    self.link = link
    self.parent = parent
    self.handle = handle
    self.kind = kind
  }

  /// Whether it came with the link, and nobody has asked for it.
  public var isDefault: Bool { handle == .unspecified }

  /// Reads an `RTM_NEWQDISC`; nil for anything else.
  public init?(_ message: ReceivedMessage) {
    guard let header = TrafficHeader(message, type: RouteMessageType.newQdisc) else { return nil }
    link = header.link
    parent = header.parent
    handle = TrafficHandle(rawValue: header.handle)
    kind = header.kind
  }

  func encode(into builder: inout MessageBuilder) {
    builder.trafficHeader(link: link, handle: handle.rawValue, parent: parent)
    kind.encode(into: &builder)
  }
}

/// A class: a share of a qdisc that has several (`RTM_NEWTCLASS`).
public struct TrafficClass: Hashable, Sendable {
  /// Index of the link.
  public var link: Int32
  /// The qdisc, or the class above.
  public var parent: TrafficHandle
  /// Its number; the major half is that of the qdisc.
  public var handle: TrafficHandle
  /// What it is: a kind with the qdisc's name.
  public var kind: TrafficKind

  /// A class of a qdisc.
  public init(link: Int32, parent: TrafficHandle, handle: TrafficHandle, kind: TrafficKind) {
    self.link = link
    self.parent = parent
    self.handle = handle
    self.kind = kind
  }

  /// Reads an `RTM_NEWTCLASS`; nil for anything else.
  public init?(_ message: ReceivedMessage) {
    guard let header = TrafficHeader(message, type: RouteMessageType.newClass) else { return nil }
    link = header.link
    parent = header.parent
    handle = TrafficHandle(rawValue: header.handle)
    kind = header.kind
  }

  func encode(into builder: inout MessageBuilder) {
    builder.trafficHeader(link: link, handle: handle.rawValue, parent: parent)
    kind.encode(into: &builder)
  }
}
