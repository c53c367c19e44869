import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import Logging
import Synchronization

/// The networks of the pods of a node: attaches a pod to its networks by one call, and detaches it by another, with the
/// configurations of a directory that may change at any time.
///
/// Calls about the same pod (its namespace and name, or its ID) are done one after the other, in the order in which they came;
/// those about different pods run in parallel. ``collectGarbage(keeping:within:)`` excludes all of them. None of them blocks a
/// thread of Swift's concurrency. A call whose task is cancelled, or whose time is over, stops the plugin that is running: a
/// process gets SIGTERM, and SIGKILL two seconds later; a plugin that is linked in has these two seconds to notice, and is waited
/// for up to a minute more before its work is undone. A set-up takes back what it has done before it throws.
///
/// What was attached is remembered on disk, in the form of the Go libraries (`cniCacheV1`). A new value, in this
/// process or another one, continues from there: a pod can be torn down by any of them, whatever has become of the
/// configuration in the meantime.
public final class PodNetworking: Sendable {
  /// How a value works; the defaults are those of container runtimes.
  public struct Options: Sendable {
    /// The directory of network configurations.
    public var configurationDirectory = ConfigurationDirectory.defaultPath
    /// How changes of that directory are noticed.
    public var configurationMode = LiveConfigurations.Mode.watching
    /// The name of the default network. `nil`: the first by file name, which changes with the directory.
    public var defaultNetwork: String?
    /// Whether a network of which a plugin is missing is passed over when the first one becomes the default network. One
    /// that ``defaultNetwork`` names is never passed over.
    public var passesOverNetworksWithoutPlugins = true
    /// The directories in which plugins are, best first.
    public var pluginDirectories = ["/opt/cni/bin"]
    /// The plugins that need no file.
    public var embedded = EmbeddedPlugins.none
    /// Which of the two comes first.
    public var preference = PluginRunner.Preference.pathFirst
    /// Whether garbage collection also removes what is remembered of networks that this value does not know: they are neither
    /// configured nor have been as long as it has existed. The cache directory is that of all who use the Go library by default,
    /// so that what belongs to such a network may be another manager's.
    public var collectsGarbageOfUnknownNetworks = false
    /// Where attachments are remembered.
    public var cacheDirectory = "/var/lib/cni"
    /// The longest time for one run of one plugin; `nil` is no limit.
    public var pluginTimeout: Duration?
    /// How many networks are worked on at a time, whatever the number of pods; others wait.
    public var maximumConcurrency = 64
    /// Whether a file in ``pluginDirectories`` that is this very executable runs in-process.
    public var runsOwnExecutableInProcess = true
    /// Whether the plugins' standard error reaches ours.
    public var passesOnStandardError = true
    /// Where to log.
    public var logger = Logger(label: "swift-cni.PodNetworking")

    /// The defaults.
    public init() {}
  }

  /// How this value works.
  public let options: Options
  /// The configurations, as they are now.
  public let configurations: LiveConfigurations

  let runtime: AsyncRuntime
  /// By namespace and name; whoever has this one asks for the other one.
  let pods = KeyedLock<String>()
  /// By ID. Not all callers know the pod's name.
  let sandboxes = KeyedLock<String>()
  /// What waits for no pod; each has a key of its own.
  let inquiries = KeyedLock<UInt64>()
  private let lastInquiry = Atomic<UInt64>(0)
  private let calls = RunningCalls()
  private let isShutDown = Atomic<Bool>(false)
  /// What was said of networks that were passed over, by file.
  let passedOver = Mutex<[String: String]>([:])
  /// The names of all networks that were there once.
  let seenNetworks = Mutex<Set<String>>([])

  /// Reads the configuration directory, and watches it from then on.
  ///
  /// Plugins run in the network namespace (and mount namespace) of the calling thread.
  public init(_ options: Options = Options()) {
    self.options = options
    var runtime = CNIRuntime(
      pluginPath: options.pluginDirectories, cacheDirectory: options.cacheDirectory,
      embedded: options.embedded,
      preference: options.preference, limits: ExecutionLimits(timeout: options.pluginTimeout))
    runtime.runner.runsOwnFileInProcess = options.runsOwnExecutableInProcess
    runtime.runner.passesOnStandardError = options.passesOnStandardError
    self.runtime = AsyncRuntime(
      runtime, maximumConcurrency: options.maximumConcurrency, logger: options.logger)
    configurations = LiveConfigurations(
      ConfigurationDirectory(options.configurationDirectory), mode: options.configurationMode)
    if let failure = configurations.watchFailure {
      options.logger.warning("changes of \(options.configurationDirectory) show late: \(failure)")
    }
    noteNetworks()
  }

  /// Refuses all calls from now on, waits for those that are under way, and ends the watch. What is attached stays. May be
  /// called any number of times.
  ///
  /// - Parameter time: After what time the calls that are still under way are cancelled; `nil` is never. Taking back what they
  ///   have begun takes its time then.
  public func shutDown(within time: Duration? = nil) async {
    isShutDown.store(true, ordering: .sequentiallyConsistent)
    let alarm = time.map { time in
      Task { [calls] in
        do { try await Task.sleep(for: time) } catch { return }
        calls.cancel()
      }
    }
    // Not to be called off: who is told that all is over relies on it.
    await Task {
      await pods.withExclusiveLock(otherwise: { (_) -> Never in fatalError("nobody calls this off") }) {}
      await inquiries.withExclusiveLock(otherwise: { (_) -> Never in fatalError("nobody calls this off") }) {}
      alarm?.cancel()
      _ = try? await runtime.blocking(operation: "end the watch") { [configurations] _ in
        configurations.close()
      }
    }.value
  }

