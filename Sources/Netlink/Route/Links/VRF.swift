/// Settings of a VRF (`IFLA_VRF_*` of `linux/if_link.h`). What is nil is not touched.
public struct VRFSettings: Hashable, Sendable {
  /// `IFLA_VRF_TABLE`: the routing table of what belongs to it. Needed at creation, and not to be changed afterwards.
  public var table: UInt32?

  /// Settings in the order of the kernel's numbers.
  public init(table: UInt32? = nil) { self.table = table }

  func encode(into builder: inout MessageBuilder) { builder.attribute(1, ifPresent: table) }

  /// Reads settings; those that are not there, or not as wide as they should be, stay nil.
  public init(_ attributes: Attributes) { table = attributes[1].flatMap { $0.integer() } }
}

extension LinkKind {
  /// A routing domain: links that have it as their `master` use its table and no other.
  ///
  /// A link that is up goes down and up again when it joins or leaves, and with that loses its routes and, unless it is
  /// set to keep them, its IPv6 addresses. The first VRF of a namespace brings the rule of priority 1000 that looks up
  /// these tables; it stays.
  public static func vrf(_ settings: VRFSettings) -> LinkKind {
    LinkKind("vrf") { settings.encode(into: &$0) }
  }
}

extension Link {
  /// The settings of a VRF; nil for other kinds.
  public var vrf: VRFSettings? { kind == "vrf" ? kindData.map(VRFSettings.init) : nil }
}
