import CLinux
import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import SystemPackage

/// `dhcp daemon`.
enum DaemonMain {
  /// Runs the daemon until it is told to end (`SIGTERM`, `SIGINT`).
  ///
  /// - Returns: The exit status: 0; 1 if it could not start or go on; 2 for a wrong command line.
  static func run(_ arguments: [String], version: String) -> Int32 {
    switch DaemonFlags.parse(arguments) {
    case .help:
      print(DaemonFlags.help)
      return 0
    case .mistake(let problem):
      DaemonLog.write("\(problem); \"dhcp daemon -h\" lists the flags")
      return 2
    case .run(let settings):
      do {
        try serve(settings, version: version)
        return 0
      } catch {
        DaemonLog.write("\(CNIError(describing: error))")
        return 1
      }
    }
  }

  private static func serve(_ settings: DaemonSettings, version: String) throws {
    // Before there is a second thread, which would get the signals otherwise.
    let signals = clinux_signal_descriptor()
    guard signals >= 0 else { throw Errno(rawValue: errno) }
    clinux_raise_descriptor_limit()
    let loop = try EventLoop()
    let slowWork = try SlowWork()
    let daemon = try DHCPDaemon(settings: settings, loop: loop, slowWork: slowWork)
    let socket = try DaemonSocket(path: settings.hostPrefix + settings.socketPath)
    defer { socket.remove() }
    if !settings.pidFile.isEmpty {
      try StateFile.write(Array(String(getpid()).utf8), to: settings.pidFile, mode: 0o644)
    }
    defer { if !settings.pidFile.isEmpty { unlink(settings.pidFile) } }

    var isEnding = false
    try loop.watch(signals) { _ in if clinux_signal_take(signals) != 0 { isEnding = true } }
    daemon.loadLeases()
    let connections = PluginConnections(listener: socket.descriptor, daemon: daemon, loop: loop)
    try connections.listen()
    DaemonLog.write("swift-cni \(version), listening at \(settings.hostPrefix + settings.socketPath)")
    DaemonSocket.notify("READY=1")

    while !isEnding {
      let deadlines = [daemon.nextDeadline, connections.nextDeadline]
      try loop.runOnce(until: deadlines.compactMap(\.self).min())
      connections.carryOutNext()
      let now = EventLoop.now
      daemon.advance(to: now)
      connections.advance(to: now)
    }
    DaemonSocket.notify("STOPPING=1")
    DaemonLog.write("ending; the leases are kept")
    daemon.stop()
    slowWork.drain()
  }
}
