import Glibc

/// A system bus and a firewalld of the test's own, in its namespaces: the bus is where programs look for it, and the
/// configuration is a copy of the machine's. Both end with the value.
public final class Firewalld {
  private let directory: TemporaryDirectory
  private var bus: ChildProcess?
  private var daemon: ChildProcess?

  /// Starts a bus, and a firewalld on it unless the test does so later.
  ///
  /// `/run` must be the test's own, as in ``inNewNetworkNamespace(_:)``.
  public init(startsDaemon: Bool = true) throws {
    directory = try TemporaryDirectory()
    try shell(
      """
      mkdir -p /run/dbus /run/firewalld '\(directory.path)/etc'
      cp -r /etc/firewalld/. '\(directory.path)/etc'; rm -rf '\(directory.path)/etc/zones'/*
      mount --bind '\(directory.path)/etc' /etc/firewalld
      cat >'\(directory.file("bus.conf"))' <<'END'
      <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
       "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
      <busconfig><type>system</type><auth>EXTERNAL</auth>
       <listen>unix:path=/run/dbus/system_bus_socket</listen>
       <policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
        <allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
        <allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
        <allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
       </policy></busconfig>
      END
      """)
    bus = try ChildProcess([
      "dbus-daemon", "--config-file=\(directory.file("bus.conf"))", "--nofork", "--nopidfile",
      "--print-address=1",
    ])
    try bus!.waitForOutput("unix:path=")
    if startsDaemon { try start() }
  }

  /// Starts firewalld, and waits until it answers.
  public func start() throws {
    daemon = try ChildProcess(["firewalld", "--nofork", "--nopid", "--log-target=console"])
    var attempts = 0
    while try !runCommand("firewall-cmd", "--state").succeeded {
      attempts += 1
      guard attempts < 100 else { throw SetupError("start firewalld", ETIMEDOUT) }
      usleep(100_000)
    }
  }

  /// Ends firewalld, as an administrator would; the bus goes on.
  public func stop() throws {
    daemon?.send(signal: SIGTERM)
    _ = try daemon?.wait(timeout: 30)
    daemon = nil
  }

  /// What `firewall-cmd` says to some words; throws if it fails.
  @discardableResult
  public func command(_ words: String) throws -> String { try shell("firewall-cmd \(words)", timeout: 60) }

  deinit {
    daemon?.send(signal: SIGTERM)
    _ = try? daemon?.wait(timeout: 10)
    bus?.send(signal: SIGTERM)
    _ = umount2("/etc/firewalld", Int32(MNT_DETACH))
  }
}