  /// What becomes of the configurations, beginning with what there is: an endless sequence, until the task is cancelled
  /// or ``shutDown(within:)``. What it calls the default is the first network by file name, which is not always
  /// ``defaultNetwork()``.
  public var configurationChanges: ConfigurationChanges { configurations.changes }

  // MARK: - Turns

  /// Runs `body` when nobody else works on the pod, unless everything is over.
  func withTurn<R: Sendable>(
    of pod: Pod, until deadline: Deadline?, _ operation: String,
    _ body: @escaping @Sendable () async throws(PodNetworkError) -> R
  ) async throws(PodNetworkError) -> R {
    try await pods.withLock(
      pod.key, until: deadline, otherwise: { PodNetworkError($0, operation: operation) }
    ) { () async throws(PodNetworkError) -> R in
      // No one waits for the first lock while he has the second: so nobody waits for ever.
      try await sandboxes.withLock(
        pod.id, until: deadline, otherwise: { PodNetworkError($0, operation: operation) }
      ) { () async throws(PodNetworkError) -> R in
        try await run(operation, body)
      }
    }
  }

  /// Runs `body` when nobody works on any pod, unless everything is over.
  func withAllTurns<R: Sendable>(
    until deadline: Deadline?, _ operation: String,
    _ body: @escaping @Sendable () async throws(PodNetworkError) -> R
  ) async throws(PodNetworkError) -> R {
    try await pods.withExclusiveLock(
      until: deadline, otherwise: { PodNetworkError($0, operation: operation) }
    ) { () async throws(PodNetworkError) -> R in
      try await run(operation, body)
    }
  }

  /// Runs `body` at once, unless everything is over.
  func inquire<R: Sendable>(
    _ operation: String, _ body: @escaping @Sendable () async throws(PodNetworkError) -> R
  ) async throws(PodNetworkError) -> R {
    // Who shuts down has this lock for ever so short a time, and those who come then are to be refused anyway.
    try refuseAfterShutDown(operation)
    let key = lastInquiry.wrappingAdd(1, ordering: .relaxed).newValue
    return try await inquiries.withLock(key, otherwise: { PodNetworkError($0, operation: operation) }) {
      () async throws(PodNetworkError) -> R in
      try await run(operation, body)
    }
  }

  /// Runs `body` so that its caller and ``shutDown(within:)`` can cancel it.
  private func run<R: Sendable>(
    _ operation: String, _ body: @escaping @Sendable () async throws(PodNetworkError) -> R
  ) async throws(PodNetworkError) -> R {
    try refuseAfterShutDown(operation)
    let task = Task { () async -> Result<R, PodNetworkError> in
      do throws(PodNetworkError) { return .success(try await body()) } catch { return .failure(error) }
    }
    let number = calls.add { task.cancel() }
    defer { calls.remove(number) }
    let result = await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
    return try result.get()
  }

  func refuseAfterShutDown(_ operation: String) throws(PodNetworkError) {
    guard isShutDown.load(ordering: .sequentiallyConsistent) else { return }
    throw PodNetworkError(.shutDown, operation: operation, reason: "pod networking has been shut down")
  }

  func limits(_ deadline: Deadline?) -> ExecutionLimits {
    ExecutionLimits(timeout: options.pluginTimeout, deadline: deadline)
  }

  /// Does what blocks on a thread for that.
  func blocking<R: Sendable>(
    until deadline: Deadline? = nil, _ operation: String,
    _ body: @escaping @Sendable (CNIRuntime) -> Result<R, PodNetworkError>
  ) async throws(PodNetworkError) -> R {
    let result: Result<R, PodNetworkError>
    do throws(RuntimeError) {
      result = try await runtime.blocking(until: deadline, operation: operation, body)
    } catch {
      throw PodNetworkError(operation: operation, failures: [error])
    }
    return try result.get()
  }

  /// Does what clears up: to its end, even if the task has been cancelled.
  func shielded<R: Sendable>(_ body: @escaping @Sendable () async -> R) async -> R {
    await Task { await body() }.value
  }
}

/// The calls that are under way.
private final class RunningCalls: Sendable {
  private struct State {
    var calls: [UInt64: @Sendable () -> Void] = [:]
    var last: UInt64 = 0
    var isCancelled = false
  }
  private let state = Mutex(State())

  /// - Parameter cancel: How to cancel it; called at once if all have been cancelled.
  func add(_ cancel: @escaping @Sendable () -> Void) -> UInt64 {
    let (number, isLate) = state.withLock { state in
      state.last += 1
      state.calls[state.last] = cancel
      return (state.last, state.isCancelled)
    }
    if isLate { cancel() }
    return number
  }

  func remove(_ number: UInt64) {
    state.withLock { _ = $0.calls.removeValue(forKey: number) }
  }

  /// Cancels all, and those that come.
  func cancel() {
    let all = state.withLock { state in
      state.isCancelled = true
      return Array(state.calls.values)
    }
    for cancel in all { cancel() }
  }
}

extension Pod {
  /// Which calls are about the same pod: a sandbox that replaces another one has another ID.
  var key: String { name.isEmpty ? id : "\(namespace)/\(name)" }
}

extension Duration {
  /// The moment at which this time, counted from now, is over.
  var deadline: Deadline { .after(self) }
}

extension PodNetworkError {
  init(_ reason: NoTurn, operation: String) {
    switch reason {
    case .cancelled: self.init(.cancelled, operation: operation, reason: "it was called off before it began")
    case .timedOut: self.init(.timedOut, operation: operation, reason: "its time was over before it began")
    }
  }
}
