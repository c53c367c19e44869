import CLinux
public import SystemPackage

/// What failed with a file: names the path, what was tried and why it did not work.
public struct FileError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The path as given (a file in `/proc/sys` with its full path).
  public var path: String
  /// What was tried, to follow "cannot": `read`, `write`, `lock`, …
  public var operation: String
  /// The error number.
  public var errno: Errno

  /// An error with its three facts.
  public init(path: String, operation: String, errno: Errno) {
    self.path = path
    self.operation = operation
    self.errno = errno
  }

  /// The file, or a directory on the way to it, is not there.
  public var isNotFound: Bool { errno == .noSuchFileOrDirectory }

  /// `cannot write /proc/sys/net/ipv4/ip_forward: Read-only file system (EROFS)`.
  public var description: String { "cannot \(operation) \(path): \(errno.explained)" }
}

extension Errno {
  /// The number the last failed call of this thread left.
  static var last: Errno { Errno(rawValue: systemErrno) }

  /// Text and symbol: `No such file or directory (ENOENT)`.
  var explained: String {
    guard let name = clinux_errno_name(rawValue) else { return description }
    return "\(description) (\(String(cString: name)))"
  }
}

extension Errno {
  /// Whether an error is one of those that pass by themselves: whoever tries again may succeed.
  package var passes: Bool {
    [
      .noMemory, .interrupted, .resourceTemporarilyUnavailable, .noBufferSpace, .tooManyOpenFiles,
      .tooManyOpenFilesInSystem,
    ].contains(self)
  }
}
