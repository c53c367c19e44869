import NetworkAddresses

/// Changes to a link that exists. What is nil stays as it is.
///
/// The kernel applies one after the other; those before one that fails remain.
public struct LinkChange: Hashable, Sendable {
  /// A new name. Of a link selected by name, `RouteSocket` looks the index up first: it must exist before the
  /// batch then.
  public var name: String?
  /// Bytes.
  public var mtu: UInt32?
  /// Some drivers refuse while the link is up (`EBUSY`).
  public var mac: MACAddress?
  /// On or off.
  public var isUp: Bool?
  /// Index of the new master; 0: none any more.
  public var master: Int32?
  /// At most 255 bytes; empty: none any more (`IFLA_IFALIAS`).
  public var alias: String?
  /// A descriptor of the network namespace to move to.
  public var namespace: Int32?
  /// Packets (`IFLA_TXQLEN`).
  public var transmitQueueLength: UInt32?
  /// `IFF_PROMISC`.
  public var isPromiscuous: Bool?
  /// `IFF_ALLMULTI`.
  public var receivesAllMulticast: Bool?
  /// Whether addresses are resolved: the opposite of `IFF_NOARP`.
  public var resolvesAddresses: Bool?
  /// `IFLA_GROUP`.
  public var group: UInt32?
  /// Settings of its kind, which must be the kind it has.
  public var kind: LinkKind?

  /// Leaves as it is what is not said.
  public init(
    name: String? = nil, mtu: UInt32? = nil, mac: MACAddress? = nil, isUp: Bool? = nil, master: Int32? = nil,
    alias: String? = nil, namespace: Int32? = nil, transmitQueueLength: UInt32? = nil,
    isPromiscuous: Bool? = nil, receivesAllMulticast: Bool? = nil, resolvesAddresses: Bool? = nil,
    group: UInt32? = nil, kind: LinkKind? = nil
  ) {
    self.name = name
    self.mtu = mtu
    self.mac = mac
    self.isUp = isUp
    self.master = master
    self.alias = alias
    self.namespace = namespace
    self.transmitQueueLength = transmitQueueLength
    self.isPromiscuous = isPromiscuous
    self.receivesAllMulticast = receivesAllMulticast
    self.resolvesAddresses = resolvesAddresses
    self.group = group
    self.kind = kind
  }

  func encode(_ link: LinkSelector, into builder: inout MessageBuilder) {
    var flags: LinkFlags = []
    var mask: LinkFlags = []
    func set(_ flag: LinkFlags, _ value: Bool?) {
      guard let value else { return }
      mask.insert(flag)
      if value { flags.insert(flag) }
    }
    set(.up, isUp)
    set(.promiscuous, isPromiscuous)
    set(.allMulticast, receivesAllMulticast)
    set(.noARP, resolvesAddresses.map { !$0 })

    builder.linkHeader(index: link.index, flags: flags, change: mask)
    builder.attribute(LinkAttribute.mtu, ifPresent: mtu)
    if let mac { builder.attribute(LinkAttribute.address, mac) }
    builder.attribute(LinkAttribute.transmitQueueLength, ifPresent: transmitQueueLength)
    builder.attribute(LinkAttribute.group, ifPresent: group)
    builder.attribute(LinkAttribute.master, ifPresent: master)
    // Without a NUL: the kernel would take it for a part of the text.
    if let alias { builder.attribute(LinkAttribute.alias, bytes: alias.utf8) }
    builder.attribute(LinkAttribute.namespaceDescriptor, ifPresent: namespace)
    link.encodeName(into: &builder)
    if case .index = link, let name { builder.attribute(LinkAttribute.name, string: name) }
    kind?.encode(into: &builder)
  }
}
