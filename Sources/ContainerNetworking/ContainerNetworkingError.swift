import CNI
import CNIExecution
import CNIRuntime

/// What could not be done for a container or with the configuration, everything that is known of why, and what to do.
public struct ContainerNetworkingError: Error, Sendable {
  /// What kind of failure it is.
  public enum Kind: Sendable, Hashable {
    /// A parameter is not acceptable.
    case invalidParameter
    /// ``ContainerNetworking/load(_:)-(ConfigurationSource...)`` has not been called.
    case notInitialized
    /// Fewer networks are configured than there have to be, or none in the directory that was asked for.
    case noConfiguration
    /// A configuration cannot be used.
    case invalidConfiguration
    /// A plugin says by STATUS that it is not ready; ``ContainerNetworkingError/code`` says how (50: it cannot serve ADD,
    /// 51: nor reach existing containers, say).
    case notReady
    /// Plugins have failed; see ``ContainerNetworkingError/failures``.
    case pluginFailed
    /// The version of a configuration knows no CHECK.
    case checkNotSupported
    /// What is remembered of a container is missing or unreadable, or cannot be stored.
    case cache
    /// A plugin has succeeded, but its result contradicts itself.
    case invalidResult
    /// It took longer than it may.
    case timedOut
    /// The task was cancelled.
    case cancelled
  }

  /// What kind of failure it is.
  public var kind: Kind
  /// What was to be done: `set up container "c1"`.
  public var operation: String
  /// Why it failed; empty if ``failures`` say so.
  public var reason: String
  /// What to do about it; may be empty.
  public var remedy: String
  /// What failed, network by network.
  public var failures: [RuntimeError]
  /// What could not be taken back of a set-up that failed; empty if nothing is left of it. Networks that have failed themselves
  /// are among ``failures`` as well. The cache keeps a note of each:
  /// ``ContainerNetworking/remove(_:namespace:labels:capabilities:timeout:)`` tries again.
  public var undoFailures: [RuntimeError]
  /// What is wrong with configuration files.
  public var problems: [ConfigurationProblem]

  init(
    _ kind: Kind, _ operation: String, _ reason: String = "", _ remedy: String = "",
    failures: [RuntimeError] = [], undoFailures: [RuntimeError] = [], problems: [ConfigurationProblem] = []
  ) {
    self.kind = kind
    self.operation = operation
    self.reason = reason
    self.remedy = remedy
    self.failures = failures
    self.undoFailures = undoFailures
    self.problems = problems
  }

  /// An operation in which networks have failed.
  init(_ operation: String, failures: [RuntimeError], undoFailures: [RuntimeError] = []) {
    let kinds = failures.map { Kind($0.kind) }
    let kind =
      [.timedOut, .cancelled, .pluginFailed].first { kinds.contains($0) } ?? kinds.first ?? .pluginFailed
    // An attachment that names plugins which will never come back must not stay for ever.
    let isHopeless = !failures.isEmpty && failures.allSatisfy(\.lacksOnlyPlugins)
    self.init(
      kind, operation, "",
      isHopeless && failures.contains { $0.failures.contains { $0.command == .del } }
        ? "install the plugins again, or call forget(_:) and see to what they have left yourself" : "",
      failures: failures, undoFailures: undoFailures)
  }

  /// The code as the specification numbers them: of the first network whose failure makes this error what it is.
  public var code: CNIError.Code? { (failures.first { Kind($0.kind) == kind } ?? failures.first)?.code }
  /// The type of the plugin that failed first.
  public var plugin: String? { failures.lazy.compactMap(\.plugin).first }
}

extension ContainerNetworkingError: CustomStringConvertible {
  /// All of it in one line.
  public var description: String {
    var parts = reason.isEmpty ? [] : [reason]
    if reason.isEmpty { parts += failures.map(\.description) }
    parts += problems.map(\.description)
    // What a network could not undo by itself is part of its own failure.
    parts += undoFailures.filter { left in
      left.undoProblems.isEmpty || !reason.isEmpty
        || !failures.contains { $0.network == left.network && $0.attachment == left.attachment }
    }.map { "it was not undone completely: \($0)" }
    if !remedy.isEmpty { parts.append(remedy) }
    return "cannot \(operation): " + parts.joined(separator: "; ")
  }
}

extension ContainerNetworkingError.Kind {
  /// What the failure of one network makes of the operation.
  init(_ kind: RuntimeError.Kind) {
    self =
      switch kind {
      case .invalidParameter: .invalidParameter
      case .invalidConfiguration, .networkNotFound: .invalidConfiguration
      case .noConfiguration: .noConfiguration
      case .pluginFailed: .pluginFailed
      case .timedOut: .timedOut
      case .cancelled: .cancelled
      case .checkNotSupported: .checkNotSupported
      case .cache: .cache
      }
  }
}

extension RuntimeError {
  /// Whether plugins have put into words themselves what is wrong.
  var isPluginsOwn: Bool {
    kind == .pluginFailed && !failures.isEmpty
      && failures.allSatisfy { if case .error = $0.cause { true } else { false } }
  }
}
