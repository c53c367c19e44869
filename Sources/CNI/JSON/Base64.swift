/// RFC 4648, section 4, with padding: how Go writes a `[]byte` into JSON.
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// The text of some bytes.
  package static func encode(_ bytes: [UInt8]) -> String {
    let length = (bytes.count + 2) / 3 * 4
    return String(unsafeUninitializedCapacity: length) { text in
      var written = 0
      var index = 0
      while index < bytes.count {
        let left = bytes.count - index
        let group =
          UInt32(bytes[index]) << 16 | UInt32(left > 1 ? bytes[index + 1] : 0) << 8
          | UInt32(left > 2 ? bytes[index + 2] : 0)
        text[written] = alphabet[Int(group >> 18)]
        text[written + 1] = alphabet[Int(group >> 12 & 63)]
        text[written + 2] = left > 1 ? alphabet[Int(group >> 6 & 63)] : UInt8(ascii: "=")
        text[written + 3] = left > 2 ? alphabet[Int(group & 63)] : UInt8(ascii: "=")
        written += 4
        index += 3
      }
      return length
    }
  }

  /// The bytes of a text; `nil` if it is not well-formed. Line ends are skipped, as Go does.
  package static func decode(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count / 4 * 3)
    var group: UInt32 = 0
    var digits = 0
    var padding = 0
    for character in text.utf8 {
      switch character {
      case UInt8(ascii: "\n"), UInt8(ascii: "\r"): continue
      case UInt8(ascii: "="):
        padding += 1
        group <<= 6
      default:
        guard padding == 0, let value = value(of: character) else { return nil }
        group = group << 6 | UInt32(value)
      }
      digits += 1
      if digits == 4 {
        guard padding <= 2 else { return nil }
        bytes.append(UInt8(group >> 16 & 0xff))
        if padding < 2 { bytes.append(UInt8(group >> 8 & 0xff)) }
        if padding < 1 { bytes.append(UInt8(group & 0xff)) }
        group = 0
        digits = 0
        if padding > 0 { padding = 3 }
      }
    }
    return digits == 0 ? bytes : nil
  }

  private static func value(of character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
