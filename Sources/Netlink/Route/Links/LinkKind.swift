/// What a link is, and its settings as the kernel's driver takes them: `IFLA_INFO_KIND` and `IFLA_INFO_DATA`.
///
/// Each kind lives in a file of its own, which says how its settings are written (an extension of this type) and
/// read (an extension of `Link`). A kind that is not here can be made with the initializer.
public struct LinkKind: Hashable, Sendable {
  /// The driver's name: `bridge`.
  public let name: String
  /// The attributes inside `IFLA_INFO_DATA`; none: it is not sent.
  let data: MessageBuilder

  /// A kind by name, with the attributes that `settings` appends.
  public init(_ name: String, settings: (inout MessageBuilder) -> Void = { _ in }) {
    self.name = name
    var builder = MessageBuilder(capacity: 0)
    settings(&builder)
    data = builder
  }

  /// The settings as attributes, as they would be read.
  public var attributes: Attributes { Attributes(data.bytes[...]) }

  /// Appends `IFLA_LINKINFO`.
  func encode(into builder: inout MessageBuilder) {
    builder.nested(LinkAttribute.linkInfo, flagged: false) { info in
      info.attribute(1, bytes: name.utf8)  // IFLA_INFO_KIND
      if !data.bytes.isEmpty || data.isOversized {
        info.nested(2, flagged: false) { $0.append(data) }  // IFLA_INFO_DATA
      }
    }
  }
}
