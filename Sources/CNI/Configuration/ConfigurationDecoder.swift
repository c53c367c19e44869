import NetworkAddresses

extension ConfigurationObject {
  /// Decodes a type of a plugin's own from the object, by the rules of this type: keys match without regard to case,
  /// `null` is absent, and so is an empty string where an address is optional. Errors name path and place.
  ///
  /// Reading by key is faster; this is for plugins to which a millisecond does not matter.
  public func decode<T: Decodable>(_ type: T.Type = T.self) throws(CNIError) -> T {
    do { return try T(from: ConfigurationDecoder(.object(self))) } catch {
      throw explained(error) { failure($0) }
    }
  }
}

extension ConfigurationValue {
  /// Decodes a type of a plugin's own from the value, see ``ConfigurationObject/decode(_:)``.
  public func decode<T: Decodable>(_ type: T.Type = T.self) throws(CNIError) -> T {
    // These have better errors here than their own, and know IPv4-mapped addresses.
    if type == IPPrefix.self { return try prefix() as! T }
    if type == IPAddress.self { return try address() as! T }
    if type == MACAddress.self { return try macAddress() as! T }
    do { return try T(from: ConfigurationDecoder(.value(self))) } catch {
      throw explained(error) { failure($0) }
    }
  }
}

/// What a type's own decoding throws, as an error that says where.
private func explained(_ error: any Error, _ failure: (String) -> CNIError) -> CNIError {
  switch error {
  case let error as CNIError: error
  case DecodingError.dataCorrupted(let context), DecodingError.typeMismatch(_, let context),
    DecodingError.valueNotFound(_, let context), DecodingError.keyNotFound(_, let context):
    failure(context.debugDescription)
  default: failure("\(error)")
  }
}

private struct ConfigurationDecoder: Decoder {
  enum Place {
    case object(ConfigurationObject)
    case value(ConfigurationValue)
  }

  let place: Place
  // Errors carry the path themselves.
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  init(_ place: Place) { self.place = place }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    switch place {
    case .object(let object): KeyedDecodingContainer(KeyedContainer(object: object))
    case .value(let value): KeyedDecodingContainer(KeyedContainer(object: try value.object()))
    }
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    switch place {
    case .object(let object): throw object.failure("expected a list, not an object", code: .decodingFailure)
    case .value(let value): UnkeyedContainer(elements: try value.list())
    }
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer {
    switch place {
    case .object(let object):
      throw object.failure("expected a single value, not an object", code: .decodingFailure)
    case .value(let value): SingleContainer(value: value)
    }
  }
}

extension ConfigurationValue {
  fileprivate func fixedWidth<T: FixedWidthInteger>(_ type: T.Type) throws(CNIError) -> T {
    if T.isSigned {
      let lower = Int(clamping: T.min)
      return T(truncatingIfNeeded: try integer(in: lower...Int(clamping: T.max)))
    }
    return T(truncatingIfNeeded: try unsigned(in: 0...UInt64(clamping: T.max)))
  }

  fileprivate func floating() throws(CNIError) -> Double {
    guard case .number(let text) = json.kind, let number = Double(text), number.isFinite else {
      throw failure("expected a number, not \(json.typeDescription)", code: .decodingFailure)
    }
    return number
  }
}

private struct KeyedContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let object: ConfigurationObject
  var codingPath: [any CodingKey] { [] }
  var allKeys: [Key] { object.members.compactMap { $0.value.isNull ? nil : Key(stringValue: $0.key) } }

  func contains(_ key: Key) -> Bool { object.value(key.stringValue) != nil }
  func decodeNil(forKey key: Key) throws -> Bool { object.value(key.stringValue) == nil }

  private func value(_ key: Key) throws(CNIError) -> ConfigurationValue {
    guard let value = object.value(key.stringValue) else { throw object.missing(key.stringValue) }
    return value
  }

  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try value(key).bool() }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try value(key).string() }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try value(key).floating() }
  func decode(_ type: Float.Type, forKey key: Key) throws -> Float { Float(try value(key).floating()) }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try value(key).fixedWidth(type) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try value(key).fixedWidth(type) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try value(key).fixedWidth(type) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try value(key).fixedWidth(type) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try value(key).fixedWidth(type) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try value(key).fixedWidth(type) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try value(key).fixedWidth(type) }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try value(key).fixedWidth(type) }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try value(key).fixedWidth(type) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try value(key).fixedWidth(type) }
  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try value(key).decode(type) }

  func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
    guard let value = object.value(key.stringValue) else { return nil }
    if case .string("") = value.json.kind, type is any TextCodable.Type { return nil }
    return try value.decode(type)
  }

  func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<NestedKey> {
    KeyedDecodingContainer(KeyedContainer<NestedKey>(object: try value(key).object()))
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    UnkeyedContainer(elements: try value(key).list())
  }

  func superDecoder() throws -> any Decoder { ConfigurationDecoder(.object(object)) }
  func superDecoder(forKey key: Key) throws -> any Decoder { ConfigurationDecoder(.value(try value(key))) }
}

private struct SingleContainer: SingleValueDecodingContainer {
  let value: ConfigurationValue
  var codingPath: [any CodingKey] { [] }

  func decodeNil() -> Bool { value.json.isNull }
  func decode(_ type: Bool.Type) throws -> Bool { try value.bool() }
  func decode(_ type: String.Type) throws -> String { try value.string() }
  func decode(_ type: Double.Type) throws -> Double { try value.floating() }
  func decode(_ type: Float.Type) throws -> Float { Float(try value.floating()) }
  func decode(_ type: Int.Type) throws -> Int { try value.fixedWidth(type) }
  func decode(_ type: Int8.Type) throws -> Int8 { try value.fixedWidth(type) }
  func decode(_ type: Int16.Type) throws -> Int16 { try value.fixedWidth(type) }
  func decode(_ type: Int32.Type) throws -> Int32 { try value.fixedWidth(type) }
  func decode(_ type: Int64.Type) throws -> Int64 { try value.fixedWidth(type) }
  func decode(_ type: UInt.Type) throws -> UInt { try value.fixedWidth(type) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try value.fixedWidth(type) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try value.fixedWidth(type) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try value.fixedWidth(type) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try value.fixedWidth(type) }
  func decode<T: Decodable>(_ type: T.Type) throws -> T { try value.decode(type) }
}

private struct UnkeyedContainer: UnkeyedDecodingContainer {
  let elements: [ConfigurationValue]
  var currentIndex = 0
  var codingPath: [any CodingKey] { [] }
  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex == elements.count }

  init(elements: [ConfigurationValue]) { self.elements = elements }

  private mutating func next<T>(_ body: (ConfigurationValue) throws -> T) throws -> T {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        T.self, .init(codingPath: [], debugDescription: "has too few elements"))
    }
    let result = try body(elements[currentIndex])
    currentIndex += 1
    return result
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, elements[currentIndex].json.isNull else { return false }
    currentIndex += 1
    return true
  }

  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try next { try $0.decode(type) } }

  mutating func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type
  ) throws -> KeyedDecodingContainer<NestedKey> {
    try next { KeyedDecodingContainer(KeyedContainer<NestedKey>(object: try $0.object())) }
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try next { UnkeyedContainer(elements: try $0.list()) }
  }

  mutating func superDecoder() throws -> any Decoder { try next { ConfigurationDecoder(.value($0)) } }
}
