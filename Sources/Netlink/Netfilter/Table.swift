/// A table: the name under which chains and sets live, and the family of the packets they see.
///
/// Chains, rules and sets refer to a table by its value; only family and name matter then.
public struct Table: Hashable, Sendable, CustomStringConvertible {
  /// `NFT_TABLE_F_*`.
  public struct Flags: OptionSet, Hashable, Sendable {
    /// The bits as on the wire.
    public var rawValue: UInt32
    /// The bits as on the wire.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The base chains are not called.
    public static let dormant = Self(rawValue: 1)
    /// The table belongs to the socket that made it, and goes with it.
    public static let owner = Self(rawValue: 2)
  }

  /// Which packets.
  public var family: NetfilterFamily
  /// Up to 255 bytes.
  public var name: String
  /// What is special about it.
  public var flags: Flags
  /// Shown by `nft list`; kept by the kernel from Linux 5.10.
  public var comment: String?
  /// The kernel's number for it; nil for a value that was not listed.
  public var handle: UInt64?
  /// How many chains, sets and objects it holds; nil for a value that was not listed.
  public var useCount: UInt32?

  /// A table to be made, or to be referred to.
  public init(_ family: NetfilterFamily, _ name: String, flags: Flags = [], comment: String? = nil) {
    self.family = family
    self.name = name
    self.flags = flags
    self.comment = comment
  }

  /// As nft names it in a command: `inet cni`.
  public var reference: String { "\(family) \(name)" }

  /// As in `nft add table …`: `table inet cni { comment "…"; }`.
  public var description: String {
    var body: [String] = []
    var words: [String] = []
    if flags.contains(.dormant) { words.append("dormant") }
    if flags.contains(.owner) { words.append("owner") }
    if !words.isEmpty { body.append("flags \(words.joined(separator: ","));") }
    if let comment { body.append("comment \"\(comment)\";") }
    return "table \(reference)" + (body.isEmpty ? "" : " { \(body.joined(separator: " ")) }")
  }

  func encodeReference(into builder: inout MessageBuilder) {
    builder.attribute(1, string: name)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, string: name)
    builder.attribute(2, bigEndian: flags.rawValue)
    if let comment { builder.attribute(6, bytes: UserData.bytes(comment: comment)) }
  }

  /// Reads an `NFT_MSG_NEWTABLE`; nil for what is not one.
  init?(_ message: ReceivedMessage) {
    guard let family = message.netfilterFamily else { return nil }
    let attributes = message.netfilterAttributes
    guard let name = attributes[1]?.string else { return nil }
    self.init(family, name)
    for attribute in attributes {
      switch attribute.type {
      case 2: flags = Flags(rawValue: attribute.bigEndian() ?? 0)
      case 3: useCount = attribute.bigEndian()
      case 4: handle = attribute.bigEndian()
      case 6: comment = UserData.text(in: attribute)
      default: break
      }
    }
  }
}

extension ReceivedMessage {
  /// `nfgen_family` of `struct nfgenmsg`.
  var netfilterFamily: NetfilterFamily? {
    payload.first.flatMap(NetfilterFamily.init(rawValue:))
  }

  /// What follows `struct nfgenmsg`.
  var netfilterAttributes: Attributes { attributes(after: 4) }
}
