import CNI
import CNIExecution
import Glibc
import Testing

/// A plugin in this executable behaves as its process would.
@Suite struct InProcessTests {
  let plugins: PluginDirectory

  init() throws { plugins = try PluginDirectory() }

  /// As an embedded plugin and as a script: a result, an error, silence.
  private let embedded = EmbeddedPlugin(type: "tried") { request, _ in
    switch request.command {
    case .add: PluginReply(standardOutput: Array("\(emptyResult)\n".utf8))
    case .check:
      PluginReply(standardOutput: Array("{\"code\":107,\"msg\":\"gone\"}\n".utf8), exitStatus: .exited(1))
    case .status: PluginReply(exitStatus: .exited(3))
    default: PluginReply()
    }
  }
  private let script = """
    case $CNI_COMMAND in
    ADD) echo '\(emptyResult)';;
    CHECK) echo '{"code":107,"msg":"gone"}'; exit 1;;
    STATUS) exit 3;;
    esac
    """

  @Test(arguments: Command.allCases)
  func givesTheSameBytes(_ command: Command) throws {
    let inProcess = try plugins.runner(embedded: [embedded]).run("tried", request(command))
    plugins.script("tried", script)
    let process = try plugins.runner().run("tried", request(command))
    #expect(inProcess.standardOutput == process.standardOutput)
    #expect(inProcess.exitStatus == process.exitStatus)
  }

