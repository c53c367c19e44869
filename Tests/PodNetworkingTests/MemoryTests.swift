import CNI
import CNIRuntime
import Glibc
import LinuxNetworking
import PodNetworking
import TestSupport
import Testing

/// What is remembered of pods: where it is missing, broken, of no use, or another manager's.
@Suite("What is remembered of pods", .requiresRoot)
struct MemoryTests {
  // MARK: - Nothing is remembered

  @Test func whatHasNeverBeenThereIsTornDown() async throws {
    try await PodHost.run { host in
      let networking = host.networking { $0.defaultNetwork = "b" }
      let pod = try host.makePod()
      let both = host.pod("web", [NetworkSelection(), NetworkSelection("gone", interfaceName: "net1")])
      // With an empty directory, and with one that has other networks.
      for _ in 0..<2 {
        for _ in 0..<2 {
          for pod in [pod, both] { try waitFor { try await networking.tearDown(pod) } }
        }
        #expect(try podError { try await networking.status(of: pod) }.kind == .noDefaultNetwork)
        let error = try podError { try await networking.status(of: both) }
        #expect(error.kind == .networkNotFound && error.failures.count == 2)
        try host.put(host.noop("a"), "a.conflist")
      }
      #expect(try host.told() == [])
    }
  }

  @Test func aPodWithoutAnyNetworkIsNotFine() async throws {
    try await PodHost.run { host in
      let networking = host.networking()
      let pod = try host.makePod()
      try shell("ip -n web link set lo up")
      let error = try podError { try await networking.status(of: pod) }
      #expect(error.kind == .noDefaultNetwork)
    }
  }

  // MARK: - What is remembered is broken

