import CNI
import CNIRuntime
import Glibc
import NetworkAddresses
import PodNetworking
import TestSupport
import Testing

/// Pods that get their networks, and lose them, by more than one call.
@Suite("Several calls about one pod", .requiresRoot)
struct SeveralCallsTests {
  // MARK: - Set-up

  @Test func furtherNetworksGetInterfacesOfTheirOwn() async throws {
    try await PodHost.run { host in
      for (number, name) in ["a", "b"].enumerated() {
        try host.put(
          host.bridge(name, bridge: "br-\(name)", subnet: "10.3\(number).0.0/24"), "\(name).conflist")
      }
      try host.put(
        host.bridge(
          "c", bridge: "br-c", subnet: "10.32.0.0/24",
          chained: #",{"type":"noop","answers":{"ADD":{"error":{"code":11,"msg":"not today"}}}}"#),
        "c.conflist")
      let networking = host.networking()
      let first = try waitFor { [pod = try host.makePod("web", [NetworkSelection("a")])] in
        try await networking.setUp(pod)
      }
      func works(_ interface: String, _ bridge: String) throws -> Bool {
        try shell("ip -n web -o link show \(interface) && ip -o link show master \(bridge)").contains("veth")
      }
      // One that fails takes back what is its own.
      let error = try podError { try await networking.setUp(host.pod("web", [NetworkSelection("c")])) }
      #expect(
        error.description.contains("not today") && error.failures.first?.attachment?.interfaceName == "eth1")
      #expect(error.needsTearDown && error.undoFailures.isEmpty)
      #expect(try works("eth0", "br-a") && host.remembered == ["a-id-of-web-eth0"])
      // Whatever way leads to the namespace.
      var again = host.pod("web", [NetworkSelection("b")])
      again.networkNamespace = "/run/../run/netns/web"
      let second = try waitFor { [again] in try await networking.setUp(again) }
      #expect(second.map(\.interfaceName) == ["eth1"])
      #expect(try works("eth0", "br-a") && works("eth1", "br-b"))
      again.networks = [NetworkSelection("a")]
      let repeated = try podError { [again] in try await networking.setUp(again) }
      #expect(repeated.failures.first?.undo == .leftEarlierAttachment && repeated.needsTearDown)
      #expect(try works("eth0", "br-a"))
      // An interface that is another network's is not given away.
      let chosen = try podError {
        try await networking.setUp(host.pod("web", [NetworkSelection("b", interfaceName: "eth0")]))
      }
      #expect(chosen.kind == .invalidRequest && chosen.code == .invalidEnvironment && chosen.needsTearDown)
      #expect(chosen.description.contains("\"eth0\"") && chosen.description.contains("\"a\""))
      #expect(try works("eth0", "br-a"))
      #expect(try waitFor { try await networking.status(of: host.pod()) } == first + second)
      try waitFor { try await networking.tearDown(host.pod()) }
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
    }
  }

  @Test func aNetworkKeepsItsInterface() async throws {
    try await PodHost.run { host in
      for name in ["a", "b", "c"] { try host.put(host.noop(name), "\(name).conflist") }
      let networking = host.networking()
      _ = try host.makePod()
      func interfaces(_ networks: String...) throws -> [String] {
        let pod = host.pod("web", networks.map { NetworkSelection($0) })
        return try waitFor { try await networking.setUp(pod) }.map(\.interfaceName)
      }
      #expect(try interfaces("a", "b") == ["eth0", "eth1"])
      #expect(try interfaces("b") == ["eth1"])
      #expect(try interfaces("c", "b", "a") == ["eth2", "eth1", "eth0"])
      #expect(try interfaces("b", "b") == ["eth1", "eth3"])
      #expect(host.remembered.count == 4)
      // Started anew in another namespace it has none of them.
      try shell("ip netns add other")
      var anew = host.pod("web", [NetworkSelection("b")])
      anew.networkNamespace = "/run/netns/other"
      let attached = try waitFor { [anew] in try await networking.setUp(anew) }
      #expect(attached.map(\.interfaceName) == ["eth0"])
    }
  }

