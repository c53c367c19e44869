import CLinux
import Glibc
import LinuxNetworking

/// The lock of a host's network namespace, for what several attachments share.
///
/// It is an advisory lock (`flock(2)`) on the namespace's own file: every namespace has its own, there is no file to
/// create, to name or to leave behind, and the kernel releases it with the process. It belongs to the opened
/// `NetworkNamespace`, and ends with it.
public enum HostLock {
  /// How long ``share(_:)`` waits, in milliseconds. Whoever removes something holds the lock for a few of them.
  private static let patience = 2000

  /// Holds the lock together with others that share it; waits for one that holds it exclusively, but not for ever.
  ///
  /// Every process of the host can open the namespace's file and lock it, with no privilege at all, and must not be
  /// able to keep containers from their network. While a stranger has the lock exclusively, nobody can remove what
  /// attachments share, so going on without it is safe.
  public static func share(_ namespace: borrowing NetworkNamespace) throws {
    var waited = 0
    while flock(namespace.descriptor, LOCK_SH | LOCK_NB) != 0 {
      switch errno {
      case EINTR: continue
      case EWOULDBLOCK where waited < patience:
        Pause.milliseconds(2)
        waited += 2
      case EWOULDBLOCK: return
      default: throw FileError(path: namespace.path, operation: "lock", errno: .init(rawValue: errno))
      }
    }
  }

  /// Gives the lock back.
  public static func release(_ namespace: borrowing NetworkNamespace) {
    _ = flock(namespace.descriptor, LOCK_UN)
  }

  /// Whether the lock could be had alone, trying so many times, 10 ms apart.
  public static func tryExclusively(_ namespace: borrowing NetworkNamespace, attempts: Int) -> Bool {
    for attempt in 0..<attempts {
      if attempt > 0 { Pause.milliseconds(10) }
      if flock(namespace.descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
    }
    return false
  }
}
