import NetworkAddresses

/// A value of a configuration, which knows where it stands, so that every error can say so.
///
/// A value of the wrong JSON type is an error of code 6; a value that has the right type and makes no sense is one
/// of the code that the tree was opened with, 7 for configurations.
public struct ConfigurationValue {
  /// The value; `null` only as an element of a list.
  public let json: JSONValue
  let parent: ConfigurationPath
  let component: ConfigurationPath.Component
  let record: ConfigurationRecord?

  /// An error about this value: its path, the reason, and where it stands.
  /// - Parameters:
  ///   - reason: what is wrong: `"10.0.0/8" is not a subnet`.
  ///   - remedy: what to do about it; becomes the error's details.
  ///   - code: another code than the tree's.
  public func failure(_ reason: String, remedy: String = "", code: CNIError.Code? = nil) -> CNIError {
    parent.error(at: component, json.position, code: code, reason, remedy)
  }

  /// An error that already names the value, with the place where it stands behind it.
  func locate(_ error: CNIError) -> CNIError {
    CNIError(error.code, error.message + parent.place(json.position), details: error.details)
  }

  /// Where the value is in the configuration: `ipam.ranges[0][0].subnet`.
  public var path: String { parent.description(of: component) }

  private func wrongType(_ expected: String, remedy: String = "") -> CNIError {
    let found =
      switch json.kind {
      case .null, .array, .object: json.typeDescription
      case .bool(let value): value ? "true" : "false"
      case .number(let text): "the number " + String(text.prefix(40))
      case .string(let text): "the string " + quoted(text)
      }
    return failure("expected \(expected), not \(found)", remedy: remedy, code: .decodingFailure)
  }

  /// The value as a string, which may be empty. One with a NUL character is refused: the kernel and the C library
  /// would see another string than the one that was checked.
  public func string() throws(CNIError) -> String {
    guard case .string(let text) = json.kind else {
      var remedy = ""
      if case .number = json.kind { remedy = "put it in quotation marks" }
      throw wrongType("a string", remedy: remedy)
    }
    if text.utf8.contains(0) { throw failure("contains a NUL character") }
    return text
  }

  /// The value as a boolean.
  public func bool() throws(CNIError) -> Bool {
    if case .bool(let value) = json.kind { return value }
    var remedy = ""
    if let text = json.string, equalIgnoringCase(text, "true") || equalIgnoringCase(text, "false") {
      remedy = "remove the quotation marks"
    }
    throw wrongType("true or false", remedy: remedy)
  }

  /// The value as a whole number. As in the Go library, one with a fraction or an exponent is none, even if both
  /// are zero.
  public func integer(in range: ClosedRange<Int> = .min ... .max) throws(CNIError) -> Int {
    let text = try integerText()
    guard let value = Int(text), range.contains(value) else {
      throw outOfRange(text, String(range.lowerBound), String(range.upperBound))
    }
    return value
  }

  /// The value as a whole number that is not negative, up to 2⁶⁴ − 1.
  public func unsigned(in range: ClosedRange<UInt64> = 0 ... .max) throws(CNIError) -> UInt64 {
    let text = try integerText()
    guard let value = UInt64(text), range.contains(value) else {
      throw outOfRange(text, String(range.lowerBound), String(range.upperBound))
    }
    return value
  }

  private func integerText() throws(CNIError) -> String {
    guard case .number(let text) = json.kind else {
      var remedy = ""
      if let text = json.string, Int(text) != nil { remedy = "remove the quotation marks" }
      throw wrongType("a number", remedy: remedy)
    }
    let isInteger = text.utf8.allSatisfy {
      $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") || $0 == UInt8(ascii: "-")
    }
    guard isInteger else {
      throw wrongType("a whole number", remedy: "write it without decimal point and exponent")
    }
    return text
  }

  private func outOfRange(_ text: String, _ lower: String, _ upper: String) -> CNIError {
    failure("\(text.prefix(40)) is out of range", remedy: "write a number from \(lower) to \(upper)")
  }

  /// The value as an object.
  public func object() throws(CNIError) -> ConfigurationObject {
    guard case .object(let object) = json.kind else { throw wrongType("an object") }
    return ConfigurationObject(
      members: object, position: json.position, path: ConfigurationPath(parent, component),
      record: record?.child(component, object))
  }

  /// The elements of the value, which has to be a list.
  public func list() throws(CNIError) -> [ConfigurationValue] {
    guard case .array(let values) = json.kind else { throw wrongType("a list") }
    if values.isEmpty { return [] }
    let path = ConfigurationPath(parent, component)
    let record = record?.child(component, nil)
    var elements: [ConfigurationValue] = []
    elements.reserveCapacity(values.count)
    for (index, value) in values.enumerated() {
      elements.append(ConfigurationValue(json: value, parent: path, component: .index(index), record: record))
    }
    return elements
  }

  /// The value as an address. An IPv4-mapped IPv6 address is the IPv4 address.
  public func address() throws(CNIError) -> IPAddress {
    let text = try string()
    guard let address = IPAddress(text) else {
      throw failure(
        "\(quoted(text)) is not an IP address",
        remedy: "write four numbers with dots, for example 10.0.0.1, or an IPv6 address such as fd00::1")
    }
    return address.unmapped
  }

  /// The value as a subnet, or as an address with the length of its subnet; host bits are kept.
  public func prefix() throws(CNIError) -> IPPrefix {
    let text = try string()
    guard let prefix = IPPrefix(text) else {
      throw failure(
        "\(quoted(text)) is not a subnet", remedy: "write it as address/length, for example 10.0.0.0/8")
    }
    return prefix.unmapped
  }

  /// The value as a MAC address.
  public func macAddress() throws(CNIError) -> MACAddress {
    let text = try string()
    guard let address = MACAddress(text) else {
      throw failure(
        "\(quoted(text)) is not a MAC address", remedy: "write it as six bytes, for example 02:00:5e:10:00:01"
      )
    }
    return address
  }

  /// The value as one of the cases of an enumeration of strings; upper and lower case differ.
  public func choice<T: RawRepresentable<String> & CaseIterable>(_ type: T.Type = T.self) throws(CNIError)
    -> T
  {
    let text = try string()
    guard let choice = T(rawValue: text) else {
      let all = T.allCases.map { quoted($0.rawValue) }.joined(separator: ", ")
      throw failure("\(quoted(text)) is not one of the possible values", remedy: "write one of \(all)")
    }
    return choice
  }
}

@available(*, unavailable)
extension ConfigurationValue: Sendable {}
