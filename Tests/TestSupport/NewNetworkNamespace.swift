import CLinux
import Glibc

/// Runs `body` on a thread of its own, in a network namespace and a mount namespace of its own.
///
/// For `body` that thread's namespace is "the host": it has a loopback interface that is down and nothing
/// else, `/sys` shows it, `/proc/sys` can be written, and `/run` is an empty file system of its own, so that
/// `ip netns` and named namespaces stay inside. Processes started from this thread (``runCommand``,
/// ``ChildProcess``) and threads created on it inherit both namespaces. Everything ends with the thread,
/// whatever `body` does; so what must outlive it has to be held by a descriptor.
///
/// `/proc/self/ns/net` and `/proc/net` name the *process's* namespace, not this thread's: use
/// `/proc/thread-self/…` inside.
///
/// Expectations inside `body` are attributed to the running test. Needs CAP_SYS_ADMIN
/// (see ``requiresRoot``).
public func inNewNetworkNamespace<R>(_ body: () throws -> R) throws -> R {
  try onNewThread {
    try becomeHost()
    // Sockets that plugins have left to the kernel hold the namespace.
    defer { clinux_catch_up_on_closing() }
    return try body()
  }
}

/// The same for asynchronous tests, which may not block the thread they run on: `body` runs on another one, and there
/// ``waitFor(_:)`` runs what is asynchronous.
public func inNewNetworkNamespace<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await awaitOnNewThread {
    try becomeHost()
    return try body()
  }
}

/// The call that failed while a test's surroundings were set up.
public struct SetupError: Error, CustomStringConvertible {
  let operation: String
  let code: Int32

  init(_ operation: String, _ code: Int32 = errno) {
    self.operation = operation
    self.code = code
  }

  /// The call and the text of its `errno`.
  public var description: String { "\(operation): \(String(cString: strerror(code)))" }
}

private func becomeHost() throws {
  guard clinux_unshare(CLINUX_CLONE_NEWNET | CLINUX_CLONE_NEWNS) == 0 else {
    throw SetupError("unshare(CLONE_NEWNET | CLONE_NEWNS)")
  }
  // Nothing that is mounted from here on reaches the machine's own mount namespace.
  guard mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0 else {
    throw SetupError("mount --make-rprivate /")
  }
  for directory in ["/run", "/var/run"] where isDirectory(directory) {
    guard mount("tmpfs", directory, "tmpfs", UInt(MS_NOSUID | MS_NODEV), "mode=0755") == 0 else {
      throw SetupError("mount tmpfs on \(directory)")
    }
  }
  // A sysfs shows the network namespace it was mounted in. Some containers forbid it: then tests that
  // look there fail, the others do not.
  _ = mount("sysfs", "/sys", "sysfs", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), nil)
  // Container managers mount /proc/sys read-only; a fresh proc has it writable.
  if access("/proc/sys/net/ipv4/ip_forward", W_OK) != 0 {
    _ = mount("proc", "/proc", "proc", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), nil)
  }
}

/// Whether `path` itself is a directory, and not a link to one.
private func isDirectory(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}