  @Test func aSetUpThatWasNotFinishedIsNoStatus() async throws {
    try await PodHost.run { host in
      try host.put(host.bridge("a", bridge: "br0", subnet: "10.30.0.0/24"), "a.conflist")
      try host.put(host.bridge("old", bridge: "br1", subnet: "10.31.0.0/24", version: "0.3.1"), "b.conflist")
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("a"), NetworkSelection("old")])
      let attached = try waitFor { try await networking.setUp(pod) }
      let results = try ["a-id-of-web-eth0", "old-id-of-web-eth1"].map { try host.entry($0)["result"] }
      // As it is while ADD is under way, and for ever if the process was killed then.
      for name in ["a-id-of-web-eth0", "old-id-of-web-eth1"] {
        try host.change(name) { $0.removeAll(matching: "result") }
      }
      let error = try podError { try await networking.status(of: pod) }
      #expect(error.failures.map(\.network) == ["a", "old"])
      #expect(error.failures.allSatisfy { $0.reason.contains("not come to its end") })
      // A result that nobody can read; where CHECK would need it, and where the version knows none.
      for name in ["a-id-of-web-eth0", "old-id-of-web-eth1"] {
        try host.change(name) { $0.append("result", "what?") }
      }
      let unreadable = try podError { try await networking.status(of: pod) }
      #expect(unreadable.failures.map(\.network) == ["a"])
      #expect(
        unreadable.description.contains("cannot be read")
          && unreadable.description.contains("tear the pod down"))
      let old = try waitFor { try await networking.status(of: host.pod("web", [NetworkSelection("old")])) }
      #expect(old.map(\.source) == [.namespace] && old.map(\.addresses) == [attached[1].addresses])
      // The oldest kind: nothing but the result.
      try StateFile.write(
        try #require(results[0]).serialized(), to: "\(host.cache)/results/a-id-of-web-eth0")
      let bare = try waitFor { try await networking.status(of: host.pod("web", [NetworkSelection("a")])) }
      #expect(bare.map(\.addresses) == [attached[0].addresses] && bare[0].source == .plugins)
      try waitFor { try await networking.tearDown(host.pod()) }
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
    }
  }

  /// The Go library remembers a list without the plugins that are in files of their own.
  @Test(arguments: [
    #"{"cniVersion":"1.1.0","name":"a"}"#, "", "what?",
  ])
  func aConfigurationOfNoUse(remembered: String) async throws {
    try await PodHost.run { host in
      let networking = host.networking { $0.configurationMode = .onUse }
      _ = try host.makePod()
      func attach() throws {
        try host.put(host.noop("a"), "a.conflist")
        try waitFor { _ = try await networking.setUp(host.pod("web", [NetworkSelection("a")])) }
        try host.change("a-id-of-web-eth0") { entry in
          entry.removeAll(matching: "config")
          if !remembered.isEmpty { entry.append("config", .string(try base64(remembered))) }
        }
        _ = try host.calls()
      }
      for networks in [[], [NetworkSelection("a")], [NetworkSelection()]] {
        try attach()
        let pod = host.pod("web", networks)
        #expect(try waitFor { try await networking.status(of: pod) }.map(\.network) == ["a"])
        try waitFor { try await networking.tearDown(pod) }
        #expect(try host.told() == ["CHECK a eth0", "DEL a eth0"] && host.remembered.isEmpty)
      }
      try attach()
      try waitFor { try await networking.collectGarbage(keeping: []) }
      #expect(try host.told() == ["DEL a eth0", "GC a -"] && host.remembered.isEmpty)
      // Without either it is said what would help, and everything stays.
      try attach()
      unlink("\(host.configurations)/a.conflist")
      let error = try podError { try await networking.tearDown(host.pod()) }
      #expect(error.failures.map(\.network) == ["a"])
      #expect(error.description.contains("put a configuration of network \"a\" into \(host.configurations)"))
      #expect(host.remembered == ["a-id-of-web-eth0"])
    }
  }

  /// Encoded by a tool that is not ours.
  private func base64(_ text: String) throws -> String {
    try String(shell("printf %s '\(text)' | base64 -w0"))
  }

  @Test func whatCannotBeListedIsNotGone() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("a")])
      try waitFor { _ = try await networking.setUp(pod) }
      _ = try host.calls()
      try shell("mv \(host.cache)/results \(host.cache)/away; : > \(host.cache)/results")
      for body: @Sendable () async throws -> Void in [
        { try await networking.collectGarbage(keeping: []) }, { try await networking.tearDown(pod) },
        { try await networking.tearDown(host.pod()) }, { _ = try await networking.status(of: pod) },
        { _ = try await networking.setUp(pod) },
      ] {
        let error = try podError(body)
        #expect(error.failures.first?.kind == .cache && error.description.contains("\(host.cache)/results"))
      }
      let error = try podError { try await networking.setUp(pod) }
      #expect(error.needsTearDown)
      #expect(try host.told() == [])
      try shell("rm \(host.cache)/results; mv \(host.cache)/away \(host.cache)/results")
      try waitFor { try await networking.tearDown(host.pod()) }
      #expect(try host.told() == ["DEL a eth0"])
    }
  }

  // MARK: - Garbage

  @Test func whatNobodyCanReadOfAValidPodStays() async throws {
    try await PodHost.run { host in
      for (number, name) in ["a", "with-hyphen"].enumerated() {
        try host.put(
          host.bridge(name, bridge: "br-\(number)", subnet: "10.3\(number).0.0/24"), "\(name).conflist")
      }
      let networking = host.networking()
      let networks = [NetworkSelection("with-hyphen"), NetworkSelection("a", interfaceName: "net1")]
      for name in ["web", "other"] {
        let pod = try host.makePod(name, networks)
        try waitFor { _ = try await networking.setUp(pod) }
      }
      #expect(try host.leases().count == 4)
      // Cut short, and of the oldest kind.
      try StateFile.write(Array(#"{"kind":"cniCa"#.utf8), to: "\(host.cache)/results/a-id-of-web-net1")
      let result = try #require(host.entry("with-hyphen-id-of-web-eth0")["result"])
      try StateFile.write(result.serialized(), to: "\(host.cache)/results/with-hyphen-id-of-web-eth0")
      // Who keeps it knows its ID, and no networks.
      let kept = Pod(id: "id-of-web", name: "", namespace: "")
      try waitFor { try await networking.collectGarbage(keeping: [kept]) }
      #expect(try host.leases().count == 2 && host.links() == 2)
      #expect(try shell("ip -n web -o link | grep -c 'eth0\\|net1'") == "2\n")
      try waitFor { try await networking.tearDown(host.pod()) }
      #expect(try host.leases().isEmpty && host.links() == 0 && host.remembered.isEmpty)
    }
  }

  @Test func whatOthersHaveStaysUnlessAskedFor() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      try host.put(host.noop("theirs"), "theirs.conflist")
      let other = host.networking()
      for (name, network) in [("ours", "a"), ("foreign", "theirs")] {
        let pod = try host.makePod(name, [NetworkSelection(network)])
        try waitFor { _ = try await other.setUp(pod) }
      }
      func loopback(_ name: String) throws {
        let entry =
          #"{"kind":"cniCacheV1","containerId":"id-of-\#(name)","ifName":"lo","networkName":"cni-loopback"}"#
        try StateFile.write(Array(entry.utf8), to: "\(host.cache)/results/cni-loopback-id-of-\(name)-lo")
      }
      for name in ["ours", "foreign"] { try loopback(name) }
      unlink("\(host.configurations)/theirs.conflist")
      _ = try host.calls()
      // One to whom that network is unknown.
      try waitFor { try await host.networking().collectGarbage(keeping: []) }
      #expect(try host.told() == ["DEL a eth0", "GC a -"])
      #expect(host.remembered == ["cni-loopback-id-of-foreign-lo", "theirs-id-of-foreign-eth0"])
      let all = host.networking { $0.collectsGarbageOfUnknownNetworks = true }
      try waitFor { try await all.collectGarbage(keeping: [host.pod("foreign")]) }
      #expect(host.remembered == ["cni-loopback-id-of-foreign-lo", "theirs-id-of-foreign-eth0"])
      _ = try host.calls()
      try waitFor { try await all.collectGarbage(keeping: []) }
      #expect(try host.told() == ["GC a -", "DEL theirs eth0"] && host.remembered.isEmpty)
    }
  }

  @Test func aNetworkThatWasThereOnceIsKnown() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      let networking = host.networking { $0.configurationMode = .onUse }
      let pod = try host.makePod("web", [NetworkSelection("a")])
      try waitFor { _ = try await networking.setUp(pod) }
      unlink("\(host.configurations)/a.conflist")
      _ = try host.calls()
      try waitFor { try await networking.collectGarbage(keeping: []) }
      #expect(try host.told() == ["DEL a eth0"] && host.remembered.isEmpty)
    }
  }

  @Test func aPodThatMakesNoSenseStopsNoGarbageCollection() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      let networking = host.networking()
      for name in ["odd", "garbage"] {
        let pod = try host.makePod(name, [NetworkSelection("a")])
        try waitFor { _ = try await networking.setUp(pod) }
      }
      _ = try host.calls()
      let twice = ["a", "a"].map { NetworkSelection($0, interfaceName: "net0") }
      var nobody = host.pod("nobody")
      nobody.id = ""
      let error = try podError { [nobody] in
        try await networking.collectGarbage(keeping: [nobody, host.pod("odd", twice)])
      }
      #expect(error.kind == .invalidRequest && error.failures.count == 2)
      #expect(error.description.contains("asked for twice"))
      #expect(try host.told() == ["DEL a eth0", "GC a -"] && host.remembered == ["a-id-of-odd-eth0"])
    }
  }
}
