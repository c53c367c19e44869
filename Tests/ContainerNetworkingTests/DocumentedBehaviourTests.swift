import CNI
import CNIExecution
import ContainerNetworking
import NetworkAddresses
import ReferencePlugins
import TestSupport
import Testing

/// What users of go-cni know from its documentation, with real namespaces, through processes and in this one.
@Suite(.requiresRoot) struct DocumentedBehaviourTests {
  private static let labels = [
    "K8S_POD_NAMESPACE": "namespace1", "K8S_POD_NAME": "pod1", "K8S_POD_INFRA_CONTAINER_ID": "example",
    "IgnoreUnknown": "1",
  ]

  @Test(arguments: [true, false]) func loopbackAndTheDefaultNetwork(asProcesses: Bool) async throws {
    try await Host.run { host in
      host.configureTwoNetworks()
      if asProcesses { try host.fixture.install("bridge", "host-local", "portmap", "ptp", "loopback") }
      try host.makeContainers(["example-ns-1"])
      let configurations = host.fixture.configurations
      let plugins = host.fixture.plugins
      let networking = try ContainerNetworking(
        minimumNetworkCount: 2, configurationDirectory: configurations, pluginDirectories: [plugins],
        embedded: asProcesses ? .none : ReferencePlugins.all, interfacePrefix: "eth",
        cacheDirectory: host.fixture.cache)
      let namespace = "/run/netns/example-ns-1"
      let result = try waitFor {
        try await networking.load(.loopback, .defaultConfiguration)
        try await networking.status()
        return try await networking.setUp("example", namespace: namespace, labels: Self.labels)
      }
      #expect("\(result.interfaces["eth0"]!.addresses[0])" == "10.88.0.2/16")
      #expect(result.interfaces["eth0"]!.addresses[0].gateway == IPAddress("10.88.0.1"))
      #expect(result.interfaces["eth0"]!.sandbox == namespace)
      #expect(result.interfaces["lo"]!.addresses.map(\.description) == ["127.0.0.1/8", "::1/128"])
      #expect(result.interfaces["cni0"] != nil)
      #expect(result.routes.map { "\($0.destination)" } == ["0.0.0.0/0"])
      // It is so in the container as well.
      let inside = try shell("ip -n example-ns-1 -o addr; ip -n example-ns-1 route")
      #expect(inside.contains("127.0.0.1/8") && inside.contains("10.88.0.2/16"))
      #expect(inside.contains("default via 10.88.0.1 dev eth0"))

      try waitFor { try await networking.check("example", namespace: namespace, labels: Self.labels) }
      try shell("ip -n example-ns-1 addr flush dev eth0")
      let broken = #expect(throws: ContainerNetworkingError.self) {
        try waitFor { try await networking.check("example", namespace: namespace, labels: Self.labels) }
      }
      #expect(broken?.failures.map(\.network) == ["podnet"])

      try waitFor { try await networking.remove("example", namespace: namespace, labels: Self.labels) }
      #expect(try host.leftovers(["example-ns-1"]) == [])
      #expect(try shell("ip -n example-ns-1 -o link show lo").contains("state DOWN"))
      try waitFor { try await networking.remove("example", namespace: namespace) }

      // One after the other does the same.
      let serial = try waitFor {
        try await networking.setUp("example", namespace: namespace, labels: Self.labels, order: .serial)
      }
      #expect(serial.networks.map(\.network) == ["cni-loopback", "podnet"])
      try waitFor { try await networking.remove("example") }
      #expect(try host.leftovers(["example-ns-1"]) == [])
    }
  }

  @Test func severalNetworksInOneContainer() async throws {
    try await Host.run { host in
      host.configureTwoNetworks()
      try host.makeContainers(["c1"])
      let networking = try host.networking(minimumNetworkCount: 3)
      let result = try waitFor {
        try await networking.load(.loopback, .allConfigurations)
        return try await networking.setUp(
          "c1", namespace: "/run/netns/c1",
          capabilities: [.portMappings([.init(hostPort: 8080, containerPort: 80)])])
      }
      #expect(result.interfaces["eth0"]?.addresses.map(\.description) == ["10.88.0.2/16"])
      #expect(result.interfaces["eth1"]?.addresses.first.map { "\($0.ip)" }?.hasPrefix("10.99.0.") == true)
      #expect(try shell("nft list ruleset").contains("8080"))
      // The namespace is gone before the container is removed.
      try shell("ip netns del c1")
      try waitFor { try await networking.remove("c1", namespace: "") }
      #expect(try host.leftovers([]) == [])
      #expect(!(try shell("nft list ruleset").contains("8080")))
    }
  }

  /// A network that fails leaves nothing of the real ones.
  @Test func aFailedParallelSetUpLeavesNothing() async throws {
    try await Host.run { host in
      host.configureTwoNetworks()
      host.fixture.configure(
        "30-fails.conflist",
        host.fixture.noop("fails", #""ADD":{"error":{"code":107,"msg":"no"},"delay":150}"#))
      try host.makeContainers(["c1"])
      let networking = try host.networking(embedded: ReferencePlugins.all + ReferencePlugins.testDoubles)
      try waitFor { try await networking.load(.loopback, .allConfigurations) }
      for order in [SetUpOrder.parallel, .serial, .parallel] {
        let error = #expect(throws: ContainerNetworkingError.self) {
          try waitFor { try await networking.setUp("c1", namespace: "/run/netns/c1", order: order) }
        }
        #expect(error?.failures.map(\.network) == ["fails"])
        #expect(error?.undoFailures.isEmpty == true)
        #expect(try host.leftovers(["c1"]) == [])
      }
    }
  }
}
