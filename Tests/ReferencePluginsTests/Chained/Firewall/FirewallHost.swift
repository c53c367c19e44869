import CNI
import CNIExecution
import LinuxNetworking
import TestSupport
import Testing

/// A host with two bridge networks, foo and bar, for containers with a firewall, and a world outside.
struct FirewallHost {
  let host: TestHost

  static func run<R>(_ body: (FirewallHost) throws -> R) throws -> R {
    try TestHost.run { host in
      // What the plugin may write about firewalld is not the machine's.
      try shell("mkdir -p /var/lib/cni; mount -t tmpfs tmpfs /var/lib/cni")
      return try body(FirewallHost(host: host))
    }
  }

  func bridge(_ network: String) -> String {
    let number = network == "foo" ? 3 : 4
    return """
      {"cniVersion":"1.1.0","name":"\(network)","type":"bridge","bridge":"\(network)0","isGateway":true,
       "ipam":{"type":"host-local","dataDir":"\(host.dataDirectory)","routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],
               "ranges":[[{"subnet":"10.88.\(number).0/24"}],[{"subnet":"fd00:88:\(number)::/64"}]]}}
      """
  }

  func firewall(_ keys: String = "", network: String = "foo", version: String = "1.1.0") -> String {
    """
    {"cniVersion":"\(version)","name":"\(network)","type":"firewall"\(keys.isEmpty ? "" : ",")\(keys)}
    """
  }

  /// Makes a container with an interface of a network: c1 is 10.88.3.2 and fd00:88:3::2 if it is foo's first.
  func connect(_ container: String, to network: String = "foo") throws -> JSONValue {
    try host.makeContainer(container)
    let result = try host.add(bridge(network), container: container)
    // Duplicate address detection of the bridge's own addresses takes a second otherwise.
    try shell("for b in foo0 bar0; do [ ! -e /sys/class/net/$b ] || ip link set $b up; done")
    return result
  }

  /// ADD of firewall behind the result of bridge, and the configuration for later calls.
  func add(
    _ container: String, _ result: JSONValue, _ keys: String = "", network: String = "foo"
  ) throws -> String {
    let configuration = try host.after(result, firewall(keys, network: network))
    let own = try host.add(configuration, container: container)
    #expect(own == result, "the result is handed on as it is")
    return configuration
  }

  func check(_ configuration: String, _ container: String) throws -> PluginReply {
    try host.call(.check, configuration, container: container, namespace: "/run/netns/\(container)")
  }

  func delete(_ configuration: String, _ container: String) throws {
    try host.succeeded(
      host.call(.del, configuration, container: container, namespace: "/run/netns/\(container)"))
  }

  func status(_ configuration: String) throws -> PluginReply {
    try host.call(.status, configuration, container: "", namespace: "", interface: "")
  }

  func collectGarbage(_ configuration: String, valid: [String]) throws {
    var json = try JSONValue.parse(configuration).object!
    let list = valid.map { JSONValue.object(["containerID": .string($0), "ifname": "eth0"]) }
    json.append("cni.dev/valid-attachments", .array(list))
    let text = String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
    try host.succeeded(host.call(.gc, text, container: "", namespace: "", interface: ""))
  }

  /// A namespace behind the host: 198.51.100.2 and 2001:db8:51::2, with ways to the containers.
  func makeWorld() throws {
    try host.makeWorld()
    try shell(
      """
      ip -n world route add default via 198.51.100.1; ip -n world route add default via 2001:db8:51::1
      echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
      """)
  }

  /// All rules there are, of whatever kind, without counters.
  func rules() throws -> String {
    try shell(
      """
      nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+/packets 0 bytes 0/'
      for p in iptables-legacy ip6tables-legacy; do
        $p-save 2>/dev/null | grep -v '^#' | sed -E 's/\\[[0-9:]+\\]//'
      done
      """)
  }

  /// `iptables-save` and `ip6tables-save` of one form, without comments and counters.
  func saved(_ form: String) throws -> String {
    try shell(
      "for p in iptables ip6tables; do $p-\(form)-save -t filter | grep -v '^#' | sed -E 's/\\[[0-9:]+\\]//'; done"
    )
  }
}

// MARK: - Packets

/// Answers TCP and UDP on port 7000 of both families until the value goes.
final class EchoServer {
  private let process: ChildProcess

  init(in container: String) throws {
    process = try ChildProcess(["ip", "netns", "exec", container, "python3", "-c", Self.script])
    try process.waitForOutput("ready")
  }

  private static let script = """
    import socket, select, sys
    tcp = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.bind(("::", 7000))
    print("ready", flush=True)
    while True:
        for ready in select.select([tcp, udp], [], [])[0]:
            if ready is tcp:
                connection, _ = tcp.accept()
                connection.sendall(b"hello")
                connection.close()
            else:
                data, peer = udp.recvfrom(100)
                udp.sendto(b"hello", peer)
    """
}

/// Which of `targets` a namespace reaches on port 7000: `10.88.3.2/tcp`, `fd00:88:3::2/udp`, in the order asked. Tried
/// again, and for longer, while it is not what is expected: the machine may be busy.
func reached(from namespace: String, _ targets: [String], expecting expected: [String]) throws -> [String] {
  var found: [String] = []
  for timeout in [0.8, 2.0, 5.0, 15.0] {
    found = try reached(from: namespace, targets, timeout: timeout)
    if found == expected { break }
  }
  return found
}

private func reached(from namespace: String, _ targets: [String], timeout: Double) throws -> [String] {
  let script = """
    import socket, sys, threading
    def attempt(address, protocol, found):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with socket.socket(family, kind) as s:
            s.settimeout(float(sys.argv[1]))
            try:
                s.connect((address, 7000))
                if protocol == "udp":
                    s.send(b"x")
                if s.recv(100) == b"hello":
                    found.append(address + "/" + protocol)
            except OSError:
                pass
    found, threads = [], []
    for address in sys.argv[2:]:
        for protocol in ("tcp", "udp"):
            threads.append(threading.Thread(target=attempt, args=(address, protocol, found)))
    for t in threads: t.start()
    for t in threads: t.join()
    print("\\n".join(a + "/" + p for a in sys.argv[2:] for p in ("tcp", "udp") if a + "/" + p in found))
    """
  let result = try ChildProcess(
    ["ip", "netns", "exec", namespace, "python3", "-c", script, "\(timeout)"] + targets
  ).wait()
  guard result.succeeded else { throw PacketFailure(description: result.standardError) }
  return result.standardOutput.split(separator: "\n").map(String.init)
}

struct PacketFailure: Error, CustomStringConvertible { let description: String }

/// What `reached` gives when everything arrives.
func all(_ targets: [String]) -> [String] { targets.flatMap { ["\($0)/tcp", "\($0)/udp"] } }
