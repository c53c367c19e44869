/// What a queueing discipline, a class or a filter is, and its settings: `TCA_KIND` and `TCA_OPTIONS`.
///
/// Each kind lives in a file of its own, which says how its settings are written (an extension of this type) and read
/// (an extension of what carries it). A kind that is not here can be made with the initializer.
public struct TrafficKind: Hashable, Sendable {
  /// The kernel's name: `tbf`; empty: none is sent.
  public let name: String
  /// The attributes inside `TCA_OPTIONS`; nil: it is not sent.
  private let options: MessageBuilder?

  /// A kind by name, without settings.
  public init(_ name: String) {
    self.name = name
    options = nil
  }

  /// A kind by name, with the attributes that `settings` appends.
  public init(_ name: String, settings: (inout MessageBuilder) -> Void) {
    self.name = name
    var builder = MessageBuilder(capacity: 64)
    settings(&builder)
    options = builder
  }

  /// The settings as attributes, as they were read or would be; none for a kind whose settings are not attributes.
  public var attributes: Attributes { Attributes(options?.bytes[...] ?? []) }

  func encode(into builder: inout MessageBuilder) {
    if !name.isEmpty { builder.attribute(TrafficAttribute.kind, string: name) }
    if let options { builder.nested(TrafficAttribute.options, flagged: false) { $0.append(options) } }
  }
}

/// Attributes of traffic control (`TCA_*` of `linux/rtnetlink.h`).
enum TrafficAttribute {
  static let kind: UInt16 = 1
  static let options: UInt16 = 2
  static let chain: UInt16 = 11
  static let ingressBlock: UInt16 = 13
}

extension MessageBuilder {
  /// `struct tcmsg`.
  mutating func trafficHeader(
    link: Int32, handle: UInt32 = 0, parent: TrafficHandle = .unspecified, info: UInt32 = 0
  ) {
    append(UInt32(0))
    append(link)
    append(handle)
    append(parent.rawValue)
    append(info)
  }
}

/// The fields that a qdisc, a class and a filter have in common.
struct TrafficHeader {
  let link: Int32
  let handle: UInt32
  let parent: TrafficHandle
  let info: UInt32
  let kind: TrafficKind
  let chain: UInt32?

  init?(_ message: ReceivedMessage, type: UInt16) {
    guard message.type == type, let header = FixedHeader(message.payload, size: 20) else { return nil }
    link = header.load(4)
    handle = header.load(8)
    parent = TrafficHandle(rawValue: header.load(12))
    info = header.load(16)
    var name = ""
    var options: ArraySlice<UInt8>?
    var chain: UInt32?
    for attribute in message.attributes(after: 20) {
      switch attribute.type {
      case TrafficAttribute.kind: name = attribute.string ?? ""
      case TrafficAttribute.options: options = attribute.value
      case TrafficAttribute.chain: chain = attribute.integer()
      default: break
      }
    }
    kind = options.map { value in TrafficKind(name) { $0.append(bytes: value) } } ?? TrafficKind(name)
    self.chain = chain
  }
}
