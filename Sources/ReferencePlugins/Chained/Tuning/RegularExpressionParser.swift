/// Reads the syntax of RE2 (github.com/google/re2/wiki/Syntax), by recursive descent.
struct RegularExpressionParser {
  typealias Node = RegularExpression.Node
  typealias Mistake = RegularExpression.Mistake

  private let text: [UInt8]
  private var position = 0
  private var depth = 0
  private var ignoresCase = false

  init(_ text: String) { self.text = Array(text.utf8) }

  mutating func parse() throws(Mistake) -> Node {
    let node = try alternatives()
    if next != nil { throw Mistake(reason: "a ) closes nothing") }
    return node
  }

  private var next: UInt8? { position < text.count ? text[position] : nil }

  /// Goes over a character, if it is the next one.
  private mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func skip(word: StaticString) -> Bool {
    let length = word.utf8CodeUnitCount
    let rest = text[position...].prefix(length)
    guard rest.elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: length)) else { return false }
    position += length
    return true
  }

  // MARK: Structure

  private mutating func alternatives() throws(Mistake) -> Node {
    var choices = [try sequence()]
    while skip("|") { choices.append(try sequence()) }
    return choices.count == 1 ? choices[0] : .choice(choices)
  }

  private mutating func sequence() throws(Mistake) -> Node {
    var nodes: [Node] = []
    while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
      guard let atom = try atom() else { continue }
      nodes.append(try repeated(atom))
    }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  private mutating func repeated(_ atom: Node) throws(Mistake) -> Node {
    guard let bounds = try quantifier() else { return atom }
    // As few as possible, or as many: that there is a match is the same.
    _ = skip("?")
    let place = position
    if try quantifier() != nil {
      throw Mistake(reason: "two repetitions follow each other at character \(place + 1)")
    }
    return .repetition(atom, least: bounds.least, most: bounds.most)
  }

  private mutating func quantifier() throws(Mistake) -> (least: Int, most: Int?)? {
    if skip("*") { return (0, nil) }
    if skip("+") { return (1, nil) }
    if skip("?") { return (0, 1) }
    let start = position
    guard skip("{"), let least = number() else {
      position = start
      return nil
    }
    var most: Int? = least
    if skip(",") { most = number() }
    // Anything else in braces stands for itself.
    guard skip("}") else {
      position = start
      return nil
    }
    guard max(least, most ?? 0) <= 1000, least <= most ?? least else {
      throw Mistake(reason: "{\(least),…} is no repetition: numbers go from 0 to 1000, the smaller one first")
    }
    return (least, most)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let byte = next, byte >= 0x30, byte <= 0x39 {
      value = min((value ?? 0) * 10 + Int(byte - 0x30), 1 << 20)
      position += 1
    }
    return value
  }

  // MARK: Atoms

  /// nil for what only changes how the rest is read.
  private mutating func atom() throws(Mistake) -> Node? {
    let byte = text[position]
    position += 1
    switch byte {
    case UInt8(ascii: "("): return try group()
    case UInt8(ascii: "["): return try bracket()
    case UInt8(ascii: "."): return .byte(ByteSet(0x0a...0x0a).inverted)
    case UInt8(ascii: "^"): return .start
    case UInt8(ascii: "$"): return .end
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
      throw Mistake(reason: "there is nothing to repeat before character \(position)")
    case UInt8(ascii: "\\"): return try escape()
    default: return literal(byte)
    }
  }

  private func literal(_ byte: UInt8) -> Node { .byte(cased(ByteSet(byte...byte))) }

  private func cased(_ set: ByteSet) -> ByteSet { ignoresCase ? set.ignoringCase : set }

  private mutating func group() throws(Mistake) -> Node? {
    let outside = ignoresCase
    if skip(word: "?P<") || skip(word: "?<") {
      while let byte = next, byte != UInt8(ascii: ">") { position += 1 }
      guard skip(">") else { throw Mistake(reason: "a group's name does not end") }
    } else if skip("?") {
      var value = true
      while !skip(":") {
        if skip(")") { return nil }
        switch next {
        case UInt8(ascii: "i")?: ignoresCase = value
        // How lines are looked at, and which of several matches is found: there is one line, and any match will do.
        case UInt8(ascii: "m")?, UInt8(ascii: "s")?, UInt8(ascii: "U")?: break
        case UInt8(ascii: "-")?: value = false
        default: throw Mistake(reason: "(? begins nothing that is known here")
        }
        position += 1
      }
    }
    depth += 1
    defer {
      depth -= 1
      ignoresCase = outside
    }
    guard depth <= 200 else { throw Mistake(reason: "it has more than 200 groups in each other") }
    let node = try alternatives()
    guard skip(")") else { throw Mistake(reason: "a ( is not closed") }
    return node
  }

  private mutating func escape() throws(Mistake) -> Node {
    switch next {
    case UInt8(ascii: "A")?: return anchor(.start)
    case UInt8(ascii: "z")?: return anchor(.end)
    case UInt8(ascii: "b")?: return anchor(.wordBoundary(true))
    case UInt8(ascii: "B")?: return anchor(.wordBoundary(false))
    case UInt8(ascii: "Q")?:
      position += 1
      var nodes: [Node] = []
      while let byte = next, !skip(word: "\\E") {
        nodes.append(literal(byte))
        position += 1
      }
      return .sequence(nodes)
    default: return .byte(cased(try escapedSet()))
    }
  }

  private mutating func anchor(_ node: Node) -> Node {
    position += 1
    return node
  }

  /// What stands behind a backslash, as a set: `\d` and its like, or a single character.
  private mutating func escapedSet() throws(Mistake) -> ByteSet {
    guard let byte = next else { throw Mistake(reason: "it ends with a backslash") }
    position += 1
    let character: UInt8
    switch byte {
    case UInt8(ascii: "d"): return .digits
    case UInt8(ascii: "D"): return ByteSet.digits.inverted
    case UInt8(ascii: "w"): return .word
    case UInt8(ascii: "W"): return ByteSet.word.inverted
    case UInt8(ascii: "s"): return .space
    case UInt8(ascii: "S"): return ByteSet.space.inverted
    case UInt8(ascii: "a"): character = 7
    case UInt8(ascii: "f"): character = 0x0c
    case UInt8(ascii: "n"): character = 0x0a
    case UInt8(ascii: "r"): character = 0x0d
    case UInt8(ascii: "t"): character = 0x09
    case UInt8(ascii: "v"): character = 0x0b
    case UInt8(ascii: "x"): character = try hexadecimal()
    case let byte where byte < 0x80 && (byte == UInt8(ascii: "_") || !ByteSet.word.contains(byte)):
      character = byte
    default: throw Mistake(reason: "\\\(Character(Unicode.Scalar(byte))) has no meaning here")
    }
    return ByteSet(character...character)
  }

  private mutating func hexadecimal() throws(Mistake) -> UInt8 {
    let isBraced = skip("{")
    let start = position
    while let byte = next, Character(Unicode.Scalar(byte)).isHexDigit, isBraced || position < start + 2 {
      position += 1
    }
    let value = UInt8(String(decoding: text[start..<position], as: UTF8.self), radix: 16)
    guard let value, value < 0x80, isBraced ? skip("}") : position == start + 2 else {
      throw Mistake(reason: "\\x is to be followed by two hexadecimal digits of an ASCII character")
    }
    return value
  }

  // MARK: Sets

  private mutating func bracket() throws(Mistake) -> Node {
    let isInverted = skip("^")
    var set = ByteSet()
    var isFirst = true
    while isFirst || next != UInt8(ascii: "]") {
      isFirst = false
      let lower = try member()
      // A minus before the end stands for itself.
      if next == UInt8(ascii: "-"), position + 1 < text.count, text[position + 1] != UInt8(ascii: "]") {
        position += 1
        guard let first = lower.single, let last = try member().single, first <= last else {
          throw Mistake(reason: "a range in [ ] does not go upwards from a character to a character")
        }
        set.formUnion(ByteSet(first...last))
      } else {
        set.formUnion(lower.set)
      }
    }
    position += 1
    set = cased(set)
    return .byte(isInverted ? set.inverted : set)
  }

  /// One member of a set; `single` if it is one character.
  private mutating func member() throws(Mistake) -> (set: ByteSet, single: UInt8?) {
    guard let byte = next else { throw Mistake(reason: "a [ is not closed") }
    guard byte < 0x80 else {
      throw Mistake(reason: "in [ ] there may be ASCII characters only")
    }
    for (name, set) in Self.namedSets where skip(word: name) { return (set, nil) }
    if skip(word: "[:") { throw Mistake(reason: "[: begins no name of a set of characters") }
    position += 1
    guard byte == UInt8(ascii: "\\") else { return (ByteSet(byte...byte), byte) }
    let start = next
    let set = try escapedSet()
    let isClass = start.map { "dDwWsS".utf8.contains($0) } ?? false
    return (set, isClass ? nil : (0..<0x80).first { set.contains($0) })
  }

  private static let namedSets: [(StaticString, ByteSet)] = [
    ("[:alnum:]", ByteSet(0x30...0x39, 0x41...0x5a, 0x61...0x7a)),
    ("[:alpha:]", ByteSet(0x41...0x5a, 0x61...0x7a)),
    ("[:digit:]", .digits), ("[:lower:]", ByteSet(0x61...0x7a)), ("[:upper:]", ByteSet(0x41...0x5a)),
    ("[:punct:]", ByteSet(0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e)),
    ("[:space:]", ByteSet(0x09...0x0d, 0x20...0x20)), ("[:word:]", .word),
    ("[:xdigit:]", ByteSet(0x30...0x39, 0x41...0x46, 0x61...0x66)),
  ]
}
