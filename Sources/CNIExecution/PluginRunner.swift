import CNI
import Glibc
import SystemPackage

/// Is told of each call of a plugin before it is made, and may change the request (add a `TRACEPARENT`, say). The function
/// that it returns is called afterwards, with the failure if there was one.
public typealias PluginObserver =
  @Sendable (_ type: String, _ request: inout PluginRequest) -> (@Sendable (PluginFailure?) -> Void)?

/// Finds plugins and runs them, as processes or in-process: the caller's side of the execution protocol
/// (specification, sections 2 and 4).
///
/// A plugin runs in the network namespace of the calling thread, in its working directory, and with its environment
/// apart from the variables of the protocol. What it writes to standard error is passed on to ours.
public struct PluginRunner: Sendable {
  /// Where to look first.
  public enum Preference: Sendable, Hashable {
    /// Files in the search path, then the embedded plugins.
    case pathFirst
    /// The embedded plugins, then files.
    case embeddedFirst
  }

  /// The directories in which plugins are, best first.
  public var path: [String]
  /// The plugins that need no file.
  public var embedded: EmbeddedPlugins
  /// Which of the two comes first.
  public var preference: Preference
  /// How long a plugin may take, and who may stop it.
  public var limits: ExecutionLimits
  /// A file that turns out to be the executable that we are ourselves (a hard link under another name) is not executed:
  /// the same code runs in-process instead.
  public var runsOwnFileInProcess: Bool
  /// Whether a plugin's standard error reaches ours. Its end is kept for error texts in any case.
  public var passesOnStandardError: Bool
  /// A descriptor that plugin processes have open as well, under the same number; -1 for none. As long as one of them runs it
  /// is open somewhere, even when this process is gone.
  public var sharedDescriptor: Int32 = -1
  /// Sees every call that is made through ``execute(_:_:)``, ``add(_:_:)`` and their like, for spans and measurements.
  public var observer: PluginObserver?

  /// A runner; by default one that prefers files to embedded plugins.
  public init(
    path: [String], embedded: EmbeddedPlugins = .none, preference: Preference = .pathFirst,
    limits: ExecutionLimits = .none, runsOwnFileInProcess: Bool = true, passesOnStandardError: Bool = true
  ) {
    self.path = path
    self.embedded = embedded
    self.preference = preference
    self.limits = limits
    self.runsOwnFileInProcess = runsOwnFileInProcess
    self.passesOnStandardError = passesOnStandardError
  }

  /// Where the plugin of that type is. Throws code 4 for a type that cannot be a file name, code 7 with the directories
  /// that were searched and what to do if it is nowhere.
  public func locate(_ type: String) throws(CNIError) -> PluginLocation {
    switch try find(type) {
    case .file(let path): .file(path)
    case .ownFile(let path, _): .file(path)
    case .embedded: .embedded
    }
  }

  private enum Found {
    case file(String)
    case ownFile(String, EmbeddedPlugin)
    case embedded(EmbeddedPlugin)
  }

  private func find(_ type: String) throws(CNIError) -> Found {
    try Validation.pluginType(type)
    if preference == .embeddedFirst, let plugin = embedded[type] { return .embedded(plugin) }
    let search = PluginSearch(type, in: path)
    if let file = search.found {
      if search.isOwnExecutable, let plugin = embedded[type] { return .ownFile(file, plugin) }
      return .file(file)
    }
    if let plugin = embedded[type] { return .embedded(plugin) }
    throw notFound(type, search)
  }

  private func notFound(_ type: String, _ search: PluginSearch) -> CNIError {
    let directories = path.filter { !$0.isEmpty }
    var message: String
    if directories.isEmpty {
      message = "there is no directory to look for it in (CNI_PATH is empty)"
    } else {
      message = "there is no such plugin in \(directories.joined(separator: ", "))"
    }
    if !embedded.isEmpty { message += " nor in this executable" }
    for file in search.passedOver {
      message += "; \(file) is there but is not executable (chmod 755 \(file))"
    }
    return CNIError(.invalidConfiguration, message, details: provider(ofPlugin: type))
  }

  /// Runs a plugin and returns what it said, whether that is success or an error. Throws only if there is no complete
  /// reply: the plugin was not found, not started, or stopped.
  public func run(_ type: String, _ request: PluginRequest) throws(PluginFailure) -> PluginReply {
    try runLocated(type, request).reply
  }

