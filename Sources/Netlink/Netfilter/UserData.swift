/// The bytes that the kernel keeps for user space beside tables, chains, rules, sets and elements, in the form
/// libnftnl gives them: a type byte, a length byte, the value (`libnftnl/udata.h`). nft reads comments and the
/// types of set keys from there.
enum UserData {
  /// The comment of a table, chain, rule or element (`NFTNL_UDATA_{TABLE,CHAIN,RULE,SET_ELEM}_COMMENT`).
  static let comment: UInt8 = 0
  /// The comment of a set (`NFTNL_UDATA_SET_COMMENT`).
  static let setComment: UInt8 = 7
  /// Bytes of text that one value has room for beside its terminating NUL: the kernel takes 256 in all
  /// (`NFT_USERDATA_MAXLEN`).
  static let longestComment = 253

  /// Appends a NUL-terminated text, cut at a character if it is too long.
  static func append(_ text: String, as type: UInt8, to bytes: inout [UInt8]) {
    var utf8 = Array(text.utf8.prefix(longestComment + 1))
    if utf8.count > longestComment {
      utf8.removeLast()
      while let last = utf8.last, last & 0xc0 == 0x80 { utf8.removeLast() }
      if let last = utf8.last, last >= 0xc0 { utf8.removeLast() }
    }
    bytes.append(type)
    bytes.append(UInt8(utf8.count + 1))
    bytes.append(contentsOf: utf8)
    bytes.append(0)
  }

  /// The user data that carries nothing but a comment.
  static func bytes(comment text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    append(text, as: comment, to: &bytes)
    return bytes
  }

  /// The value of the first entry of that type; nil if there is none, or the bytes are not in this form.
  static func value(_ type: UInt8, in bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var rest = bytes
    while rest.count >= 2 {
      let found = rest[rest.startIndex]
      let length = Int(rest[rest.startIndex + 1])
      guard rest.count >= 2 + length else { return nil }
      let value = rest.dropFirst(2).prefix(length)
      if found == type { return value }
      rest = rest.dropFirst(2 + length)
    }
    return nil
  }

  /// The text of the first entry of that type.
  static func text(_ type: UInt8 = comment, in attribute: Attribute?) -> String? {
    guard let attribute, let value = value(type, in: attribute.value) else { return nil }
    return String(validating: value.prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// ` comment "…"`, as nft writes it.
func commentSuffix(_ comment: String?) -> String {
  comment.map { " comment \"\($0)\"" } ?? ""
}
