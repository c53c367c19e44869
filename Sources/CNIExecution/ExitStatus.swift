/// How a plugin ended.
public enum ExitStatus: Sendable, Hashable {
  /// It called `exit` with this status; 0 is success.
  case exited(Int32)
  /// A signal ended it.
  case signaled(Int32, coreDumped: Bool = false)
  /// Nobody can say: this process ignores SIGCHLD, or another part of it has collected the status.
  case unknown

  /// From the status word of `waitpid(2)`.
  init(waitStatus: Int32) {
    let signal = waitStatus & 0x7f
    if signal == 0 {
      self = .exited((waitStatus >> 8) & 0xff)
    } else {
      self = .signaled(signal, coreDumped: waitStatus & 0x80 != 0)
    }
  }

  /// Whether it was `exit(0)`.
  public var isSuccess: Bool { self == .exited(0) }
}

extension ExitStatus: CustomStringConvertible {
  /// "exited with status 3", "killed by signal 11 (SIGSEGV, core dumped)".
  public var description: String {
    switch self {
    case .exited(let status): return "exited with status \(status)"
    case .unknown: return "ended with a status that somebody else collected (is SIGCHLD ignored?)"
    case .signaled(let signal, let coreDumped):
      let name = signalName(signal).map { [$0] } ?? []
      let notes = name + (coreDumped ? ["core dumped"] : [])
      return "killed by signal \(signal)" + (notes.isEmpty ? "" : " (\(notes.joined(separator: ", ")))")
    }
  }
}

/// The name of a signal that ends processes; numbers are those of Linux on x86 and ARM.
private func signalName(_ number: Int32) -> String? {
  switch number {
  case 1: "SIGHUP"
  case 2: "SIGINT"
  case 3: "SIGQUIT"
  case 4: "SIGILL"
  case 5: "SIGTRAP"
  case 6: "SIGABRT"
  case 7: "SIGBUS"
  case 8: "SIGFPE"
  case 9: "SIGKILL"
  case 10: "SIGUSR1"
  case 11: "SIGSEGV"
  case 12: "SIGUSR2"
  case 13: "SIGPIPE"
  case 14: "SIGALRM"
  case 15: "SIGTERM"
  case 24: "SIGXCPU"
  case 25: "SIGXFSZ"
  case 31: "SIGSYS"
  default: nil
  }
}
