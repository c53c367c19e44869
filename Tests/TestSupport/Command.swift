import Glibc

/// How a process ended and what it wrote.
public struct CommandResult: Sendable {
  /// The exit status; the negative signal number if a signal ended it.
  public let exitStatus: Int32
  /// What it wrote to descriptor 1, read as UTF-8.
  public let standardOutput: String
  /// What it wrote to descriptor 2, read as UTF-8.
  public let standardError: String

  /// Ended by itself with status 0.
  public var succeeded: Bool { exitStatus == 0 }
}

/// A process that did not do what the test needed.
public struct CommandFailure: Error, CustomStringConvertible {
  let what: String
  /// As far as it came.
  public let result: CommandResult

  /// What was missed, of a process that ended so.
  public init(what: String, result: CommandResult) {
    self.what = what
    self.result = result
  }

  /// What was missed, and all that the process wrote.
  public var description: String {
    "\(what) (status \(result.exitStatus))\n\(result.standardOutput)\(result.standardError)"
  }
}

/// Runs a program to its end and gives what it wrote, whatever its exit status.
///
/// It runs in the network and mount namespaces of the calling thread. Killed after `timeout` seconds; that,
/// and a program that is not there, throw.
public func runCommand(
  _ arguments: String..., environment: [String: String]? = nil, input: [UInt8] = [], timeout: Double = 30
) throws -> CommandResult {
  try ChildProcess(arguments, environment: environment, input: input).wait(timeout: timeout)
}

/// Runs a shell script (`sh -e`) and gives its standard output; throws, with all it wrote, if it fails.
@discardableResult
public func shell(_ script: String, timeout: Double = 30) throws -> String {
  let result = try ChildProcess(["sh", "-ec", script]).wait(timeout: timeout)
  guard result.succeeded else { throw CommandFailure(what: "sh -ec '\(script)'", result: result) }
  return result.standardOutput
}

/// The absolute path of a program: `name` itself if it has a slash, else found in `PATH` or an sbin directory.
public func findProgram(_ name: String) -> String? {
  if name.utf8.contains(UInt8(ascii: "/")) { return access(name, X_OK) == 0 ? name : nil }
  let path = getenv("PATH").map { String(cString: $0) } ?? ""
  for directory in path.split(separator: ":") + ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
    let candidate = "\(directory)/\(name)"
    if access(candidate, X_OK) == 0 { return candidate }
  }
  return nil
}
