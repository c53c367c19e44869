import CNI
import ContainerNetworking
import Testing

/// What stands in the way of setting containers up is told apart.
@Suite struct StatusTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  private func status(_ networking: ContainerNetworking) async throws -> ContainerNetworkingError {
    try await failure { () async throws(ContainerNetworkingError) in try await networking.status() }
  }

  @Test func nothingLoaded() async throws {
    let networking = try fixture.networking()
    let error = try await status(networking)
    #expect(error.kind == .notInitialized)
    #expect(
      error.description
        == "cannot set up containers: no network configuration has been loaded; call load(_:) first")
    let setUp = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    }
    #expect(setUp.kind == .notInitialized)
    let check = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.check("c1", namespace: "/run/netns/c1")
    }
    #expect(check.kind == .notInitialized)
    let reload = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.reload()
    }
    #expect(reload.kind == .notInitialized)
  }

  @Test func tooFewNetworks() async throws {
    fixture.configure("10-broken.conflist", "{")
    let networking = try fixture.networking(minimumNetworkCount: 2)
    try? await networking.load(.loopback, .defaultConfiguration)
    let error = try await status(networking)
    #expect(error.kind == .noConfiguration)
    // What might have been the second one is named.
    #expect(error.problems.map(\.file) == ["\(fixture.configurations)/10-broken.conflist"])
    #expect(error.description.contains("10-broken.conflist:1:"))
    let setUp = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    }
    #expect(setUp.kind == .noConfiguration)
  }

  @Test func whatThePluginSays() async throws {
    fixture.configure("10.conflist", fixture.noop("ready"))
    fixture.configure(
      "20.conflist",
      fixture.noop(
        "full", #""STATUS":{"error":{"code":50,"msg":"no addresses are left","details":"of 254"}}"#))
    fixture.configure(
      "30.conflist", fixture.noop("down", #""STATUS":{"error":{"code":51,"msg":"no uplink"}}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let error = try await status(networking)
    #expect(error.kind == .notReady)
    #expect(error.failures.map(\.network) == ["full", "down"])
    #expect(error.failures.map(\.code.rawValue) == [50, 51])
    #expect(error.code == .notAvailable)
    #expect(error.plugin == "noop")
    #expect(error.description.contains("no addresses are left: of 254 (code 50)"))
    #expect(try fixture.texts() == ["STATUS ready", "STATUS full", "STATUS down"])
  }

  /// A plugin that says nothing has not said that it is not ready.
  @Test func whatNoPluginSays() async throws {
    fixture.configure(
      "10.conflist", fixture.noop("down", #""STATUS":{"error":{"code":51,"msg":"no uplink"}}"#))
    fixture.configure(
      "20.conflist", #"{"cniVersion":"1.1.0","name":"absent","plugins":[{"type":"nowhere"}]}"#)
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let error = try await status(networking)
    #expect(error.kind == .pluginFailed)
    #expect(error.failures.map(\.network) == ["down", "absent"])
    try await networking.load(.text(fixture.noop("dies", #""STATUS":{"exitStatus":1,"output":""}"#)))
    #expect(try await status(networking).kind == .pluginFailed)
    // The code is that of what makes the error what it is.
    try await networking.load(
      .text(fixture.noop("down", #""STATUS":{"error":{"code":51,"msg":"no uplink"}}"#)),
      .text(fixture.noop("slow", #""STATUS":{"delay":60000}"#)))
    let late = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.status(timeout: .seconds(1))
    }
    #expect(late.kind == .timedOut)
    #expect(late.code == .internalError)
  }

  /// The loopback plugin looks whether it may do what it has to.
  @Test(.requiresRoot) func ready() async throws {
    fixture.configure("10.conflist", fixture.noop("net"))
    let networking = try fixture.networking(minimumNetworkCount: 2)
    try await networking.load(.loopback, .defaultConfiguration)
    try await networking.status()
    #expect(try fixture.texts() == ["STATUS net"])
  }

  /// Versions before 1.1.0 know no STATUS.
  @Test func olderVersionsAreReady() async throws {
    fixture.configure(
      "10.conflist",
      fixture.noop("old", #""STATUS":{"error":{"code":50,"msg":"never asked"}}"#, version: "1.0.0"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    try await networking.status()
    #expect(try fixture.calls().isEmpty)
  }

  @Test func aPluginThatHangs() async throws {
    fixture.configure("10.conflist", fixture.noop("slow", #""STATUS":{"delay":60000}"#))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.status(timeout: .milliseconds(100))
    }
    #expect(error.kind == .timedOut)
  }
}
