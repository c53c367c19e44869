import NetworkAddresses

/// A link to be created, or the other end of a pair that is created with it (`kind` is of no meaning then).
///
/// All of it takes effect in one step. The alias is not among these: kernels ignore it at creation. It is set with
/// `.changeLink(.name(…), LinkChange(alias: …))`, which may travel in the same batch.
public struct LinkSpecification: Hashable, Sendable {
  /// At most 15 bytes. Empty: the kernel chooses one.
  public var name: String
  /// What it is, and the settings of that kind.
  public var kind: LinkKind?
  /// nil: the kernel chooses one. One that is taken is refused (`EBUSY`, or `EEXIST`).
  public var index: Int32?
  /// Bytes.
  public var mtu: UInt32?
  /// nil: random, or that of the link below.
  public var mac: MACAddress?
  /// Packets (`IFLA_TXQLEN`).
  public var transmitQueueLength: UInt32?
  /// `IFLA_NUM_TX_QUEUES`.
  public var transmitQueues: UInt32?
  /// `IFLA_NUM_RX_QUEUES`.
  public var receiveQueues: UInt32?
  /// `IFLA_GROUP`.
  public var group: UInt32?
  /// Index of the bridge or other master that it becomes a port of. Not for the other end of a pair.
  public var master: Int32?
  /// Index of the link it stands on (`IFLA_LINK`).
  public var link: Int32?
  /// The namespace that `link` is in, as that of the socket counts others (`IFLA_LINK_NETNSID`); nil: the socket's own.
  /// Before Linux 6.14 the name must be free there, too.
  public var linkNamespaceID: Int32?
  /// A descriptor of the network namespace it is created in; nil: that of the socket.
  public var namespace: Int32?
  /// Whether it is switched on. Not for the other end of a pair.
  public var isUp: Bool

  /// Leaves to the kernel what is not said.
  public init(
    name: String, kind: LinkKind? = nil, index: Int32? = nil, mtu: UInt32? = nil, mac: MACAddress? = nil,
    transmitQueueLength: UInt32? = nil, group: UInt32? = nil, master: Int32? = nil, link: Int32? = nil,
    linkNamespaceID: Int32? = nil, namespace: Int32? = nil, isUp: Bool = false
  ) {
    self.name = name
    self.kind = kind
    self.index = index
    self.mtu = mtu
    self.mac = mac
    self.transmitQueueLength = transmitQueueLength
    self.group = group
    self.master = master
    self.link = link
    self.linkNamespaceID = linkNamespaceID
    self.namespace = namespace
    self.isUp = isUp
  }

  /// So many queues in each direction.
  ///
  /// For veth since Linux 5.14: left to itself the kernel makes one for each possible processor, then uses one of them,
  /// and waits for a grace period of its readers for each of the two changes of mind (`netif_set_real_num_tx_queues`).
  public mutating func setQueues(_ number: UInt32) {
    transmitQueues = number
    receiveQueues = number
  }

  /// Header and attributes, without the message around them: a link's body, or the value of one end of a pair.
  func encode(into builder: inout MessageBuilder) {
    builder.linkHeader(index: index ?? 0, flags: isUp ? .up : [], change: isUp ? .up : [])
    builder.attribute(LinkAttribute.mtu, ifPresent: mtu)
    if let mac { builder.attribute(LinkAttribute.address, mac) }
    builder.attribute(LinkAttribute.transmitQueueLength, ifPresent: transmitQueueLength)
    builder.attribute(LinkAttribute.transmitQueues, ifPresent: transmitQueues)
    builder.attribute(LinkAttribute.receiveQueues, ifPresent: receiveQueues)
    builder.attribute(LinkAttribute.group, ifPresent: group)
    builder.attribute(LinkAttribute.master, ifPresent: master)
    builder.attribute(LinkAttribute.namespaceDescriptor, ifPresent: namespace)
    builder.attribute(LinkAttribute.linkNamespaceID, ifPresent: linkNamespaceID)
    builder.attribute(LinkAttribute.link, ifPresent: link)
    if !name.isEmpty { builder.attribute(LinkAttribute.name, string: name) }
    kind?.encode(into: &builder)
  }
}
