extension JSONValue {
  /// The deepest nesting that is read. It bounds the stack that reading, comparing and destroying a value take.
  public static let maximumDepth = 512

  /// Reads exactly one value; white space may stand around it, and nothing else.
  ///
  /// RFC 8259 without any extension: no comments, no trailing commas, no byte order mark; the text is UTF-8. Of
  /// members with the same key the last counts. Numbers of any size are read, because their text is kept.
  public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
    try bytes.withUnsafeBufferPointer { buffer throws(JSONError) in try parse(buffer) }
  }

  /// Reads exactly one value from a text.
  public static func parse(_ text: String) throws(JSONError) -> JSONValue { try parse(Array(text.utf8)) }

  /// Reads exactly one value from memory.
  public static func parse(_ buffer: UnsafeBufferPointer<UInt8>) throws(JSONError) -> JSONValue {
    var parser = JSONParser(buffer)
    return try parser.document()
  }
}

struct JSONParser {
  private let bytes: UnsafeBufferPointer<UInt8>
  private let end: Int
  private var index = 0
  private var line: UInt32 = 1
  // Where the line would start if each character were one byte: so columns count characters, and ASCII costs nothing.
  private var lineStart = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) {
    self.bytes = bytes
    end = bytes.count
  }

  mutating func document() throws(JSONError) -> JSONValue {
    if end >= 3, bytes[0] == 0xef, bytes[1] == 0xbb, bytes[2] == 0xbf {
      throw failure("the text starts with a byte order mark; save it as UTF-8 without one")
    }
    skipWhiteSpace()
    if index == end { throw failure("the text is empty") }
    let value = try value(depth: 0)
    skipWhiteSpace()
    if index < end { throw failure("expected nothing after the value, found \(found)") }
    return value
  }

  // MARK: Positions

  @inline(__always)
  private var position: SourcePosition {
    SourcePosition(
      line: line, column: UInt32(truncatingIfNeeded: index &- lineStart &+ 1))
  }

  private func failure(_ reason: String) -> JSONError { JSONError(position: position, reason: reason) }

  /// What stands here, for messages.
  private var found: String {
    guard index < end else { return "the end of the text" }
    switch bytes[index] {
    case 0x21...0x7e: return "'\(Character(UnicodeScalar(bytes[index])))'"
    default: return "byte 0x" + String(bytes[index], radix: 16)
    }
  }

  @inline(__always)
  private mutating func skipWhiteSpace() {
    while index < end {
      switch bytes[index] {
      case 0x20, 0x09, 0x0d: index &+= 1
      case 0x0a:
        index &+= 1
        line &+= 1
        lineStart = index
      default: return
      }
    }
  }

  // MARK: Values

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    guard index < end else { throw failure("expected a value, found the end of the text") }
    let start = position
    switch bytes[index] {
    case UInt8(ascii: "\""): return JSONValue(.string(try string()), at: start)
    case UInt8(ascii: "{"): return JSONValue(.object(try object(depth: depth)), at: start)
    case UInt8(ascii: "["): return JSONValue(.array(try array(depth: depth)), at: start)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
      return JSONValue(.number(try number()), at: start)
    case UInt8(ascii: "t"):
      try literal("true")
      return JSONValue(.bool(true), at: start)
    case UInt8(ascii: "f"):
      try literal("false")
      return JSONValue(.bool(false), at: start)
    case UInt8(ascii: "n"):
      try literal("null")
      return JSONValue(.null, at: start)
    default: throw failure("expected a value, found \(found)")
    }
  }

  private mutating func literal(_ word: StaticString) throws(JSONError) {
    let count = word.utf8CodeUnitCount
    for offset in 0..<count {
      guard index + offset < end, bytes[index + offset] == word.utf8Start[offset] else {
        throw failure("expected a value; is this meant to be '\(word)'?")
      }
    }
    index += count
  }

  private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
    guard depth < JSONValue.maximumDepth else { throw failure("nested more than \(depth) deep") }
    index &+= 1
    var values: [JSONValue] = []
    skipWhiteSpace()
    if index < end, bytes[index] == UInt8(ascii: "]") {
      index &+= 1
      return values
    }
    while true {
      skipWhiteSpace()
      values.append(try value(depth: depth &+ 1))
      skipWhiteSpace()
      guard index < end else { throw failure("expected ',' or ']' after an element, found \(found)") }
      if bytes[index] == UInt8(ascii: ",") {
        index &+= 1
      } else if bytes[index] == UInt8(ascii: "]") {
        index &+= 1
        return values
      } else {
        throw failure("expected ',' or ']' after an element, found \(found)")
      }
    }
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
    guard depth < JSONValue.maximumDepth else { throw failure("nested more than \(depth) deep") }
    index &+= 1
    skipWhiteSpace()
    if index < end, bytes[index] == UInt8(ascii: "}") {
      index &+= 1
      return JSONObject()
    }
    var members = MemberList()
    while true {
      skipWhiteSpace()
      guard index < end, bytes[index] == UInt8(ascii: "\"") else {
        throw failure("expected a key in quotation marks, found \(found)")
      }
      let keyPosition = position
      let key = try string()
      skipWhiteSpace()
      guard index < end, bytes[index] == UInt8(ascii: ":") else {
        throw failure("expected ':' after a key, found \(found)")
      }
      index &+= 1
      skipWhiteSpace()
      members.add(.init(key: key, value: try value(depth: depth &+ 1), keyPosition: keyPosition))
      skipWhiteSpace()
      guard index < end else { throw failure("expected ',' or '}' after a member, found \(found)") }
      if bytes[index] == UInt8(ascii: ",") {
        index &+= 1
      } else if bytes[index] == UInt8(ascii: "}") {
        index &+= 1
        return JSONObject(members: members.members)
      } else {
        throw failure("expected ',' or '}' after a member, found \(found)")
      }
    }
  }

  // MARK: Numbers

  private mutating func number() throws(JSONError) -> String {
    let start = index
    if bytes[index] == UInt8(ascii: "-") { index &+= 1 }
    if index < end, bytes[index] == UInt8(ascii: "0") {
      index &+= 1
      if index < end, isDigit(bytes[index]) { throw failure("a number does not start with 0") }
    } else {
      try digits()
    }
    if index < end, bytes[index] == UInt8(ascii: ".") {
      index &+= 1
      try digits()
    }
    if index < end, bytes[index] | 0x20 == UInt8(ascii: "e") {
      index &+= 1
      if index < end, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") { index &+= 1 }
      try digits()
    }
    return text(from: start)
  }

  private mutating func digits() throws(JSONError) {
    guard index < end, isDigit(bytes[index]) else { throw failure("expected a digit, found \(found)") }
    while index < end, isDigit(bytes[index]) { index &+= 1 }
  }

  @inline(__always)
  private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") <= 9 }

  @inline(__always)
  private func text(from start: Int) -> String {
    String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<index]), as: UTF8.self)
  }

  // MARK: Strings

  private mutating func string() throws(JSONError) -> String {
    index &+= 1
    let start = index
    while index < end {
      let byte = bytes[index]
      if byte == UInt8(ascii: "\"") {
        let text = text(from: start)
        index &+= 1
        return text
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
      if byte >= 0x80 {
        try multibyteCharacter()
      } else if byte < 0x20 {
        throw controlCharacter()
      } else {
        index &+= 1
      }
    }
    throw failure("the text ends inside a string")
  }

  private func controlCharacter() -> JSONError {
    bytes[index] == 0x0a
      ? failure("the line ends inside a string")
      : failure("a control character (\(found)) in a string has to be written as an escape")
  }

  /// The slow path: the rest of a string in which an escape was seen.
  private mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var text: [UInt8] = []
    text.append(contentsOf: bytes[start..<index])
    while index < end {
      let byte = bytes[index]
      switch byte {
      case UInt8(ascii: "\""):
        index &+= 1
        return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): try escape(into: &text)
      case 0x80...:
        let first = index
        try multibyteCharacter()
        text.append(contentsOf: bytes[first..<index])
      case ..<0x20: throw controlCharacter()
      default:
        text.append(byte)
        index &+= 1
      }
    }
    throw failure("the text ends inside a string")
  }

  private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
    guard index + 1 < end else { throw failure("the text ends inside a string") }
    let replacement: UInt8
    switch bytes[index + 1] {
    case UInt8(ascii: "\""): replacement = UInt8(ascii: "\"")
    case UInt8(ascii: "\\"): replacement = UInt8(ascii: "\\")
    case UInt8(ascii: "/"): replacement = UInt8(ascii: "/")
    case UInt8(ascii: "b"): replacement = 0x08
    case UInt8(ascii: "f"): replacement = 0x0c
    case UInt8(ascii: "n"): replacement = 0x0a
    case UInt8(ascii: "r"): replacement = 0x0d
    case UInt8(ascii: "t"): replacement = 0x09
    case UInt8(ascii: "u"):
      let scalar = try unicodeEscape()
      text.append(contentsOf: UTF8.encode(scalar)!)
      return
    default:
      throw failure("no such escape; a backslash itself is written as two")
    }
    text.append(replacement)
    index &+= 2
  }

  /// `\uXXXX`, or two of them that are a surrogate pair.
  private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
    let first = try hexadecimalUnit(at: index + 2)
    if let scalar = Unicode.Scalar(first) {
      index &+= 6
      return scalar
    }
    guard UTF16.isLeadSurrogate(first), index + 7 < end, bytes[index + 6] == UInt8(ascii: "\\"),
      bytes[index + 7] == UInt8(ascii: "u")
    else { throw failure("half of a surrogate pair") }
    let second = try hexadecimalUnit(at: index + 8)
    guard UTF16.isTrailSurrogate(second) else { throw failure("half of a surrogate pair") }
    index &+= 12
    let value = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
    return Unicode.Scalar(value)!
  }

  private func hexadecimalUnit(at start: Int) throws(JSONError) -> UInt16 {
    guard start + 4 <= end else { throw failure("the text ends inside a string") }
    var value: UInt16 = 0
    for byte in bytes[start..<start + 4] {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: throw failure("expected four hexadecimal digits after \\u")
      }
      value = value << 4 | UInt16(digit)
    }
    return value
  }

  /// Steps over one character of more than one byte, if it is well-formed (The Unicode Standard, table 3-7).
  private mutating func multibyteCharacter() throws(JSONError) {
    let lead = bytes[index]
    let count: Int
    var second: ClosedRange<UInt8> = 0x80...0xbf
    switch lead {
    case 0xc2...0xdf: count = 2
    case 0xe0:
      count = 3
      second = 0xa0...0xbf
    case 0xed:
      count = 3
      second = 0x80...0x9f
    case 0xe1...0xef: count = 3
    case 0xf0:
      count = 4
      second = 0x90...0xbf
    case 0xf1...0xf3: count = 4
    case 0xf4:
      count = 4
      second = 0x80...0x8f
    default: throw failure("not UTF-8 (\(found))")
    }
    guard index + count <= end, second.contains(bytes[index + 1]) else {
      throw failure("not UTF-8 (\(found))")
    }
    for offset in 2..<max(count, 2) where bytes[index + offset] & 0xc0 != 0x80 {
      throw failure("not UTF-8 (\(found))")
    }
    index &+= count
    lineStart &+= count - 1
  }
}

/// Collects members so that of equal keys the last counts. Large objects get an index, so that the time to read
/// a text never grows with its square.
private struct MemberList {
  var members: [JSONObject.Member] = []
  private var index: [String: Int]?

  init() { members.reserveCapacity(4) }

  mutating func add(_ member: JSONObject.Member) {
    if index == nil, members.count >= 16 {
      index = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.key, $0) })
    }
    let known = index != nil ? index?[member.key] : members.firstIndex { $0.key == member.key }
    if let known {
      members[known] = member
    } else {
      index?[member.key] = members.count
      members.append(member)
    }
  }
}
