import CNI
import CNIExecution
import CNIRuntime
import Logging
import Synchronization

/// A ``CNIRuntime`` for asynchronous callers.
///
/// Its operations block no thread of Swift's concurrency. When the task is cancelled, or a deadline passes, a running plugin is
/// stopped (SIGTERM, then SIGKILL; see ``ExecutionLimits``), and what a stopped ADD has begun is taken back before the
/// operation ends. Each of them is logged, measured and traced, as is every plugin that it runs.
package struct AsyncRuntime: Sendable {
  /// The blocking side. Plugins that are embedded later do not continue traces.
  package var runtime: CNIRuntime
  /// Where it blocks.
  package let threads: BlockingThreads
  /// Where the libraries log.
  package let logger: Logger

  /// - Parameters:
  ///   - runtime: What does the work; its limits are the default ones. The namespaces of the threads are those of the
  ///     calling thread.
  ///   - maximumConcurrency: How many operations of each ``BlockingThreads/Lane`` are under way at a time.
  ///   - logger: Where to log.
  package init(_ runtime: CNIRuntime, maximumConcurrency: Int, logger: Logger) {
    var runtime = runtime
    runtime.runner.embedded = runtime.runner.embedded.continuingTraces()
    self.runtime = runtime
    threads = BlockingThreads(maximum: maximumConcurrency)
    self.logger = logger
  }

  /// ADD of a list; as `CNIRuntime.add`.
  package func add(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) async throws(RuntimeError) -> AddResult {
    try await perform(.add, .attaching, list.name, parameters, limits) {
      (runtime, limits, _) throws(RuntimeError) in
      try runtime.add(list, parameters, limits: limits)
    }
  }

  /// DEL of a list; as `CNIRuntime.delete`. Problems of the cache are logged.
  package func delete(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) async throws(RuntimeError) {
    try await perform(.del, .detaching, list.name, parameters, limits) {
      (runtime, limits, note) throws(RuntimeError) in
      try runtime.delete(list, parameters, limits: limits).forEach(note)
    }
  }

  /// DEL from the cache alone; as `CNIRuntime.delete`.
  package func delete(_ entry: CacheEntry, limits: ExecutionLimits? = nil) async throws(RuntimeError) {
    try await perform(.del, .detaching, entry.network, entry.parameters, limits) {
      (runtime, limits, note) throws(RuntimeError) in
      try runtime.delete(entry, limits: limits).forEach(note)
    }
  }

  /// CHECK of a list; as `CNIRuntime.check`.
  package func check(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) async throws(RuntimeError) {
    try await perform(.check, .asking, list.name, parameters, limits) {
      (runtime, limits, _) throws(RuntimeError) in
      try runtime.check(list, parameters, limits: limits)
    }
  }

  /// GC of a list; as `CNIRuntime.collectGarbage`. Problems of the cache are logged.
  package func collectGarbage(
    _ list: NetworkConfigurationList, validAttachments: [Attachment], limits: ExecutionLimits? = nil
  ) async throws(RuntimeError) {
    try await perform(.gc, .detaching, list.name, nil, limits) {
      (runtime, limits, note) throws(RuntimeError) in
      try runtime.collectGarbage(list, validAttachments: validAttachments, limits: limits).forEach(note)
    }
  }

  /// STATUS of a list; as `CNIRuntime.status`.
  package func status(
    _ list: NetworkConfigurationList, limits: ExecutionLimits? = nil
  ) async throws(RuntimeError) {
    try await perform(.status, .asking, list.name, nil, limits) { (runtime, limits, _) throws(RuntimeError) in
      try runtime.status(list, limits: limits)
    }
  }

  /// VERSION of all plugins of a list; as `CNIRuntime.validate`.
  /// - Returns: the capabilities that any of the plugins has declared.
  package func validate(
    _ list: NetworkConfigurationList, limits: ExecutionLimits? = nil
  ) async throws(RuntimeError) -> [String] {
    try await perform(.version, .asking, list.name, nil, limits) {
      (runtime, limits, _) throws(RuntimeError) in
      try runtime.validate(list, limits: limits)
    }
  }

  /// Anything else that blocks (the cache, configuration files); not observed, and not stopped once it has begun.
  package func blocking<R: Sendable>(
    until deadline: Deadline? = nil, operation: @autoclosure () -> String,
    _ body: @escaping @Sendable (CNIRuntime) -> R
  ) async throws(RuntimeError) -> R {
    do throws(NoTurn) {
      return try await threads.run(.reading, until: deadline) { [runtime] in body(runtime) }
    } catch {
      throw RuntimeError(error, operation: operation())
    }
  }

  private func perform<R: Sendable>(
    _ command: Command, _ lane: BlockingThreads.Lane, _ network: String, _ parameters: AttachmentParameters?,
    _ limits: ExecutionLimits?,
    _ body:
      @escaping @Sendable (CNIRuntime, ExecutionLimits, (CacheProblem) -> Void) throws(RuntimeError) -> R
  ) async throws(RuntimeError) -> R {
    let observation = NetworkObservation(command, network: network, parameters, logger)
    let limits = limits ?? runtime.runner.limits
    let stop = Stop(of: command)
    do throws(RuntimeError) {
      let outcome: Result<R, RuntimeError>
      do throws(NoTurn) {
        outcome = try await threads.run(lane, until: limits.deadline) { [runtime] cancellation in
          var limits = limits
          limits.cancellation = cancellation
          var runtime = runtime
          runtime.runner.observer = observation.pluginObserver { [limits] in stop.note($0, limits) }
          return Result { () throws(RuntimeError) in try body(runtime, limits, observation.note) }
        }
      } catch {
        throw RuntimeError(
          error, operation: "\(command.rawValue) in network \"\(network)\"", network: network,
          attachment: parameters?.attachment)
      }
      let result = try outcome.get()
      observation.end(nil)
      return result
    } catch {
      var error = error
      if error.kind == .pluginFailed, let kind = stop.kind { error.kind = kind }
      observation.end(error)
      throw error
    }
  }
}

/// Whether a plugin in this process has failed because it was to stop: one that notices by itself answers with an error of its
/// own. Decided when it fails: undoing may take until the limits are reached, and makes the failure no other one.
private final class Stop: Sendable {
  private let command: Command
  private let reason = Mutex<RuntimeError.Kind?>(nil)

  init(of command: Command) { self.command = command }

  var kind: RuntimeError.Kind? { reason.withLock { $0 } }

  func note(_ failure: PluginFailure, _ limits: ExecutionLimits) {
    // The runner knows of processes why they have ended; and DEL after ADD is the undoing.
    guard command != .add || failure.command == .add, failure.path == nil, case .error = failure.cause
    else { return }
    if limits.cancellation?.isCancelled == true {
      reason.withLock { $0 = .cancelled }
    } else if limits.deadline?.hasPassed == true {
      reason.withLock { $0 = .timedOut }
    }
  }
}

extension RuntimeError {
  /// The error for a wait that ended without its turn.
  package init(_ reason: NoTurn, operation: String, network: String = "", attachment: Attachment? = nil) {
    switch reason {
    case .cancelled:
      self.init(
        kind: .cancelled, operation: operation, network: network, attachment: attachment,
        reason: "it was called off before it began")
    case .timedOut:
      self.init(
        kind: .timedOut, operation: operation, network: network, attachment: attachment,
        reason: "its time was over before it began")
    }
  }
}
