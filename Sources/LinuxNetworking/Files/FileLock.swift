import Glibc
import SystemPackage

/// An exclusive `flock(2)` on a file, held until the value goes.
///
/// The Go host-local plugin takes the same lock on `<dataDir>/<network>/lock`: both implementations can work in
/// one directory. The lock belongs to the descriptor, so it also keeps out other threads of this process, and
/// ends with the process, however that ends.
public struct FileLock: ~Copyable, Sendable {
  /// The file that is locked; with its last component if a directory was given.
  public let path: String
  private let descriptor: CInt

  /// How long to wait for a lock that somebody else holds.
  public enum Patience: Sendable, Hashable {
    /// As long as it takes.
    case forever
    /// Not at all: `EAGAIN`.
    case never
    /// So long: then `ETIMEDOUT`.
    case atMost(Duration)
  }

  /// Locks the file, which is made (mode 0600) if it is not there. If `path` is a directory, the file `lock` in it.
  ///
  /// Errors: ``FileError`` with `EAGAIN` or `ETIMEDOUT` for a lock that somebody else holds, else those of `open`.
  public init(path: String, wait patience: Patience = .forever) throws(FileError) {
    var path = path
    while true {
      switch openDescriptor(path, O_RDONLY | O_CREAT, mode: 0o600) {
      case .success(let opened):
        if let failure = Self.lock(opened, patience) {
          close(opened)
          throw FileError(path: path, operation: "lock", errno: failure)
        }
        // Somebody may have removed the file while we waited; a lock on what has no name keeps nobody out.
        var status = stat()
        guard fstat(opened, &status) == 0, status.st_nlink > 0 else {
          close(opened)
          continue
        }
        self.path = path
        self.descriptor = opened
        return
      case .failure(.isDirectory) where !path.utf8.reversed().starts(with: "/lock".utf8.reversed()):
        path += "/lock"
      case .failure(let errno):
        throw FileError(path: path, operation: "lock", errno: errno)
      }
    }
  }

  /// Gives the lock back now.
  public consuming func unlock() {}

  deinit { close(descriptor) }

  private static func lock(_ descriptor: CInt, _ patience: Patience) -> Errno? {
    guard case .forever = patience else { return tryLocking(descriptor, patience) }
    while flock(descriptor, LOCK_EX) != 0 {
      if systemErrno != EINTR { return .last }
    }
    return nil
  }

  /// `flock` knows no time limit (and an alarm signal would be the whole process's): it is asked again and
  /// again, at growing distances.
  private static func tryLocking(_ descriptor: CInt, _ patience: Patience) -> Errno? {
    let start = monotonicNow()
    var pause = 500_000  // ns
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let failure = Errno.last
      if failure == .interrupted { continue }
      guard failure == .wouldBlock else { return failure }
      guard case .atMost(let limit) = patience else { return .wouldBlock }
      guard monotonicNow() - start < limit else { return .timedOut }
      var time = timespec(tv_sec: 0, tv_nsec: pause)
      nanosleep(&time, nil)
      pause = min(pause * 2, 20_000_000)
    }
    return nil
  }
}

/// `CLOCK_MONOTONIC`. Not a `ContinuousClock`: that brings the concurrency runtime into a plugin that has no
/// other use for it.
private func monotonicNow() -> Duration {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}
