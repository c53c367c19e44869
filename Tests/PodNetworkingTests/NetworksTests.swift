import CNI
import CNIExecution
import CNIRuntime
import Glibc
import NetworkAddresses
import PodNetworking
import TestSupport
import Testing

@Suite("The networks of a pod", .requiresRoot)
struct NetworksTests {
  @Test func theDefaultNetworkIsTheFirstFile() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("b"), "20-b.conflist")
      let networking = host.networking()
      let pod = try host.makePod()
      #expect(try waitFor { try await networking.defaultNetwork().name } == "b")
      #expect(try waitFor { try await networking.setUp(pod) }.map(\.network) == ["b"])
      try waitFor { try await networking.tearDown(pod) }
      // Broken, or without its plugins, a file is passed over.
      try host.put("{", "00-broken.conflist")
      try host.put(host.noop("x").replacing("\"noop\"", with: "\"not-installed\""), "05-x.conflist")
      try host.put(host.noop("a"), "10-a.conflist")
      for _ in 0..<12_000 where networking.configurations.contents["a"] == nil { usleep(5000) }
      let attached = try waitFor { try await networking.setUp(pod) }
      #expect(attached.map(\.network) == ["a"] && attached.map(\.interfaceName) == ["eth0"])
      #expect(attached[0].addresses == [IPPrefix("10.1.2.3/24")!])
      #expect(attached[0].interface?.sandbox == "/run/netns/web")
      try waitFor { try await networking.tearDown(pod) }
      try waitFor { await networking.shutDown() }
    }
  }

  /// Pods that go to the next network while plugins are being replaced are not to do so without a word.
  @Test func networksThatArePassedOverAreTold() async throws {
    try await PodHost.run { host in
      let lines = LogLines()
      try host.put(host.noop("x").replacing("\"noop\"", with: "\"not-installed\""), "05-x.conflist")
      try host.put(host.noop("a"), "10-a.conflist")
      let networking = host.networking {
        $0.configurationMode = .onUse
        $0.logger = lines.logger
      }
      func defaultNetwork() throws -> String { try waitFor { try await networking.defaultNetwork().name } }
      // Once for one reason.
      for _ in 0..<3 { #expect(try defaultNetwork() == "a") }
      #expect(lines.all.count == 1)
      #expect(
        lines.all.first?.contains("warning") == true && lines.all.first?.contains("\"x\"") == true
          && lines.all.first?.contains("not-installed") == true
          && lines.all.first?.contains("05-x.conflist") == true)
      try host.put(host.noop("x"), "05-x.conflist")
      #expect(try defaultNetwork() == "x" && lines.all.count == 1)
      try host.put(host.noop("x").replacing("\"noop\"", with: "\"not-installed\""), "05-x.conflist")
      #expect(try defaultNetwork() == "a" && lines.all.count == 2)
    }
  }

  @Test func theDefaultNetworkHasTheChosenName() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "10-a.conflist")
      let networking = host.networking { $0.defaultNetwork = "b" }
      let pod = try host.makePod()
      let missing = try podError { try await networking.setUp(pod) }
      #expect(missing.kind == .noDefaultNetwork)
      #expect(
        missing.description.contains("\"b\"") && missing.description.contains("default/web (id-of-web)"))
      #expect(try podError { try await networking.requireReady() }.kind == .noDefaultNetwork)
      try host.put(host.noop("b"), "90-b.conflist")
      // Without waiting for the watch: what has been written before is found.
      #expect(try waitFor { try await networking.setUp(pod) }.map(\.network) == ["b"])
      try waitFor { try await networking.tearDown(pod) }
    }
  }

  @Test func withoutAnyConfiguration() async throws {
    try await PodHost.run { host in
      rmdir(host.configurations)
      let networking = host.networking()
      let pod = try host.makePod()
      let error = try podError { try await networking.setUp(pod) }
      #expect(error.kind == .noDefaultNetwork)
      #expect(error.description.contains("there is no network configuration in \(host.configurations)"))
      let named = try podError { try await networking.setUp(host.pod("web", [NetworkSelection("a")])) }
      #expect(named.kind == .networkNotFound)
      // What has never been there is gone.
      try waitFor { try await networking.tearDown(pod) }
      try waitFor { try await networking.collectGarbage(keeping: [pod]) }
    }
  }

  @Test func interfacesHaveTheNamesAskedForOrFreeOnes() async throws {
    try await PodHost.run { host in
      for name in ["a", "b", "c", "d"] { try host.put(host.noop(name), "\(name).conflist") }
      let networking = host.networking()
      let pod = try host.makePod(
        "web",
        [
          NetworkSelection("b"), NetworkSelection("a", interfaceName: "eth0"), NetworkSelection(),
          NetworkSelection("a"),
          NetworkSelection("c", interfaceName: "net1"), NetworkSelection("d", interfaceName: "eth2"),
        ])
      let attachments = try waitFor { try await networking.setUp(pod) }
      #expect(attachments.map(\.network) == ["b", "a", "a", "a", "c", "d"])
      #expect(attachments.map(\.interfaceName) == ["eth1", "eth0", "eth3", "eth4", "net1", "eth2"])
      // In the order of the selections, and each with its own.
      let calls = try host.calls()
      #expect(calls.map { $0["environment"]?["CNI_IFNAME"]?.string } == attachments.map(\.interfaceName))
      #expect(host.remembered.count == 6)
      try waitFor { try await networking.tearDown(pod) }
      #expect(try host.calls().map { $0["command"]?.string } == Array(repeating: "DEL", count: 6))
      #expect(host.remembered.isEmpty)
    }
  }

  @Test func whatMakesNoSenseIsRefusedBeforeAnythingIsDone() async throws {
    try await PodHost.run { host in
      for name in ["a", "b"] { try host.put(host.noop(name), "\(name).conflist") }
      let networking = host.networking()
      func refused(_ pod: Pod) throws -> String {
        let error = try podError { try await networking.setUp(pod) }
        #expect(error.kind == .invalidRequest)
        return error.description
      }
      _ = try host.makePod()
      let twice = [
        NetworkSelection("a", interfaceName: "net0"), NetworkSelection("b", interfaceName: "net0"),
      ]
      #expect(try refused(host.pod("web", twice)).contains("\"net0\""))
      #expect(try refused(host.pod("web", [NetworkSelection("a", interfaceName: "a/b")])).contains("a/b"))
      #expect(try refused(host.pod("web", [NetworkSelection("../a")])).contains("../a"))
      var pod = host.pod()
      pod.id = "../escape"
      #expect(try refused(pod).contains("../escape"))
      pod = host.pod()
      pod.name = "web;IP=10.0.0.1"
      #expect(try refused(pod).contains("name"))
      pod = host.pod()
      pod.networkNamespace = ""
      #expect(try refused(pod).contains("namespace"))
      pod.networkNamespace = "/run/netns/none"
      let gone = try podError { [pod] in try await networking.setUp(pod) }
      #expect(gone.kind == .namespace && gone.description.contains("/run/netns/none"))
      #expect(try host.calls().isEmpty && host.remembered.isEmpty)
    }
  }

  @Test func eachNetworkHasItsOwnConfiguration() async throws {
    try await PodHost.run { host in
      let all = [
        "mac", "portMappings", "bandwidth", "ipRanges", "cgroupPath", "io.kubernetes.cri.pod-annotations",
        "aliases",
      ]
      let declared = all.map { "\"\($0)\":true" }.joined(separator: ",")
      try host.put(host.noop("a", keys: "\"capabilities\":{\(declared)},"), "a.conflist")
      try host.put(
        host.noop("b", keys: "\"capabilities\":{\"portMappings\":true,\"aliases\":true},"), "b.conflist")
      let networking = host.networking()
      var pod = try host.makePod(
        "web",
        [
          NetworkSelection(
            "a", ipAddress: IPAddress("10.1.2.77"), macAddress: MACAddress("02:00:00:00:00:77"),
            aliases: ["www", "web"],
            capabilities: [
              .portMappings([.init(hostPort: 8080, containerPort: 80)]),
              .bandwidth(.init(ingress: .init(rate: 1000, burst: 2000))),
              .ipRanges([[.init(subnet: IPPrefix("10.1.2.0/24")!)]]), .cgroupPath("/pods/web"),
              .podAnnotations(["key": "value"]),
            ]),
          NetworkSelection("b", aliases: ["other"]),
        ])
      pod.arguments = try CNIArguments(parsing: "FROM=outside")
      try waitFor { [pod] in _ = try await networking.setUp(pod) }
      let calls = try host.calls()
      let (a, b) = (calls[0], calls[1])
      #expect(
        a["arguments"]
          == [
            "IgnoreUnknown": "1", "K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "web",
            "K8S_POD_INFRA_CONTAINER_ID": "id-of-web", "K8S_POD_UID": "uid-web", "FROM": "outside",
            "IP": "10.1.2.77",
            "MAC": "02:00:00:00:00:77",
          ])
      #expect(b["arguments"]?["IP"] == nil && b["arguments"]?["FROM"] == "outside")
      func runtimeConfig(_ call: JSONValue) throws -> JSONValue? {
        try JSONValue.parse(#require(call["stdin"]?.string))["runtimeConfig"]
      }
      let aliases: JSONValue = ["a": ["www", "web"], "b": ["other"]]
      #expect(
        try runtimeConfig(a)
          == [
            "mac": "02:00:00:00:00:77", "aliases": aliases,
            "portMappings": [["hostPort": 8080, "containerPort": 80, "protocol": "tcp"]],
            "bandwidth": ["ingressRate": 1000, "ingressBurst": 2000],
            "ipRanges": [[["subnet": "10.1.2.0/24"]]],
            "cgroupPath": "/pods/web", "io.kubernetes.cri.pod-annotations": ["key": "value"],
          ])
      // Nothing of the other network's.
      #expect(try runtimeConfig(b) == ["aliases": aliases])
      // The same at the end, from what is remembered.
      try waitFor { try await networking.tearDown(host.pod()) }
      let ends = try host.calls()
      #expect(ends.map { $0["arguments"]?["IP"]?.string } == [nil, "10.1.2.77"])
      #expect(try runtimeConfig(ends[1])?["cgroupPath"] == "/pods/web")
    }
  }

  @Test func aBridgeGivesWhatIsAskedFor() async throws {
    try await PodHost.run { host in
      try host.put(
        host.bridge("one", bridge: "br-one", subnet: "10.30.0.0/24", keys: #""capabilities":{"mac":true},"#),
        "1.conflist")
      try host.put(host.bridge("two", bridge: "br-two", subnet: "10.31.0.0/24"), "2.conflist")
      let networking = host.networking()
      let pod = try host.makePod(
        "web",
        [
          NetworkSelection(
            "one", ipAddress: IPAddress("10.30.0.44"), macAddress: MACAddress("02:00:00:00:00:44")),
          NetworkSelection("two", interfaceName: "net1"),
        ])
      let attachments = try waitFor { try await networking.setUp(pod) }
      #expect(attachments[0].addresses == [IPPrefix("10.30.0.44/24")!])
      #expect(attachments[0].interface?.mac == "02:00:00:00:00:44")
      let addresses = try shell("ip -n web -br addr")
      #expect(
        addresses.contains("10.30.0.44/24") && addresses.contains("net1") && addresses.contains("10.31.0."))
      #expect(try shell("ip -n web -br link show eth0").contains("02:00:00:00:00:44"))
      // The loopback interface is up, without any plugin for it.
      #expect(try shell("ip -n web addr show lo").contains("127.0.0.1/8"))
      #expect(try waitFor { try await networking.status(of: pod) } == attachments)
      try waitFor { try await networking.tearDown(pod) }
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
    }
  }
}
