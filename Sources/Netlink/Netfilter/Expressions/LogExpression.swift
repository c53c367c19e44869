/// `log`: says so in the kernel's log (`enum nft_log_attributes`).
public struct LogExpression: Hashable, Sendable {
  /// What the line begins with.
  public var prefix: String?
  /// The syslog level, 0 to 7; nil: 4, a warning.
  public var level: UInt32?
  /// The nfnetlink group to send the packet to instead.
  public var group: UInt16?

  /// Logs.
  public init(prefix: String? = nil, level: UInt32? = nil, group: UInt16? = nil) {
    self.prefix = prefix
    self.level = level
    self.group = group
  }

  init(_ fields: Attributes) {
    let prefix = fields[2]?.string ?? ""
    let level: UInt32? = fields[5]?.bigEndian()
    // The kernel gives the default level back.
    self.init(
      prefix: prefix.isEmpty ? nil : prefix, level: level == 4 ? nil : level, group: fields[1]?.bigEndian())
  }

  func encode(into builder: inout MessageBuilder) {
    if let group { builder.attribute(1, bigEndian: group) }
    if let prefix { builder.attribute(2, string: prefix) }
    if let level { builder.attribute(5, bigEndian: level) }
  }

  /// As nft writes it.
  var text: String {
    var text = "log"
    if let prefix { text += " prefix \"\(prefix)\"" }
    if let group { text += " group \(group)" }
    if let level {
      let names = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"]
      text += " level \(Int(level) < names.count ? names[Int(level)] : String(level))"
    }
    return text
  }
}

/// `reject`: refuses, and tells the sender (`enum nft_reject_attributes`).
public struct RejectExpression: Hashable, Sendable {
  /// `enum nft_reject_types`: 0 ICMP of the packet's family, 1 a TCP reset, 2 ICMP of either family.
  public var type: UInt32
  /// The ICMP code, or for type 2 `enum nft_reject_inet_code`.
  public var code: UInt8?

  /// `reject`, in a table of both families: port unreachable.
  public static let portUnreachable = RejectExpression(type: 2, code: 1)
  /// `reject with tcp reset`; the rule must have matched TCP before.
  public static let tcpReset = RejectExpression(type: 1, code: nil)

  /// Refuses.
  public init(type: UInt32, code: UInt8?) {
    self.type = type
    self.code = code
  }

  init?(_ fields: Attributes) {
    guard let type: UInt32 = fields[1]?.bigEndian() else { return nil }
    self.init(type: type, code: fields[2]?.integer())
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, bigEndian: type)
    if let code { builder.attribute(2, code) }
  }

  /// As nft writes it.
  func text(family: NetfilterFamily) -> String {
    switch (type, code) {
    case (1, _): "reject with tcp reset"
    case (2, 1): "reject"
    case (0, 3) where family == .ip, (0, 4) where family == .ip6: "reject"
    case (2, 0): "reject with icmpx no-route"
    case (2, 2): "reject with icmpx host-unreachable"
    case (2, 3): "reject with icmpx admin-prohibited"
    default: "reject with \(family == .ip6 ? "icmpv6" : "icmp") \(code ?? 0)"
    }
  }
}
