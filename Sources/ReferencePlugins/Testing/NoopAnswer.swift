import CNI
import CNIExecution
import CNIPluginKit

/// What noop does when it is called: what it says, how it ends, and how long all that takes.
struct NoopAnswer {
  /// What it writes to standard output.
  var output: [UInt8] = []
  /// What it writes to standard error, before that.
  var standardError: [UInt8] = []
  /// How it ends.
  var exitStatus: ExitStatus = .exited(0)
  /// Milliseconds before it writes anything.
  var delay: UInt32 = 0
  /// Milliseconds between its last word and its end.
  var linger: UInt32 = 0
  /// Whether it closes standard output and error before it lingers. Only as a process.
  var closesOutput = false
  /// Milliseconds for which a process that it leaves behind holds its standard output and error. Only as a process.
  var orphan: UInt32 = 0
  /// Whether SIGTERM (in-process: a limit of the caller's) does not stop its waiting.
  var ignoresTermination = false

  /// Silence, and success.
  init() {}

  /// The report of an error.
  init(reporting error: CNIError, version: SpecVersion?) {
    output = error.serialized(version: version)
    exitStatus = .exited(1)
  }

  /// Waits, in steps short enough to notice that the caller has given up.
  func wait(_ milliseconds: UInt32, within limits: ExecutionLimits) {
    var rest = milliseconds
    while rest > 0 {
      if !ignoresTermination, limits.cancellation?.isCancelled == true || limits.deadline?.hasPassed == true {
        // Not before the caller has noticed it, too: an answer in the same moment would be one in time.
        return Pause.milliseconds(min(rest, 300))
      }
      let step = min(rest, 10)
      Pause.milliseconds(step)
      rest -= step
    }
  }
}

extension NoopAnswer {
  private static let keys = [
    "result", "output", "error", "stderr", "exitStatus", "signal", "delay", "linger", "closesOutput",
    "orphan",
    "ignoresTermination",
  ]
  /// The signals of signal(7) whose default is to end the process; numbers of Linux on x86 and ARM.
  private static let deadly: Set<Int> = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31,
  ]
  private static let hour = 3_600_000

  /// An answer as it is written in a script.
  ///
  /// - Parameters:
  ///   - call: What it answers; `nil` only reads it, for the errors.
  ///   - standard: What a call gets for which the script has no words.
  /// - Throws: code 7 or 6 naming the key.
  init(_ script: ConfigurationObject, to call: NoopCall?, standard: () throws(CNIError) -> [UInt8])
    throws(CNIError)
  {
    for key in script.members.keys where !Self.keys.contains(where: { $0.lowercased() == key.lowercased() }) {
      throw script.failure(
        key, "is nothing that an answer can have",
        remedy: "write one of " + Self.keys.joined(separator: ", "))
    }
    let forms = ["result", "output", "error"].filter { script.value($0) != nil }
    guard forms.count <= 1 else {
      throw script.failure("has both \(forms[0]) and \(forms[1])", remedy: "leave one of them")
    }
    delay = UInt32(try script.integer("delay", in: 0...Self.hour) ?? 0)
    linger = UInt32(try script.integer("linger", in: 0...Self.hour) ?? 0)
    orphan = UInt32(try script.integer("orphan", in: 0...Self.hour) ?? 0)
    closesOutput = try script.flag("closesOutput")
    ignoresTermination = try script.flag("ignoresTermination")
    standardError = Array((try script.text("stderr") ?? "").utf8)

    let status = try script.integer("exitStatus", in: 0...255)
    let signal = try script.integer("signal", in: 1...31)
    if let signal {
      guard Self.deadly.contains(signal) else {
        throw script.failure(
          "signal", "\(signal) ends no process", remedy: "9 is SIGKILL, 11 SIGSEGV, 15 SIGTERM")
      }
      guard status == nil else {
        throw script.failure("has both signal and exitStatus", remedy: "leave one of them")
      }
      exitStatus = .signaled(Int32(signal))
    } else if let status {
      exitStatus = .exited(Int32(status))
    }
    if let error = try script.object("error") {
      output = try Self.error(error).serialized(version: call?.version)
      if status == nil && signal == nil { exitStatus = .exited(1) }
    } else if let text = try script.text("output") {
      output = Array(text.utf8)
    } else if let result = script.value("result") {
      output = try Self.result(result, call)
    } else if exitStatus.isSuccess {
      output = try standard()
    }
  }

  private static func error(_ keys: ConfigurationObject) throws(CNIError) -> CNIError {
    let code = try keys.integer("code", in: 0...Int(UInt32.max)) ?? Int(CNIError.Code.internalError.rawValue)
    return CNIError(
      .init(rawValue: UInt32(code)), try keys.text("msg") ?? "", details: try keys.text("details") ?? "")
  }

  /// A result, in the version of the call whatever its own is; `"prevResult"` stands for the one before.
  private static func result(_ value: ConfigurationValue, _ call: NoopCall?) throws(CNIError) -> [UInt8] {
    if value.json.string == "prevResult" { return try call?.previousResult() ?? [] }
    guard value.json.object != nil else {
      throw value.failure(
        "is neither a result nor \"prevResult\"", remedy: "\"output\" is written as it stands")
    }
    do throws(CNIError) {
      let json = call.map { value.json.replacing($0.placeholders) } ?? value.json
      let version = call?.version ?? .latest
      return try AddResult.decode(json, version: version).encode(as: version).serialized(pretty: true)
    } catch {
      throw value.failure("is no result: " + error.message, remedy: error.details)
    }
  }
}

extension JSONValue {
  /// The value with texts in its strings replaced.
  fileprivate func replacing(_ placeholders: [(text: String, value: String)]) -> JSONValue {
    switch kind {
    case .null, .bool, .number: return self
    case .array(let values): return .array(values.map { $0.replacing(placeholders) })
    case .object(let members):
      return .object(JSONObject(members.map { ($0.key, $0.value.replacing(placeholders)) }))
    case .string(var text):
      for (placeholder, value) in placeholders {
        let parts = text.split(separator: placeholder, omittingEmptySubsequences: false)
        text = parts.joined(separator: value)
      }
      return .string(text)
    }
  }
}
