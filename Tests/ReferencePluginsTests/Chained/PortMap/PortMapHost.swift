import CNI
import CNIExecution
import CNIPluginKit
import ReferencePlugins
import TestSupport
import Testing

/// Answers on the ports given as arguments: TCP, UDP and (where there is it) SCTP, IPv4 and IPv6, with the name that comes
/// first and the address of whoever asks.
private let server = """
  import select, socket, sys
  name, ports, poll = sys.argv[1], [int(p) for p in sys.argv[2:]], {}
  for port in ports:
      for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
          for kind, protocol in ((socket.SOCK_STREAM, 0), (socket.SOCK_DGRAM, 0), (socket.SOCK_STREAM, 132)):
              try:
                  s = socket.socket(family, kind, protocol)
              except OSError:
                  continue
              if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
              if kind == socket.SOCK_STREAM: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
              s.bind((any_address, port))
              if kind == socket.SOCK_STREAM: s.listen(64)
              poll[s.fileno()] = s
  print("listening", flush=True)
  while True:
      for fd in select.select(list(poll), [], [])[0]:
          s = poll[fd]
          if s.type == socket.SOCK_DGRAM:
              data, peer = s.recvfrom(100)
              s.sendto(f"{name} {peer[0]}".encode(), peer)
          else:
              connection, peer = s.accept()
              try: connection.sendall(f"{name} {peer[0]}".encode())
              except OSError: pass
              connection.close()
  """

/// Asks ADDRESS PORT by each of the transports named, and prints what is answered, or `-`.
private let client = """
  import socket, sys
  address, port, transports = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
  family = socket.AF_INET6 if ":" in address else socket.AF_INET
  answers = []
  for transport in transports:
      kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
      s = socket.socket(family, kind, 132 if transport == "sctp" else 0)
      # The first packet over IPv6 waits until a new bridge has its link-local address, and is sent again after a second.
      s.settimeout(3)
      try:
          s.connect((address, port))
          if transport == "udp": s.send(b"?")
          answers.append(s.recv(100).decode())
      except OSError:
          answers.append("-")
      s.close()
  print(", ".join(answers))
  """

extension TestHost {
  /// The configuration of a portmap; `mappings` are the elements of the list, `keys` further members, as JSON text.
  func portmap(
    _ mappings: String, _ keys: String = "", version: String = "1.1.0", name: String = "net"
  ) -> String {
    """
    {"cniVersion":"\(version)","name":"\(name)","type":"portmap"\(keys.isEmpty ? "" : ",")\(keys),
     "runtimeConfig":{"portMappings":[\(mappings)]}}
    """
  }

  /// ADD of a bridge network for a container, which it makes; the result.
  @discardableResult
  func addBridge(_ container: String = "c1", keys: String = "\"isGateway\":true") throws -> JSONValue {
    try makeContainer(container)
    return try add(bridge(keys, ipam: TestHost.dualStack), container: container)
  }

  /// A program that answers inside a container.
  func serve(_ container: String, ports: Int...) throws -> ChildProcess {
    let process = try ChildProcess(
      ["ip", "netns", "exec", container, "python3", "-c", server, container] + ports.map(String.init))
    try process.waitForOutput("listening")
    return process
  }

  /// Runs `body` on a host with a world behind it and container c1, which answers on port 80; `result` is what the ADD of
  /// its bridge network gave.
  static func runServing<R>(
    keys: String = "\"isGateway\":true", _ body: (_ host: TestHost, _ result: JSONValue) throws -> R
  ) throws -> R {
    try run { host in
      try host.makeWorld()
      let result = try host.addBridge(keys: keys)
      let server = try host.serve("c1", ports: 80)
      defer { withExtendedLifetime(server) {} }
      return try body(host, result)
    }
  }

  /// What is answered to somebody in a namespace, or on the host itself; `-` for no answer.
  func ask(
    _ address: String, _ port: Int, from namespace: String? = "world", _ transports: String...
  ) throws -> String {
    let prefix = namespace.map { ["ip", "netns", "exec", $0] } ?? []
    let result = try ChildProcess(
      prefix + ["python3", "-c", client, address, String(port)]
        + (transports.isEmpty ? ["tcp", "udp"] : transports)
    ).wait()
    try #require(result.succeeded, "asking \(address): \(result)")
    return result.standardOutput.split(separator: "\n").joined()
  }

  /// Makes the world know the way to the containers, too.
  func makeRoutedWorld() throws {
    try makeWorld()
    try shell(
      "ip -n world route add default via 198.51.100.1; ip -n world -6 route add default via 2001:db8:51::1")
  }

  /// `runtimeConfig` of a mapping.
  static func mapping(_ host: Int, _ container: Int, _ transport: String = "tcp", ip: String? = nil) -> String
  {
    "{\"hostPort\":\(host),\"containerPort\":\(container),\"protocol\":\"\(transport)\""
      + (ip.map { ",\"hostIP\":\"\($0)\"" } ?? "") + "}"
  }

  /// TCP and UDP of one port.
  static func both(_ host: Int, _ container: Int, ip: String? = nil) -> String {
    mapping(host, container, "tcp", ip: ip) + "," + mapping(host, container, "udp", ip: ip)
  }

  /// ADD of portmap behind the result of an interface plugin; the configuration for what comes later.
  @discardableResult
  func map(_ configuration: String, _ result: JSONValue, container: String = "c1") throws -> String {
    let later = try after(result, configuration)
    try succeeded(call(.add, later, container: container, namespace: "/run/netns/\(container)"))
    return later
  }
}
