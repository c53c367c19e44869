/// Settings of a VLAN interface (`IFLA_VLAN_*` of `linux/if_link.h`). What is nil is not touched.
public struct VLANSettings: Hashable, Sendable {
  /// `IFLA_VLAN_ID`: 0 to 4094, needed at creation. On one link each has its own (`EEXIST`), per protocol. 0: frames with a
  /// priority and without a VLAN.
  public var id: UInt16?
  /// `IFLA_VLAN_PROTOCOL`: 0x8100 (802.1Q) or 0x88a8 (802.1ad); nil at creation: 0x8100.
  public var `protocol`: UInt16?

  /// Settings in the order of the kernel's numbers.
  public init(id: UInt16? = nil, protocol: UInt16? = nil) {
    self.id = id
    self.protocol = `protocol`
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, ifPresent: id)
    builder.attribute(5, ifPresent: `protocol`?.bigEndian)
  }

  /// Reads settings; those that are not there, or not as wide as they should be, stay nil.
  public init(_ attributes: Attributes) {
    id = attributes[1].flatMap { $0.integer() }
    `protocol` = attributes[5].flatMap { $0.bigEndian() }
  }
}

extension LinkKind {
  /// An interface for the frames of another one, `LinkSpecification.link`, that carry the tag of one VLAN; it is off as
  /// long as the other is (`ENETDOWN`).
  public static func vlan(_ settings: VLANSettings) -> LinkKind {
    LinkKind("vlan") { settings.encode(into: &$0) }
  }
}

extension Link {
  /// The settings of a VLAN interface; nil for other kinds.
  public var vlan: VLANSettings? { kind == "vlan" ? kindData.map(VLANSettings.init) : nil }
}
