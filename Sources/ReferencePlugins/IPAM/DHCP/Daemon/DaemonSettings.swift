/// What the daemon's flags say.
struct DaemonSettings: Sendable, Hashable {
  /// A file to write the process's number to; empty: none.
  var pidFile = ""
  /// What is put before the paths of namespaces, socket and state: where the host's root is, for a daemon in a container.
  var hostPrefix = ""
  /// The socket, unless it is handed over by the service manager.
  var socketPath = DHCPConfiguration.defaultSocketPath
  /// Where the leases are kept.
  var stateDirectory = "/var/lib/cni/dhcp"
  /// Whether servers are asked to answer to everybody.
  var broadcast = false
  /// How long an ADD may take.
  var timeout = Duration.seconds(208)
  /// The same under the Go daemon's name; the shorter one counts.
  var resendTimeout = Duration.seconds(208)
  /// The longest pause between two attempts.
  var longestPause = Duration.seconds(62)
  /// For how long an address is probed for.
  var probing = Duration.milliseconds(5)

  /// The bound that counts.
  var patience: Duration { min(timeout, resendTimeout) }
}