  func runLocated(_ type: String, _ request: PluginRequest) throws(PluginFailure) -> (
    reply: PluginReply, path: String?
  ) {
    let found: Found
    do { found = try find(type) } catch {
      throw PluginFailure(
        plugin: type, network: request.networkForText, command: request.command, cause: .notFound(error))
    }
    if limits.cancellation?.isCancelled == true { throw failure(type, request, .cancelled) }
    if let deadline = limits.deadline, deadline.hasPassed { throw failure(type, request, .timedOut) }
    switch found {
    case .embedded(let plugin): return (try runInProcess(plugin, request), nil)
    case .ownFile(let path, let plugin):
      if runsOwnFileInProcess { return (try runInProcess(plugin, request), path) }
      return (try runFile(path, type, request), path)
    case .file(let path): return (try runFile(path, type, request), path)
    }
  }

  private func runInProcess(_ plugin: EmbeddedPlugin, _ request: PluginRequest) throws(PluginFailure)
    -> PluginReply
  {
    var runner = self
    // What the plugin delegates shares its time.
    if limits.timeout != nil {
      runner.limits.deadline = limits.nextDeadline
      runner.limits.timeout = nil
    }
    func stopped(_ cause: PluginFailure.Cause, _ left: InProcessRun?) -> PluginFailure {
      var failure = failure(plugin.type, request, cause)
      failure.leftRunning = left
      return failure
    }
    switch InProcessRun.run(plugin, request, PluginEnvironment(runner: runner)) {
    case .replied(let reply): return reply
    case .timedOut(let left): throw stopped(.timedOut, left)
    case .cancelled(let left): throw stopped(.cancelled, left)
    case .notStarted(let errno): throw failure(plugin.type, request, .notStarted(errno))
    }
  }

  private func runFile(_ path: String, _ type: String, _ request: PluginRequest) throws(PluginFailure)
    -> PluginReply
  {
    var environment = request.environmentBlock()
    let outcome: ProcessOutcome
    do {
      var process = try start(path, &environment, request.configuration)
      outcome = process.finish()
    } catch {
      throw failure(type, request, .notStarted(error), path: path)
    }
    let reply = PluginReply(
      standardOutput: outcome.output, exitStatus: outcome.status, standardErrorTail: outcome.errorTail)
    let cause: PluginFailure.Cause
    switch outcome.ending {
    case .byItself: return reply
    case .outputLost(let errno):
      // What is whole is all there was; and who has done as it was told need not say so.
      let needsReply = request.command == .add || request.command == .version
      if (try? JSONValue.parse(outcome.output)) != nil || outcome.status == .exited(0) && !needsReply {
        return reply
      }
      cause = .unreadableReply(reason: "its reply could not be read: \(errno)")
    case .timedOut: cause = .timedOut
    case .cancelled: cause = .cancelled
    case .tooMuchOutput:
      cause = .unreadableReply(
        reason: "its reply is longer than \(ProcessOutcome.longestOutput >> 20) MB, and it was stopped")
    }
    throw PluginFailure(
      plugin: type, network: request.networkForText, command: request.command, cause: cause, path: path,
      exitStatus: outcome.status, output: outcome.output, standardErrorTail: outcome.errorTail)
  }

  /// Starts the process. A file that somebody is just writing (an upgrade in place) is tried again for five seconds.
  private func start(_ path: String, _ environment: inout EnvironmentBlock, _ configuration: [UInt8])
    throws(Errno) -> PluginProcess
  {
    var pause: Int32 = 10
    var waited: Int32 = 0
    while true {
      do {
        return try PluginProcess(
          path: path, environment: &environment, configuration: configuration, limits: limits,
          passesOnErrors: passesOnStandardError, sharing: sharedDescriptor)
      } catch {
        guard error == .textFileBusy, waited < 5000, limits.cancellation?.isCancelled != true,
          limits.deadline?.hasPassed != true
        else { throw error }
      }
      var ready = Readiness()
      _ = ready.poll(cancellation: limits.cancellation?.descriptor ?? -1, timeout: pause)
      waited += pause
      pause = min(pause * 2, 500)
    }
  }

  private func failure(
    _ type: String, _ request: PluginRequest, _ cause: PluginFailure.Cause, path: String? = nil
  ) -> PluginFailure {
    PluginFailure(
      plugin: type, network: request.networkForText, command: request.command, cause: cause, path: path)
  }
}