  @Test func aSetUpThatFailsLeavesWhatAnEarlierOneMade() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      try host.put(host.noop("b"), "b.conflist")
      try host.put(host.failing("c"), "c.conflist")
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("a")])
      try waitFor { _ = try await networking.setUp(pod) }
      _ = try host.calls()
      let all = host.pod("web", ["a", "b", "c"].map { NetworkSelection($0) })
      let error = try podError { try await networking.setUp(all) }
      #expect(error.failures.map(\.network) == ["c"] && error.needsTearDown)
      #expect(error.description.contains("still has attachments"))
      #expect(
        try host.told() == ["ADD a eth0", "ADD b eth1", "ADD c eth2", "DEL c eth2", "DEL b eth1"])
      #expect(host.remembered == ["a-id-of-web-eth0"])
      // Nor is one touched where something is wrong from the start.
      let none = host.pod("web", [NetworkSelection("a"), NetworkSelection("none")])
      #expect(try podError { try await networking.setUp(none) }.kind == .networkNotFound)
      #expect(try host.told() == [] && host.remembered == ["a-id-of-web-eth0"])
    }
  }

  @Test func theErrorTellsWhetherSomethingIsLeft() async throws {
    try await PodHost.run { host in
      let refuses = #"{"error":{"code":11,"msg":"not today"}}"#
      func network(_ name: String, _ answers: String) -> String {
        #"{"cniVersion":"1.1.0","name":"\#(name)","plugins":[{"type":"noop","answers":{\#(answers)}}]}"#
      }
      try host.put(network("clean", #""ADD":\#(refuses)"#), "clean.conflist")
      try host.put(network("sticky", #""ADD":\#(refuses),"DEL":\#(refuses)"#), "sticky.conflist")
      try host.put(host.noop("stays", answers: #""DEL":\#(refuses),"#), "stays.conflist")
      let networking = host.networking()
      _ = try host.makePod()
      func error(_ networks: String...) throws -> PodNetworkError {
        let pod = host.pod("web", networks.map { NetworkSelection($0) })
        return try podError { try await networking.setUp(pod) }
      }
      #expect(try !error("clean").needsTearDown)
      // Of the one that fails itself …
      let sticky = try error("sticky")
      #expect(sticky.needsTearDown && sticky.undoFailures.isEmpty)
      #expect(sticky.failures.first?.undoProblems.isEmpty == false)
      #expect(host.remembered == ["sticky-id-of-web-eth0"])
      unlink("\(host.cache)/results/sticky-id-of-web-eth0")
      // … and of one before it.
      let stays = try error("stays", "clean")
      #expect(stays.needsTearDown && stays.undoFailures.map(\.network) == ["stays"])
      #expect(host.remembered == ["stays-id-of-web-eth0"])
    }
  }

  // MARK: - Tear-down

  @Test func tearingOneNetworkDownAgainLeavesTheOthers() async throws {
    try await PodHost.run { host in
      for (number, name) in ["a", "b", "c"].enumerated() {
        try host.put(
          host.bridge(name, bridge: "br-\(name)", subnet: "10.3\(number).0.0/24"), "\(name).conflist")
      }
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("a"), NetworkSelection("b")])
      let attached = try waitFor { try await networking.setUp(pod) }
      // Again, with the name of another one's interface, and one that has never been there.
      for selection in [
        NetworkSelection("b"), NetworkSelection("b"), NetworkSelection("b", interfaceName: "eth0"),
        NetworkSelection("c"), NetworkSelection("c", interfaceName: "eth0"), NetworkSelection("unknown"),
        NetworkSelection("unknown", interfaceName: "eth0"),
      ] {
        try waitFor { try await networking.tearDown(host.pod("web", [selection])) }
        #expect(host.remembered == ["a-id-of-web-eth0"], "\(selection)")
        #expect(try shell("ip -n web -o link | grep -c eth || true") == "1\n", "\(selection)")
      }
      #expect(try waitFor { try await networking.status(of: host.pod()) } == [attached[0]])
      // What is not there has no status, however its neighbour is.
      for selection in [NetworkSelection("b"), NetworkSelection("c", interfaceName: "eth0")] {
        let error = try podError { try await networking.status(of: host.pod("web", [selection])) }
        #expect(error.failures.map(\.network) == [selection.network])
      }
    }
  }

  @Test func anInterfaceThatIsAnothersByNowIsLeft() async throws {
    try await PodHost.run { host in
      for name in ["a", "b"] { try host.put(host.noop(name), "\(name).conflist") }
      let networking = host.networking()
      let old = try host.makePod("web", [NetworkSelection("a")])
      try waitFor { _ = try await networking.setUp(old) }
      try shell("ip netns add other")
      var anew = host.pod("web", [NetworkSelection("b")])
      anew.networkNamespace = "/run/netns/other"
      try waitFor { [anew] in _ = try await networking.setUp(anew) }
      #expect(host.remembered == ["a-id-of-web-eth0", "b-id-of-web-eth0"])
      _ = try host.calls()
      anew.networks = [NetworkSelection("a")]
      try waitFor { [anew] in try await networking.tearDown(anew) }
      let calls = try host.calls()
      #expect(calls.map { $0["environment"]?["CNI_IFNAME"]?.string } == ["eth0"])
      #expect(calls.map { $0["environment"]?["CNI_NETNS"]?.string ?? "" } == [""])
      #expect(host.remembered == ["b-id-of-web-eth0"])
    }
  }

  @Test func twoOfOneNetworkAreTwo() async throws {
    try await PodHost.run { host in
      for name in ["a", "b"] { try host.put(host.noop(name), "\(name).conflist") }
      let networking = host.networking()
      let pod = try host.makePod("web", ["a", "b", "b"].map { NetworkSelection($0) })
      try waitFor { _ = try await networking.setUp(pod) }
      _ = try host.calls()
      let both = host.pod("web", ["b", "b"].map { NetworkSelection($0) })
      #expect(try waitFor { try await networking.status(of: both) }.map(\.interfaceName) == ["eth1", "eth2"])
      _ = try host.calls()
      // Who says which one gets it, wherever he stands.
      let second = host.pod("web", [NetworkSelection("b"), NetworkSelection("b", interfaceName: "eth1")])
      #expect(
        try waitFor { try await networking.status(of: second) }.map(\.interfaceName) == ["eth2", "eth1"])
      _ = try host.calls()
      try waitFor { try await networking.tearDown(both) }
      #expect(try host.told() == ["DEL b eth2", "DEL b eth1"])
      #expect(host.remembered == ["a-id-of-web-eth0"])
    }
  }

  @Test func theDefaultNetworkIsTheOneOfThen() async throws {
    try await PodHost.run { host in
      func setUp() throws -> (PodNetworking, Pod) {
        for name in ["10-a", "20-storage"] {
          try host.put(host.noop(String(name.dropFirst(3))), "\(name).conflist")
        }
        let networking = host.networking { $0.configurationMode = .onUse }
        // As the documentation has it: the default network with a wish, and another one.
        let pod = host.pod(
          "web",
          [
            NetworkSelection(ipAddress: IPAddress("10.1.2.3")),
            NetworkSelection("storage", interfaceName: "net1"),
          ])
        try waitFor { _ = try await networking.setUp(pod) }
        _ = try host.calls()
        return (networking, pod)
      }
      _ = try host.makePod()
      let ends = ["DEL storage net1", "DEL a eth0"]
      // Another one comes first by now, which the pod does not have.
      var (networking, pod) = try setUp()
      try host.put(host.noop("b"), "00-b.conflist")
      let status = try waitFor { [networking, pod] in try await networking.status(of: pod) }
      #expect(status.map(\.network) == ["a", "storage"] && status.map(\.interfaceName) == ["eth0", "net1"])
      _ = try host.calls()
      try waitFor { [networking, pod] in try await networking.tearDown(pod) }
      #expect(try host.told() == ends && host.remembered.isEmpty)
      unlink("\(host.configurations)/00-b.conflist")
      // There is none any more.
      (networking, pod) = try setUp()
      removeTree(host.configurations)
      try waitFor { [networking, pod] in try await networking.tearDown(pod) }
      #expect(try host.told() == ends && host.remembered.isEmpty)
      mkdir(host.configurations, 0o755)
      // One that the pod has, but not as its default network.
      (networking, pod) = try setUp()
      try shell("mv \(host.configurations)/20-storage.conflist \(host.configurations)/00-storage.conflist")
      try waitFor { [networking, pod] in try await networking.tearDown(pod) }
      #expect(try host.told() == ends && host.remembered.isEmpty)
      unlink("\(host.configurations)/00-storage.conflist")
      // By the name of its interface alone.
      (networking, pod) = try setUp()
      removeTree(host.configurations)
      try waitFor { [networking] in
        try await networking.tearDown(host.pod("web", [NetworkSelection(interfaceName: "eth0")]))
      }
      #expect(try host.told() == ["DEL a eth0"] && host.remembered == ["storage-id-of-web-net1"])
    }
  }
}
