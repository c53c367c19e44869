import CNI
import CNIExecution

/// An operation on a network that failed: which one, on what, everything that is known of why, and what to do.
public struct RuntimeError: Error, Sendable {
  /// What kind of failure it is.
  public enum Kind: Sendable, Hashable {
    /// A parameter is not acceptable.
    case invalidParameter
    /// A configuration cannot be used.
    case invalidConfiguration
    /// No network of that name is configured.
    case networkNotFound
    /// There is no configuration at all.
    case noConfiguration
    /// Plugins have failed; see ``RuntimeError/failures``.
    case pluginFailed
    /// It took longer than it may: a plugin, which was stopped, or the wait before it.
    case timedOut
    /// Somebody has called it off: a plugin, which was stopped, or the wait before it.
    case cancelled
    /// The version of the configuration knows no CHECK.
    case checkNotSupported
    /// The result of ADD is missing or unreadable, or cannot be stored.
    case cache
  }

  /// What kind of failure it is.
  public var kind: Kind
  /// What was to be done: `attach container "c1" by "eth0" to network "podnet"`.
  public var operation: String
  /// The network; empty if there is none yet.
  public var network: String
  /// Which attachment; `nil` for operations on a whole network.
  public var attachment: Attachment?
  /// The file that has to do with it: a configuration or a cache entry.
  public var file: String?
  /// Why it failed. For ``Kind/pluginFailed`` the first of ``failures`` says so.
  public var reason: String
  /// What to do about it; may be empty.
  public var remedy: String
  /// The code as the specification numbers them.
  public var code: CNIError.Code
  /// The plugins that failed, in the order in which they ran.
  public var failures: [PluginFailure]
  /// What went wrong when the work of a failed ADD was taken back; empty if all of it was.
  public var undoProblems: [String]
  /// What was done about the work of the plugins that had run before the one that failed.
  public var undo: Undo

  /// What became of the work of a failed ADD.
  public enum Undo: Sendable, Hashable {
    /// There was nothing to take back.
    case notNeeded
    /// All plugins that had been asked for ADD were asked for DEL.
    case done
    /// The attachment exists since an earlier ADD: that one was left as it is.
    case leftEarlierAttachment
  }

  /// An error; what does not apply may be left out.
  public init(
    kind: Kind, operation: String, network: String = "", attachment: Attachment? = nil, file: String? = nil,
    reason: String = "", remedy: String = "", code: CNIError.Code = .internalError,
    failures: [PluginFailure] = [],
    undoProblems: [String] = [], undo: Undo = .notNeeded
  ) {
    self.kind = kind
    self.operation = operation
    self.network = network
    self.attachment = attachment
    self.file = file
    self.reason = reason
    self.remedy = remedy
    self.code = code
    self.failures = failures
    self.undoProblems = undoProblems
    self.undo = undo
  }

  /// An operation whose plugins have failed.
  init(
    _ failures: [PluginFailure], operation: String, list: NetworkConfigurationList,
    attachment: Attachment? = nil, reason: String = ""
  ) {
    self.init(
      kind: failures.lazy.map(\.runtimeKind).first { $0 != .pluginFailed } ?? .pluginFailed,
      operation: operation, network: list.name, attachment: attachment, file: list.source, reason: reason,
      code: failures.first?.cniError.code ?? .internalError, failures: failures)
  }

  /// The type of the plugin that failed first.
  public var plugin: String? { failures.first?.plugin }

  /// The same as an error of the specification, with the code that the plugin gave.
  public var cniError: CNIError { CNIError(code, "cannot \(operation)", details: explanation) }
}

extension RuntimeError: CustomStringConvertible {
  /// All of it in one line.
  public var description: String { "cannot \(operation): \(explanation)" }

  private var explanation: String {
    var parts: [String] = reason.isEmpty ? [] : [reason]
    parts += failures.map(\.description)
    switch undo {
    case .notNeeded: break
    case .done:
      parts.append(
        undoProblems.isEmpty
          ? "what had been done was undone"
          : "undoing it failed as well: \(undoProblems.joined(separator: "; "))")
    case .leftEarlierAttachment: parts.append("the attachment that an earlier ADD has made was left as it is")
    }
    if !remedy.isEmpty { parts.append(remedy) }
    var text = parts.joined(separator: "; ")
    if let file, !text.contains(file) { text += " (\(file))" }
    return text
  }
}

extension PluginFailure {
  /// What kind of failure it makes of the operation.
  fileprivate var runtimeKind: RuntimeError.Kind {
    switch cause {
    case .timedOut: .timedOut
    case .cancelled: .cancelled
    default: .pluginFailed
    }
  }
}
