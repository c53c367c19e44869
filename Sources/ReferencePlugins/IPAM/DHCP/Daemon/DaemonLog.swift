import Glibc

/// The daemon's log: lines on standard error, which a service manager keeps, with times.
enum DaemonLog {
  static func write(_ message: String) {
    // What servers and requests say may be in it: one event is one line.
    var line = "dhcp: "
    for scalar in message.unicodeScalars {
      let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
      line.unicodeScalars.append(isControl ? " " : scalar)
    }
    line += "\n"
    _ = line.withUTF8 { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
