import CLinux
import Glibc
public import SystemPackage

/// A file that is written before it has a name (`O_TMPFILE`): nobody sees it unfinished, and when its process is killed,
/// it is gone with it.
///
/// Not every file system can do that; some that lie on others (overlayfs before Linux 6.3) or on other machines cannot.
public struct NamelessFile: ~Copyable, Sendable {
  private let descriptor: CInt

  /// A file with this content. Its descriptor is closed with the value.
  ///
  /// - Parameters:
  ///   - content: What the file holds.
  ///   - path: The directory that it will be in.
  ///   - directory: An open directory that `path` begins at; by default, the working directory.
  ///   - mode: Permissions; the process's umask applies.
  ///   - durable: Whether the content survives a power cut that comes after this (`fsync`).
  /// - Returns: nil where the file system cannot do it.
  /// - Throws: what `open`, `write` and `fsync` give.
  public init?(
    _ content: [UInt8], in path: String, of directory: Int32 = AT_FDCWD, mode: UInt32,
    durable: Bool = false
  ) throws(Errno) {
    var opened: CInt
    repeat { opened = clinux_open_nameless(directory, path, mode) } while opened < 0 && systemErrno == EINTR
    guard opened >= 0 else {
      switch Errno.last {
      case .notSupported, .isDirectory, .invalidArgument, .noFunction: return nil
      case let failure: throw failure
      }
    }
    var failure = content.withUnsafeBytes { writeAll($0, to: opened) }
    if failure == nil, durable, fsync(opened) != 0 { failure = .last }
    if let failure {
      close(opened)
      throw failure
    }
    descriptor = opened
  }

  deinit { close(descriptor) }

  /// Whether what has this name is the file.
  func isNamed(_ path: String) -> Bool {
    var own = stat()
    var other = stat()
    return fstat(descriptor, &own) == 0 && lstat(path, &other) == 0 && own.st_ino == other.st_ino
      && own.st_dev == other.st_dev
  }

  /// Gives the file its name, if there is nothing of that name.
  ///
  /// - Returns: nil, or why it has not got it: `EEXIST` if there is something.
  public func giveName(_ path: String, in directory: Int32 = AT_FDCWD) -> Errno? {
    clinux_give_name(descriptor, directory, path) == 0 ? nil : .last
  }
}
