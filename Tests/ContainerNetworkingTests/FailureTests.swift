import CNI
@testable import ContainerNetworking
import Glibc
import Testing

/// A set-up that fails, is called off or takes too long leaves nothing.
@Suite struct FailureTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  /// Every plugin that was asked for ADD was asked for DEL, once. (On a busy machine a network may be called off before it is
  /// begun.)
  private func expectAllUndone(_ texts: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    let added = texts.filter { $0.hasPrefix("ADD") }.map { $0.dropFirst(4) }.sorted()
    let deleted = texts.filter { $0.hasPrefix("DEL") }.map { $0.dropFirst(4) }.sorted()
    #expect(added == deleted, sourceLocation: sourceLocation)
    #expect(!added.isEmpty, sourceLocation: sourceLocation)
  }

  @Test func aFailedNetworkTakesTheOthersBack() async throws {
    fixture.configure("10.conflist", fixture.noop("a"))
    fixture.configure(
      "20.conflist", fixture.noop("b", #""ADD":{"error":{"code":107,"msg":"b will not"},"delay":200}"#))
    fixture.configure("30.conflist", fixture.noop("c"))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    for order in [SetUpOrder.parallel, .serial] {
      let before = try fixture.calls().count
      let error = try await failure { () async throws(ContainerNetworkingError) in
        _ = try await networking.setUp("c1", namespace: "/run/netns/c1", order: order)
      }
      #expect(error.kind == .pluginFailed)
      #expect(error.failures.map(\.network) == ["b"])
      #expect(error.code?.rawValue == 107)
      #expect(error.undoFailures.isEmpty)
      let texts = Array(try fixture.texts().dropFirst(before))
      if order == .serial {
        #expect(texts == ["ADD a c1 eth0", "ADD b c1 eth1", "DEL b c1 eth1", "DEL a c1 eth0"])
      }
      expectAllUndone(texts)
      #expect(try await networking.attachments().isEmpty)
    }
  }

  /// A network that has failed by itself is told even if others had failed before all of it was undone.
  @Test func severalFailures() async throws {
    fixture.configure(
      "10.conflist",
      fixture.noop("a", #""ADD":{"error":{"code":107,"msg":"a will not"}},"DEL":{"delay":1500}"#))
    fixture.configure(
      "20.conflist", fixture.noop("b", #""ADD":{"error":{"code":108,"msg":"b will not"},"delay":100}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let error = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    }
    #expect(error.kind == .pluginFailed)
    #expect(error.failures.map(\.code.rawValue) == [107, 108])
    #expect(error.undoFailures.isEmpty)
  }

  /// What has failed before it was called off has not failed because of that.
  @Test func calledOffWhileItIsUndone() async throws {
    fixture.configure(
      "10.conflist",
      fixture.noop("a", #""ADD":{"error":{"code":107,"msg":"no addresses left"}},"DEL":{"delay":1000}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let task = Task { try await networking.setUp("c1", namespace: "/run/netns/c1") }
    try await eventually { try fixture.calls().count == 2 }
    task.cancel()
    let error = await #expect(throws: ContainerNetworkingError.self) { try await task.value }
    #expect(error?.kind == .pluginFailed)
    #expect(error?.code?.rawValue == 107)
    #expect(try await networking.attachments().isEmpty)
  }

  @Test func theOthersAreStopped() async throws {
    fixture.configure("10.conflist", fixture.noop("hangs", #""ADD":{"delay":60000}"#))
    fixture.configure(
      "20.conflist", fixture.noop("fails", #""ADD":{"error":{"code":107,"msg":"no"},"delay":200}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let error = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    }
    // Only the one that failed by itself is named.
    #expect(error.failures.map(\.network) == ["fails"])
    #expect(error.kind == .pluginFailed)
    #expect(
      try fixture.texts().filter { $0.hasPrefix("DEL") }.sorted() == [
        "DEL fails c1 eth1", "DEL hangs c1 eth0",
      ])
    #expect(try await networking.attachments().isEmpty)
  }

  /// As processes and in this one, with SIGTERM heard or not.
  @Test(arguments: [true, false], [true, false])
  func calledOffInTheMiddle(asProcess: Bool, stubborn: Bool) async throws {
    if asProcess { try fixture.install("noop") }
    // Nobody can end a thread: what heeds nothing in this process is waited for.
    let delay = stubborn && !asProcess ? 3000 : 60000
    let answers = #""ADD":{"delay":\#(delay)\#(stubborn ? #","ignoresTermination":true"# : "")}"#
    fixture.configure("10.conflist", fixture.noop("done"))
    fixture.configure("20.conflist", fixture.noop("hangs", answers))
    let networking = try fixture.networking(gracePeriod: .milliseconds(200))
    try await networking.load(.allConfigurations)
    let task = Task { try await networking.setUp("c1", namespace: "/run/netns/c1", order: .serial) }
    try await eventually { try fixture.calls().count == 2 }
    task.cancel()
    let error = await #expect(throws: ContainerNetworkingError.self) { try await task.value }
    #expect(error?.kind == .cancelled)
    #expect(
      try fixture.texts() == [
        "ADD done c1 eth0", "ADD hangs c1 eth1", "DEL hangs c1 eth1", "DEL done c1 eth0",
      ])
    if asProcess {
      let word = stubborn ? "SIGKILL" : "SIGTERM"
      #expect(error?.description.contains(word) == true, "\(error.map(\.description) ?? "")")
    }
    #expect(try await networking.attachments().isEmpty)
    // And the container can be set up afterwards.
    try await networking.load(.text(fixture.noop("done")))
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
  }

  @Test func takesTooLong() async throws {
    fixture.configure("10.conflist", fixture.noop("quick"))
    fixture.configure("20.conflist", fixture.noop("slow", #""ADD":{"delay":600000}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let start = ContinuousClock.now
    let error = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1", timeout: .seconds(2))
    }
    #expect(error.kind == .timedOut)
    // Half of what the plugin would take, and what a busy machine takes.
    #expect(ContinuousClock.now - start < .seconds(300))
    #expect(
      try fixture.texts().filter { $0.hasPrefix("DEL") }.sorted() == [
        "DEL quick c1 eth0", "DEL slow c1 eth1",
      ])
    #expect(try await networking.attachments().isEmpty)
  }

  @Test func whoWaitsForItsTurnCanBeCalledOff() async throws {
    fixture.configure("10.conflist", fixture.noop("slow", #""ADD":{"delay":60000}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let holder = Task { try await networking.setUp("c1", namespace: "/run/netns/c1") }
    try await eventually { try fixture.calls().count == 1 }
    let error = try await failure { () async throws(ContainerNetworkingError) in
      try await networking.remove("c1", timeout: .milliseconds(50))
    }
    #expect(error.kind == .timedOut)
    let waiting = Task { try await networking.remove("c1") }
    try await eventually { networking.containers.waiting == 1 }
    waiting.cancel()
    let cancelled = await #expect(throws: ContainerNetworkingError.self) { try await waiting.value }
    #expect(cancelled?.kind == .cancelled)
    holder.cancel()
    _ = await holder.result
    #expect(try fixture.texts() == ["ADD slow c1 eth0", "DEL slow c1 eth0"])
  }

  /// What an earlier call has attached is not what a later one has to take back.
  @Test func anEarlierSetUpStays() async throws {
    fixture.configure("10.conflist", fixture.noop("a"))
    fixture.configure("20.conflist", fixture.noop("b"))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    _ = try await networking.setUp("c1", namespace: "/run/netns/c1")
    fixture.configure(
      "20.conflist", fixture.noop("b", #""ADD":{"error":{"code":107,"msg":"it is there already"}}"#))
    try await networking.reload()
    let error = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1", order: .serial)
    }
    #expect(error.failures.first?.undo == .leftEarlierAttachment)
    #expect(!(try fixture.texts().contains { $0.hasPrefix("DEL") }))
    #expect(try await networking.attachments().count == 2)
  }

  @Test func whatCannotBeUndoneIsTold() async throws {
    fixture.configure(
      "10.conflist", fixture.noop("a", #""DEL":[{},{"error":{"code":111,"msg":"a stays"}},{}]"#))
    fixture.configure("20.conflist", fixture.noop("b", #""ADD":{"error":{"code":107,"msg":"no"}}"#))
    let networking = try fixture.networking()
    try await networking.load(.allConfigurations)
    let error = try await failure { () async throws(ContainerNetworkingError) in
      _ = try await networking.setUp("c1", namespace: "/run/netns/c1", order: .serial)
    }
    #expect(error.failures.map(\.network) == ["b"])
    #expect(error.undoFailures.map(\.network) == ["a"])
    #expect(error.description.contains("a stays"))
    #expect(error.description.split(separator: "a stays").count == 2)
    // It is still known, and the next attempt succeeds.
    #expect(try await networking.attachments(of: "c1").map(\.network) == ["a"])
    try await networking.remove("c1")
    #expect(try await networking.attachments().isEmpty)
  }

  /// Also of the network that has failed itself, or was called off; once.
  @Test func whatTheFailedNetworkCannotUndoIsTold() async throws {
    let stays = #""DEL":[{"error":{"code":111,"msg":"it stays"}},{}]"#
    for answers in [#""ADD":{"error":{"code":107,"msg":"no"}}"#, #""ADD":{"delay":600000}"#] {
      fixture.configure("10.conflist", fixture.noop("a", "\(answers),\(stays)"))
      let networking = try fixture.networking()
      try await networking.load(.allConfigurations)
      let task = Task { try await networking.setUp("c1", namespace: "/run/netns/c1") }
      try await eventually { try fixture.calls().count >= 1 }
      if answers.contains("delay") { task.cancel() }
      let error = try #require(await #expect(throws: ContainerNetworkingError.self) { try await task.value })
      #expect(error.failures.map(\.network) == ["a"] && error.undoFailures.map(\.network) == ["a"])
      #expect(error.description.split(separator: "it stays").count == 2, "\(error)")
      #expect(try await networking.attachments().map(\.network) == ["a"])
      try await networking.remove("c1")
      #expect(try await networking.attachments().isEmpty)
      unlink(fixture.directory.file("calls"))
    }
  }

  /// Whatever hangs while containers are set up: others can be removed, the configuration read, and the status asked for.
  @Test(.timeLimit(.minutes(2))) func aHangingPluginHoldsUpNobodyElse() async throws {
    let networking = try fixture.networking(maximumConcurrency: 1)
    try await networking.load(.text(fixture.noop("net", #""ADD":[{},{"delay":600000}]"#)))
    _ = try await networking.setUp("c2", namespace: "/run/netns/c2")
    let hanging = Task { try await networking.setUp("c1", namespace: "/run/netns/c1") }
    try await eventually { try fixture.calls().count == 2 }
    let queued = Task { try await networking.setUp("c3", namespace: "/run/netns/c3") }
    try await eventually { networking.runtime.threads.waiting == 1 }
    try await networking.status()
    try await networking.check("c2")
    try await networking.remove("c2")
    try await networking.reload()
    #expect(try await networking.attachments().map(\.parameters.containerID) == ["c1"])
    #expect(
      Array(try fixture.texts().dropFirst(2)) == ["STATUS net", "CHECK net c2 eth0", "DEL net c2 eth0"])
    queued.cancel()
    hanging.cancel()
    _ = await (queued.result, hanging.result)
  }
}
