import CNI
import CNIRuntime
import ContainerNetworking
import Glibc
import Testing

/// A container is taken off all networks, whatever has become of their configurations.
@Suite struct RemoveTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  private func removal(_ networking: ContainerNetworking, _ id: String = "c1") async throws
    -> ContainerNetworkingError
  {
    try await failure { () async throws(ContainerNetworkingError) in try await networking.remove(id) }
  }

  @Test func withoutAnyConfiguration() async throws {
    for number in 0..<3 { fixture.configure("1\(number).conflist", fixture.noop("net\(number)")) }
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1", labels: ["A": "b"], order: .serial)
    for number in 0..<3 { unlink("\(fixture.configurations)/1\(number).conflist") }

    // A new one, that has loaded nothing.
    let later = try fixture.networking()
    #expect(try await later.attachments(of: "c1").map(\.network) == ["net0", "net1", "net2"])
    try await later.remove("c1")
    #expect(
      Array(try fixture.texts().dropFirst(3)) == ["DEL net2 c1 eth2", "DEL net1 c1 eth1", "DEL net0 c1 eth0"])
    #expect(try fixture.calls().allSatisfy { $0.variable("CNI_ARGS") == "A=b" })
    #expect(try await later.attachments().isEmpty)
    // Again, and for one that never was.
    try await later.remove("c1")
    try await later.remove("c2")
    #expect(try fixture.calls().count == 6)
  }

  @Test func withTheConfigurationThatItWasMadeWith() async throws {
    fixture.configure("10.conflist", fixture.noop("net", capabilities: ["mac"]))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    // Another plugin now, under the same name.
    fixture.configure("10.conflist", #"{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"nowhere"}]}"#)
    try await networking.reload()
    try await networking.remove("c1", namespace: "/run/netns/c1")
    #expect(try fixture.texts() == ["ADD net c1 eth0", "DEL net c1 eth0"])
    #expect(try fixture.calls()[1].standardInput["capabilities"]?["mac"] == true)
  }

  /// Nothing remembered (the cache is gone): with what is loaded.
  @Test func withoutTheCache() async throws {
    fixture.configure("10.conflist", fixture.noop("net"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    try await networking.remove("c1", namespace: "/run/netns/c1", labels: ["A": "b"])
    #expect(try fixture.texts() == ["DEL net c1 eth0"])
    #expect(try fixture.calls()[0].variable("CNI_ARGS") == "A=b")
    #expect(try fixture.calls()[0].variable("CNI_NETNS") == "/run/netns/c1")
  }

  @Test func entriesThatCannotBeRead() async throws {
    fixture.configure("10.conflist", fixture.noop("net"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    fixture.write("{\"kind\":", "cache/results/net-c1-eth0")
    try await networking.remove("c1")
    #expect(try fixture.texts() == ["ADD net c1 eth0", "DEL net c1 eth0"])
    #expect(fixture.read("\(fixture.cache)/results/net-c1-eth0") == nil)
  }

  @Test func neverStopsHalfWay() async throws {
    // Answers are counted over all networks: c goes first, then b and a.
    fixture.configure(
      "10.conflist", fixture.noop("a", #""DEL":[{},{},{"error":{"code":111,"msg":"a stays"}},{}]"#))
    fixture.configure("20.conflist", fixture.noop("b", #""DEL":[{},{"signal":9},{}]"#, type: "debug"))
    fixture.configure("30.conflist", fixture.noop("c"))
    try fixture.install("debug")
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    let error = try await removal(networking)
    #expect(error.kind == .pluginFailed)
    #expect(error.failures.map(\.network) == ["b", "a"])
    #expect(error.description.contains("a stays") && error.description.contains("SIGKILL"))
    #expect(try await networking.attachments().map(\.network) == ["a", "b"])
    try await networking.remove("c1")
    #expect(try await networking.attachments().isEmpty)
  }

  /// What other programs have attached the same container to goes as well; other containers stay.
  @Test func whatOthersHaveAttached() async throws {
    let other = try fixture.networking(interfacePrefix: "net")
    try await other.load(.text(fixture.noop("extra"), index: 5))
    _ = try await other.setUp("c1", namespace: "/run/netns/c1")
    _ = try await other.setUp("c2", namespace: "/run/netns/c2")
    let networking = try fixture.networking()
    try await networking.load(.text(fixture.noop("net")))
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    try await networking.remove("c1")
    #expect(Array(try fixture.texts().suffix(2)) == ["DEL net c1 eth0", "DEL extra c1 net5"])
    #expect(try await networking.attachments().map(\.parameters.containerID) == ["c2"])
  }

  @Test func theNamespaceIsTheOneSaidOrRemembered() async throws {
    fixture.configure("10.conflist", fixture.noop("net"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    for (made, said, expected) in [
      ("/run/netns/c1", nil, "/run/netns/c1"), ("/run/netns/c1", "", ""), ("/run/netns/c1", "/x", "/x"),
      // The process may be another one by now.
      ("/proc/1234/ns/net", nil, ""), ("/proc/1234/ns/net", "/proc/1234/ns/net", "/proc/1234/ns/net"),
    ] as [(String, String?, String)] {
      _ = try await networking.setUp("c1", namespace: made)
      try await networking.remove("c1", namespace: said)
      #expect(try fixture.calls().last?.variable("CNI_NETNS") == expected)
    }
  }

  /// Plugins that make an error of it in these words stop no container from going.
  @Test func whatIsGoneAlready() async throws {
    for (message, namespace, succeeds) in [
      ("link eth0 not found", "/run/netns/c1", true),
      ("open /run/netns/c1: no such file or directory", "", true),
      ("open /x: no such file or directory", "/run/netns/c1", false), ("device or resource busy", "", false),
    ] {
      let networking = try fixture.networking()
      try await networking.load(
        .text(fixture.noop("net", #""DEL":{"error":{"code":100,"msg":"\#(message)"}}"#)))
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
      do throws(ContainerNetworkingError) {
        try await networking.remove("c1", namespace: namespace)
        #expect(succeeds, "\(message)")
      } catch {
        #expect(!succeeds, "\(message)")
      }
      #expect(try await networking.attachments().isEmpty == succeeds)
      unlink("\(fixture.cache)/results/net-c1-eth0")
    }
  }

  /// As long as the namespace is there it is not certain that nothing is left: the note stays, for the next DEL or GC.
  @Test func whatMayNotBeGoneIsRemembered() async throws {
    fixture.write("", "namespace")
    let there = fixture.directory.file("namespace")
    for (message, namespace, remembers) in [
      ("link eth0 not found", there, true), ("link eth0 not found", "/nowhere", false),
      ("exec: \\\"iptables\\\": executable file not found in $PATH", "/nowhere", true),
    ] {
      let networking = try fixture.networking()
      try await networking.load(
        .text(fixture.noop("net", #""DEL":[{"error":{"code":100,"msg":"\#(message)"}},{}]"#)))
      _ = try await networking.setUp("c1", namespace: namespace)
      try await networking.remove("c1")
      #expect(try await networking.attachments().count == (remembers ? 1 : 0), "\(message)")
      try await networking.remove("c1")
      #expect(try await networking.attachments().isEmpty)
      unlink(fixture.directory.file("calls"))
    }
  }

  /// Plugins that are not installed any more keep no container, if today's configuration does without, or somebody gives up.
  @Test func pluginsThatAreGone() async throws {
    try fixture.install("noop", "debug")
    let old = fixture.noop("net", type: "debug")
    let networking = try fixture.networking(embedded: .none)
    try await networking.load(.text(old))
    for id in ["c1", "c2", "c3", "c4"] { _ = try await networking.setUp(id, namespace: "/run/netns/\(id)") }
    unlink("\(fixture.plugins)/debug")
    let error = try await removal(networking)
    #expect(error.kind == .pluginFailed && error.failures.count == 1)
    #expect(error.description.hasSuffix("or call forget(_:) and see to what they have left yourself"))
    try await networking.load(.text(fixture.noop("net")))
    try await networking.remove("c1")
    #expect(try fixture.texts().last == "DEL net c1 eth0")
    try await networking.collectGarbage(keeping: ["c3", "c4"])
    #expect(Array(try fixture.texts().suffix(2)) == ["DEL net c2 eth0", "GC net"])

    // Without any configuration.
    let later = try fixture.networking(embedded: .none)
    #expect(try await removal(later, "c3").kind == .pluginFailed)
    let collection = try await failure { () async throws(ContainerNetworkingError) in
      try await later.collectGarbage(keeping: ["c4"], everyNetwork: true)
    }
    #expect(collection.remedy.contains("forget"))
    let count = try fixture.calls().count
    try await later.forget("c3")
    try await later.forget("c9")
    #expect(try await later.attachments().map(\.parameters.containerID) == ["c4"])
    #expect(try fixture.calls().count == count)
  }

  @Test func namesThatAreNone() async throws {
    let networking = try fixture.networking()
    #expect(try await removal(networking, "../../etc").kind == .invalidParameter)
    #expect(try await removal(networking, "").kind == .invalidParameter)
    let forgotten = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.forget("../x")
    }
    #expect(forgotten.kind == .invalidParameter)
  }
}

@Suite struct GarbageCollectionTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  @Test func removesWhatIsNotKept() async throws {
    fixture.configure("10.conflist", fixture.noop("a"))
    fixture.configure("20.conflist", fixture.noop("b"))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    for id in ["c1", "c2", "c3"] {
      _ = try await networking.setUp(id, namespace: "/run/netns/\(id)", order: .serial)
    }
    try await networking.collectGarbage(keeping: ["c2", "c9"])
    let calls = try fixture.calls().dropFirst(6)
    #expect(
      calls.map(\.text) == [
        "DEL a c1 eth0", "DEL a c3 eth0", "GC a", "DEL b c1 eth1", "DEL b c3 eth1", "GC b",
      ])
    let valid = calls.filter { $0.json["command"] == "GC" }.map { call in
      Set((call.standardInput["cni.dev/valid-attachments"]?.array ?? []).map { "\($0)" })
    }
    #expect(
      valid == [
        [#"{"containerID":"c2","ifname":"eth0"}"#, #"{"containerID":"c9","ifname":"eth0"}"#],
        [#"{"containerID":"c2","ifname":"eth1"}"#, #"{"containerID":"c9","ifname":"eth1"}"#],
      ])
    #expect(Set(try await networking.attachments().map(\.parameters.containerID)) == ["c2"])
  }

  @Test func networksThatAreNotLoadedOnlyIfAskedFor() async throws {
    let networking = try fixture.networking()
    try await networking.load(.text(fixture.noop("old")))
    for id in ["c1", "c2"] { _ = try await networking.setUp(id, namespace: "/run/netns/\(id)") }
    try await networking.load(.text(fixture.noop("new")))
    try await networking.collectGarbage(keeping: ["c2"])
    #expect(try await networking.attachments().count == 2)
    try await networking.collectGarbage(keeping: ["c2"], everyNetwork: true)
    #expect(try await networking.attachments().map(\.parameters.containerID) == ["c2"])
    #expect(Array(try fixture.texts().dropFirst(2)) == ["GC new", "GC new", "DEL old c1 eth0"])
  }

  /// The process may be another one by now, and its namespace a foreign one.
  @Test(arguments: [false, true]) func namespacesOfProcessesAreNotTrusted(isLoaded: Bool) async throws {
    let networking = try fixture.networking()
    try await networking.load(.text(fixture.noop("net")))
    for (made, expected) in [
      ("/proc/1234/ns/net", ""), ("//proc/self/ns/net", ""), ("/./proc/1/ns/net", ""),
      ("/run/netns/c1", "/run/netns/c1"), ("/run/proc/c1", "/run/proc/c1"),
    ] {
      try await networking.load(.text(fixture.noop("net")))
      _ = try await networking.setUp("c1", namespace: made)
      if !isLoaded { try await networking.load(.text(fixture.noop("other"))) }
      try await networking.collectGarbage(keeping: [], everyNetwork: true)
      let deletion = try #require(try fixture.calls().last { $0.json["command"] == "DEL" })
      #expect(deletion.variable("CNI_NETNS") == expected)
      #expect(try await networking.attachments().isEmpty)
    }
  }

  @Test func beforeAnythingIsLoaded() async throws {
    let networking = try fixture.networking()
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.collectGarbage(keeping: [])
    }
    #expect(error.kind == .notInitialized)
    try await networking.collectGarbage(keeping: [], everyNetwork: true)
  }

  @Test func runsAlone() async throws {
    let networking = try fixture.networking()
    try await networking.load(.text(fixture.noop("net", #""ADD":{"delay":200},"GC":{"delay":200}"#)))
    async let first = networking.setUp("c1", namespace: "/run/netns/c1")
    try await eventually { try fixture.calls().count == 1 }
    async let collected: Void = networking.collectGarbage(keeping: ["c1", "c2"])
    try await Task.sleep(for: .milliseconds(50))
    async let second = networking.setUp("c2", namespace: "/run/netns/c2")
    _ = try await (first, collected, second)
    var times: [String: Double] = [:]
    for call in try fixture.calls() {
      guard case .number(let text)? = call.json["time"]?.kind else { continue }
      times[call.text] = Double(text)
    }
    #expect(times.count == 3)
    let collection = try #require(times["GC net"])
    // Each of them takes 0.2 seconds.
    for id in ["c1", "c2"] { #expect(abs(try #require(times["ADD net \(id) eth0"]) - collection) >= 0.2) }
  }

  @Test func tellsAllThatHasFailed() async throws {
    let networking = try fixture.networking()
    try await networking.load(
      .text(fixture.noop("a", #""GC":{"error":{"code":101,"msg":"a will not"}}"#)),
      .text(fixture.noop("b", #""GC":{"error":{"code":102,"msg":"b will not"}}"#)))
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.collectGarbage(keeping: [])
    }
    #expect(error.failures.map(\.code.rawValue) == [101, 102])
  }
}
