/// A named set, or with `data` a map from keys to verdicts or values. A look-up costs the same however many
/// elements there are.
///
/// Elements and rules refer to a set by its value or name; of the value only table and name matter then, and for
/// elements also whether it holds intervals and of how many parts its key is.
public struct NFTSet: Hashable, Sendable, CustomStringConvertible {
  /// `NFT_SET_*`, those a named set may have.
  public struct Flags: OptionSet, Hashable, Sendable {
    /// The bits as on the wire.
    public var rawValue: UInt32
    /// The bits as on the wire.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The content does not change once a rule refers to it.
    public static let constant = Self(rawValue: 2)
    /// The elements are ranges, prefixes or single keys.
    public static let interval = Self(rawValue: 4)
    /// The elements may go after a time.
    public static let timeout = Self(rawValue: 16)
    /// Rules may add elements.
    public static let dynamic = Self(rawValue: 32)
  }

  /// What a key leads to.
  public enum Target: Hashable, Sendable {
    /// A verdict: for `vmap`.
    case verdict
    /// A value of these types, concatenated if there are several: for `map`.
    case value([NFTType])
  }

  /// Where it lives.
  public var table: Table
  /// Up to 255 bytes.
  public var name: String
  /// The key's types, concatenated if there are several.
  public var key: [NFTType]
  /// Nil for a set, what its keys lead to for a map.
  public var data: Target?
  /// What is special about it.
  public var flags: Flags
  /// Milliseconds after which an element goes that does not say its own; needs `.timeout`.
  public var timeout: UInt64?
  /// At most that many elements; nil: no limit.
  public var size: UInt32?
  /// Shown by `nft list`.
  public var comment: String?
  /// The kernel's number for it; nil for a value that was not listed.
  public var handle: UInt64?

  /// A set to be made, or to be referred to.
  public init(
    _ table: Table, _ name: String, key: [NFTType], flags: Flags = [], timeout: UInt64? = nil,
    size: UInt32? = nil, comment: String? = nil
  ) {
    self.table = table
    self.name = name
    self.key = key
    self.flags = flags
    self.timeout = timeout
    self.size = size
    self.comment = comment
  }

  /// A map to be made, or to be referred to: `NFTSet.map(table, "sources4", [.ipv4Address], to: .verdict)`.
  public static func map(
    _ table: Table, _ name: String, _ key: [NFTType], to data: Target, flags: Flags = [],
    size: UInt32? = nil, comment: String? = nil
  ) -> NFTSet {
    var set = NFTSet(table, name, key: key, flags: flags, size: size, comment: comment)
    set.data = data
    return set
  }

  /// `set`, or `map`.
  public var kind: String { data == nil ? "set" : "map" }
  /// As nft names it in a command: `inet cni sources4`.
  public var reference: String { "\(table.reference) \(name)" }

  /// As in `nft add map …`: `map inet cni sources4 { type ipv4_addr : verdict; }`.
  public var description: String {
    var type = "type \(key.typeText)"
    switch data {
    case .verdict: type += " : verdict"
    case .value(let types): type += " : \(types.typeText)"
    case nil: break
    }
    var body = ["\(type);"]
    if let size { body.append("size \(size);") }
    let words = [
      (Flags.constant, "constant"), (.interval, "interval"), (.timeout, "timeout"), (.dynamic, "dynamic"),
    ]
    .filter { flags.contains($0.0) }.map(\.1)
    if !words.isEmpty { body.append("flags \(words.joined(separator: ","));") }
    if let timeout { body.append("timeout \(durationText(timeout));") }
    if let comment { body.append("comment \"\(comment)\";") }
    return "\(kind) \(reference) { \(body.joined(separator: " ")) }"
  }

  /// Ranges in several dimensions, which the kernel takes as one element with two keys.
  var isConcatenatedInterval: Bool { flags.contains(.interval) && key.count > 1 }

  func encodeReference(into builder: inout MessageBuilder) {
    builder.attribute(1, string: table.name)
    builder.attribute(2, string: name)
  }

