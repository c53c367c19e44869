import CLinux
import Glibc
import SystemPackage

/// A file that is there, held until the value goes: an exclusive `flock(2)`.
///
/// The lock belongs to the open file and not to a process: who inherits ``descriptor`` holds it as well, even when the one
/// who made it is gone.
public struct FileHold: ~Copyable, Sendable {
  /// Valid as long as the value, and closed on exec; -1 if there is no such file, or if somebody else holds it.
  public let descriptor: Int32

  /// Holds the file if it is there and nobody else does.
  public init(_ path: String) {
    guard case .success(let opened) = openDescriptor(path, O_RDONLY) else {
      descriptor = -1
      return
    }
    if flock(opened, LOCK_EX | LOCK_NB) == 0 {
      descriptor = opened
    } else {
      close(opened)
      descriptor = -1
    }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }

  /// Whether somebody holds the file; a file that is not there is held by nobody.
  public static func isHeld(_ path: String) -> Bool {
    guard case .success(let opened) = openDescriptor(path, O_RDONLY) else { return false }
    defer { close(opened) }
    return flock(opened, LOCK_SH | LOCK_NB) != 0 && systemErrno == EWOULDBLOCK
  }
}
