/// A veth pair as seen from one of its ends.
public struct VethSettings: Hashable, Sendable {
  /// The other end. Created together with the link; may be in another namespace, with a name, MTU, MAC, index and
  /// queues of its own. An MTU that is not said is the kernel's default, not that of the near end.
  ///
  /// It cannot be switched on at creation (`ENOTCONN`: it is made before the two are joined). The near end can.
  public var peer: LinkSpecification

  /// A pair with that other end.
  public init(peer: LinkSpecification) { self.peer = peer }
}

extension LinkKind {
  /// A pair of links: what one sends, the other receives. Either goes when the other does.
  public static func veth(_ settings: VethSettings) -> LinkKind {
    LinkKind("veth") { data in
      data.nested(1, flagged: false) { settings.peer.encode(into: &$0) }  // VETH_INFO_PEER
    }
  }

  /// A pair of links, the other of which is `peer`.
  public static func veth(peer: LinkSpecification) -> LinkKind { .veth(VethSettings(peer: peer)) }
}

extension Link {
  /// The index of the other end of a veth pair, in the namespace `linkNamespaceID`; nil for other kinds.
  public var vethPeer: Int32? { kind == "veth" ? link : nil }
}
