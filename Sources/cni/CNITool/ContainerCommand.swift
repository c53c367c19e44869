import CLinux
import Glibc
import LinuxNetworking

/// A command that runs in a network namespace, in the foreground, and is waited for.
struct ContainerCommand {
  let words: [String]

  /// Runs it with `namespace` as its network namespace and a `/sys` that shows that namespace's interfaces.
  ///
  /// - Returns: Its exit status; 128 and the signal's number if a signal ended it.
  func run(in namespace: borrowing NetworkNamespace) throws -> Int32 {
    // What the terminal sends reaches the command as well. Here it must not end the tool before it has cleaned up.
    let previous = [SIGINT, SIGQUIT].map { ($0, signal($0, SIG_IGN)) }
    defer { for (number, handler) in previous { signal(number, handler) } }
    var process: pid_t = 0
    let failure = try namespace.run { Self.inPrivateMounts { spawn(&process) } }
    guard failure == 0 else {
      throw FileError(path: words[0], operation: "run", errno: .init(rawValue: failure))
    }
    // A request to end is the command's to obey; the tool ends when the command has.
    Self.forwardTo(process)
    Self.hold(SIG_UNBLOCK)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    Self.hold(SIG_BLOCK)
    Self.forwardTo(0)
    let termination = status & 0x7f
    return termination == 0 ? (status >> 8) & 0xff : 128 + termination
  }

  private func spawn(_ process: inout pid_t) -> Int32 {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var defaults = sigset_t()
    sigemptyset(&defaults)
    for number in [SIGINT, SIGQUIT] { sigaddset(&defaults, number) }
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    return posix_spawnp(&process, words[0], nil, &attributes, &arguments, environ)
  }

  /// Runs `body` with mounts of its own, where `/sys` belongs to the network namespace at hand; then returns to the
  /// mounts there were.
  private static func inPrivateMounts(_ body: () -> Int32) -> Int32 {
    let home = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)
    guard home >= 0, clinux_unshare(CLINUX_CLONE_NEWNS) == 0 else {
      if home >= 0 { close(home) }
      return body()
    }
    defer {
      if clinux_setns(home, CLINUX_CLONE_NEWNS) != 0 { fatalError("cannot return to the host's mounts") }
      close(home)
    }
    // Without these the command still has its network; only what it reads in /sys is the host's.
    if mount("none", "/", nil, UInt(MS_REC | MS_SLAVE), nil) == 0 { mount("sysfs", "/sys", "sysfs", 0, nil) }
    return body()
  }

  /// Holds back (`SIG_BLOCK`) the requests to end, so that none of them leaves a network half made or half removed, or
  /// lets them through.
  static func hold(_ how: Int32) {
    var requests = sigset_t()
    sigemptyset(&requests)
    for number in [SIGTERM, SIGHUP] { sigaddset(&requests, number) }
    pthread_sigmask(how, &requests, nil)
  }

  nonisolated(unsafe) private static var target: pid_t = 0

  private static func forwardTo(_ process: pid_t) {
    target = process
    let handler: @convention(c) (Int32) -> Void = { number in
      if ContainerCommand.target > 0 { kill(ContainerCommand.target, number) }
    }
    for number in [SIGTERM, SIGHUP] { signal(number, process > 0 ? handler : SIG_DFL) }
  }
}
