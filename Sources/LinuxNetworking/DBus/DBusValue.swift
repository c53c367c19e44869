/// A value in a message of D-Bus (D-Bus Specification, "Type System"), with its type.
public enum DBusValue: Hashable, Sendable {
  /// `y`.
  case byte(UInt8)
  /// `b`.
  case boolean(Bool)
  /// `n`.
  case int16(Int16)
  /// `q`.
  case uint16(UInt16)
  /// `i`.
  case int32(Int32)
  /// `u`.
  case uint32(UInt32)
  /// `x`.
  case int64(Int64)
  /// `t`.
  case uint64(UInt64)
  /// `d`.
  case double(Double)
  /// `s`.
  case string(String)
  /// `o`.
  case objectPath(String)
  /// `g`.
  case signature(String)
  /// `h`: an index into descriptors that came along.
  case descriptor(UInt32)
  /// `a…`: elements of one type, which `of` is the signature of.
  case array(of: String, [DBusValue])
  /// `(…)`.
  case structure([DBusValue])
  /// `{…}`: key and value, in arrays only.
  indirect case entry(DBusValue, DBusValue)
  /// `v`.
  indirect case variant(DBusValue)

  /// The type, in the letters of the specification.
  public var signature: String {
    switch self {
    case .byte: "y"
    case .boolean: "b"
    case .int16: "n"
    case .uint16: "q"
    case .int32: "i"
    case .uint32: "u"
    case .int64: "x"
    case .uint64: "t"
    case .double: "d"
    case .string: "s"
    case .objectPath: "o"
    case .signature: "g"
    case .descriptor: "h"
    case .array(let element, _): "a" + element
    case .structure(let members): "(" + members.map(\.signature).joined() + ")"
    case .entry(let key, let value): "{" + key.signature + value.signature + "}"
    case .variant: "v"
    }
  }

  /// The text of a string, object path or signature.
  public var text: String? {
    switch self {
    case .string(let text), .objectPath(let text), .signature(let text): text
    default: nil
    }
  }
}

/// What a type letter begins at: a multiple of so many bytes from the beginning of the message.
private func alignment(of letter: UInt8) -> Int {
  switch letter {
  case UInt8(ascii: "y"), UInt8(ascii: "g"), UInt8(ascii: "v"): 1
  case UInt8(ascii: "n"), UInt8(ascii: "q"): 2
  case UInt8(ascii: "x"), UInt8(ascii: "t"), UInt8(ascii: "d"), UInt8(ascii: "("), UInt8(ascii: "{"): 8
  default: 4
  }
}

// MARK: - Writing

/// Appends values to a message, in little-endian order.
struct DBusWriter {
  private(set) var bytes: [UInt8] = []

  mutating func align(_ size: Int) {
    while bytes.count % size != 0 { bytes.append(0) }
  }