  @Test func failsTheSameWay() throws {
    let runner = plugins.runner(embedded: [embedded])
    #expect("\(try runner.add("tried", request(.add)).ips[0].address)" == "10.1.2.3/24")
    let checked = failure { () throws(PluginFailure) in try runner.check("tried", request(.check)) }
    #expect(
      checked?.description == "plugin \"tried\" failed the CHECK of network \"podnet\": gone (code 107)")
    let asked = failure { () throws(PluginFailure) in try runner.status("tried", request(.status)) }
    #expect(asked?.description.hasSuffix("exited with status 3 without saying why") == true)
  }

  @Test func seesTheRequestAndItsSurroundings() throws {
    let runner = plugins.runner(
      embedded: [
        EmbeddedPlugin(type: "outer") { request, environment in
          // Delegation: the same parameters and configuration to another plugin, with the same embedded ones.
          var delegated = request
          delegated.command = .check
          return (try? environment.runner.run("inner", delegated)) ?? PluginReply(exitStatus: .exited(9))
        },
        EmbeddedPlugin(type: "inner", needsOwnThread: false) { request, environment in
          PluginReply(
            standardOutput: Array(
              "\(request.command) \(request.containerID) \(environment.embedded.types)".utf8))
        },
      ])
    let reply = try runner.run("outer", request(.add))
    #expect(String(decoding: reply.standardOutput, as: UTF8.self) == #"check c1 ["outer", "inner"]"#)
  }

  @Test func hasItsOwnThread() throws {
    func thread(_ needsOwnThread: Bool) throws -> String {
      let runner = plugins.runner(
        embedded: [
          EmbeddedPlugin(type: "tried", needsOwnThread: needsOwnThread) { _, _ in
            PluginReply(standardOutput: Array("\(pthread_self())".utf8))
          }
        ])
      return String(decoding: try runner.run("tried", request(.add)).standardOutput, as: UTF8.self)
    }
    #expect(try thread(true) != "\(pthread_self())")
    #expect(try thread(false) == "\(pthread_self())")
  }

  @Test func filesComeFirstUnlessAskedOtherwise() throws {
    plugins.script("tried", "echo file")
    let path = plugins.path + "/tried"
    #expect(try plugins.runner(embedded: [embedded]).locate("tried") == .file(path))
    #expect(try plugins.runner(embedded: [embedded], preference: .embeddedFirst).locate("tried") == .embedded)
    let elsewhere = PluginRunner(path: ["/nowhere"], embedded: EmbeddedPlugins([embedded]))
    #expect(try elsewhere.locate("tried") == .embedded)
    for hostile in ["", "..", "a/b", "../tried", "/bin/sh"] {
      #expect(throws: CNIError.self) { try elsewhere.locate(hostile) }
    }
  }

  @Test func firstExecutableFileCounts() throws {
    let other = try PluginDirectory()
    plugins.script("tried", "exit 0", mode: 0o644)
    other.script("tried", "exit 0")
    mkdir(plugins.path + "/folder", 0o755)
    other.script("folder", "exit 0")
    let runner = PluginRunner(path: [plugins.path, other.path + "/"])
    #expect(try runner.locate("tried") == .file(other.path + "/tried"))
    #expect(try runner.locate("folder") == .file(other.path + "/folder"))
  }

  @Test func ownFileNeedsNoProcess() throws {
    // A hard link to the executable that runs, as the plugins of a multi-call executable are.
    let executable = try #require(realpath("/proc/self/exe", nil))
    defer { free(executable) }
    let linked = link(executable, plugins.path + "/tried")
    // On another file system there is no such link to be made.
    guard linked == 0 else { return }
    let runner = plugins.runner(embedded: [embedded])
    #expect(try runner.locate("tried") == .file(plugins.path + "/tried"))
    let reply = try runner.run("tried", request(.add))
    #expect(reply.standardOutput == Array("\(emptyResult)\n".utf8))
    let failed = failure { () throws(PluginFailure) in try runner.check("tried", request(.check)) }
    #expect(failed?.path == plugins.path + "/tried")
  }

  @Test func waitsNoLongerThanItMay() throws {
    let stuck = EmbeddedPlugin(type: "tried") { _, environment in
      // Looks neither at the limits nor at anything else.
      usleep(1_500_000)
      return PluginReply()
    }
    let limits = ExecutionLimits(timeout: .milliseconds(100), gracePeriod: .milliseconds(100))
    var failed: PluginFailure?
    let time = seconds {
      failed = failure { () throws(PluginFailure) in
        try plugins.runner(embedded: [stuck], limits: limits).delete("tried", request(.del))
      }
    }
    guard case .timedOut? = failed?.cause else { throw failed ?? SilentSuccess() }
    #expect((0.2..<1.4).contains(time))
  }

  @Test func delegatesShareItsTime() throws {
    plugins.script("inner", "sleep 20")
    let outer = EmbeddedPlugin(type: "outer") { request, environment in
      // Starts late, and yet has to be over when the outer one has to be.
      usleep(300_000)
      let failed = failure { () throws(PluginFailure) in try environment.runner.delete("inner", request) }
      if case .timedOut? = failed?.cause { return PluginReply(exitStatus: .exited(42)) }
      return PluginReply()
    }
    let limits = ExecutionLimits(timeout: .milliseconds(500), gracePeriod: .seconds(10))
    let runner = plugins.runner(embedded: [outer], limits: limits)
    let time = seconds {
      let failed = failure { () throws(PluginFailure) in try runner.delete("outer", request(.del)) }
      // Both are over at the same moment: who notices first differs.
      switch failed?.cause {
      case .timedOut, .exited(42): break
      default: Issue.record("no time-out: \(failed?.description ?? "success")")
      }
    }
    #expect((0.4..<5).contains(time))
  }

  @Test func noticesThatItIsCalledOff() throws {
    let cancellation = Cancellation()
    let attentive = EmbeddedPlugin(type: "tried") { _, environment in
      cancellation.cancel()
      while environment.limits.cancellation?.isCancelled != true { usleep(1000) }
      return PluginReply()
    }
    let runner = plugins.runner(embedded: [attentive], limits: .init(cancellation: cancellation))
    let failed = failure { () throws(PluginFailure) in try runner.delete("tried", request(.del)) }
    // It may have been done before anybody looked.
    if let failed { guard case .cancelled = failed.cause else { throw failed } }
    let limits = ExecutionLimits(timeout: .seconds(10), cancellation: Cancellation())
    _ = try plugins.runner(embedded: [embedded], limits: limits).add("tried", request(.add))
  }

  @Test func manyAtOnce() throws {
    let runner = plugins.runner(embedded: [embedded])
    let workers = (0..<50).map { _ in
      Worker { (try? runner.add("tried", request(.add))) != nil }
    }
    for worker in workers { #expect(worker.value()) }
  }

  @Test func observerSeesEveryCall() throws {
    let seen = Seen()
    var runner = plugins.runner(embedded: [embedded])
    runner.observer = { type, request in
      request.extraEnvironment.append(("TRACEPARENT", "00-1-2-01"))
      let what = "\(type) \(request.command.rawValue)"
      return { failure in seen.note("\(what) \(failure == nil ? "succeeded" : "failed")") }
    }
    _ = try runner.add("tried", request(.add))
    _ = failure { () throws(PluginFailure) in try runner.check("tried", request(.check)) }
    #expect(seen.texts == ["tried ADD succeeded", "tried CHECK failed"])
    plugins.script("tried", "echo $TRACEPARENT > \(plugins.path)/trace")
    try runner.delete("tried", request(.del))
    #expect(plugins.read("trace") == "00-1-2-01\n")
  }

  @Test func debiansPlugins() throws {
    let runner = PluginRunner(path: ["/usr/lib/cni"])
    guard (try? runner.locate("bridge")) != nil else { return }
    #expect(try runner.version("bridge").supports(.v1_0_0))
    let failed = failure { () throws(PluginFailure) in
      _ = try runner.add(
        "host-local", request(.add, configuration: #"{"cniVersion":"1.0.0","name":"podnet"}"#))
    }
    guard case .error(let own)? = failed?.cause else { throw failed ?? SilentSuccess() }
    #expect(!own.message.isEmpty)
  }
}
