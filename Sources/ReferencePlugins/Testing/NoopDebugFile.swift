import CNI
import CNIExecution
import LinuxNetworking

/// The file by which the Go test double `noop` is told what to say, and which it fills with what it was asked: tests of
/// runtimes that were written for that one work with ours. It may also have the keys of ``NoopScript``.
struct NoopDebugFile {
  let path: String
  /// Its content, for reading.
  let keys: ConfigurationObject
  private let json: JSONObject

  /// Reads the file.
  /// - Throws: code 5 if it cannot be read, 6 if it is no JSON object.
  init(path: String) throws {
    self.path = path
    let bytes = try StateFile.read(path, limit: 1 << 26)
    let value = try Self.parse(bytes, path)
    keys = try ConfigurationObject(value, name: path)
    json = keys.members
  }

  private static func parse(_ bytes: [UInt8], _ path: String) throws(CNIError) -> JSONValue {
    do throws(JSONError) { return try JSONValue.parse(bytes) } catch {
      throw CNIError(
        .decodingFailure, "\(path) is not JSON: \(error)", details: "noop is told by it what to do")
    }
  }

  private static let reports = [
    "ReportResult", "ReportError", "ReportErrorCode", "ReportStderr", "ReportVersionSupport", "ExitWithCode",
  ]

  /// Whether it says anything in the words of the Go double.
  var isOfGo: Bool { Self.reports.contains { json.member(matching: $0) != nil } }

  /// `ReportVersionSupport`.
  func reportedVersions() throws(CNIError) -> [String]? {
    keys.value("ReportVersionSupport") == nil ? nil : try keys.strings("ReportVersionSupport")
  }

  /// What the Go double would say: the same to every command.
  func answer(to call: NoopCall) throws(CNIError) -> NoopAnswer {
    var answer = NoopAnswer()
    if let message = try keys.string("ReportError") {
      let code = try keys.integer("ReportErrorCode", in: 0...Int(UInt32.max)) ?? 0
      let error = CNIError(code == 0 ? .internalError : .init(rawValue: UInt32(code)), message)
      answer = NoopAnswer(reporting: error, version: nil)
    } else {
      switch try keys.text("ReportResult") ?? "" {
      case "PASSTHROUGH": answer.output = try call.previousResult()
      case "INJECT-DNS":
        answer.output = try call.previousResult { $0.dns.nameservers = ["1.2.3.4"] }
      case let text: answer.output = Array(text.utf8)
      }
      answer.exitStatus = .exited(Int32(max(0, try keys.integer("ExitWithCode", in: -255...255) ?? 0)))
    }
    answer.standardError = Array((try keys.text("ReportStderr") ?? "").utf8)
    return answer
  }

  /// Writes down what the call was, as the Go double does.
  func fill(with call: NoopCall) throws {
    var filled = json
    for key in ["Command", "CmdArgs"] { filled.removeAll(matching: key) }
    filled.append("Command", .string(call.request.command.rawValue))
    filled.append("CmdArgs", call.goArguments)
    try StateFile.write(JSONValue.object(filled).serialized(), to: path)
  }
}

extension NoopCall {
  /// The call as the Go library hands it to a plugin; bytes are written in Base64.
  fileprivate var goArguments: JSONValue {
    [
      "ContainerID": .string(request.containerID), "Netns": .string(request.namespace),
      "IfName": .string(request.interfaceName), "Args": .string(request.arguments),
      "Path": .string(request.path.joined(separator: ":")),
      "NetnsOverride": .string(variable("CNI_NETNS_OVERRIDE") ?? ""),
      "StdinData": .string(Base64.encode(request.configuration)),
    ]
  }

  /// Appends the call to the list that the Go double keeps under the key `commandLog`.
  func appendToLog(_ path: String) throws {
    let lock = try FileLock(path: path)
    let bytes = try StateFile.readIfPresent(path, limit: 1 << 28) ?? []
    let earlier = bytes.isEmpty ? [] : try JSONValue.parse(bytes).array ?? []
    let entry: JSONValue = ["Command": .string(request.command.rawValue), "CmdArgs": goArguments]
    try StateFile.write(JSONValue.array(earlier + [entry]).serialized(), to: path, mode: 0o644)
    lock.unlock()
  }
}
