import CNI
import CNIExecution
import CNIPluginKit
import Testing

@Suite("Port mappings of a call")
struct PortMappingTests {
  private func mappings(_ list: String, key: String = "portMappings") throws -> [PortMapping] {
    var request = PluginRequest(
      command: .add, containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0")
    request.setConfiguration(
      try JSONValue.parse(
        "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"portmap\",\"runtimeConfig\":{\"\(key)\":\(list)}}"
      ))
    return try PluginCall(
      request, environment: PluginEnvironment(runner: PluginRunner(path: [])),
      supportedVersions: SpecVersion.allCases
    ).portMappings()
  }

  @Test(
    "What callers write is understood",
    arguments: [
      ("null", []), ("[]", []),
      (#"[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]"#, ["8080/tcp -> 80"]),
      // containerd, through go-cni
      (
        #"[{"HostPort":18081,"ContainerPort":80,"Protocol":"udp","HostIP":""}]"#, ["18081/udp -> 80"]
      ),
      (#"[{"hostPort":1,"containerPort":65535,"protocol":"SCTP"}]"#, ["1/sctp -> 65535"]),
      (#"[{"hostPort":53,"containerPort":53,"hostIP":"0.0.0.0"}]"#, ["0.0.0.0:53/tcp -> 53"]),
      (#"[{"hostPort":53,"containerPort":53,"hostIP":"::1","protocol":null}]"#, ["[::1]:53/tcp -> 53"]),
      (#"[{"hostPort":53,"containerPort":53,"hostIP":"::ffff:192.0.2.1"}]"#, ["192.0.2.1:53/tcp -> 53"]),
      // Once is enough.
      (
        #"[{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":3,"protocol":"udp"}]"#,
        ["1/tcp -> 2", "1/udp -> 3"]
      ),
      // All addresses, and those of one family, in either order.
      (
        #"[{"hostPort":1,"containerPort":2,"hostIP":""},{"hostPort":1,"containerPort":2,"hostIP":"0.0.0.0"},{"hostPort":1,"containerPort":2,"hostIP":"::"}]"#,
        ["1/tcp -> 2"]
      ),
      (
        #"[{"hostPort":1,"containerPort":2,"hostIP":"0.0.0.0"},{"hostPort":1,"containerPort":2}]"#,
        ["0.0.0.0:1/tcp -> 2", "[::]:1/tcp -> 2"]
      ),
      (
        #"[{"hostPort":1,"containerPort":2,"hostIP":"0.0.0.0"},{"hostPort":1,"containerPort":3,"hostIP":"::"}]"#,
        ["0.0.0.0:1/tcp -> 2", "[::]:1/tcp -> 3"]
      ),
      // One address of the host's comes before all of them.
      (
        #"[{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":3,"hostIP":"192.0.2.1"}]"#,
        ["1/tcp -> 2", "192.0.2.1:1/tcp -> 3"]
      ),
    ])
  func understood(list: String, expected: [String]) throws {
    #expect(try mappings(list).map(\.description) == expected)
    #expect(try mappings(list, key: "PORTMAPPINGS").map(\.description) == expected)
  }

  @Test(
    "What is no mapping is named by its index",
    arguments: [
      (#"[{"hostPort":1,"containerPort":2},{"containerPort":80}]"#, "portMappings[1].hostPort"),
      (#"[{"hostPort":0,"containerPort":80}]"#, "portMappings[0].hostPort"),
      (#"[{"hostPort":80}]"#, "portMappings[0].containerPort"),
      (#"[{"hostPort":80,"containerPort":0}]"#, "portMappings[0].containerPort"),
      (#"[{"hostPort":65536,"containerPort":80}]"#, "portMappings[0].hostPort"),
      (#"[{"hostPort":-1,"containerPort":80}]"#, "portMappings[0].hostPort"),
      (#"[{"hostPort":"80","containerPort":80}]"#, "portMappings[0].hostPort"),
      (#"[{"hostPort":80,"containerPort":80,"protocol":"icmp"}]"#, "portMappings[0].protocol"),
      (#"[{"hostPort":80,"containerPort":80,"hostIP":"here"}]"#, "portMappings[0].hostIP"),
      (#"[{"hostPort":80,"containerPort":80,"hostIP":"224.0.0.1"}]"#, "portMappings[0].hostIP"),
      (
        #"[{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":3}]"#, "portMappings[1].hostPort"
      ),
      (
        #"[{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":3,"hostIP":"::"}]"#,
        "portMappings[1].hostPort"
      ),
      (
        #"[{"hostPort":1,"containerPort":2,"hostIP":"0.0.0.0"},{"hostPort":1,"containerPort":3}]"#,
        "portMappings[1].hostPort"
      ),
    ])
  func refused(list: String, named: String) {
    let error = #expect(throws: CNIError.self) { try mappings(list) }
    #expect(error?.code == .invalidConfiguration || error?.code == .decodingFailure)
    #expect(error?.description.contains(named) == true, "\(String(describing: error))")
  }

  @Test("Which addresses of the host lead to the container")
  func families() throws {
    let all = try mappings(
      #"[{"hostPort":1,"containerPort":1},{"hostPort":2,"containerPort":1,"hostIP":"0.0.0.0"},{"hostPort":3,"containerPort":1,"hostIP":"::"},{"hostPort":4,"containerPort":1,"hostIP":"fd00::1"}]"#
    )
    #expect(all.map { $0.serves(.ipv4) } == [true, true, false, false])
    #expect(all.map { $0.serves(.ipv6) } == [true, false, true, true])
    #expect(all.map { $0.hostAddress?.description } == [nil, nil, nil, "fd00::1"])
  }
}