  func encode(into builder: inout MessageBuilder, id: UInt32) {
    encodeReference(into: &builder)
    var bits = flags.rawValue
    if data != nil { bits |= 8 }
    if isConcatenatedInterval { bits |= 0x80 }
    builder.attribute(3, bigEndian: bits)
    builder.attribute(4, bigEndian: key.typeNumber)
    builder.attribute(5, bigEndian: UInt32(key.dataLength))
    switch data {
    case .verdict:
      builder.attribute(6, bigEndian: UInt32(0xffff_ff00))
      builder.attribute(7, bigEndian: UInt32(0))
    case .value(let types):
      builder.attribute(6, bigEndian: types.typeNumber)
      builder.attribute(7, bigEndian: UInt32(types.dataLength))
    case nil: break
    }
    builder.attribute(10, bigEndian: id)
    if size != nil || isConcatenatedInterval { encodeDescription(into: &builder) }
    if let timeout { builder.attribute(11, bigEndian: timeout) }
    builder.attribute(13, bytes: userData)
  }

  /// `NFTA_SET_DESC`: the size, and for intervals of concatenations the length of each part.
  private func encodeDescription(into builder: inout MessageBuilder) {
    builder.nested(9) {
      if let size { $0.attribute(1, bigEndian: size) }
      guard isConcatenatedInterval else { return }
      $0.nested(2) {
        for type in key { $0.nested(1) { $0.attribute(1, bigEndian: UInt32(type.length)) } }
      }
    }
  }

  /// `NFTNL_UDATA_SET_*`: what nft needs to print the elements right.
  private var userData: [UInt8] {
    func order(_ types: [NFTType]) -> [UInt8] {
      [UInt8](hostOrder: types.count == 1 ? types[0].byteOrder : 0)
    }
    // A concatenation, whose parts the type number gives (NFTNL_UDATA_SET_TYPEOF_*).
    let concatenation: [UInt8] = [8, 0, 4] + [UInt8](hostOrder: 13) + [1, 0]
    var bytes: [UInt8] = [0, 4] + order(key)
    var types: [NFTType] = []
    if let data {
      if case .value(let value) = data { types = value }
      bytes += [1, 4] + order(types)
    }
    if key.count > 1 { bytes += [3] + concatenation }
    if types.count > 1 { bytes += [4] + concatenation }
    if data != nil { bytes += [6, 4, 0, 0, 0, 0] }
    if let comment { UserData.append(comment, as: UserData.setComment, to: &bytes) }
    return bytes
  }

  /// Reads an `NFT_MSG_NEWSET`; nil for what is not one. A type that is not known here leaves `key` empty.
  init?(_ message: ReceivedMessage) {
    guard let family = message.netfilterFamily else { return nil }
    let attributes = message.netfilterAttributes
    guard let tableName = attributes[1]?.string, let name = attributes[2]?.string else { return nil }
    self.init(Table(family, tableName), name, key: [])
    var bits: UInt32 = 0
    var dataType: UInt32 = 0
    for attribute in attributes {
      switch attribute.type {
      case 3: bits = attribute.bigEndian() ?? 0
      case 4: key = attribute.bigEndian().flatMap { [NFTType](typeNumber: $0) } ?? []
      case 6: dataType = attribute.bigEndian() ?? 0
      case 9: size = attribute.nested[1]?.bigEndian()
      case 11: timeout = attribute.bigEndian()
      case 13: comment = UserData.text(UserData.setComment, in: attribute)
      case 16: handle = attribute.bigEndian()
      default: break
      }
    }
    flags = Flags(rawValue: bits & ~0x88)
    if bits & 8 != 0 {
      data = dataType == 0xffff_ff00 ? .verdict : .value([NFTType](typeNumber: dataType) ?? [])
    }
  }
}

/// Milliseconds as nft writes a time: `1m30s`.
func durationText(_ milliseconds: UInt64) -> String {
  var rest = milliseconds
  var text = ""
  for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    as [(String, UInt64)]
  {
    if rest >= size {
      text += "\(rest / size)\(unit)"
      rest %= size
    }
  }
  return text.isEmpty ? "0s" : text
}
