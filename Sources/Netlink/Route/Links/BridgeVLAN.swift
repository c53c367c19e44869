/// VLANs that a bridge port, or the bridge itself, is a member of. They mean something once the bridge filters VLANs.
public struct BridgeVLAN: Hashable, Sendable {
  /// IDs, 1–4094.
  public var ids: ClosedRange<UInt16>
  /// Untagged packets that come in belong to it (`BRIDGE_VLAN_INFO_PVID`); for one ID, not for several.
  public var isPVID: Bool
  /// Packets leave without a tag (`BRIDGE_VLAN_INFO_UNTAGGED`).
  public var isUntagged: Bool
  /// The membership is that of the bridge itself, not of a port (`BRIDGE_FLAGS_SELF`). Not set when read.
  public var isSelf: Bool

  /// Membership in a range of VLANs.
  public init(
    ids: ClosedRange<UInt16>, isPVID: Bool = false, isUntagged: Bool = false, isSelf: Bool = false
  ) {
    self.ids = ids
    self.isPVID = isPVID
    self.isUntagged = isUntagged
    self.isSelf = isSelf
  }

  /// Membership in one VLAN.
  public init(id: UInt16, isPVID: Bool = false, isUntagged: Bool = false, isSelf: Bool = false) {
    self.init(ids: id...id, isPVID: isPVID, isUntagged: isUntagged, isSelf: isSelf)
  }

  // BRIDGE_VLAN_INFO_* of linux/if_bridge.h
  private static let pvid: UInt16 = 2
  private static let untagged: UInt16 = 4
  private static let rangeBegin: UInt16 = 8
  private static let rangeEnd: UInt16 = 16

  /// The body of an `RTM_SETLINK` or `RTM_DELLINK` of the bridge family.
  func encode(index: Int32, into builder: inout MessageBuilder) {
    builder.linkHeader(family: bridgeFamily, index: index)
    builder.nested(LinkAttribute.familySpecific, flagged: false) { spec in
      if isSelf { spec.attribute(0, UInt16(2)) }  // IFLA_BRIDGE_FLAGS: BRIDGE_FLAGS_SELF
      let flags = (isPVID ? Self.pvid : 0) | (isUntagged ? Self.untagged : 0)
      if ids.count == 1 {
        Self.append(flags, ids.lowerBound, to: &spec)
      } else {
        Self.append(flags | Self.rangeBegin, ids.lowerBound, to: &spec)
        Self.append(flags | Self.rangeEnd, ids.upperBound, to: &spec)
      }
    }
  }

  /// `IFLA_BRIDGE_VLAN_INFO`: `struct bridge_vlan_info`.
  private static func append(_ flags: UInt16, _ id: UInt16, to spec: inout MessageBuilder) {
    spec.header(2, payload: 4)
    spec.append(flags)
    spec.append(id)
  }

  /// The memberships in an `RTM_NEWLINK` of the bridge family, and whose they are; nil if it is something else.
  public static func decode(_ message: ReceivedMessage) -> (index: Int32, vlans: [BridgeVLAN])? {
    guard message.type == RouteMessageType.newLink, let header = FixedHeader(message.payload, size: 16),
      header.byte(0) == bridgeFamily
    else { return nil }
    var vlans: [BridgeVLAN] = []
    var begin: UInt16?
    for entry in message.attributes(after: 16)[LinkAttribute.familySpecific]?.nested ?? Attributes([])
    where entry.type == 2 {
      guard let info = FixedHeader(entry.value, size: 4) else { continue }
      let (flags, id) = (info.load(0, as: UInt16.self), info.load(2, as: UInt16.self))
      if flags & rangeBegin != 0 {
        begin = id
        continue
      }
      let first = flags & rangeEnd != 0 ? min(begin ?? id, id) : id
      begin = nil
      vlans.append(
        BridgeVLAN(ids: first...id, isPVID: flags & pvid != 0, isUntagged: flags & untagged != 0))
    }
    return (header.load(4), vlans)
  }
}
