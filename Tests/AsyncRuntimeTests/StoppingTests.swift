import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import Glibc
import TestSupport
import Testing

/// Cancellation of the task and deadlines reach plugins that run.
@Suite struct StoppingTests {
  private let fixture: RuntimeFixture

  init() throws {
    fixture = try RuntimeFixture()
    // Hangs at ADD, and writes down what it is asked and how it ends.
    fixture.script(
      "hangs",
      """
      cd "$(dirname "$0")"
      # Before the line that the signal is sent upon.
      [ "$CNI_COMMAND" != ADD ] || trap 'echo TERM >>calls; exit 1' TERM
      echo "$CNI_COMMAND" >>calls
      [ "$CNI_COMMAND" = ADD ] || exit 0
      while :; do sleep 0.01; done
      """)
  }

  @Test func cancellationStopsThePluginAndUndoesWhatItBegan() async throws {
    let runtime = fixture.runtime()
    let list = try fixture.list("inner", "hangs")
    let task = Task { try await runtime.add(list, c1) }
    try await eventually { fixture.lines("calls") == ["ADD"] }
    task.cancel()
    let error = await #expect(throws: RuntimeError.self) { try await task.value }
    #expect(error?.kind == .cancelled)
    #expect(error?.undo == .done && error?.undoProblems == [])
    #expect(fixture.lines("calls") == ["ADD", "TERM", "DEL"])
    #expect(fixture.calls.withLock { $0 }.map(\.command) == [.add, .del])
    #expect(runtime.runtime.cachedAttachments().isEmpty)
  }

