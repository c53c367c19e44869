import CNI
import CNIExecution
import Glibc
import LinuxNetworking
import SystemPackage

/// A file with one line of JSON for each call, in the order in which they came.
struct NoopRecord {
  let path: String

  /// Appends a line. Lines of calls at the same moment do not get mixed up.
  ///
  /// - Parameter counted: The command whose earlier calls are counted; `nil` counts none.
  /// - Returns: How many of these there were before.
  func append(_ line: JSONValue, counting counted: Command?) throws -> Int {
    try append(line.serialized() + [UInt8(ascii: "\n")], counting: counted)
  }

  private func append(_ bytes: [UInt8], counting counted: Command?) throws -> Int {
    let lock = try FileLock(path: path)
    let earlier = try counted.map { try count($0) } ?? 0
    let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw FileError(path: path, operation: "open", errno: Errno(rawValue: errno))
    }
    defer { close(descriptor) }
    // In one piece: whoever reads meanwhile sees the line or does not.
    let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    guard written == bytes.count else {
      throw FileError(
        path: path, operation: "write", errno: written < 0 ? Errno(rawValue: errno) : Errno.noSpace)
    }
    lock.unlock()
    return earlier
  }

  /// Appends a call in the form that the Go plugin `debug` writes under the key `cniOutput`.
  func appendText(_ call: NoopCall) throws {
    let request = call.request
    let command: String =
      switch request.command {
      case .add: "Add"
      case .del: "Del"
      case .check: "Check"
      case .gc, .status, .version: request.command.rawValue
      }
    let text = """
      Cmd\(command)
      ContainerID: \(request.containerID)
      Netns: \(request.namespace)
      IfName: \(request.interfaceName)
      Args: \(request.arguments)
      Path: \(request.path.joined(separator: ":"))
      StdinData: \(String(decoding: request.configuration, as: UTF8.self))
      ----------------------

      """
    _ = try append(Array(text.utf8), counting: nil)
  }

  private func count(_ command: Command) throws -> Int {
    let beginning = Array("{\"command\":\"\(command.rawValue)\",".utf8)
    return try StateFile.read(path, limit: 1 << 28).split(separator: UInt8(ascii: "\n"))
      .count { $0.starts(with: beginning) }
  }
}

extension NoopCall {
  /// The call as a line of the record.
  var line: JSONValue {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let fraction = String(now.tv_nsec / 1000 + 1_000_000).dropFirst()
    var line = JSONObject()
    line.append("command", .string(request.command.rawValue))
    line.append("type", .string(type))
    line.append("time", JSONValue(.number("\(now.tv_sec).\(fraction)")))
    line.append("pid", .integer(getpid()))
    var environment = JSONObject()
    for variable in variables {
      let parts = variable.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      environment[String(parts[0])] = .string(parts.count == 2 ? String(parts[1]) : "")
    }
    line.append("environment", .object(environment))
    if let arguments = try? CNIArguments(parsing: request.arguments), !arguments.pairs.isEmpty {
      let pairs = arguments.pairs.map { ($0.key, JSONValue.string($0.value)) }
      line.append("arguments", .object(JSONObject(pairs)))
    }
    let input = request.configuration
    if let text = String(validating: input, as: UTF8.self) {
      line.append("stdin", .string(text))
    } else {
      line.append("stdinBase64", .string(Base64.encode(input)))
    }
    return .object(line)
  }
}
