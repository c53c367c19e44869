/// A place in a text: both numbers start at 1, and a column is a Unicode scalar, as an editor counts it.
public struct SourcePosition: Sendable, Hashable, CustomStringConvertible {
  /// The line, counted from 1.
  public var line: UInt32
  /// The column, counted from 1.
  public var column: UInt32

  /// The place with these numbers.
  public init(line: UInt32, column: UInt32) {
    self.line = line
    self.column = column
  }

  /// `line 3, column 14`.
  public var description: String { "line \(line), column \(column)" }
}

extension SourcePosition: Comparable {
  /// The order in which a text is read.
  public static func < (a: SourcePosition, b: SourcePosition) -> Bool {
    (a.line, a.column) < (b.line, b.column)
  }
}

/// A text that is not JSON: where, and what was expected there.
public struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Where the text stops being JSON.
  public var position: SourcePosition
  /// What was expected, or what is wrong: `expected ',' or '}' after a member`.
  public var reason: String

  /// An error at a place.
  public init(position: SourcePosition, reason: String) {
    self.position = position
    self.reason = reason
  }

  /// `line 3, column 14: expected ',' or '}' after a member`.
  public var description: String { "\(position): \(reason)" }
}
