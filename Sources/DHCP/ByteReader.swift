/// Reads numbers in network order out of bytes that somebody else sent: nothing in them makes it read beyond the end.
public struct ByteReader: Sendable {
  /// What has not been read yet.
  public private(set) var rest: ArraySlice<UInt8>

  /// A reader at the start of `bytes`.
  public init(_ bytes: ArraySlice<UInt8>) { rest = bytes }
  /// A reader at the start of `bytes`.
  public init(_ bytes: [UInt8]) { rest = bytes[...] }

  /// Whether everything has been read.
  public var isAtEnd: Bool { rest.isEmpty }

  /// The next `count` bytes; `nil`, and nothing is read, if there are fewer or `count` is negative.
  public mutating func bytes(_ count: Int) -> ArraySlice<UInt8>? {
    guard count >= 0, count <= rest.count else { return nil }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  /// The next byte; `nil` at the end.
  public mutating func byte() -> UInt8? { rest.popFirst() }

  /// The next number, in network order; `nil`, and nothing is read, if there are too few bytes for it.
  public mutating func number<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T? {
    guard let bytes = bytes(T.bitWidth / 8) else { return nil }
    var value: T = 0
    for byte in bytes { value = value << 8 | T(truncatingIfNeeded: byte) }
    return value
  }
}

extension [UInt8] {
  /// Appends a number in network order.
  mutating func append<T: FixedWidthInteger>(bigEndian value: T) {
    for shift in stride(from: T.bitWidth - 8, through: 0, by: -8) {
      append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }
}
