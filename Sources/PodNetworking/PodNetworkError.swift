import CNI
import CNIRuntime

/// What could not be done for a pod or for all networks, and why.
public struct PodNetworkError: Error, Sendable {
  /// What kind of failure it is.
  public enum Kind: Sendable, Hashable {
    /// What is asked for a pod makes no sense; nothing was done.
    case invalidRequest
    /// There is no default network: no usable configuration, or none of the name that was chosen.
    case noDefaultNetwork
    /// No network of a name that was asked for is configured.
    case networkNotFound
    /// The network namespace cannot be used, or its loopback interface.
    case namespace
    /// Networks have failed; see ``PodNetworkError/failures``.
    case network
    /// The task was cancelled.
    case cancelled
    /// The time was over.
    case timedOut
    /// ``PodNetworking/shutDown(within:)`` was called before, or has ended it.
    case shutDown
  }

  /// What kind of failure it is.
  public var kind: Kind
  /// What was to be done: `set up the networks of pod default/web (6a0d…)`.
  public var operation: String
  /// Why it failed; empty where ``failures`` say so.
  public var reason: String
  /// The networks that failed, in the order of the attempts.
  public var failures: [RuntimeError]
  /// The networks that could not be detached again when a set-up was taken back because another one had failed. What the
  /// failed one itself has left, its own error tells (`undoProblems`).
  public var undoFailures: [RuntimeError]
  /// Whether the pod has anything after a set-up that has failed: something that could not be taken back, or what an earlier
  /// call had attached. If so it has to be torn down in the end; if not, there is nothing to tear down.
  public var needsTearDown = false

  /// An error; what does not apply may be left out.
  public init(
    _ kind: Kind, operation: String, reason: String = "", failures: [RuntimeError] = [],
    undoFailures: [RuntimeError] = []
  ) {
    self.kind = kind
    self.operation = operation
    self.reason = reason
    self.failures = failures
    self.undoFailures = undoFailures
  }

  /// Of the first failure, as the specification numbers them.
  public var code: CNIError.Code {
    if let first = failures.first { return first.code }
    switch kind {
    case .invalidRequest: return .invalidEnvironment
    case .noDefaultNetwork, .networkNotFound: return .invalidConfiguration
    case .cancelled, .timedOut, .shutDown: return .tryAgainLater
    case .namespace, .network: return .internalError
    }
  }

  /// Of networks that failed.
  init(operation: String, failures: [RuntimeError], undoFailures: [RuntimeError] = []) {
    let kind: Kind =
      switch failures.first?.kind {
      case .cancelled: .cancelled
      case .timedOut: .timedOut
      case .networkNotFound, .noConfiguration: .networkNotFound
      case .invalidParameter: .invalidRequest
      default: .network
      }
    self.init(kind, operation: operation, failures: failures, undoFailures: undoFailures)
  }
}

extension PodNetworkError: CustomStringConvertible {
  /// All of it in one line.
  public var description: String {
    var parts = reason.isEmpty ? [] : [reason]
    parts += failures.map(\.description)
    parts += undoFailures.map { "taking it back failed as well: \($0)" }
    if needsTearDown { parts.append("the pod still has attachments") }
    return "cannot \(operation): \(parts.joined(separator: "; "))"
  }
}
