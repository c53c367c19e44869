/// A chain of rules: called by a hook if it has a `base`, else only by jumps from other chains of its table.
///
/// Rules refer to a chain by its value; only table and name matter then.
public struct Chain: Hashable, Sendable, CustomStringConvertible {
  /// What happens to a packet that no rule of a base chain decides about.
  public enum Policy: UInt32, Hashable, Sendable {
    /// It is dropped.
    case drop = 0
    /// It goes on.
    case accept = 1
  }

  /// How the kernel calls a base chain.
  public struct Base: Hashable, Sendable {
    /// What it may do.
    public var type: ChainType
    /// Where it is called.
    public var hook: NetfilterHook
    /// When, among the others of that hook.
    public var priority: ChainPriority
    /// What becomes of undecided packets; nil: not said, which means accept.
    public var policy: Policy?
    /// The device, for `.ingress` and `.egress`.
    public var device: String?

    /// Type, hook and priority, with the policy left open.
    public init(
      _ type: ChainType, hook: NetfilterHook, priority: ChainPriority, policy: Policy? = nil,
      device: String? = nil
    ) {
      self.type = type
      self.hook = hook
      self.priority = priority
      self.policy = policy
      self.device = device
    }
  }

  /// Where it lives.
  public var table: Table
  /// Up to 255 bytes.
  public var name: String
  /// Nil for a chain that only jumps reach.
  public var base: Base?
  /// Shown by `nft list`; kept by the kernel from Linux 5.10.
  public var comment: String?
  /// The kernel's number for it; nil for a value that was not listed.
  public var handle: UInt64?
  /// How many rules it holds plus how many jumps lead to it; nil for a value that was not listed.
  public var useCount: UInt32?

  /// A chain to be made, or to be referred to.
  public init(_ table: Table, _ name: String, base: Base? = nil, comment: String? = nil) {
    self.table = table
    self.name = name
    self.base = base
    self.comment = comment
  }

  /// As nft names it in a command: `inet cni postrouting`.
  public var reference: String { "\(table.reference) \(name)" }

  /// As in `nft add chain …`: `chain inet cni postrouting { type nat hook postrouting priority srcnat; }`.
  public var description: String {
    var body: [String] = []
    if let base {
      let device = base.device.map { " device \"\($0)\"" } ?? ""
      let priority = base.priority.text(family: table.family, hook: base.hook)
      body.append("type \(base.type.rawValue) hook \(base.hook.name)\(device) priority \(priority);")
      if let policy = base.policy { body.append("policy \(policy);") }
    }
    if let comment { body.append("comment \"\(comment)\";") }
    return "chain \(reference)" + (body.isEmpty ? "" : " { \(body.joined(separator: " ")) }")
  }

  func encodeReference(into builder: inout MessageBuilder) {
    builder.attribute(1, string: table.name)
    builder.attribute(3, string: name)
  }

  func encode(into builder: inout MessageBuilder) {
    encodeReference(into: &builder)
    if let base {
      builder.attribute(7, string: base.type.rawValue)
      if let policy = base.policy { builder.attribute(5, bigEndian: policy.rawValue) }
      builder.nested(4) {
        $0.attribute(1, bigEndian: base.hook.number(in: table.family))
        $0.attribute(2, bigEndian: base.priority.rawValue)
        if let device = base.device { $0.attribute(3, string: device) }
      }
    }
    if let comment { builder.attribute(12, bytes: UserData.bytes(comment: comment)) }
  }

  /// Reads an `NFT_MSG_NEWCHAIN`; nil for what is not one.
  init?(_ message: ReceivedMessage) {
    guard let family = message.netfilterFamily else { return nil }
    let attributes = message.netfilterAttributes
    guard let tableName = attributes[1]?.string, let name = attributes[3]?.string else { return nil }
    self.init(Table(family, tableName), name)
    var hook: Attributes?
    var type: ChainType?
    var policy: Policy?
    for attribute in attributes {
      switch attribute.type {
      case 2: handle = attribute.bigEndian()
      case 4: hook = attribute.nested
      case 5: policy = attribute.bigEndian().flatMap(Policy.init(rawValue:))
      case 6: useCount = attribute.bigEndian()
      case 7: type = attribute.string.flatMap(ChainType.init(rawValue:))
      case 12: comment = UserData.text(in: attribute)
      default: break
      }
    }
    guard let hook, let type, let number: UInt32 = hook[1]?.bigEndian(),
      let place = NetfilterHook(number: number, family: family)
    else { return }
    base = Base(
      type, hook: place, priority: .init(rawValue: hook[2]?.bigEndian() ?? 0), policy: policy,
      device: hook[3]?.string ?? hook[4]?.nested[1]?.string)
  }
}
