/// A JSON value (RFC 8259) that remembers what a configuration needs to be passed on and to be explained: the order
/// of an object's members, the text of numbers, and where in the text each value stood.
///
/// Two values are equal if they mean the same: positions and the order of an object's members do not count. Numbers
/// are equal if their text is: `1`, `1.0` and `1e0` are three different values.
public struct JSONValue: Sendable, Hashable {
  /// What a value can be.
  public enum Kind: Sendable, Hashable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number, as it was written.
    case number(String)
    /// A string, without quotation marks and escapes.
    case string(String)
    /// A list of values.
    case array([JSONValue])
    /// Named values, in the order in which they were written.
    case object(JSONObject)
  }

  /// The value itself.
  public var kind: Kind
  // No position is line 0: an optional would make every value of a tree eight bytes larger.
  private var storedPosition: SourcePosition

  /// A value, and where it was read.
  @inline(__always)
  public init(_ kind: Kind, at position: SourcePosition? = nil) {
    self.kind = kind
    storedPosition = position ?? SourcePosition(line: 0, column: 0)
  }

  /// Where the value starts in the text that it was read from; `nil` if it was not read from a text.
  public var position: SourcePosition? {
    get { storedPosition.line == 0 ? nil : storedPosition }
    set { storedPosition = newValue ?? SourcePosition(line: 0, column: 0) }
  }

  /// Whether the values mean the same, wherever they come from.
  public static func == (a: JSONValue, b: JSONValue) -> Bool { a.kind == b.kind }

  /// Feeds what ``==(_:_:)`` compares.
  public func hash(into hasher: inout Hasher) { hasher.combine(kind) }
}

extension JSONValue {
  /// A string.
  public static func string(_ value: String) -> JSONValue { JSONValue(.string(value)) }
  /// `true` or `false`.
  public static func bool(_ value: Bool) -> JSONValue { JSONValue(.bool(value)) }
  /// A whole number.
  public static func integer(_ value: some FixedWidthInteger) -> JSONValue {
    JSONValue(.number(String(value)))
  }
  /// A list.
  public static func array(_ values: [JSONValue]) -> JSONValue { JSONValue(.array(values)) }
  /// An object.
  public static func object(_ members: JSONObject) -> JSONValue { JSONValue(.object(members)) }
  /// `null`.
  public static var null: JSONValue { JSONValue(.null) }

  /// Whether this is `null`.
  public var isNull: Bool { if case .null = kind { true } else { false } }
  /// The string, if it is one.
  public var string: String? { if case .string(let value) = kind { value } else { nil } }
  /// The truth value, if it is one.
  public var bool: Bool? { if case .bool(let value) = kind { value } else { nil } }
  /// The elements, if it is an array.
  public var array: [JSONValue]? { if case .array(let value) = kind { value } else { nil } }
  /// The members, if it is an object.
  public var object: JSONObject? { if case .object(let value) = kind { value } else { nil } }
  /// The number, if it is one that was written without fraction and exponent, and that the type can hold.
  public func integer<T: FixedWidthInteger>(as type: T.Type = T.self) -> T? {
    // An initializer from text would also take "+1"; the parser lets no such number in.
    if case .number(let text) = kind { T(text) } else { nil }
  }

  /// A member of an object by its exact name; `nil` if this is not an object or has no such member.
  public subscript(key: String) -> JSONValue? { object?[key] }

  /// What the value is, with an article, for error messages: `a string`.
  public var typeDescription: String {
    switch kind {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  /// A string.
  public init(stringLiteral value: String) { self.init(.string(value)) }
  /// A whole number.
  public init(integerLiteral value: Int) { self.init(.number(String(value))) }
  /// `true` or `false`.
  public init(booleanLiteral value: Bool) { self.init(.bool(value)) }
  /// `null`.
  public init(nilLiteral: ()) { self.init(.null) }
  /// An array.
  public init(arrayLiteral elements: JSONValue...) { self.init(.array(elements)) }
  /// An object with its members in the order in which they are written; of equal keys the last counts.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self.init(.object(JSONObject(elements)))
  }
}

extension JSONValue: CustomStringConvertible {
  /// The value as JSON on one line.
  public var description: String { String(decoding: serialized(), as: UTF8.self) }
}