  @Test func deadlineDoesTheSame() async throws {
    let runtime = fixture.runtime()
    let limits = ExecutionLimits(deadline: .after(.seconds(2)))
    let error = await #expect(throws: RuntimeError.self) {
      try await runtime.add(fixture.list("hangs"), c1, limits: limits)
    }
    #expect(error?.kind == .timedOut)
    #expect(fixture.lines("calls") == ["ADD", "TERM", "DEL"])
  }

  @Test func whoIgnoresSIGTERMIsKilled() async throws {
    fixture.script(
      "stubborn",
      """
      cd "$(dirname "$0")"
      trap '' TERM
      echo "$CNI_COMMAND" >>calls
      [ "$CNI_COMMAND" = ADD ] || exit 0
      while :; do sleep 0.01; done
      """)
    let runtime = fixture.runtime(limits: ExecutionLimits(gracePeriod: .milliseconds(100)))
    let task = Task { [fixture] in try await runtime.add(fixture.list("stubborn"), c1) }
    try await eventually { fixture.lines("calls") == ["ADD"] }
    task.cancel()
    let error = await #expect(throws: RuntimeError.self) { try await task.value }
    #expect(error?.kind == .cancelled)
    #expect(error?.description.contains("SIGKILL") == true)
    #expect(fixture.lines("calls") == ["ADD", "DEL"])
  }

  @Test func pluginsInThisProcessAreToldToo() async throws {
    let began = Log()
    var runtime = CNIRuntime(
      pluginPath: [], cacheDirectory: fixture.directory.file("cache"),
      embedded: EmbeddedPlugins([
        EmbeddedPlugin(type: "patient") { request, environment in
          guard request.command == .add else { return PluginReply() }
          began.note("ADD")
          while environment.limits.cancellation?.isCancelled != true { usleep(1000) }
          return PluginReply(
            standardOutput: CNIError(.internalError, "stopped").serialized(version: nil),
            exitStatus: .exited(1))
        }
      ]))
    runtime.runner.passesOnStandardError = false
    let observed = AsyncRuntime(runtime, maximumConcurrency: 2, logger: .init(label: "test"))
    let list = try fixture.list("patient")
    let task = Task { try await observed.add(list, c1) }
    try await eventually { !began.lines.isEmpty }
    task.cancel()
    let error = await #expect(throws: RuntimeError.self) { try await task.value }
    #expect(error?.kind == .cancelled)
  }

  /// A plugin that has failed by itself is not called off by what happens while its work is undone.
  @Test(arguments: [false, true]) func aFailureOfItsOwnKeepsItsName(byDeadline: Bool) async throws {
    let undoing = Log()
    let deadline = Deadline.after(.seconds(byDeadline ? 8 : 0))
    var runtime = CNIRuntime(
      pluginPath: [], cacheDirectory: fixture.directory.file("cache"),
      embedded: EmbeddedPlugins([
        EmbeddedPlugin(type: "refuser") { request, _ in
          if request.command == .del {
            undoing.note("DEL")
            repeat { usleep(500_000) } while !deadline.hasPassed
            return PluginReply()
          }
          return PluginReply(
            standardOutput: CNIError(.tryAgainLater, "no addresses left").serialized(version: nil),
            exitStatus: .exited(1))
        }
      ]))
    runtime.runner.passesOnStandardError = false
    let observed = AsyncRuntime(runtime, maximumConcurrency: 2, logger: .init(label: "test"))
    let list = try fixture.list("refuser")
    let limits = ExecutionLimits(deadline: byDeadline ? deadline : nil)
    let task = Task { try await observed.add(list, c1, limits: limits) }
    try await eventually { !undoing.lines.isEmpty }
    if !byDeadline { task.cancel() }
    let error = try #require(await #expect(throws: RuntimeError.self) { try await task.value })
    #expect(error.kind == .pluginFailed)
    #expect(error.code == .tryAgainLater)
    #expect(error.undo == .done && error.undoProblems.isEmpty)
  }

  /// Only who runs has a file descriptor to be woken by: there may be more waiting than a process may have.
  @Test func whoWaitsForAThreadCostsNoDescriptor() async throws {
    let runtime = fixture.runtime(maximumConcurrency: 1)
    let list = try fixture.list("hangs")
    let holder = Task { try await runtime.add(list, c1) }
    try await eventually { fixture.lines("calls") == ["ADD"] }
    let before = eventDescriptors()
    let waiting = (0..<1000).map { number in
      let parameters = AttachmentParameters(
        containerID: "q\(number)", namespace: "/run/netns/q", interfaceName: "eth0")
      return Task { try await runtime.add(list, parameters) }
    }
    try await eventually { runtime.threads.waiting == 1000 }
    // Tests beside this one have some as well.
    #expect(eventDescriptors() - before < 700)
    for task in waiting { task.cancel() }
    for task in waiting { await #expect(throws: RuntimeError.self) { try await task.value } }
    holder.cancel()
    _ = await holder.result
  }

  private func eventDescriptors() -> Int {
    (0..<20000).count { number in
      var target = [CChar](repeating: 0, count: 64)
      let length = readlink("/proc/self/fd/\(number)", &target, target.count)
      return length > 0
        && String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self).contains(
          "eventfd")
    }
  }

  @Test func whoWaitsForAThreadCanBeStopped() async throws {
    let runtime = fixture.runtime(maximumConcurrency: 1)
    let list = try fixture.list("hangs")
    let holder = Task { try await runtime.add(list, c1) }
    try await eventually { fixture.lines("calls") == ["ADD"] }
    let other = AttachmentParameters(containerID: "c2", namespace: "/run/netns/c2", interfaceName: "eth0")
    let late = ExecutionLimits(deadline: .after(.milliseconds(20)))
    let error = await #expect(throws: RuntimeError.self) {
      try await runtime.add(list, other, limits: late)
    }
    #expect(error?.kind == .timedOut)
    let waiting = Task { try await runtime.add(list, other) }
    try await eventually { runtime.threads.waiting == 1 }
    waiting.cancel()
    let cancelled = await #expect(throws: RuntimeError.self) { try await waiting.value }
    #expect(cancelled?.kind == .cancelled)
    holder.cancel()
    _ = await holder.result
    #expect(fixture.lines("calls") == ["ADD", "TERM", "DEL"])
  }

  @Test func operationsDoWhatTheRuntimeDoes() async throws {
    let runtime = fixture.runtime()
    let list = try fixture.list("outer")
    let result = try await runtime.add(list, c1)
    #expect(result.ips.map { "\($0.address)" } == ["10.0.0.1/24"])
    try await runtime.check(list, c1)
    try await runtime.status(list)
    let cached = try await runtime.blocking(operation: "look") { $0.cachedAttachments() }
    #expect(cached.map(\.network) == ["podnet"])
    try await runtime.delete(cached[0])
    #expect(runtime.runtime.cachedAttachments().isEmpty)
    _ = try await runtime.add(list, c1)
    try await runtime.collectGarbage(list, validAttachments: [])
    #expect(runtime.runtime.cachedAttachments().isEmpty)
    try await runtime.delete(list, c1)
    #expect(
      fixture.calls.withLock { $0 }.filter { $0.type == "outer" }.map(\.command) == [
        .add, .check, .status, .del, .add, .del, .gc, .del,
      ])
  }
}
