import NetworkAddresses

/// A connection that the kernel tracks (`IPCTNL_MSG_CT_NEW` of `linux/netfilter/nfnetlink_conntrack.h`).
public struct ConntrackEntry: Hashable, Sendable, CustomStringConvertible {
  /// What the first packet was, as it came.
  public var original: ConntrackTuple
  /// What an answer is, as it comes: where addresses are translated, not just `original` turned around.
  public var reply: ConntrackTuple
  /// What happened to it.
  public var status: ConnectionStatus
  /// Its mark.
  public var mark: UInt32
  /// Seconds until it is forgotten, unless packets come.
  public var timeout: UInt32
  /// The zone, 0 unless somebody uses zones.
  public var zone: UInt16
  /// The kernel's number for it, which a later connection between the same ends does not have; nil for a value that was
  /// not listed.
  public var id: UInt32?

  /// A connection.
  public init(
    original: ConntrackTuple, reply: ConntrackTuple, status: ConnectionStatus = [], mark: UInt32 = 0,
    timeout: UInt32 = 0, zone: UInt16 = 0, id: UInt32? = nil
  ) {
    self.original = original
    self.reply = reply
    self.status = status
    self.mark = mark
    self.timeout = timeout
    self.zone = zone
    self.id = id
  }

  /// Nearly as `conntrack -L` prints it.
  public var description: String {
    "\(original.transport) \(timeout) \(original) \(status.contains(.seenReply) ? "" : "[UNREPLIED] ")\(reply) mark=\(mark)"
  }

  /// Reads an `IPCTNL_MSG_CT_NEW`; nil for what is not one.
  init?(_ message: ReceivedMessage) {
    guard message.type == ConntrackMessage.subsystem else { return nil }
    let attributes = message.netfilterAttributes
    guard let original = attributes[1].flatMap({ ConntrackTuple($0.nested) }),
      let reply = attributes[2].flatMap({ ConntrackTuple($0.nested) })
    else { return nil }
    self.init(original: original, reply: reply)
    for attribute in attributes {
      switch attribute.type {
      case 3: status = ConnectionStatus(rawValue: attribute.bigEndian() ?? 0)
      case 7: timeout = attribute.bigEndian() ?? 0
      case 8: mark = attribute.bigEndian() ?? 0
      case 12: id = attribute.bigEndian()
      case 18: zone = attribute.bigEndian() ?? 0
      default: break
      }
    }
  }

  /// Appends what the kernel needs to find it, and nothing but it.
  func encodeReference(into builder: inout MessageBuilder) {
    builder.netfilterHeader(original.source.family.netfilter)
    builder.nested(1) { original.encode(into: &$0) }
    if let id { builder.attribute(12, bigEndian: id) }
    if zone != 0 { builder.attribute(18, bigEndian: zone) }
  }
}

/// Numbers of ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`).
enum ConntrackMessage {
  /// `NFNL_SUBSYS_CTNETLINK` in the upper byte of a message type; as such, `IPCTNL_MSG_CT_NEW`.
  static let subsystem: UInt16 = 1 << 8
  /// `IPCTNL_MSG_CT_GET`.
  static let get: UInt16 = subsystem | 1
  /// `IPCTNL_MSG_CT_DELETE`.
  static let delete: UInt16 = subsystem | 2
}

extension AddressFamily {
  /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
  var netfilter: UInt8 { self == .ipv4 ? 2 : 10 }
}
