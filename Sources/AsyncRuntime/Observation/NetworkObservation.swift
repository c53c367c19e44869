import CNI
import CNIExecution
import CNIRuntime
import CoreMetrics
import Logging
import Tracing

/// One operation on one network: what is logged, measured and traced of it and of the plugins that it calls.
///
/// Tracer and metrics are those of the task that began it; plugins run on threads that know nothing of the task.
struct NetworkObservation: Sendable {
  private let command: Command
  private let network: String
  private let parameters: AttachmentParameters?
  private let logger: Logger
  private let tracer: any Tracer
  private let metrics: any MetricsFactory
  private let span: any Span
  private let start = ContinuousClock.now

  init(_ command: Command, network: String, _ parameters: AttachmentParameters?, _ logger: Logger) {
    self.command = command
    self.network = network
    self.parameters = parameters
    tracer = InstrumentationSystem.tracer
    metrics = MetricsSystem.factory
    span = tracer.startSpan(
      "CNI \(command.rawValue) \(network)", context: ServiceContext.current ?? .topLevel)
    var logger = logger
    logger[metadataKey: "cni.network"] = "\(network)"
    logger[metadataKey: "cni.command"] = "\(command.rawValue)"
    span.attributes["cni.command"] = command.rawValue
    span.attributes["cni.network"] = network
    if let parameters {
      logger[metadataKey: "cni.container"] = "\(parameters.containerID)"
      logger[metadataKey: "cni.interface"] = "\(parameters.interfaceName)"
      span.attributes["cni.container"] = parameters.containerID
      span.attributes["cni.interface"] = parameters.interfaceName
      span.attributes["cni.netns"] = parameters.namespace
    }
    self.logger = logger
  }

  /// The operation is over; `failure` is why it failed.
  func end(_ failure: RuntimeError?) {
    let elapsed = start.duration(to: .now)
    let dimensions = [("command", command.rawValue), ("network", network)]
    Timer(label: "cni_network_duration", dimensions: dimensions, factory: metrics).record(elapsed)
    if let failure {
      Counter(
        label: "cni_network_failures", dimensions: dimensions + [("cause", failure.kind.cause)],
        factory: metrics
      ).increment()
      span.recordError(failure)
      span.setStatus(SpanStatus(code: .error, message: failure.description))
      // Whoever called it is told, and knows whether it matters.
      logger.debug("\(failure)", metadata: ["cni.duration": "\(elapsed)"])
      for problem in failure.undoProblems { logger.warning("cannot undo a failed ADD: \(problem)") }
    } else {
      logger.debug("done", metadata: ["cni.duration": "\(elapsed)"])
    }
    span.end()
  }

  /// Something is odd about the cache and did not matter.
  func note(_ problem: CacheProblem) {
    logger.warning("\(problem)")
  }

  /// Watches every plugin that the operation calls, and those that these delegate to; `noteFailure` is told of each that fails,
  /// at once.
  func pluginObserver(_ noteFailure: @escaping @Sendable (PluginFailure) -> Void) -> PluginObserver {
    { type, request in
      let command = request.command.rawValue
      // A plugin in this process that delegates has a span of its own; it is the current one on its thread.
      let span = tracer.startSpan(
        "CNI \(command) \(type)", context: ServiceContext.current ?? span.context, ofKind: .client)
      span.attributes["cni.command"] = command
      span.attributes["cni.network"] = network
      span.attributes["cni.plugin"] = type
      tracer.inject(span.context, into: &request.extraEnvironment, using: TraceEnvironment())
      request.observerContext = span.context
      let start = ContinuousClock.now
      return { failure in
        let elapsed = start.duration(to: .now)
        let dimensions = [("plugin", type), ("command", command), ("network", network)]
        Timer(label: "cni_plugin_duration", dimensions: dimensions, factory: metrics).record(elapsed)
        if let failure {
          noteFailure(failure)
          Counter(
            label: "cni_plugin_failures", dimensions: dimensions + [("cause", failure.cause.name)],
            factory: metrics
          ).increment()
          span.recordError(failure)
          span.setStatus(SpanStatus(code: .error, message: failure.description))
          if let path = failure.path { span.attributes["cni.plugin.path"] = path }
        }
        logger.trace(
          failure.map { "\($0)" } ?? "plugin done",
          metadata: [
            "cni.plugin": "\(type)", "cni.command": "\(command)", "cni.duration": "\(elapsed)",
          ])
        span.end()
      }
    }
  }
}

extension Timer {
  fileprivate func record(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}

extension PluginFailure.Cause {
  /// A word for a dimension of metrics.
  fileprivate var name: String {
    switch self {
    case .error: "error"
    case .exited, .signaled, .unknownStatus: "died"
    case .notFound: "not_found"
    case .notStarted: "not_started"
    case .timedOut: "timed_out"
    case .cancelled: "cancelled"
    case .unreadableReply: "unreadable_reply"
    }
  }
}

extension RuntimeError.Kind {
  /// A word for a dimension of metrics.
  fileprivate var cause: String {
    switch self {
    case .invalidParameter: "invalid_parameter"
    case .invalidConfiguration: "invalid_configuration"
    case .networkNotFound: "network_not_found"
    case .noConfiguration: "no_configuration"
    case .pluginFailed: "plugin"
    case .timedOut: "timed_out"
    case .cancelled: "cancelled"
    case .checkNotSupported: "check_not_supported"
    case .cache: "cache"
    }
  }
}
