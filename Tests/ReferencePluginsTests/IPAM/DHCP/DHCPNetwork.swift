import CNI
import CNIExecution
import Glibc
import LinuxNetworking
import TestSupport
import Testing

/// A host with a bridge `br0`, an interface `srv` on it for DHCP servers (10.6.0.1/24, fd00:6::1/64), and the dhcp daemon.
final class DHCPNetwork {
  /// The host itself.
  let host: TestHost
  private let directory: String
  private var daemon: ChildProcess?
  private var flags: [String] = []

  private init(host: TestHost) throws {
    self.host = host
    directory = host.dataDirectory
    // The server's interface is the far end of a link, so that it has a carrier as long as the bridge is there.
    try shell(
      """
      ip link add br0 type bridge; ip link add port0 type veth peer name srv
      echo 0 > /proc/sys/net/ipv6/conf/srv/accept_dad
      ip link set port0 master br0; for link in br0 port0 srv; do ip link set $link up; done
      ip addr add 10.6.0.1/24 dev srv; ip addr add fd00:6::1/64 dev srv nodad
      """)
    try eventually("srv has a link-local address") {
      try shell("ip -6 -o addr show dev srv scope link -tentative").contains("fe80:")
    }
  }

  /// Runs `body` on such a host, without a daemon yet; ends the daemon afterwards.
  static func run(_ body: (DHCPNetwork) throws -> Void) throws {
    try TestHost.run { try body(DHCPNetwork(host: $0)) }
  }

  // MARK: The daemon

  private var socketPath: String { "\(directory)/dhcp.sock" }

  /// Where the daemon keeps its leases.
  var stateDirectory: String { "\(directory)/leases" }

  /// The lease files, all in one.
  var leaseFiles: String { get throws { try shell("cat \(stateDirectory)/*.json 2>/dev/null || true") } }

  /// Starts the daemon and waits until it serves.
  func startDaemon(timeout: String = "10s", _ flags: String...) throws {
    self.flags =
      ["-socketpath", socketPath, "-statedir", stateDirectory, "-timeout", timeout] + flags
    try restartDaemon()
  }

  /// Kills the daemon, as the kernel does, and starts it again as it was.
  func restartDaemon() throws {
    if let daemon {
      daemon.send(signal: SIGKILL)
      _ = try daemon.wait()
    }
    let started = try ChildProcess([try executable(), "daemon"] + flags)
    try started.waitForOutput("listening at")
    daemon = started
  }

  /// Waits until the daemon has written a text to its log.
  func waitForDaemon(_ text: String, timeout: Double = 10) throws {
    try #require(daemon).waitForOutput(text, timeout: timeout)
  }

  /// The product under the plugin's name.
  private func executable() throws -> String {
    let link = "\(directory)/dhcp"
    if access(link, F_OK) != 0 { symlink(try #require(builtExecutable), link) }
    return link
  }

  // MARK: Containers

  /// Makes a container with an interface that is down, as an interface plugin has it when it calls IPAM.
  func makeContainer(_ name: String = "c1") throws {
    try host.makeContainer(name)
    try shell(
      """
      ip link add \(name)h type veth peer name eth0 netns \(name)
      ip link set \(name)h master br0 up
      """)
  }

  /// A configuration of the plugin on its own.
  func configuration(_ families: [String]) -> String {
    let list = families.map { "\"\($0)\"" }.joined(separator: ",")
    return """
      {"cniVersion":"1.1.0","name":"net","type":"dhcp","ipam":\(ipam(list))}
      """
  }

  /// A configuration of the bridge plugin.
  func bridgeConfiguration(_ families: [String]) -> String {
    let list = families.map { "\"\($0)\"" }.joined(separator: ",")
    return """
      {"cniVersion":"1.1.0","name":"net","type":"bridge","bridge":"br0","ipam":\(ipam(list))}
      """
  }

  private func ipam(_ families: String) -> String {
    #"{"type":"dhcp","daemonSocketPath":"\#(socketPath)","families":[\#(families)]}"#
  }

  /// Calls a plugin; the one that the configuration names.
  func call(_ command: Command, _ configuration: String, container: String = "c1") throws -> PluginReply {
    let type = try JSONValue.parse(configuration)["type"]?.string ?? ""
    return try host.call(
      command, configuration, type: type, container: container, namespace: "/run/netns/\(container)")
  }

  /// ADD, and its addresses.
  func add(_ configuration: String, container: String = "c1") throws -> AddResult {
    let json = try host.succeeded(try call(.add, configuration, container: container))
    return try AddResult.decode(json, name: "result")
  }

  /// A command that must succeed.
  func succeed(_ command: Command, _ configuration: String, container: String = "c1") throws {
    try host.succeeded(try call(command, configuration, container: container))
  }

  /// The error of a command that must fail.
  func failure(_ command: Command, _ configuration: String, container: String = "c1") throws -> CNIError {
    try host.failed(try call(command, configuration, container: container))
  }
}
