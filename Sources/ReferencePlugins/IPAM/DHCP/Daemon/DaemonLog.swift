import Glibc

/// The daemon's log: lines on standard error, which a service manager keeps, with times.
enum DaemonLog {
  static func write(_ message: String) {
    // What servers and requests say may be in it: one event is one line.
    var line = "dhcp: "
    for scalar in message.unicodeScalars { line.unicodeScalars.append(scalar.value < 0x20 ? " " : scalar) }
    line += "\n"
    _ = line.withUTF8 { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
