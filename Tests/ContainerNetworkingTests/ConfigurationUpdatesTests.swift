import CNI
@testable import ContainerNetworking
import Glibc
import Synchronization
import Testing

/// The networks follow the configuration directory.
@Suite struct ConfigurationUpdatesTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  @Test func everyChangeIsLoadedAndTold() async throws {
    fixture.configure("10.conflist", fixture.noop("a"))
    let networking = try fixture.networking(minimumNetworkCount: 2)
    try await networking.load(.loopback, .allConfigurations)
    let updates = Updates()
    let task = Task {
      for await update in networking.configurationUpdates { updates.note(update) }
      updates.end()
    }
    try await eventually { updates.last?.names == ["cni-loopback", "a"] }
    #expect(updates.last?.failure == nil)
    #expect(updates.last?.change.added == ["a"])

    fixture.write(fixture.noop("b"), "b")
    rename(fixture.directory.file("b"), "\(fixture.configurations)/05.conflist")
    try await eventually { updates.last?.names == ["cni-loopback", "b", "a"] }
    #expect(networking.configuration.networks.map(\.interfaceName) == ["lo", "eth0", "eth1"])

    // Broken, it goes on to count as it was.
    fixture.configure("05.conflist", "{\"cniVersion\":")
    try await eventually { updates.last?.configuration.problems.isEmpty == false }
    #expect(updates.last?.names == ["cni-loopback", "b", "a"])

    unlink("\(fixture.configurations)/05.conflist")
    unlink("\(fixture.configurations)/10.conflist")
    try await eventually { updates.last?.failure?.kind == .noConfiguration }
    #expect(networking.configuration.networks.map(\.name) == ["cni-loopback"])
    let status = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.status()
    }
    #expect(status.kind == .noConfiguration)

    task.cancel()
    try await eventually { updates.hasEnded }
  }

  /// A file that has been broken since it was loaded counts as it was, whoever looks.
  @Test func brokenBeforeAnybodyFollows() async throws {
    fixture.configure("10.conflist", fixture.noop("a"))
    let networking = try fixture.networking()
    try await networking.load(.defaultConfiguration)
    fixture.configure("10.conflist", "{")
    for _ in 0..<2 {
      var updates = networking.configurationUpdates.makeAsyncIterator()
      let update = try #require(await updates.next())
      #expect(update.names == ["a"] && update.failure == nil)
      #expect(update.configuration.outdatedFiles == ["\(fixture.configurations)/10.conflist"])
      #expect(update.change.added == ["a"])
    }
    #expect(networking.configuration.networks.map(\.name) == ["a"])
    try await networking.reload()
    #expect(networking.configuration.networks.map(\.name) == ["a"])
  }

  /// An update under way does not bring back what the program has replaced meanwhile.
  @Test func anUpdateBesideALoad() async throws {
    fixture.configure("10.conflist", fixture.noop("a"))
    fixture.write(fixture.noop("named"), "named")
    let path = fixture.directory.file("named")
    let networking = try fixture.networking()
    try await networking.load(.file(path), .allConfigurations)
    let updates = Updates()
    var file: FileBeingWritten? = try FileBeingWritten(path, "")
    let task = Task {
      for await update in networking.configurationUpdates { updates.note(update) }
      updates.end()
    }
    try await eventually { file!.wasOpened }
    let load = Task { try await networking.load(.text(fixture.noop("new"))) }
    try await eventually { networking.loading.waiting == 1 || networking.configuration.networks.count == 1 }
    file!.write(fixture.noop("named"))
    file = nil
    try await load.value
    try await eventually { updates.last != nil }
    #expect(networking.configuration.networks.map(\.name) == ["new"])
    try await networking.reload()
    #expect(networking.configuration.networks.map(\.name) == ["new"])
    task.cancel()
    try await eventually { updates.hasEnded }
  }

  private final class Updates: Sendable {
    private let state = Mutex((all: [ConfigurationUpdate](), ended: false))
    func note(_ update: ConfigurationUpdate) { state.withLock { $0.all.append(update) } }
    func end() { state.withLock { $0.ended = true } }
    var last: ConfigurationUpdate? { state.withLock { $0.all.last } }
    var hasEnded: Bool { state.withLock { $0.ended } }
  }
}

extension ConfigurationUpdate {
  fileprivate var names: [String] { configuration.networks.map(\.name) }
}