  mutating func append<Number: FixedWidthInteger>(_ number: Number) {
    align(Number.bitWidth / 8)
    withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// Puts a number where another one was written.
  mutating func replace(at offset: Int, with number: UInt32) {
    withUnsafeBytes(of: number.littleEndian) { bytes.replaceSubrange(offset..<offset + 4, with: $0) }
  }

  private mutating func append(text: String) {
    append(UInt32(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
    bytes.append(0)
  }

  private mutating func append(signature: String) {
    bytes.append(UInt8(truncatingIfNeeded: signature.utf8.count))
    bytes.append(contentsOf: signature.utf8)
    bytes.append(0)
  }

  mutating func append(_ value: DBusValue) {
    switch value {
    case .byte(let number): append(number)
    case .boolean(let flag): append(UInt32(flag ? 1 : 0))
    case .int16(let number): append(number)
    case .uint16(let number): append(number)
    case .int32(let number): append(number)
    case .uint32(let number), .descriptor(let number): append(number)
    case .int64(let number): append(number)
    case .uint64(let number): append(number)
    case .double(let number): append(number.bitPattern)
    case .string(let text), .objectPath(let text): append(text: text)
    case .signature(let text): append(signature: text)
    case .array(let element, let values):
      append(UInt32(0))
      let length = bytes.count - 4
      // The padding before the first element is there also without one, and does not count.
      if let letter = element.utf8.first { align(alignment(of: letter)) }
      let beginning = bytes.count
      for value in values { append(value) }
      replace(at: length, with: UInt32(bytes.count - beginning))
    case .structure(let members):
      align(8)
      for member in members { append(member) }
    case .entry(let key, let value):
      align(8)
      append(key)
      append(value)
    case .variant(let value):
      append(signature: value.signature)
      append(value)
    }
  }
}

// MARK: - Reading

/// Reads values out of a message, of either byte order. What is not as the specification has it throws.
struct DBusReader {
  /// Bytes that are no message.
  struct Malformed: Error {}

  private let bytes: ArraySlice<UInt8>
  private let isBigEndian: Bool
  /// From the beginning of the message.
  private(set) var position = 0

  init(_ bytes: ArraySlice<UInt8>, isBigEndian: Bool) {
    self.bytes = bytes
    self.isBigEndian = isBigEndian
  }

  mutating func align(_ size: Int) throws(Malformed) {
    let next = (position + size - 1) / size * size
    guard next <= bytes.count else { throw Malformed() }
    position = next
  }

  mutating func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) throws(Malformed) -> Number {
    let size = Number.bitWidth / 8
    try align(size)
    guard position + size <= bytes.count else { throw Malformed() }
    var value = Number.zero
    for index in 0..<size {
      let byte = Number(truncatingIfNeeded: bytes[bytes.startIndex + position + index])
      value |= byte << Number(truncatingIfNeeded: 8 * (isBigEndian ? size - 1 - index : index))
    }
    position += size
    return value
  }

  private mutating func text(_ length: Int) throws(Malformed) -> String {
    guard length >= 0, length < bytes.count - position else { throw Malformed() }
    let start = bytes.startIndex + position
    guard bytes[start + length] == 0,
      let text = String(validating: bytes[start..<start + length], as: UTF8.self)
    else { throw Malformed() }
    position += length + 1
    return text
  }

  /// Reads the values of a signature: as many as it has complete types.
  mutating func values(_ signature: String) throws(Malformed) -> [DBusValue] {
    var rest = Array(signature.utf8)[...]
    var values: [DBusValue] = []
    while !rest.isEmpty { values.append(try value(&rest, depth: 0)) }
    return values
  }

  /// Reads a value of the first complete type of `signature`, and takes that off.
  private mutating func value(
    _ signature: inout ArraySlice<UInt8>, depth: Int
  ) throws(Malformed) -> DBusValue {
    // 32 arrays and 32 structures are allowed, and variants within.
    guard depth < 64, let letter = signature.popFirst() else { throw Malformed() }
    switch letter {
    case UInt8(ascii: "y"): return .byte(try number())
    case UInt8(ascii: "b"):
      let flag: UInt32 = try number()
      guard flag <= 1 else { throw Malformed() }
      return .boolean(flag == 1)
    case UInt8(ascii: "n"): return .int16(try number())
    case UInt8(ascii: "q"): return .uint16(try number())
    case UInt8(ascii: "i"): return .int32(try number())
    case UInt8(ascii: "u"): return .uint32(try number())
    case UInt8(ascii: "x"): return .int64(try number())
    case UInt8(ascii: "t"): return .uint64(try number())
    case UInt8(ascii: "d"): return .double(Double(bitPattern: try number()))
    case UInt8(ascii: "h"): return .descriptor(try number())
    case UInt8(ascii: "s"): return .string(try text(Int(number(UInt32.self))))
    case UInt8(ascii: "o"): return .objectPath(try text(Int(number(UInt32.self))))
    case UInt8(ascii: "g"): return .signature(try text(Int(number(UInt8.self))))
    case UInt8(ascii: "v"):
      var inner = Array(try text(Int(number(UInt8.self))).utf8)[...]
      let value = try value(&inner, depth: depth + 1)
      guard inner.isEmpty else { throw Malformed() }
      return .variant(value)
    case UInt8(ascii: "("), UInt8(ascii: "{"):
      try align(8)
      let end = letter == UInt8(ascii: "(") ? UInt8(ascii: ")") : UInt8(ascii: "}")
      var members: [DBusValue] = []
      while signature.first != end { members.append(try value(&signature, depth: depth + 1)) }
      signature.removeFirst()
      // Of nothing, an array could hold any number.
      if members.isEmpty { throw Malformed() }
      if end == UInt8(ascii: ")") { return .structure(members) }
      guard members.count == 2 else { throw Malformed() }
      return .entry(members[0], members[1])
    case UInt8(ascii: "a"): return try array(&signature, depth: depth)
    default: throw Malformed()
    }
  }

  private mutating func array(
    _ signature: inout ArraySlice<UInt8>, depth: Int
  ) throws(Malformed) -> DBusValue {
    let length = Int(try number(UInt32.self))
    guard let letter = signature.first, length <= 64 << 20 else { throw Malformed() }
    try align(alignment(of: letter))
    let end = position + length
    guard end <= bytes.count else { throw Malformed() }
    let element = try Self.completeType(signature)
    signature = signature.dropFirst(element.count)
    var values: [DBusValue] = []
    while position < end {
      var type = element
      values.append(try value(&type, depth: depth + 1))
    }
    guard position == end else { throw Malformed() }
    return .array(of: String(decoding: element, as: UTF8.self), values)
  }

  /// The first complete type of a signature.
  private static func completeType(_ signature: ArraySlice<UInt8>) throws(Malformed) -> ArraySlice<UInt8> {
    var open = 0
    var arrays = 0
    for (index, letter) in zip(signature.indices, signature) {
      switch letter {
      case UInt8(ascii: "a"):
        // So many may be within each other, also where the outer ones are empty.
        arrays += 1
        if arrays > 32 { throw Malformed() }
        continue
      case UInt8(ascii: "("), UInt8(ascii: "{"): open += 1
      case UInt8(ascii: ")"), UInt8(ascii: "}"): open -= 1
      default: break
      }
      if open < 0 { break }
      if open == 0 { return signature[signature.startIndex...index] }
    }
    throw Malformed()
  }
}
