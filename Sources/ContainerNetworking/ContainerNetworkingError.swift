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
    /// Fewer networks are configured than there have to be.
    case noConfiguration
    /// A configuration cannot be used.
    case invalidConfiguration
    /// A plugin says by STATUS that it is not ready; ``ContainerNetworkingError/code`` says how (50: it cannot serve ADD,
    /// 51: nor reach existing containers, say).
    case notReady
    /// Plugins have failed; see ``ContainerNetworkingError/failures``.
    case pluginFailed
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
  /// What could not be taken back of a set-up that failed. The cache keeps a note of it:
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
    let kinds = failures.map(\.kind)
    let kind: Kind =
      if kinds.contains(.timedOut) {
        .timedOut
      } else if kinds.contains(.cancelled) {
        .cancelled
      } else if kinds.first == .invalidParameter {
        .invalidParameter
      } else if kinds.first == .invalidConfiguration {
        .invalidConfiguration
      } else {
        .pluginFailed
      }
    self.init(kind, operation, failures: failures, undoFailures: undoFailures)
  }

  /// The code as the specification numbers them, of the first network that failed.
  public var code: CNIError.Code? { failures.first?.code }
  /// The type of the plugin that failed first.
  public var plugin: String? { failures.lazy.compactMap(\.plugin).first }
}

extension ContainerNetworkingError: CustomStringConvertible {
  /// All of it in one line.
  public var description: String {
    var parts = reason.isEmpty ? [] : [reason]
    if reason.isEmpty { parts += failures.map(\.description) }
    parts += problems.map(\.description)
    parts += undoFailures.map { "it was not undone completely: \($0)" }
    if !remedy.isEmpty { parts.append(remedy) }
    return "cannot \(operation): " + parts.joined(separator: "; ")
  }
}
