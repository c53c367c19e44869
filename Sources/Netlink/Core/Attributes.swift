/// One netlink attribute (`struct nlattr`): a type, and a value that is an integer, a string, bytes or more
/// attributes, which only the one who knows the type can say.
public struct Attribute: Sendable {
  /// `NLA_F_NESTED`.
  @usableFromInline static let nestedFlag: UInt16 = 0x8000
  /// `NLA_TYPE_MASK`: without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
  @usableFromInline static let typeMask: UInt16 = 0x3fff

  /// The type without its flag bits.
  public let type: UInt16
  /// Whether the sender marked the value as attributes (`NLA_F_NESTED`). Many families do not.
  public let isNested: Bool
  /// The value without header and padding.
  public let value: ArraySlice<UInt8>

  /// The value as an integer in host byte order, nil unless it is exactly as wide as `T`.
  @inlinable
  public func integer<T: FixedWidthInteger>(as type: T.Type = T.self) -> T? {
    guard value.count == MemoryLayout<T>.size else { return nil }
    var result: T = 0
    withUnsafeMutableBytes(of: &result) { $0.copyBytes(from: value) }
    return result
  }

  /// The value as an integer in network byte order, nil unless it is exactly as wide as `T`.
  @inlinable
  public func bigEndian<T: FixedWidthInteger>(as type: T.Type = T.self) -> T? {
    integer(as: T.self).map { T(bigEndian: $0) }
  }

  /// The value up to its first NUL, nil if that is not UTF-8.
  public var string: String? {
    let text = value.firstIndex(of: 0).map { value[..<$0] } ?? value
    return String(validating: text, as: UTF8.self)
  }

  /// The value as attributes.
  public var nested: Attributes { Attributes(value) }
}

/// A run of attributes. Tolerant: one that claims more bytes than there are, or fewer than its own header, ends
/// the iteration; no input traps.
public struct Attributes: Sequence, Sendable {
  private let bytes: ArraySlice<UInt8>

  /// Reads `bytes` from their first byte, which is taken as aligned wherever it lies.
  public init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  /// The first attribute of that type. Walks from the start: to read many, iterate.
  public subscript(_ type: UInt16) -> Attribute? {
    for attribute in self where attribute.type == type { return attribute }
    return nil
  }

  /// An iterator over the attributes in wire order.
  public func makeIterator() -> Iterator { Iterator(bytes: bytes, position: bytes.startIndex) }

  /// Walks the attributes in wire order.
  public struct Iterator: IteratorProtocol {
    fileprivate let bytes: ArraySlice<UInt8>
    fileprivate var position: Int

    /// The next attribute, nil at the end or at the first that cannot be one.
    public mutating func next() -> Attribute? {
      let rest = bytes.endIndex - position
      guard rest >= 4 else { return nil }
      let offset = position - bytes.startIndex
      let (length, type) = bytes.withUnsafeBytes {
        (
          Int($0.loadUnaligned(fromByteOffset: offset, as: UInt16.self)),
          $0.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self)
        )
      }
      guard length >= 4, length <= rest else {
        position = bytes.endIndex
        return nil
      }
      let value = bytes[(position + 4)..<(position + length)]
      // The last one need not be padded.
      position += Swift.min((length + 3) & ~3, rest)
      return Attribute(
        type: type & Attribute.typeMask, isNested: type & Attribute.nestedFlag != 0, value: value)
    }
  }
}
