/// A filter: what becomes of the packets that it matches (`RTM_NEWTFILTER`). A qdisc asks its filters in the order of
/// their priorities, the lowest number first.
public struct TrafficFilter: Hashable, Sendable {
  /// `ETH_P_ALL`, as ``protocol``: packets of every protocol.
  public static let allProtocols: UInt16 = 3

  /// Index of the link.
  public var link: Int32
  /// The qdisc that asks it: `.received` or `.sent`, or one with classes.
  public var parent: TrafficHandle
  /// Its place in the order; the filters of a priority are of one kind and one protocol. 0: the kernel chooses one.
  public var priority: UInt16
  /// The EtherType of the packets it looks at (`ETH_P_*`), in host byte order.
  public var `protocol`: UInt16
  /// Its number among those of its priority, in a form of its kind's. 0: the kernel chooses one.
  public var handle: UInt32
  /// `TCA_CHAIN`; nil: the first.
  public var chain: UInt32?
  /// What it is.
  public var kind: TrafficKind

  /// A filter of a qdisc.
  public init(
    link: Int32, parent: TrafficHandle, priority: UInt16 = 0, protocol: UInt16 = allProtocols,
    handle: UInt32 = 0,
    chain: UInt32? = nil, kind: TrafficKind
  ) {
    self.link = link
    self.parent = parent
    self.priority = priority
    self.protocol = `protocol`
    self.handle = handle
    self.chain = chain
    self.kind = kind
  }

  /// Reads an `RTM_NEWTFILTER`; nil for anything else.
  ///
  /// A dump also has entries that match nothing: see ``isStructure``.
  public init?(_ message: ReceivedMessage) {
    guard let header = TrafficHeader(message, type: RouteMessageType.newFilter) else { return nil }
    link = header.link
    parent = header.parent
    priority = UInt16(header.info >> 16)
    `protocol` = UInt16(truncatingIfNeeded: header.info).byteSwapped
    handle = header.handle
    chain = header.chain
    kind = header.kind
  }

  /// The same filter as something to delete.
  public var selector: TrafficFilterSelector {
    TrafficFilterSelector(
      link: link, parent: parent, priority: priority, protocol: `protocol`, handle: handle, chain: chain,
      kind: kind.name)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.trafficHeader(
      link: link, handle: handle, parent: parent,
      info: UInt32(priority) << 16 | UInt32(`protocol`.byteSwapped))
    builder.attribute(TrafficAttribute.chain, ifPresent: chain)
    kind.encode(into: &builder)
  }
}

/// One filter, those of one priority, or all filters of a qdisc.
public struct TrafficFilterSelector: Hashable, Sendable {
  /// Index of the link.
  public var link: Int32
  /// The qdisc.
  public var parent: TrafficHandle
  /// 0: those of all priorities.
  public var priority: UInt16
  /// As the filter has it; 0 where the priority is.
  public var `protocol`: UInt16
  /// 0: all of the priority.
  public var handle: UInt32
  /// `TCA_CHAIN`; nil: the first.
  public var chain: UInt32?
  /// The kind's name, needed with a handle.
  public var kind: String

  /// What is not said is not looked at.
  public init(
    link: Int32, parent: TrafficHandle, priority: UInt16 = 0, protocol: UInt16 = 0, handle: UInt32 = 0,
    chain: UInt32? = nil, kind: String = ""
  ) {
    self.link = link
    self.parent = parent
    self.priority = priority
    self.protocol = `protocol`
    self.handle = handle
    self.chain = chain
    self.kind = kind
  }

  func encode(into builder: inout MessageBuilder) {
    builder.trafficHeader(
      link: link, handle: handle, parent: parent,
      info: UInt32(priority) << 16 | UInt32(`protocol`.byteSwapped))
    builder.attribute(TrafficAttribute.chain, ifPresent: chain)
    TrafficKind(kind).encode(into: &builder)
  }
}
