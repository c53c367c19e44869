/// A regular expression in the syntax of RE2, which allow-lists are written in, for searching short texts.
///
/// All possible ways through it are followed at once, so no expression takes long. It knows what tells whether there is a
/// match: literals, `.`, sets, `\d` and its like, groups, alternatives, repetitions, anchors, `\b`, `(?i)`. It works on
/// bytes: `.` is one byte of UTF-8. Unicode classes (`\p{…}`) are refused; nothing is ever taken for something else.
struct RegularExpression: Sendable {
  /// Why a text is no expression.
  struct Mistake: Error, Equatable {
    let reason: String
  }

  indirect enum Node: Sendable {
    case byte(ByteSet)
    case start
    case end
    /// Between a letter, digit or underscore and something else; or not there.
    case wordBoundary(Bool)
    case sequence([Node])
    case choice([Node])
    case repetition(Node, least: Int, most: Int?)
  }

  private let root: Node

  /// Reads an expression.
  init(_ text: String) throws(Mistake) {
    var parser = RegularExpressionParser(text)
    root = try parser.parse()
  }

  /// Whether the text contains a match anywhere.
  func matches(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return !Self.ends(root, from: Set(0...bytes.count), in: bytes).isEmpty
  }

  /// Where a match of `node` can end that starts at one of `starts`.
  private static func ends(_ node: Node, from starts: Set<Int>, in text: [UInt8]) -> Set<Int> {
    switch node {
    case .byte(let set):
      return Set(starts.lazy.filter { $0 < text.count && set.contains(text[$0]) }.map { $0 + 1 })
    case .start: return starts.intersection([0])
    case .end: return starts.intersection([text.count])
    case .wordBoundary(let wanted):
      func isWord(_ index: Int) -> Bool { text.indices.contains(index) && ByteSet.word.contains(text[index]) }
      return starts.filter { (isWord($0 - 1) != isWord($0)) == wanted }
    case .sequence(let nodes):
      return nodes.reduce(starts) { $0.isEmpty ? $0 : ends($1, from: $0, in: text) }
    case .choice(let nodes):
      return nodes.reduce(into: []) { $0.formUnion(ends($1, from: starts, in: text)) }
    case .repetition(let node, let least, let most):
      var current = starts
      for _ in 0..<least {
        let next = ends(node, from: current, in: text)
        // What matches nothing at all can do so any number of times.
        if next == current { break }
        current = next
        if current.isEmpty { return [] }
      }
      var all = current
      for _ in 0..<(most.map { $0 - least } ?? .max) {
        current = ends(node, from: current, in: text).subtracting(all)
        if current.isEmpty { break }
        all.formUnion(current)
      }
      return all
    }
  }
}

/// Some of the 256 bytes.
struct ByteSet: Sendable, Equatable {
  private var words: SIMD4<UInt64> = .zero

  init() {}

  init(_ ranges: ClosedRange<UInt8>...) {
    for range in ranges { for byte in range { insert(byte) } }
  }

  static let digits = ByteSet(0x30...0x39)
  static let word = ByteSet(0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f...0x5f)
  static let space = ByteSet(0x09...0x0a, 0x0c...0x0d, 0x20...0x20)

  func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] & 1 << UInt64(byte & 63) != 0 }
  mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }
  mutating func formUnion(_ other: ByteSet) { words |= other.words }
  var inverted: ByteSet {
    var set = self
    set.words = ~words
    return set
  }

  /// With the other case of each ASCII letter.
  var ignoringCase: ByteSet {
    var set = self
    for letter in UInt8(ascii: "a")...UInt8(ascii: "z") {
      if contains(letter) { set.insert(letter ^ 0x20) }
      if contains(letter ^ 0x20) { set.insert(letter) }
    }
    return set
  }
}
