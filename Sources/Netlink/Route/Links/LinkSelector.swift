/// Attributes of links (`IFLA_*` of `linux/if_link.h`) that are written or read here.
enum LinkAttribute {
  static let address: UInt16 = 1
  static let name: UInt16 = 3
  static let mtu: UInt16 = 4
  static let link: UInt16 = 5
  static let master: UInt16 = 10
  static let transmitQueueLength: UInt16 = 13
  static let operationalState: UInt16 = 16
  static let linkInfo: UInt16 = 18
  static let alias: UInt16 = 20
  static let familySpecific: UInt16 = 26
  static let group: UInt16 = 27
  static let namespaceDescriptor: UInt16 = 28
  static let extensionMask: UInt16 = 29
  static let promiscuity: UInt16 = 30
  static let transmitQueues: UInt16 = 31
  static let receiveQueues: UInt16 = 32
  static let linkNamespaceID: UInt16 = 37
  static let minimumMTU: UInt16 = 50
  static let maximumMTU: UInt16 = 51
  static let properties: UInt16 = 52
  static let alternativeName: UInt16 = 53
  static let permanentAddress: UInt16 = 54
  static let parentDeviceName: UInt16 = 56
  static let parentDeviceBus: UInt16 = 57
}

/// A link by index or by name. Of a name the kernel itself finds the link; nothing is looked up beforehand.
public enum LinkSelector: Hashable, Sendable {
  /// The index (`ifi_index`), positive.
  case index(Int32)
  /// The name, or one of the alternative names.
  case name(String)

  /// For `ifi_index`: 0 if there is only a name.
  var index: Int32 {
    switch self {
    case .index(let index): index
    case .name: 0
    }
  }

  func encodeName(into builder: inout MessageBuilder) {
    guard case .name(let name) = self else { return }
    // What does not fit IFNAMSIZ can only be an alternative name.
    builder.attribute(name.utf8.count > 15 ? LinkAttribute.alternativeName : LinkAttribute.name, string: name)
  }

  /// Header and `IFLA_PROP_LIST`.
  func encode(alternativeName name: String, into builder: inout MessageBuilder) {
    builder.linkHeader(index: index)
    encodeName(into: &builder)
    builder.nested(LinkAttribute.properties) { $0.attribute(LinkAttribute.alternativeName, string: name) }
  }

  func operation(_ action: String, kind: String = "") -> NetlinkOperation {
    switch self {
    case .index(let index): NetlinkOperation(action, index: index, kind: kind)
    case .name(let name): NetlinkOperation(action, name, kind: kind)
    }
  }
}

extension MessageBuilder {
  /// `struct ifinfomsg`.
  mutating func linkHeader(
    family: UInt8 = 0, index: Int32 = 0, flags: LinkFlags = [], change: LinkFlags = []
  ) {
    append(family)
    append(UInt8(0))
    append(UInt16(0))
    append(index)
    append(flags.rawValue)
    append(change.rawValue)
  }
}
