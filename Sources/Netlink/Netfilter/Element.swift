public import NetworkAddresses

/// An element of a set or map: its key (or range of keys), what the key leads to, and whose it is.
public struct Element: Hashable, Sendable, CustomStringConvertible {
  /// What a map's key leads to.
  public enum Target: Hashable, Sendable, CustomStringConvertible {
    /// Of a verdict map.
    case verdict(Verdict)
    /// Of a map of values, one for each part.
    case value([NFTValue])

    /// As nft writes it: `goto net-10.22.0.0-16`, `10.22.0.5 . 80`.
    public var description: String {
      switch self {
      case .verdict(let verdict): verdict.description
      case .value(let values): values.keyText
      }
    }
  }

  /// One value for each part of the set's key. The lower end, if `end` is there.
  public var key: [NFTValue]
  /// The upper end (inclusive) of a range; nil for a single key. Only in sets with `.interval`.
  public var end: [NFTValue]?
  /// What the key leads to; only in maps.
  public var data: Target?
  /// Milliseconds after which it goes; only in sets with `.timeout`.
  public var timeout: UInt64?
  /// Shown by `nft list`: whose it is.
  public var comment: String?

  /// An element of a set.
  public init(_ key: NFTValue..., comment: String? = nil) {
    self.key = key
    self.comment = comment
  }

  /// An element of a verdict map.
  public init(_ key: NFTValue..., verdict: Verdict, comment: String? = nil) {
    self.key = key
    data = .verdict(verdict)
    self.comment = comment
  }

  /// An element of a map of values.
  public init(_ key: NFTValue..., value: [NFTValue], comment: String? = nil) {
    self.key = key
    data = .value(value)
    self.comment = comment
  }

  /// An element with everything said.
  public init(
    key: [NFTValue], end: [NFTValue]? = nil, data: Target? = nil, timeout: UInt64? = nil,
    comment: String? = nil
  ) {
    self.key = key
    self.end = end
    self.data = data
    self.timeout = timeout
    self.comment = comment
  }

  /// A prefix, in a set of intervals.
  public init(_ prefix: IPPrefix, data: Target? = nil, comment: String? = nil) {
    let first = NFTValue(prefix.first)
    let last = NFTValue(prefix.last)
    self.init(key: [first], end: first == last ? nil : [last], data: data, comment: comment)
  }

  /// As in `nft list`: `10.22.0.5 comment "net/container/eth0" : goto net-10.22.0.0-16`.
  public var description: String {
    var text = keyText
    if let timeout { text += " timeout \(durationText(timeout))" }
    text += commentSuffix(comment)
    if let data { text += " : \(data)" }
    return text
  }

  /// The key, part by part: a prefix where the range is one, else `from-to`.
  var keyText: String {
    guard let end, end.count == key.count else { return key.keyText }
    return zip(key, end).map { low, high in
      if low == high { return low.description }
      if let length = prefixLength(low.bytes, high.bytes), low.isAddress { return "\(low)/\(length)" }
      return "\(low)-\(high)"
    }.joined(separator: " . ")
  }

  /// How many list entries it takes on the wire: an interval of a single value is two, the second being the
  /// first key behind it.
  func encode(into builder: inout MessageBuilder, set: NFTSet, index: inout UInt16, keyOnly: Bool) {
    let isPair = set.flags.contains(.interval) && set.key.count == 1
    index += 1
    builder.nested(index) {
      if !keyOnly, let timeout { $0.attribute(4, bigEndian: timeout) }
      $0.nested(1) { $0.attribute(1, bytes: key.keyBytes) }
      if set.isConcatenatedInterval { $0.nested(10) { $0.attribute(1, bytes: (end ?? key).keyBytes) } }
      if keyOnly { return }
      if let data { $0.nested(2) { encode(data, into: &$0) } }
      if let comment { $0.attribute(6, bytes: UserData.bytes(comment: comment)) }
    }
    guard isPair, let behind = (end ?? key).keyBytes.successor else { return }
    index += 1
    builder.nested(index) {
      $0.attribute(3, bigEndian: UInt32(1))
      $0.nested(1) { $0.attribute(1, bytes: behind) }
    }
  }

  private func encode(_ data: Target, into builder: inout MessageBuilder) {
    switch data {
    case .verdict(let verdict): verdict.encode(into: &builder)
    case .value(let values): builder.attribute(1, bytes: values.keyBytes)
    }
  }

  /// Reads one entry of `NFTA_SET_ELEM_LIST_ELEMENTS`; nil if it has no key.
  init?(_ attributes: Attributes, set: NFTSet) {
    guard let bytes = attributes[1]?.nested[1]?.value else { return nil }
    self.init(key: [NFTValue](set.key, bytes))
    for attribute in attributes {
      switch attribute.type {
      case 2:
        if let verdict = attribute.nested[2].flatMap({ Verdict($0.nested) }) {
          data = .verdict(verdict)
        } else if let value = attribute.nested[1]?.value, case .value(let types) = set.data {
          data = .value([NFTValue](types, value))
        }
      case 4: timeout = attribute.bigEndian()
      case 6: comment = UserData.text(in: attribute)
      case 10:
        let upper = attribute.nested[1].map { [NFTValue](set.key, $0.value) }
        if upper != key { end = upper }
      default: break
      }
    }
  }
}

extension NFTValue {
  var isAddress: Bool {
    switch self {
    case .ipv4, .ipv6: true
    default: false
    }
  }
}

extension [UInt8] {
  /// The next number, taken as one big-endian integer; nil behind the last.
  var successor: [UInt8]? {
    var result = self
    for index in indices.reversed() {
      result[index] &+= 1
      if result[index] != 0 { return result }
    }
    return nil
  }

  /// The number before; nil before zero.
  var predecessor: [UInt8]? {
    var result = self
    for index in indices.reversed() {
      result[index] &-= 1
      if result[index] != 0xff { return result }
    }
    return nil
  }
}

/// The length of the prefix that covers exactly `low` to `high`, nil if none does.
func prefixLength(_ low: [UInt8], _ high: [UInt8]) -> Int? {
  guard low.count == high.count else { return nil }
  var length = 0
  var inHost = false
  for (first, last) in zip(low, high) {
    for bit in (0..<8).reversed() {
      let (a, b) = (first >> UInt8(bit) & 1, last >> UInt8(bit) & 1)
      if !inHost && a == b { length += 1 } else if a == 0 && b == 1 { inHost = true } else { return nil }
    }
  }
  return length
}
