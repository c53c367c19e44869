/// Attributes of namespace IDs (`NETNSA_*` of `linux/net_namespace.h`).
enum NamespaceIDAttribute {
  static let id: UInt16 = 1
  static let descriptor: UInt16 = 3
}

extension MessageBuilder {
  /// `struct rtgenmsg`, and which namespace is meant.
  mutating func namespaceIDHeader(descriptor: Int32) {
    append(UInt32(0))
    attribute(NamespaceIDAttribute.descriptor, descriptor)
  }
}

extension RouteReply {
  init?(namespaceID message: ReceivedMessage) {
    guard message.type == RouteMessageType.newNamespaceID else { return nil }
    let id: Int32? = message.attributes(after: 4)[NamespaceIDAttribute.id].flatMap { $0.integer() }
    self = .namespaceID(id.flatMap { $0 < 0 ? nil : $0 })
  }
}

extension RouteSocket {
  /// The number by which this namespace knows another one, as in `Link.linkNamespaceID`; nil if it does not.
  public mutating func namespaceID(of descriptor: Int32) throws(NetlinkError) -> Int32? {
    guard case .namespaceID(let id) = try perform(.getNamespaceID(descriptor: descriptor)) else { return nil }
    return id
  }
}
