import CNI
import CNIExecution
import CNIRuntime
import Glibc
import LinuxNetworking
import NetworkAddresses
import PodNetworking
import TestSupport
import Testing

@Suite("The life of a pod's networks", .requiresRoot)
struct LifeCycleTests {
  private func commands(_ calls: [JSONValue]) -> [String] {
    calls.map { "\($0["command"]?.string ?? "?") \($0["environment"]?["CNI_IFNAME"]?.string ?? "-")" }
  }

  // MARK: - Set-up

  @Test func aFailedSetUpLeavesNothing() async throws {
    try await PodHost.run { host in
      try host.put(host.bridge("good", bridge: "br0", subnet: "10.30.0.0/24"), "1.conflist")
      try host.put(host.failing("bad"), "2.conflist")
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("good"), NetworkSelection("bad")])
      let error = try podError { try await networking.setUp(pod) }
      #expect(error.kind == .network && error.code == .init(rawValue: 11))
      #expect(error.failures.map(\.network) == ["bad"] && error.undoFailures.isEmpty && !error.needsTearDown)
      #expect(error.description.contains("set up the networks of pod default/web (id-of-web)"))
      #expect(error.description.contains("not today"))
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
    }
  }

  @Test(arguments: [true, false]) func aSetUpCanBeCalledOff(embedded: Bool) async throws {
    try await PodHost.run { host in
      if !embedded { try host.installPlugins(["noop", "bridge", "host-local"]) }
      try host.put(host.bridge("good", bridge: "br0", subnet: "10.30.0.0/24"), "1.conflist")
      try host.put(host.noop("slow", add: #""delay":600000,"#), "2.conflist")
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("good"), NetworkSelection("slow")])
      let begin = Deadline.now
      let error = try podError {
        let task = Task { try await networking.setUp(pod) }
        while host.remembered.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        _ = try await task.value
      }
      #expect(error.kind == .cancelled)
      #expect(error.undoFailures.isEmpty)
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
      let late = try podError { try await networking.setUp(pod, within: .milliseconds(700)) }
      #expect(late.kind == .timedOut)
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
      #expect(Deadline.now.nanoseconds - begin.nanoseconds < 300_000_000_000)
    }
  }

  // MARK: - Tear-down

  @Test func tearDownGoesByWhatIsRemembered() async throws {
    try await PodHost.run { host in
      try host.put(
        host.bridge(
          "a", bridge: "br0", subnet: "10.30.0.0/24", chained: #",{"type":"noop","record":"\#(host.record)"}"#
        ), "a.conflist")
      try host.put(host.bridge("b", bridge: "br1", subnet: "10.31.0.0/24"), "b.conflist")
      let pod = try host.makePod("web", [NetworkSelection("a"), NetworkSelection("b")])
      var networking = host.networking()
      try waitFor { [networking] in _ = try await networking.setUp(pod) }
      try waitFor { [networking] in await networking.shutDown() }
      _ = try host.calls()
      // Another network by that name, none by the other one, another process, and a caller who knows the pod alone.
      try host.put(host.noop("a", keys: #""what":"the new one","#), "a.conflist")
      unlink("\(host.configurations)/b.conflist")
      networking = host.networking()
      try waitFor { [networking] in try await networking.tearDown(host.pod()) }
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
      let calls = try host.calls()
      #expect(commands(calls) == ["DEL eth0"] && calls[0]["stdin"]?.string?.contains("the new one") == false)
      // Once more: there is nothing remembered, and the default network is asked to be sure.
      try waitFor { [networking] in try await networking.tearDown(host.pod()) }
      let again = try commands(host.calls())
      #expect(again == ["DEL eth0"])
      removeTree(host.configurations)
      networking.configurations.reload()
      try waitFor { [networking] in try await networking.tearDown(host.pod()) }
      // What is neither remembered nor configured is not there.
      try waitFor { [networking] in
        try await networking.tearDown(host.pod("web", [NetworkSelection("b")]))
      }
      #expect(try host.calls().isEmpty)
    }
  }

  @Test(arguments: ["/run/netns/web", ""]) func theNamespaceMayBeGone(path: String) async throws {
    try await PodHost.run { host in
      try host.put(
        host.bridge("a", bridge: "br0", subnet: "10.30.0.0/24", keys: #""ipMasq":true,"#), "a.conflist")
      let networking = host.networking()
      var pod = try host.makePod()
      let rules = { try shell("nft list ruleset | grep -c id-of-web || true") }
      try waitFor { [pod] in _ = try await networking.setUp(pod) }
      #expect(try rules() != "0\n")
      try shell("ip netns del web")
      removeTree(host.configurations)
      pod.networkNamespace = path
      try waitFor { [pod] in try await networking.tearDown(pod) }
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
      #expect(try rules() == "0\n")
    }
  }

  @Test func oneNetworkOfSeveralCanBeLeft() async throws {
    try await PodHost.run { host in
      for name in ["a", "b"] { try host.put(host.noop(name), "\(name).conflist") }
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("a"), NetworkSelection("b")])
      try waitFor { _ = try await networking.setUp(pod) }
      try waitFor {
        try await networking.tearDown(host.pod("web", [NetworkSelection("b", interfaceName: "eth1")]))
      }
      #expect(host.remembered == ["a-id-of-web-eth0"])
      // Who does not say what the interface is called means the one that it got.
      try waitFor {
        _ = try await networking.setUp(host.pod("web", [NetworkSelection("b", interfaceName: "net7")]))
        try await networking.tearDown(host.pod("web", [NetworkSelection("b")]))
      }
      #expect(host.remembered == ["a-id-of-web-eth0"])
      // As CRI-O once left it.
      let loopback =
        #"{"kind":"cniCacheV1","containerId":"id-of-web","ifName":"lo","networkName":"cni-loopback"}"#
      try StateFile.write(Array(loopback.utf8), to: "\(host.cache)/results/cni-loopback-id-of-web-lo")
      try waitFor { try await networking.tearDown(host.pod()) }
      #expect(host.remembered.isEmpty)
    }
  }

  @Test func aFailureStopsNoOther() async throws {
    try await PodHost.run { host in
      for name in ["a", "b", "c"] {
        let answers = name == "a" ? "" : #""DEL":{"error":{"code":50,"msg":"not yet \#(name)"}},"#
        try host.put(host.noop(name, answers: answers), "\(name).conflist")
      }
      let networking = host.networking()
      let pod = try host.makePod("web", ["a", "b", "c"].map { NetworkSelection($0) })
      try waitFor { _ = try await networking.setUp(pod) }
      _ = try host.calls()
      let error = try podError { try await networking.tearDown(pod) }
      #expect(error.failures.map(\.network) == ["c", "b"])
      #expect(error.description.contains("not yet b") && error.description.contains("not yet c"))
      let ends = try commands(host.calls())
      #expect(ends == ["DEL eth2", "DEL eth1", "DEL eth0"])
      #expect(host.remembered == ["b-id-of-web-eth1", "c-id-of-web-eth2"])
    }
  }

  @Test func entriesThatNobodyCanReadAreInNobodysWay() async throws {
    try await PodHost.run { host in
      for name in ["a", "b"] {
        try host.put(
          host.bridge(name, bridge: "br-\(name)", subnet: "10.3\(name == "a" ? 0 : 1).0.0/24"),
          "\(name).conflist")
      }
      let networking = host.networking()
      let pod = try host.makePod("web", ["a", "b"].map { NetworkSelection($0) })
      try waitFor { _ = try await networking.setUp(pod) }
      // As after a power cut.
      try StateFile.write([], to: "\(host.cache)/results/b-id-of-web-eth1")
      try waitFor { try await networking.tearDown(host.pod()) }
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
    }
  }

  // MARK: - Status

  @Test func statusComesFromTheCheckAndWhatIsRemembered() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a", version: "0.4.0"), "a.conflist")
      try host.put(host.noop("b", version: "0.3.1"), "b.conflist")
      let networking = host.networking()
      let pod = try host.makePod("web", ["a", "b"].map { NetworkSelection($0) })
      let attachments = try waitFor { try await networking.setUp(pod) }
      let setUp = try commands(host.calls())
      #expect(setUp == ["ADD eth0", "ADD eth1"])
      let status = try waitFor { try await networking.status(of: pod) }
      #expect(status == attachments)
      // The version of the other one has no CHECK.
      let checks = try commands(host.calls())
      #expect(checks == ["CHECK eth0"])
      // One who does not know the networks gets the same.
      #expect(try waitFor { try await networking.status(of: host.pod()) } == attachments)
      try shell("ip -n web link set lo down")
      let down = try podError { try await networking.status(of: pod) }
      #expect(down.kind == .namespace && down.description.contains("loopback"))
    }
  }

  @Test func statusTellsWhatHasChanged() async throws {
    try await PodHost.run { host in
      try host.put(host.bridge("a", bridge: "br0", subnet: "10.30.0.0/24"), "a.conflist")
      let networking = host.networking()
      let pod = try host.makePod()
      try waitFor { _ = try await networking.setUp(pod) }
      unlink("\(host.configurations)/a.conflist")
      try waitFor { _ = try await networking.status(of: pod) }
      try shell("ip -n web addr flush dev eth0")
      let error = try podError { try await networking.status(of: pod) }
      #expect(error.kind == .network && error.failures.first?.plugin == "bridge")
    }
  }

  @Test func withoutMemoryStatusTellsWhatIsInTheNamespace() async throws {
    try await PodHost.run { host in
      try host.put(host.bridge("a", bridge: "br0", subnet: "10.30.0.0/24", version: "0.3.1"), "a.conflist")
      let networking = host.networking()
      let pod = try host.makePod()
      let attached = try waitFor { try await networking.setUp(pod) }[0]
      try shell("ip -n web addr add fd00::7/64 dev eth0 nodad; rm \(host.cache)/results/*")
      let status = try waitFor { try await networking.status(of: pod) }
      #expect(status.map(\.network) == ["a"] && status[0].source == .namespace && attached.source == .plugins)
      #expect(status[0].interface?.mac == attached.interface?.mac && status[0].interface?.mac != nil)
      #expect(status[0].addresses == attached.addresses + [IPPrefix("fd00::7/64")!])
      try shell("ip -n web addr flush dev eth0")
      #expect(try podError { try await networking.status(of: pod) }.description.contains("has no address"))
      try shell("ip -n web link del eth0")
      #expect(
        try podError { try await networking.status(of: pod) }.description.contains("no interface \"eth0\""))
    }
  }

  @Test func readinessIsThatOfTheDefaultNetwork() async throws {
    try await PodHost.run { host in
      let networking = host.networking { $0.configurationMode = .onUse }
      #expect(try podError { try await networking.requireReady() }.kind == .noDefaultNetwork)
      try host.put(host.noop("a"), "a.conflist")
      try waitFor { try await networking.requireReady() }
      try host.put(
        host.noop("a", answers: #""STATUS":{"error":{"code":50,"msg":"no addresses"}},"#), "a.conflist")
      let error = try podError { try await networking.requireReady() }
      #expect(
        error.kind == .network && error.code == .notAvailable && error.description.contains("no addresses"))
    }
  }

  // MARK: - Garbage

  @Test func garbageIsWhatBelongsToNoPod() async throws {
    try await PodHost.run { host in
      for (index, name) in ["a", "b", "gone"].enumerated() {
        try host.put(
          host.bridge(name, bridge: "br-\(name)", subnet: "10.3\(index).0.0/24"), "\(name).conflist")
      }
      var networking = host.networking()
      let pods = try ["one", "two", "three"].map { name in
        try host.makePod(name, ["a", "b", "gone"].map { NetworkSelection($0) })
      }
      for pod in pods { try waitFor { [networking] in _ = try await networking.setUp(pod) } }
      #expect(try host.links() == 9 && host.leases().count == 9)
      try shell("ip netns del three")
      unlink("\(host.configurations)/gone.conflist")
      // Forgotten by one who has lost his memory: GC of the plugins finds it.
      unlink("\(host.cache)/results/a-id-of-two-eth0")
      networking = host.networking { $0.collectsGarbageOfUnknownNetworks = true }
      // Who says nothing of a pod's networks, or something else, keeps them all the same.
      try waitFor { [networking] in
        try await networking.collectGarbage(keeping: [
          host.pod("one"), host.pod("none", [NetworkSelection("b")]),
        ])
      }
      #expect(host.remembered == ["a-id-of-one-eth0", "b-id-of-one-eth1", "gone-id-of-one-eth2"])
      #expect(try host.leases().count == 3 && host.links() == 3)
      let kept = try waitFor { [networking] in try await networking.status(of: host.pod("one")) }
      #expect(kept.count == 3)
      try waitFor { try await host.networking().collectGarbage(keeping: []) }
      #expect(host.remembered == ["gone-id-of-one-eth2"])
      let all = host.networking { $0.collectsGarbageOfUnknownNetworks = true }
      try waitFor { try await all.collectGarbage(keeping: []) }
      #expect(try host.leases().isEmpty && host.links() == 0 && host.remembered.isEmpty)
    }
  }

  /// The process of a path in `/proc` may be another one by now: garbage is collected without that namespace.
  @Test(arguments: [true, false]) func garbageIsNotLookedForInTheNamespaceOfAProcess(isConfigured: Bool)
    async throws
  {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      let pod = try host.makePod()
      try waitFor { [networking = host.networking()] in _ = try await networking.setUp(pod) }
      try host.change("a-id-of-web-eth0") { entry in
        entry.removeAll(matching: "netns")
        entry.append("netns", "/proc/1/ns/net")
      }
      if !isConfigured { unlink("\(host.configurations)/a.conflist") }
      _ = try host.calls()
      let networking = host.networking { $0.collectsGarbageOfUnknownNetworks = true }
      try waitFor { try await networking.collectGarbage(keeping: []) }
      let deleted = try #require(try host.calls().first { $0["command"]?.string == "DEL" })
      #expect((deleted["environment"]?["CNI_NETNS"]?.string ?? "") == "")
      #expect(host.remembered.isEmpty)
    }
  }
}
