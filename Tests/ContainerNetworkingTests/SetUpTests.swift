import CNI
@testable import ContainerNetworking
import NetworkAddresses
import Testing

/// What reaches the plugins, and what comes back.
@Suite struct SetUpTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  @Test(arguments: [SetUpOrder.parallel, .serial])
  func severalNetworks(_ order: SetUpOrder) async throws {
    for number in 0..<3 {
      fixture.configure(
        "1\(number).conflist", fixture.noop("net\(number)", fixture.giving("10.9.\(number).2/24")))
    }
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let result = try await networking.setUp("c1", namespace: "/run/netns/c1", order: order)
    #expect(Set(result.interfaces.keys) == ["eth0", "eth1", "eth2"])
    for number in 0..<3 {
      let interface = try #require(result.interfaces["eth\(number)"])
      #expect(interface.addresses.map(\.description) == ["10.9.\(number).2/24"])
      #expect(interface.addresses[0].gateway == IPAddress("10.9.9.1"))
      #expect(interface.addresses[0].ip == IPAddress("10.9.\(number).2"))
      #expect(interface.mac == "02:00:00:00:00:01")
      #expect(interface.sandbox == "/run/netns/c1")
    }
    #expect(result.networks.map(\.network) == ["net0", "net1", "net2"])
    #expect(result.networks.map(\.interfaceName) == ["eth0", "eth1", "eth2"])
    let calls = try fixture.texts()
    #expect(Set(calls) == ["ADD net0 c1 eth0", "ADD net1 c1 eth1", "ADD net2 c1 eth2"])
    if order == .serial { #expect(calls == calls.sorted()) }

    try await networking.check("c1", namespace: "/run/netns/c1")
    try await networking.remove("c1", namespace: "/run/netns/c1")
    #expect(
      Array(try fixture.texts().dropFirst(3)) == [
        "CHECK net0 c1 eth0", "CHECK net1 c1 eth1", "CHECK net2 c1 eth2",
        "DEL net2 c1 eth2", "DEL net1 c1 eth1", "DEL net0 c1 eth0",
      ])
    #expect(try await networking.attachments().isEmpty)
  }

  @Test func capabilitiesReachThePluginsThatDeclareThem() async throws {
    let all = [
      "portMappings", "bandwidth", "ipRanges", "ips", "mac", "dns", "cgroupPath", "aliases", "x.org/own",
      "io.kubernetes.cri.pod-annotations",
    ]
    fixture.configure("10.conflist", fixture.noop("all", capabilities: all))
    fixture.configure("20.conflist", fixture.noop("one", capabilities: ["mac"]))
    fixture.configure("30.conflist", fixture.noop("none"))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let mac = try #require(MACAddress("02:42:00:00:00:07"))
    let capabilities: [Capability] = [
      .portMappings([
        .init(hostPort: 8080, containerPort: 80), .init(hostPort: 53, containerPort: 53, transport: .udp),
      ]),
      .bandwidth(.init(ingress: .init(rate: 1000, burst: 2000))),
      .ipRanges([[.init(subnet: try #require(IPPrefix("10.1.0.0/16")))]]),
      .ips([try #require(IPPrefix("10.1.2.3/16"))]),
      .mac(mac),
      .dns(DNSConfiguration(nameservers: ["10.0.0.10"], search: ["svc"])),
      .cgroupPath("/kubepods/pod1"),
      .aliases(["db"]),
      .podAnnotations(["a": "b"]),
      Capability("x.org/own", ["deep": [1, nil]]),
    ]
    _ = try await networking.setUp(
      "c1", namespace: "/run/netns/c1",
      labels: ["K8S_POD_NAMESPACE": "namespace1", "K8S_POD_NAME": "pod1", "IgnoreUnknown": "1"],
      capabilities: capabilities, order: .serial)
    let calls = try fixture.calls()
    let expected: JSONValue = [
      "portMappings": [
        ["hostPort": 8080, "containerPort": 80, "protocol": "tcp"],
        ["hostPort": 53, "containerPort": 53, "protocol": "udp"],
      ],
      "bandwidth": ["ingressRate": 1000, "ingressBurst": 2000],
      "ipRanges": [[["subnet": "10.1.0.0/16"]]],
      "ips": ["10.1.2.3/16"],
      "mac": "02:42:00:00:00:07",
      "dns": ["servers": ["10.0.0.10"], "searches": ["svc"]],
      "cgroupPath": "/kubepods/pod1",
      "aliases": ["db"],
      "io.kubernetes.cri.pod-annotations": ["a": "b"],
      "x.org/own": ["deep": [1, nil]],
    ]
    #expect(calls[0].standardInput["runtimeConfig"] == expected)
    #expect(calls[1].standardInput["runtimeConfig"] == ["mac": "02:42:00:00:00:07"])
    #expect(calls[2].standardInput["runtimeConfig"] == nil)
    for call in calls {
      #expect(call.variable("CNI_ARGS") == "IgnoreUnknown=1;K8S_POD_NAME=pod1;K8S_POD_NAMESPACE=namespace1")
      #expect(call.variable("CNI_NETNS") == "/run/netns/c1")
      #expect(call.variable("CNI_PATH") == fixture.plugins)
    }

    // DEL gets the same, though nobody says so again.
    try await networking.remove("c1")
    let deleted = try #require(try fixture.calls().last)
    #expect(deleted.text == "DEL all c1 eth0")
    #expect(deleted.standardInput["runtimeConfig"] == expected)
    #expect(deleted.variable("CNI_ARGS") == calls[0].variable("CNI_ARGS"))
    #expect(deleted.variable("CNI_NETNS") == "/run/netns/c1")
    #expect(deleted.standardInput["prevResult"] != nil)
  }

  @Test func labelsThatAreNone() async throws {
    fixture.configure("10.conflist", fixture.noop("net"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    for labels in [["a;b": "1"], ["a=b": "1"], ["": "1"], ["a": "1;b=2"], ["IgnoreUnknown": "perhaps"]] {
      let error = try await failure { () async throws(ContainerNetworkingError) in
        _ = try await networking.setUp("c1", namespace: "/run/netns/c1", labels: labels)
      }
      #expect(error.kind == .invalidParameter, "\(labels)")
    }
    try await networking.load(.loopback, .defaultConfiguration)
    let name = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("../c1", namespace: "/run/netns/c1")
    }
    // Said once, and not for each network.
    #expect(name.kind == .invalidParameter && name.failures.isEmpty)
    let checked = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.check("../c1")
    }
    #expect(checked.kind == .invalidParameter && checked.failures.isEmpty)
    #expect(try fixture.calls().isEmpty)
    try await networking.load(.text(fixture.noop("net")))
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1", labels: ["EMPTY": ""])
    #expect(try fixture.calls().last?.variable("CNI_ARGS") == "EMPTY=")
  }

  /// Results of every version make the same: an address belongs to the interface that it names, and otherwise to the one
  /// that the network was asked for.
  @Test(arguments: ["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
  func everyVersionOfResults(_ version: String) async throws {
    for number in 0..<2 {
      fixture.configure(
        "1\(number).conflist",
        fixture.noop("net\(number)", fixture.giving("10.9.\(number).2/24"), version: version))
    }
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let result = try await networking.setUp("c1", namespace: "/run/netns/c1")
    for number in 0..<2 {
      #expect(result.interfaces["eth\(number)"]?.addresses.map(\.description) == ["10.9.\(number).2/24"])
    }
  }

  @Test func routesAndNameServersOfAllNetworks() async throws {
    fixture.configure(
      "10.conflist",
      fixture.noop(
        "a",
        """
        "ADD":{"result":{"interfaces":[{"name":"cni0","mac":"02:00:00:00:00:09"},
          {"name":"eth0","sandbox":"$CNI_NETNS","mtu":1400,"socketPath":"/s","pciID":"0000:01:00.0"}],
         "ips":[{"address":"10.9.0.2/24","interface":1},{"address":"10.9.0.1/24","interface":0},{"address":"fd00::2/64"}],
         "routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"}],
         "dns":{"nameservers":["10.9.0.1","9.9.9.9"],"domain":"a","search":["x"],"options":["o"]}}}
        """))
    fixture.configure(
      "20.conflist",
      fixture.noop(
        "b",
        """
        "ADD":{"result":{"interfaces":[{"name":"cni0","mac":"02:00:00:00:00:09"},{"name":"eth0","mac":"host"}],
         "ips":[{"address":"10.9.0.1/24","interface":0}],
         "routes":[{"dst":"10.0.0.0/8"}],
         "dns":{"nameservers":["9.9.9.9","8.8.8.8"],"domain":"b","search":["x","y"]}}}
        """))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let result = try await networking.setUp("c1", namespace: "/run/netns/c1")
    #expect(Set(result.interfaces.keys) == ["cni0", "eth0", "eth1"])
    // One of the host with the name of the container's does not hide it.
    let interface = try #require(result.interfaces["eth0"])
    #expect(interface.sandbox == "/run/netns/c1" && interface.mtu == 1400)
    #expect(interface.socketPath == "/s" && interface.pciID == "0000:01:00.0")
    #expect(interface.addresses.map(\.description) == ["10.9.0.2/24", "fd00::2/64"])
    #expect(result.interfaces["cni0"]?.sandbox == nil)
    #expect(result.interfaces["eth1"] == ContainerResult.Interface())
    #expect(result.routes.map { "\($0.destination)" } == ["0.0.0.0/0", "10.0.0.0/8"])
    #expect(
      result.dns
        == DNSConfiguration(
          nameservers: ["10.9.0.1", "9.9.9.9", "8.8.8.8"], domain: "a", search: ["x", "y"], options: ["o"]))
    #expect(result.networks[1].result.dns.domain == "b")
  }

  @Test func aResultThatContradictsItselfIsUndone() async throws {
    fixture.configure(
      "10.conflist",
      fixture.noop(
        "net",
        #""ADD":{"result":{"interfaces":[{"name":"eth0"}],"ips":[{"address":"10.9.0.2/24","interface":1}]}}"#)
    )
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    let error = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    }
    #expect(error.kind == .invalidResult)
    #expect(error.description.contains("gives 10.9.0.2/24 to interface number 1, and has only 1"))
    #expect(try fixture.texts() == ["ADD net c1 eth0", "DEL net c1 eth0"])
    #expect(try await networking.attachments().isEmpty)
  }

  @Test func checkTellsAllThatIsWrong() async throws {
    fixture.configure("10.conflist", fixture.noop("a", #""CHECK":{"error":{"code":101,"msg":"a is gone"}}"#))
    fixture.configure("20.conflist", fixture.noop("b"))
    fixture.configure("30.conflist", fixture.noop("c", #""CHECK":{"error":{"code":102,"msg":"c is gone"}}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.check("c1", namespace: "/run/netns/c1")
    }
    #expect(error.kind == .pluginFailed)
    #expect(error.failures.map(\.code.rawValue) == [101, 102])
    #expect(error.description.contains("a is gone") && error.description.contains("c is gone"))
  }

  /// CHECK gets what ADD was given, unless somebody says otherwise.
  @Test func checkRemembers() async throws {
    fixture.configure("10.conflist", fixture.noop("net", capabilities: ["mac", "cgroupPath"]))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    let mac = try #require(MACAddress("02:42:00:00:00:07"))
    _ = try await networking.setUp(
      "c1", namespace: "/run/netns/c1", labels: ["A": "b"], capabilities: [.mac(mac)])
    try await networking.check("c1")
    try await networking.check("c1", namespace: "/x", labels: [:], capabilities: [.cgroupPath("/p")])
    let calls = try fixture.calls().dropFirst()
    #expect(calls.map { $0.variable("CNI_NETNS") } == ["/run/netns/c1", "/x"])
    #expect(calls.map { $0.variable("CNI_ARGS") } == ["A=b", ""])
    #expect(
      calls.map { $0.standardInput["runtimeConfig"] } == [
        ["mac": "02:42:00:00:00:07"], ["cgroupPath": "/p"],
      ])
    // A process may be another one by now.
    _ = try await networking.setUp("c2", namespace: "/proc/1234/ns/net")
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.check("c2")
    }
    #expect(error.kind == .invalidParameter)
    #expect(error.remedy == "give its path as namespace:")
  }

  /// What no plugin has to do with.
  @Test func checkThatCannotBe() async throws {
    fixture.configure("10.conflist", fixture.noop("net"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    let unknown = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.check("c1", namespace: "/run/netns/c1")
    }
    #expect(unknown.kind == .cache && unknown.code == .unknownContainer)
    try await networking.load(.text(fixture.noop("old", version: "0.3.1")))
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    let old = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.check("c1")
    }
    #expect(old.kind == .checkNotSupported)
    #expect(try fixture.texts() == ["ADD old c1 eth0"])
  }

  @Test func aCacheThatCannotBeWritten() async throws {
    fixture.write("", "cache")
    fixture.configure("10.conflist", fixture.noop("net"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    let error = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    }
    #expect(error.kind == .cache && error.plugin == nil)
  }

  /// Operations on one container come one after the other, those on others at the same time.
  @Test func operationsOnOneContainer() async throws {
    fixture.configure("10.conflist", fixture.noop("net", #""ADD":[{"delay":600000},{}]"#))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    let first = Task { try await networking.setUp("c1", namespace: "/run/netns/c1") }
    try await eventually { try fixture.calls().count == 1 }
    let removal = Task { try await networking.remove("c1", namespace: "/run/netns/c1") }
    try await eventually { networking.containers.waiting == 1 }
    _ = try await networking.setUp("c2", namespace: "/run/netns/c2")
    // c1 has not even been asked to go.
    #expect(try fixture.texts() == ["ADD net c1 eth0", "ADD net c2 eth0"])
    first.cancel()
    _ = await first.result
    try await removal.value
    #expect(
      try fixture.texts() == ["ADD net c1 eth0", "ADD net c2 eth0", "DEL net c1 eth0", "DEL net c1 eth0"])
    #expect(try await networking.attachments().map(\.parameters.containerID) == ["c2"])
  }
}
