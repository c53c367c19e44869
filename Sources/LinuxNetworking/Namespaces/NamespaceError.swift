public import SystemPackage

/// Why a network namespace cannot be used.
public enum NamespaceError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Nothing is at `path` (any more): no such file, no such process, or nothing left but the empty file that a
  /// named namespace was mounted on. Whoever wants to remove something from it is done.
  case gone(path: String)
  /// Something else than a network namespace is at `path`.
  case notANamespace(path: String)
  /// `EACCES` or `EPERM`.
  case denied(path: String, Errno)
  /// Anything else; `operation` follows "cannot": `open`, `enter`, `create`, …
  case failed(path: String, operation: String, Errno)

  /// The path that was tried.
  public var path: String {
    switch self {
    case .gone(let path), .notANamespace(let path), .denied(let path, _), .failed(let path, _, _): path
    }
  }

  /// One line that names the path and the reason.
  public var description: String {
    switch self {
    case .gone(""): "no network namespace was given"
    case .gone(let path): "network namespace \(path) does not exist (any more)"
    case .notANamespace(let path): "\(path) is not a network namespace"
    case .denied(let path, let errno): "no permission for network namespace \(path): \(errno.explained)"
    case .failed(let path, let operation, let errno):
      "cannot \(operation) network namespace \(path): \(errno.explained)"
    }
  }

  init(path: String, operation: String, errno: Errno) {
    switch errno {
    case .noSuchFileOrDirectory, .noSuchProcess: self = .gone(path: path)
    case .permissionDenied, .notPermitted: self = .denied(path: path, errno)
    default: self = .failed(path: path, operation: operation, errno)
    }
  }
}
