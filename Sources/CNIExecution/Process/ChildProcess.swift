import CLinux
import Glibc
import SystemPackage

/// A process that was started with `posix_spawn` (which is `vfork` underneath: the cost does not grow with ours) and has
/// not been waited for.
struct ChildProcess: ~Copyable {
  let processID: pid_t
  /// Whether it leads a process group of its own.
  let leadsGroup: Bool
  /// What `poll` watches for the end of the process; -1 where the kernel has no such thing (before 5.3).
  let endDescriptor: Int32

  /// Starts `path` in the namespaces of the calling thread, with the three descriptors as its standard streams and
  /// `shared`, if not -1, under the same number, no signal blocked and SIGPIPE at its default.
  init(
    path: String, environment: inout EnvironmentBlock, input: Int32, output: Int32, errors: Int32,
    sharing shared: Int32 = -1, ownGroup: Bool
  ) throws(Errno) {
    if environment.isUnrepresentable { throw .invalidArgument }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_adddup2(&actions, errors, 2)
    // Onto itself: that makes it one that is not closed on exec, and only in the child (glibc 2.29).
    if shared > 2 { posix_spawn_file_actions_adddup2(&actions, shared, shared) }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var set = sigset_t()
    sigemptyset(&set)
    posix_spawnattr_setsigmask(&attributes, &set)
    sigaddset(&set, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &set)
    var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    if ownGroup { flags |= POSIX_SPAWN_SETPGROUP }
    posix_spawnattr_setflags(&attributes, Int16(flags))

    var child: pid_t = 0
    let failure = path.withCString { path in
      environment.withPointers { variables in
        var arguments: (UnsafeMutablePointer<CChar>?, UnsafeMutablePointer<CChar>?) = (
          .init(mutating: path), nil
        )
        return withUnsafeMutableBytes(of: &arguments) {
          posix_spawn(
            &child, path, &actions, &attributes,
            $0.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self).baseAddress!, variables)
        }
      }
    }
    guard failure == 0 else { throw Errno(rawValue: failure) }
    processID = child
    leadsGroup = ownGroup
    endDescriptor = clinux_pidfd_open(child)
  }

  deinit {
    if endDescriptor >= 0 { close(endDescriptor) }
  }

  /// Sends a signal to the process, and to the whole group if it leads one. Only before ``wait()``: until then the
  /// process ID cannot belong to anybody else.
  func send(_ signal: Int32) {
    if leadsGroup { kill(-processID, signal) } else { kill(processID, signal) }
  }

  /// Waits until the process ends. Once.
  func wait() -> ExitStatus {
    var status: Int32 = 0
    while true {
      let result = waitpid(processID, &status, 0)
      if result == processID { return ExitStatus(waitStatus: status) }
      if errno != EINTR { return .unknown }
    }
  }

  /// Whether it has ended, without waiting and without collecting its status.
  func hasEnded() -> Bool {
    var information = siginfo_t()
    // With WNOHANG and nothing to report, si_pid is left at 0; ECHILD means that nobody will ever report.
    if waitid(P_PID, id_t(processID), &information, WEXITED | WNOHANG | WNOWAIT) != 0 {
      return errno == ECHILD
    }
    return information.si_signo == SIGCHLD
  }
}
