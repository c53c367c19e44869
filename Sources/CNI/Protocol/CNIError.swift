/// An error as plugins report it and runtimes read it (specification, section 5).
public struct CNIError: Error, Sendable, Equatable {
  /// What kind of error it is. Codes from 100 on are the plugin's own.
  public struct Code: RawRepresentable, Sendable, Hashable {
    /// The number on the wire.
    public var rawValue: UInt32

    /// The code with this number.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// 1: the version of the configuration is not supported.
    public static let incompatibleVersion = Code(rawValue: 1)
    /// 2: the configuration has a field that is not supported; the message names it and its value.
    public static let unsupportedField = Code(rawValue: 2)
    /// 3: the container is unknown, and there is nothing to clean up.
    public static let unknownContainer = Code(rawValue: 3)
    /// 4: an environment variable is missing or wrong; the message names it.
    public static let invalidEnvironment = Code(rawValue: 4)
    /// 5: reading or writing failed.
    public static let ioFailure = Code(rawValue: 5)
    /// 6: something is not JSON, or not of the expected shape.
    public static let decodingFailure = Code(rawValue: 6)
    /// 7: a value of the configuration is wrong.
    public static let invalidConfiguration = Code(rawValue: 7)
    /// 8: what should be a network namespace is none.
    public static let invalidNamespace = Code(rawValue: 8)
    /// 11: a passing condition; the runtime should call again.
    public static let tryAgainLater = Code(rawValue: 11)
    /// 50, for STATUS: the plugin cannot serve ADD.
    public static let notAvailable = Code(rawValue: 50)
    /// 51, for STATUS: as 50, and containers may have limited connectivity.
    public static let limitedConnectivity = Code(rawValue: 51)
    /// 999: everything that has no code of its own, as in the Go library.
    public static let internalError = Code(rawValue: 999)
  }

  /// What kind of error it is.
  public var code: Code
  /// What went wrong, in one line.
  public var message: String
  /// What helps to understand or mend it; may be empty.
  public var details: String

  /// An error.
  public init(_ code: Code, _ message: String, details: String = "") {
    self.code = code
    self.message = message
    self.details = details
  }

  /// The same error with words in front that say what failed because of it.
  public func prefixed(_ context: String) -> CNIError {
    CNIError(code, context + ": " + message, details: details)
  }

  static func incompatibleVersion(_ text: String, source: String? = nil) -> CNIError {
    let all = SpecVersion.allCases.map(\.rawValue).joined(separator: ", ")
    return CNIError(
      .incompatibleVersion,
      "cniVersion names no known version" + (source.map { ": " + $0 } ?? ""),
      details: "the configuration is of version \(quoted(text)), supported are \(all)")
  }
}

extension CNIError: CustomStringConvertible {
  /// The message, and the details behind a semicolon.
  public var description: String { details.isEmpty ? message : message + "; " + details }
}

extension CNIError {
  /// The error as a plugin prints it, over several lines. The Go library leaves `cniVersion` out, the
  /// specification has it.
  public func serialized(version: SpecVersion?) -> [UInt8] { json(version: version).serialized(pretty: true) }

  /// The error as an object; empty details are left out.
  public func json(version: SpecVersion?) -> JSONValue {
    var object = JSONObject()
    if let version { object.append("cniVersion", .string(version.rawValue)) }
    object.append("code", .integer(code.rawValue))
    object.append("msg", .string(message))
    if !details.isEmpty { object.append("details", .string(details)) }
    return .object(object)
  }

  /// Reads what a failed plugin printed; `nil` if that is not an error object with a code or a message.
  public static func parse(_ bytes: [UInt8]) -> CNIError? {
    guard let json = try? JSONValue.parse(bytes) else { return nil }
    return CNIError(json: json)
  }

  /// Reads an error object; `nil` if the value is none: neither a message nor a code other than 0.
  public init?(json: JSONValue) {
    guard case .object(let object) = json.kind else { return nil }
    let code: UInt32 = object.member(matching: "code")?.value.integer() ?? 0
    let message = object.member(matching: "msg")?.value.string ?? ""
    guard code != 0 || !message.isEmpty else { return nil }
    self.init(
      Code(rawValue: code), message, details: object.member(matching: "details")?.value.string ?? "")
  }
}

/// A text in quotation marks, control characters escaped and cut to a length that fits in a message.
func quoted(_ text: String) -> String {
  let limit = 120
  let short = text.utf8.count <= limit ? text : String(text.prefix(limit)) + "…"
  return String(decoding: JSONValue.string(short).serialized(), as: UTF8.self)
}
