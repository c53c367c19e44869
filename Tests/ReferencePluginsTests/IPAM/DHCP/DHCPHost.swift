import CNI
import CNIExecution
import Glibc
import ReferencePlugins
import TestSupport
import Testing

/// A host with a link on which there is a DHCP server, the daemon, and containers on that link.
final class DHCPHost {
  let directory: String
  private(set) var daemon: ChildProcess?
  private var server: ChildProcess?
  private var names = 0

  var socketPath: String { directory + "/dhcp.sock" }
  var stateDirectory: String { directory + "/state" }
  private var serverLeases: String { directory + "/dnsmasq.leases" }
  private var serverLog: String { directory + "/server.log" }

  /// Runs `body` on a host of its own.
  static func run<R>(_ body: (DHCPHost) throws -> R) throws -> R {
    try inNewNetworkNamespace {
      try withTemporaryDirectory { directory in
        try shell(
          """
          ip link set lo up; ip link add lan address 02:00:5e:00:00:01 type bridge
          ip addr add 10.60.0.1/16 dev lan; ip link set lan up
          """)
        return try body(DHCPHost(directory))
      }
    }
  }

  private init(_ directory: String) { self.directory = directory }

  // MARK: What is around

  /// Starts dnsmasq.
  func startServer(_ options: String...) throws {
    let server = try ChildProcess(
      [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan",
        "--bind-interfaces", "--no-ping", "--user=root", "--pid-file=\(directory)/dnsmasq.pid", "--log-dhcp",
        "--dhcp-leasefile=\(serverLeases)", "--dhcp-range=10.60.1.1,10.60.1.250,255.255.0.0,1h",
        "--dhcp-authoritative", "--log-facility=\(serverLog)",
      ] + options)
    self.server = server
    try eventually("dnsmasq listens") { try shell("ss -Hlun 'sport = :67'").contains(":67") }
  }

  /// Starts the server that behaves as told.
  func startResponder(_ behaviour: String) throws {
    try behave(behaviour)
    let script = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    let server = try ChildProcess([
      "python3", "/\(script)/dhcp/responder.py", "lan", "\(directory)/behaviour", serverLog,
    ])
    self.server = server
    try server.waitForOutput("ready")
  }

  /// Changes how it behaves; `behaviour` is members of an object, as JSON text.
  func behave(_ behaviour: String) throws {
    try shell(
      "printf %s '{\(behaviour)}' >'\(directory)/behaviour.new'; mv '\(directory)/behaviour.new' '\(directory)/behaviour'"
    )
  }

  func stopServer() { server = nil }

  /// What the server has heard.
  func heard() throws -> [String] {
    guard access(serverLog, F_OK) == 0 else { return [] }
    return try shell("cat '\(serverLog)'").split(separator: "\n").map(String.init)
  }

  /// dnsmasq's leases: address, name, client identifier.
  func leases() throws -> [(address: String, name: String, identifier: String)] {
    guard access(serverLeases, F_OK) == 0 else { return [] }
    return try shell("cat '\(serverLeases)'").split(separator: "\n").map {
      let words = $0.split(separator: " ").map(String.init)
      return (words[2], words[3], words[4])
    }
  }

  /// Starts the daemon.
  func startDaemon(_ flags: String..., descriptors: Int? = nil) throws {
    let path = directory + "/dhcp"
    if access(path, F_OK) != 0 { symlink(builtExecutable!, path) }
    let daemon = try ChildProcess(
      (descriptors.map { ["prlimit", "--nofile=\($0)"] } ?? []) + [
        path, "daemon", "-socketpath", socketPath, "-statedir=" + stateDirectory, "--timeout", "5s",
      ] + flags)
    self.daemon = daemon
    try daemon.waitForOutput("listening")
  }

  func endDaemon(_ signal: Int32) throws -> CommandResult {
    daemon?.send(signal: signal)
    defer { daemon = nil }
    return try daemon!.wait(timeout: 15)
  }

  /// Makes a container with an interface on the link.
  func makeContainer(_ name: String = "c1") throws {
    names += 1
    try shell(
      """
      ip netns add \(name); ip -n \(name) link set lo up
      ip link add port\(names) type veth peer name eth0 netns \(name)
      ip link set port\(names) master lan up
      """)
  }

  /// The files of leases.
  func files() throws -> [String] {
    try shell("ls '\(stateDirectory)'").split(separator: "\n").map(String.init).filter { $0 != "lock" }
  }

  // MARK: Calls

  func configuration(_ ipam: String = "", version: String = "1.1.0", plugin: String = #""type":"dhcp""#)
    -> String
  {
    """
    {"cniVersion":"\(version)","name":"net",\(plugin),
     "ipam":{"type":"dhcp","daemonSocketPath":"\(socketPath)"\(ipam.isEmpty ? "" : ",")\(ipam)}}
    """
  }

  @discardableResult
  func call(
    _ command: Command, _ configuration: String? = nil, container: String = "c1", arguments: String = "",
    type: String = "dhcp"
  ) throws -> PluginReply {
    try PluginRunner(path: [], embedded: ReferencePlugins.all).run(
      type,
      PluginRequest(
        command: command, containerID: container, namespace: "/run/netns/\(container)", interfaceName: "eth0",
        arguments: arguments, path: [], configuration: Array((configuration ?? self.configuration()).utf8)))
  }

  /// ADD, and its result; applies nothing to the interface.
  func add(
    _ configuration: String? = nil, container: String = "c1", arguments: String = "", type: String = "dhcp"
  ) throws -> AddResult {
    try AddResult.decode(succeed(.add, configuration, container: container, arguments: arguments, type: type))
  }

  /// An ADD in a process of its own, which goes on.
  func startAdding() throws -> ChildProcess {
    try ChildProcess(
      [directory + "/dhcp"],
      environment: [
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/c1", "CNI_IFNAME": "eth0",
        "CNI_PATH": "/none",
      ], input: Array(configuration().utf8))
  }

  @discardableResult
  func succeed(
    _ command: Command, _ configuration: String? = nil, container: String = "c1", arguments: String = "",
    type: String = "dhcp"
  ) throws -> JSONValue {
    let reply = try call(command, configuration, container: container, arguments: arguments, type: type)
    if let error = CNIError.parse(reply.standardOutput) { throw error }
    return reply.standardOutput.isEmpty ? .null : try JSONValue.parse(reply.standardOutput)
  }

  func fail(
    _ command: Command, _ configuration: String? = nil, container: String = "c1", arguments: String = ""
  ) throws -> CNIError {
    let reply = try call(command, configuration, container: container, arguments: arguments)
    #expect(reply.exitStatus == .exited(1))
    return try #require(CNIError.parse(reply.standardOutput), "the plugin succeeded")
  }

  /// A configuration for CHECK after an ADD.
  func after(_ result: AddResult, _ configuration: String? = nil) throws -> String {
    var json = try JSONValue.parse(configuration ?? self.configuration()).object!
    json.append("prevResult", try result.encode(as: .v1_1_0))
    return String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
  }

  /// Gives the container's interface the address, as an interface plugin would.
  func apply(_ result: AddResult, container: String = "c1") throws {
    try shell("ip -n \(container) addr add \(result.ips[0].address) dev eth0")
  }
}

/// Waits until something is so.
func eventually(
  _ what: String, within seconds: Double = 15, sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () throws -> Bool
) throws {
  for _ in 0..<Int(seconds * 20) {
    if try condition() { return }
    usleep(50_000)
  }
  Issue.record("not within \(seconds) s: \(what)", sourceLocation: sourceLocation)
}
