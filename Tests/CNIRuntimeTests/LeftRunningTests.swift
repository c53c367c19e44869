import CNI
import CNIExecution
import CNIRuntime
import Glibc
import TestSupport
import Testing

/// Plugins that outlive the call, or the process, that has started them.
@Suite struct LeftRunningTests {
  let fixture: RuntimeFixture

  init() throws { fixture = try RuntimeFixture() }

  /// An embedded plugin whose ADD heeds nobody: after `milliseconds` it makes the file "thing", which DEL removes.
  private func stubborn(_ milliseconds: UInt32) -> EmbeddedPlugin {
    let thing = "\(fixture.path)/thing"
    return EmbeddedPlugin(type: "stubborn") { request, _ in
      if request.command == .del {
        unlink(thing)
      } else if request.command == .add {
        usleep(milliseconds * 1000)
        close(open(thing, O_CREAT | O_WRONLY, 0o600))
      }
      return PluginReply()
    }
  }

  private func add(_ plugin: EmbeddedPlugin, undoTimeout: Duration) throws -> RuntimeError {
    var runtime = fixture.runtime()
    runtime.runner.embedded = EmbeddedPlugins([plugin])
    runtime.undoTimeout = undoTimeout
    let limits = ExecutionLimits(timeout: .milliseconds(50), gracePeriod: .milliseconds(50))
    let list = try fixture.list(#"{"type":"stubborn"}"#)
    return try #require(
      runtimeError { () throws(RuntimeError) in _ = try runtime.add(list, c1, limits: limits) })
  }

  @Test func whatCannotBeStoppedIsWaitedForBeforeItIsUndone() throws {
    let error = try add(stubborn(1000), undoTimeout: .seconds(60))
    #expect(error.kind == .timedOut && error.undo == .done && error.undoProblems.isEmpty)
    #expect(!fixture.exists("\(fixture.path)/thing") && !fixture.exists(fixture.cacheFile))
  }

  @Test func whatStillRunsIsToldAndRemembered() throws {
    let error = try add(stubborn(3000), undoTimeout: .milliseconds(50))
    #expect(error.undoProblems.count == 1 && error.description.contains("still goes on"))
    // A later DEL finds it.
    #expect(fixture.exists(fixture.cacheFile))
    for _ in 0..<1000 where !fixture.exists("\(fixture.path)/thing") { usleep(10_000) }
    var runtime = fixture.runtime()
    runtime.runner.embedded = EmbeddedPlugins([stubborn(0)])
    for entry in runtime.cachedAttachments() { try runtime.delete(entry) }
    #expect(!fixture.exists("\(fixture.path)/thing") && !fixture.exists(fixture.cacheFile))
  }

  /// A plugin process goes on when the runtime that has started it is killed; a DEL comes after it.
  @Test(.enabled(if: builtExecutable != nil, "the executable is not built"))
  func delWaitsForThePluginsOfAKilledRuntime() throws {
    fixture.script(
      "slow",
      """
      cd '\(fixture.path)'
      if [ $CNI_COMMAND = ADD ]; then echo begun >>calls; sleep 2; fi
      echo $CNI_COMMAND >>calls
      echo '{"cniVersion":"1.1.0"}'
      """)
    fixture.write(
      #"{"cniVersion":"1.1.0","name":"podnet","plugins":[{"type":"slow"}]}"#, "net.d/1.conflist")
    let tool = "\(fixture.path)/cnitool"
    symlink(try #require(builtExecutable), tool)
    let killed = try ChildProcess(
      [
        tool, "add", "podnet", "/proc/self/ns/net", "--container-id", "c1", "--cache-dir",
        "\(fixture.path)/cache",
      ],
      environment: [
        "NETCONFPATH": "\(fixture.path)/net.d", "CNI_PATH": fixture.path, "PATH": "/usr/bin:/bin",
      ])
    func calls() -> String { String(decoding: fixture.read("\(fixture.path)/calls") ?? [], as: UTF8.self) }
    for _ in 0..<3000 where calls().isEmpty { usleep(10_000) }
    killed.send(signal: SIGKILL)
    _ = try killed.wait()
    #expect(calls() == "begun\n")
    let runtime = fixture.runtime()
    for entry in runtime.cachedAttachments(containerID: "c1") { try runtime.delete(entry) }
    #expect(calls() == "begun\nADD\nDEL\n")
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func whatAKilledWriterLeftGoesWithTheAttachment() throws {
    let runtime = fixture.runtime()
    _ = try runtime.add(fixture.three(), c1)
    let left = ".swift-cni-tmp-podnet-c1-eth0"
    // Killed before there was an entry, or while another one took its place.
    for isThere in [true, false] {
      fixture.write("{", "cache/results/\(left)")
      #expect(runtime.cachedAttachments().count == (isThere ? 1 : 0))
      try runtime.delete(fixture.three(), c1)
      #expect(!fixture.exists("\(fixture.path)/cache/results/\(left)"))
    }
  }
}
