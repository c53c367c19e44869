import CLinux
import Glibc
import SystemPackage

/// Which namespace it is, whatever path leads there: device and inode of its file in nsfs (`namespaces(7)`).
/// An inode number is given out again once nothing holds the namespace.
public struct NamespaceIdentity: Hashable, Sendable {
  /// `st_dev`.
  public let device: UInt64
  /// `st_ino`; the number in `net:[4026531840]`.
  public let inode: UInt64

  /// An identity read elsewhere.
  public init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}

/// An open network namespace. It lives at least as long as this value.
///
/// A namespace belongs to a *thread*: ``run(_:)`` moves only the calling one, and brings it back before it
/// returns. Synchronous code only; after an `await` one may be on another thread.
public struct NetworkNamespace: ~Copyable, Sendable {
  /// The path it was opened by.
  public let path: String
  /// Close-on-exec; valid as long as this value.
  public let descriptor: Int32

  init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Opens the namespace at a path: `/run/netns/NAME`, `/var/run/netns/NAME`, `/proc/PID/ns/net`,
  /// `/proc/PID/fd/9`, …
  public static func open(_ path: String) throws(NamespaceError) -> NetworkNamespace {
    let descriptor: CInt
    switch openDescriptor(path, O_RDONLY) {
    case .success(let opened): descriptor = opened
    // A socket.
    case .failure(.noSuchAddressOrDevice): throw .notANamespace(path: path)
    case .failure(let errno): throw NamespaceError(path: path, operation: "open", errno: errno)
    }
    guard clinux_namespace_type(descriptor) == CLINUX_CLONE_NEWNET else {
      let error = notANamespace(path, descriptor)
      close(descriptor)
      throw error
    }
    return NetworkNamespace(path: path, descriptor: descriptor)
  }

  /// The namespace that the calling thread is in.
  public static func current() throws(NamespaceError) -> NetworkNamespace {
    NetworkNamespace(path: ownNamespace, descriptor: try openOwnNamespace())
  }

  /// Device and inode.
  public var identity: NamespaceIdentity {
    get throws(NamespaceError) {
      var status = stat()
      guard fstat(descriptor, &status) == 0 else {
        throw .failed(path: path, operation: "examine", .last)
      }
      return NamespaceIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
  }

  /// Which namespace the calling thread is in, without opening it.
  public static var currentIdentity: NamespaceIdentity {
    get throws(NamespaceError) {
      var status = stat()
      guard stat(ownNamespace, &status) == 0 else {
        throw .failed(path: ownNamespace, operation: "examine", .last)
      }
      return NamespaceIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
  }

  /// Whether the calling thread is in this namespace.
  public var isCurrent: Bool {
    get throws(NamespaceError) { try identity == NetworkNamespace.currentIdentity }
  }

  /// Runs `body` with the calling thread in this namespace, and brings the thread back, however `body` ends.
  ///
  /// Throws what `body` throws, or ``NamespaceError`` if it cannot be entered (`body` has not run then). Should
  /// the way back fail, the process is aborted: nothing it did from there on would be where it belongs.
  public borrowing func run<R: ~Copyable>(_ body: () throws -> R) throws -> R {
    let home = try enter(descriptor, path: path)
    defer { comeBack(to: home) }
    return try body()
  }

  /// The same, for a caller that holds the calling thread's own namespace open: two system calls less.
  ///
  /// - Parameters:
  ///   - home: The namespace that the calling thread is in.
  ///   - body: What to do there.
  public borrowing func run<R: ~Copyable>(
    from home: borrowing NetworkNamespace, _ body: () throws -> R
  ) throws -> R {
    guard clinux_setns(descriptor, CLINUX_CLONE_NEWNET) == 0 else {
      throw NamespaceError(path: path, operation: "enter", errno: .last)
    }
    let descriptor = home.descriptor
    defer { moveBack(to: descriptor) }
    return try body()
  }

  /// Of what has been opened and is no network namespace: is it something else, or what is left of one?
  private static func notANamespace(_ path: String, _ descriptor: CInt) -> NamespaceError {
    var status = stat()
    // A named namespace is mounted on an empty file. Where that is to be seen, the namespace is gone. (Files of
    // /proc and /sys are empty, too, but nobody mounts one there; and those of other namespaces are not files.)
    guard clinux_namespace_type(descriptor) < 0, fstat(descriptor, &status) == 0,
      status.st_mode & S_IFMT == S_IFREG, status.st_size == 0,
      !path.hasPrefix("/proc/"), !path.hasPrefix("/sys/")
    else { return .notANamespace(path: path) }
    return .gone(path: path)
  }
}
