import CLinux
import Glibc
import SystemPackage

/// The calling thread's; `/proc/self` would be the main thread's.
let ownNamespace = "/proc/thread-self/ns/net"

func openOwnNamespace() throws(NamespaceError) -> CInt {
  switch openDescriptor(ownNamespace, O_RDONLY) {
  case .success(let descriptor): return descriptor
  case .failure(let errno): throw .failed(path: ownNamespace, operation: "open", errno)
  }
}

/// Moves the calling thread into the namespace; gives a descriptor of the one it came from, which
/// ``comeBack(to:)`` closes.
func enter(_ namespace: CInt, path: @autoclosure () -> String) throws(NamespaceError) -> CInt {
  let home = try openOwnNamespace()
  guard clinux_setns(namespace, CLINUX_CLONE_NEWNET) == 0 else {
    let errno = Errno.last
    close(home)
    throw NamespaceError(path: path(), operation: "enter", errno: errno)
  }
  return home
}

/// Moves the calling thread into a network namespace that did not exist before; the rest as for `enter`.
func enterNewNamespace(path: @autoclosure () -> String) throws(NamespaceError) -> CInt {
  let home = try openOwnNamespace()
  guard clinux_unshare(CLINUX_CLONE_NEWNET) == 0 else {
    let errno = Errno.last
    close(home)
    throw NamespaceError(path: path(), operation: "create", errno: errno)
  }
  return home
}

/// Moves the calling thread back. A thread that stayed would do the work of others in the wrong network: if
/// it cannot come back, the process ends here.
func comeBack(to home: CInt) {
  moveBack(to: home)
  close(home)
}

/// The same for a descriptor that stays open.
func moveBack(to home: CInt) {
  guard clinux_setns(home, CLINUX_CLONE_NEWNET) == 0 else {
    let message =
      "cannot return to the network namespace that this thread came from: \(Errno.last.explained)\n"
    _ = message.utf8.withContiguousStorageIfAvailable { Glibc.write(2, $0.baseAddress!, $0.count) }
    abort()
  }
}
