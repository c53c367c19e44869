import CLinux
import CNI
import CNIExecution
import CNIPluginKit
import Glibc
import LinuxNetworking

/// `noop`, also called `debug`: a test double for those who test runtimes. It makes nothing, answers as it is told to,
/// and records how it was called.
///
/// It is a function and no `Plugin`: the kit would not let it misbehave.
enum Noop {
  /// The types by which configurations name it.
  static let types = ["noop", "debug"]
  private static let summary = "a test double that answers as it is told to and records how it was called"

  /// Makes a process of this program a left-over of another one, see ``NoopAnswer/orphan``.
  private static let orphanVariable = "CNI_NOOP_ORPHAN"

  /// The plugin, to be linked into its caller under one of its names.
  static func embedded(as type: String) -> EmbeddedPlugin {
    EmbeddedPlugin(type: type, needsOwnThread: false) { request, environment in
      let variables = request.environment(inheriting: processEnvironment).filter(isRecorded)
      let answer = NoopCall(type: type, request: request, environment: environment, variables: variables)
        .answer()
      answer.wait(answer.delay + answer.linger, within: environment.limits)
      complain(answer.standardError)
      return PluginReply(
        standardOutput: answer.output, exitStatus: answer.exitStatus,
        standardErrorTail: Array(answer.standardError.suffix(4096)))
    }
  }

  /// The plugin as a program.
  ///
  /// - Returns: The exit status, unless the process ends by a signal.
  static func run(as type: String, version: String) -> Int32 {
    if let text = getenv(orphanVariable).map({ String(cString: $0) }), let duration = UInt32(text) {
      Pause.milliseconds(duration)
      return 0
    }
    do throws(CNIError) {
      guard let request = try PluginMain.receive(readsInputOfVersion: true) else {
        let versions = SpecVersion.allCases.map(\.rawValue)
        let text = PluginMain.introduction(type: type, summary: summary, versions: versions, version: version)
        complain(Array((text + "\n").utf8))
        return 0
      }
      let call = NoopCall(
        type: type, request: request,
        environment: PluginEnvironment(runner: PluginRunner(path: request.path)),
        variables: processEnvironment.filter(isRecorded))
      // Who sees the record of the call may send the signal before it is known what to do about it: then it has to wait.
      var termination = sigset_t()
      sigemptyset(&termination)
      sigaddset(&termination, SIGTERM)
      sigprocmask(SIG_BLOCK, &termination, nil)
      let answer = call.answer()
      if answer.ignoresTermination { signal(SIGTERM, SIG_IGN) }
      sigprocmask(SIG_UNBLOCK, &termination, nil)
      return perform(answer)
    } catch {
      return PluginMain.send(
        PluginReply(standardOutput: error.serialized(version: nil), exitStatus: .exited(1)))
    }
  }

  /// Does in this process what an answer says.
  private static func perform(_ answer: NoopAnswer) -> Int32 {
    answer.wait(answer.delay, within: .none)
    complain(answer.standardError)
    let status = PluginMain.send(
      PluginReply(standardOutput: answer.output, exitStatus: answer.exitStatus))
    if answer.orphan > 0 { leaveOrphan(for: answer.orphan) }
    if answer.closesOutput {
      close(STDOUT_FILENO)
      close(STDERR_FILENO)
    }
    answer.wait(answer.linger, within: .none)
    if case .signaled(let number, _) = answer.exitStatus {
      // Nobody needs the core of a process that did as it was told.
      var none = rlimit(rlim_cur: 0, rlim_max: 0)
      setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
      signal(number, SIG_DFL)
      kill(getpid(), number)
    }
    return status
  }

  /// Starts a process that does nothing but hold our standard output and error open.
  private static func leaveOrphan(for duration: UInt32) {
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(types[0]), nil]
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup("\(orphanVariable)=\(duration)"), nil]
    var process: pid_t = 0
    _ = posix_spawn(&process, "/proc/self/exe", nil, nil, &arguments, &environment)
    free(arguments[0])
    free(environment[0])
  }

  /// What is wrong with the answers in a configuration.
  static func problem(in configuration: JSONValue) -> CNIError? {
    do throws(CNIError) {
      try NoopScript(file: nil, configuration: ConfigurationObject(configuration)).validate()
      return nil
    } catch { return error }
  }

  /// The environment of this process, as `NAME=value`.
  private static var processEnvironment: [String] {
    var variables: [String] = []
    guard var next = clinux_environment() else { return [] }
    while let entry = next.pointee {
      variables.append(String(cString: entry))
      next += 1
    }
    return variables
  }

  /// The variables of the protocol, and those by which a trace is handed on.
  private static func isRecorded(_ variable: String) -> Bool {
    variable.hasPrefix("CNI_") || variable.hasPrefix("TRACEPARENT=") || variable.hasPrefix("TRACESTATE=")
  }
}

/// Writes all of `bytes` to the standard error, or as much as anybody takes.
private func complain(_ bytes: [UInt8]) {
  _ = bytes.withUnsafeBytes { writeAll($0, to: STDERR_FILENO) }
}
