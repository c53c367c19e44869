import NetworkAddresses

/// An object of a configuration, for reading by key.
///
/// Keys match exactly, or else without regard to the case of letters. A member that is `null` is as good as absent;
/// so is an empty string, unless ``text(_:)`` asks for it: callers send both for what they leave open.
///
/// Meant to be read in one place and thrown away; values that are kept are of other types.
public struct ConfigurationObject {
  /// The members as they were read.
  public let members: JSONObject
  let position: SourcePosition?
  let path: ConfigurationPath
  let record: ConfigurationRecord?

  init(members: JSONObject, position: SourcePosition?, path: ConfigurationPath, record: ConfigurationRecord?)
  {
    self.members = members
    self.position = position
    self.path = path
    self.record = record
  }

  /// The root of a tree.
  /// - Parameters:
  ///   - json: the value, which has to be an object.
  ///   - name: what it was read from, for messages: a file's path.
  ///   - code: the code of errors about values.
  ///   - recordingKeys: whether ``unknownKeys`` is going to be asked.
  /// - Throws: code 6 if the value is not an object.
  public init(
    _ json: JSONValue, name: String? = nil, code: CNIError.Code = .invalidConfiguration,
    recordingKeys: Bool = false
  ) throws(CNIError) {
    let path = ConfigurationPath(origin: .init(name: name, code: code))
    guard case .object(let members) = json.kind else {
      throw path.error(
        at: nil, json.position, code: .decodingFailure, "expected an object, not \(json.typeDescription)", "")
    }
    self.init(
      members: members, position: json.position, path: path,
      record: recordingKeys ? ConfigurationRecord(members) : nil)
  }

  /// The value of a key; `nil` if it is absent or `null`.
  public func value(_ key: String) -> ConfigurationValue? {
    guard let index = members.index(matching: key) else {
      record?.absent.insert(key)
      return nil
    }
    record?.asked.insert(index)
    let json = members.members[index].value
    if json.isNull { return nil }
    return ConfigurationValue(
      json: json, parent: path, component: .key(members.members[index].key), record: record)
  }

  /// A string that is not empty; `nil` if it is absent or empty.
  public func string(_ key: String) throws(CNIError) -> String? {
    guard let text = try text(key), !text.isEmpty else { return nil }
    return text
  }

  /// A string, which may be empty; `nil` if it is absent.
  public func text(_ key: String) throws(CNIError) -> String? { try value(key)?.string() }

  /// A string that has to be there and must not be empty.
  /// - Parameters:
  ///   - key: its key.
  ///   - remedy: what to write, if it is missing.
  public func requiredString(_ key: String, remedy: String = "") throws(CNIError) -> String {
    guard let text = try string(key) else { throw missing(key, remedy: remedy) }
    return text
  }

  /// A boolean; `nil` if it is absent.
  public func bool(_ key: String) throws(CNIError) -> Bool? { try value(key)?.bool() }

  /// A boolean that is false if it is absent.
  public func flag(_ key: String) throws(CNIError) -> Bool { try value(key)?.bool() ?? false }

  /// A whole number; `nil` if it is absent.
  public func integer(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(CNIError) -> Int? {
    try value(key)?.integer(in: range)
  }

  /// A whole number that is not negative, up to 2⁶⁴ − 1; `nil` if it is absent.
  public func unsigned(
    _ key: String, in range: ClosedRange<UInt64> = 0 ... .max
  ) throws(CNIError) -> UInt64? {
    try value(key)?.unsigned(in: range)
  }

  /// An object; `nil` if it is absent.
  public func object(_ key: String) throws(CNIError) -> ConfigurationObject? { try value(key)?.object() }

  /// The elements of a list; none if it is absent.
  public func list(_ key: String) throws(CNIError) -> [ConfigurationValue] { try value(key)?.list() ?? [] }

  /// A list of strings; empty if it is absent.
  public func strings(_ key: String) throws(CNIError) -> [String] {
    var strings: [String] = []
    for element in try list(key) { strings.append(try element.string()) }
    return strings
  }

  /// A list of objects; empty if it is absent.
  public func objects(_ key: String) throws(CNIError) -> [ConfigurationObject] {
    var objects: [ConfigurationObject] = []
    for element in try list(key) { objects.append(try element.object()) }
    return objects
  }

  /// A value that is text, unless it is absent or empty.
  private func textual(_ key: String) -> ConfigurationValue? {
    guard let value = value(key) else { return nil }
    if case .string("") = value.json.kind { return nil }
    return value
  }

  /// An address; `nil` if it is absent or empty.
  public func address(_ key: String) throws(CNIError) -> IPAddress? { try textual(key)?.address() }

  /// A subnet, or an address with the length of its subnet; `nil` if it is absent or empty.
  public func prefix(_ key: String) throws(CNIError) -> IPPrefix? { try textual(key)?.prefix() }

  /// A MAC address; `nil` if it is absent or empty.
  public func macAddress(_ key: String) throws(CNIError) -> MACAddress? { try textual(key)?.macAddress() }

  /// One of the cases of an enumeration of strings; `nil` if it is absent or empty.
  public func choice<T: RawRepresentable<String> & CaseIterable>(
    _ key: String, _ type: T.Type = T.self
  ) throws(CNIError) -> T? {
    try textual(key)?.choice(type)
  }

  /// An error about the value of a key, or about the object if there is no such key.
  public func failure(
    _ key: String, _ reason: String, remedy: String = "", code: CNIError.Code? = nil
  ) -> CNIError {
    if let value = value(key) { return value.failure(reason, remedy: remedy, code: code) }
    return path.error(at: .key(key), position, code: code, reason, remedy)
  }

  /// An error about the object as a whole.
  public func failure(_ reason: String, remedy: String = "", code: CNIError.Code? = nil) -> CNIError {
    path.error(at: nil, position, code: code, reason, remedy)
  }

  /// The error that a key is missing.
  public func missing(_ key: String, remedy: String = "") -> CNIError {
    failure(key, "is missing or empty", remedy: remedy)
  }

  /// Marks keys as known that somebody else reads.
  public func ignore(_ keys: String...) {
    guard let record else { return }
    for key in keys {
      if let index = members.index(matching: key) { record.asked.insert(index) }
    }
  }

  /// The keys that nobody asked for, here and in every object below that was opened; objects that were taken as
  /// they are (``ConfigurationValue/json``) are not looked into. Empty unless the tree records keys.
  public var unknownKeys: [UnknownKey] {
    record?.unknownKeys(below: path) ?? []
  }
}

@available(*, unavailable)
extension ConfigurationObject: Sendable {}
