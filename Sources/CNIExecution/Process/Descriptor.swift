import CLinux
import Glibc
import SystemPackage

/// A file descriptor that is closed when nobody holds it any more, or earlier.
struct Descriptor: ~Copyable {
  /// -1 once closed, which `poll(2)` skips.
  private(set) var number: Int32

  init(_ number: Int32) {
    self.number = number
  }

  /// Another descriptor for the same file, above the three standard streams.
  init(movedUpFrom low: Int32) throws(Errno) {
    let higher = fcntl(low, F_DUPFD_CLOEXEC, 3)
    guard higher >= 0 else { throw Errno(rawValue: errno) }
    self.init(higher)
  }

  deinit {
    if number >= 0 { Glibc.close(number) }
  }

  var isOpen: Bool { number >= 0 }

  mutating func close() {
    if number >= 0 { Glibc.close(number) }
    number = -1
  }

  /// Hands the file to a new owner.
  mutating func take() -> Descriptor {
    defer { number = -1 }
    return Descriptor(number)
  }
}

/// Both ends of a `pipe(2)`, close-on-exec.
struct Pipe: ~Copyable {
  var reader = Descriptor(-1)
  var writer = Descriptor(-1)

  init() throws(Errno) {
    var ends: (Int32, Int32) = (-1, -1)
    let result = withUnsafeMutableBytes(of: &ends) {
      clinux_pipe($0.assumingMemoryBound(to: Int32.self).baseAddress!)
    }
    guard result == 0 else { throw Errno(rawValue: errno) }
    reader = Descriptor(ends.0)
    writer = Descriptor(ends.1)
    // Where the caller has closed its own standard streams, a pipe gets their numbers, and the child's `dup2`s
    // would step on each other.
    if ends.0 <= 2 { reader = try Descriptor(movedUpFrom: ends.0) }
    if ends.1 <= 2 { writer = try Descriptor(movedUpFrom: ends.1) }
  }
}

/// Runs `body`, which writes to a pipe that may have lost its reader, such that SIGPIPE neither ends this process nor
/// stays behind for it. (MSG_NOSIGNAL exists for sockets only, and ignoring the signal would be inherited by others.)
func withoutBrokenPipeSignal(_ body: () -> Bool) {
  var only = sigset_t()
  var before = sigset_t()
  sigemptyset(&only)
  sigaddset(&only, SIGPIPE)
  pthread_sigmask(SIG_BLOCK, &only, &before)
  let pipeBroke = body()
  // A SIGPIPE that was blocked before is not ours to swallow.
  if pipeBroke, sigismember(&before, SIGPIPE) == 0 {
    var none = timespec()
    while sigtimedwait(&only, nil, &none) == -1 && errno == EINTR {}
  }
  pthread_sigmask(SIG_SETMASK, &before, nil)
}
