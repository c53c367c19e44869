import CNI
import CNIExecution
import Glibc
import Testing

/// Whatever a plugin does wrong comes out as one error that names plugin, network, how it ended, and its last words.
@Suite struct FailingPluginTests {
  let plugins: PluginDirectory

  init() throws { plugins = try PluginDirectory() }

  /// Runs ADD of a script, which has to fail, and returns the failure.
  func add(_ script: String, limits: ExecutionLimits = .none, configuration: String = podnet) throws
    -> PluginFailure
  {
    let path = plugins.script("tried", script)
    let runner = plugins.runner(limits: limits)
    let failed = failure { () throws(PluginFailure) in
      _ = try runner.add("tried", request(.add, configuration: configuration))
    }
    let error = try #require(failed)
    #expect(error.plugin == "tried")
    #expect(error.network == "podnet")
    #expect(error.path == path)
    #expect(error.description.contains("plugin \"tried\" (\(path)) failed to ADD to network \"podnet\": "))
    return error
  }

  @Test func saysWhy() throws {
    let error = try add(
      """
      echo talking >&2
      echo '{"cniVersion":"1.0.0","code":107,"msg":"no more addresses","details":"10.1.2.0/24 is full"}'
      exit 1
      """)
    guard case .error(let own) = error.cause else { throw error }
    #expect(own.code.rawValue == 107)
    #expect(error.cniError.code.rawValue == 107)
    #expect(error.cniError.message.contains("plugin \"tried\""))
    #expect(error.cniError.message.hasSuffix("no more addresses"))
    #expect(error.cniError.details == "10.1.2.0/24 is full")
    #expect(error.description.contains("no more addresses: 10.1.2.0/24 is full (code 107)"))
    #expect(error.description.contains("its last words on stderr: \"talking\""))
  }

  @Test func saysWhyAfterChatter() throws {
    let error = try add("echo 'I1121 starting {'; echo '{\"code\":11,\"msg\":\"busy\"}'; exit 1")
    guard case .error(let own) = error.cause else { throw error }
    #expect(own.code.rawValue == 11)
  }

  @Test func exitsSilently() throws {
    let error = try add("echo first >&2; echo 'panic: at the disco' >&2; exit 3")
    guard case .exited(3) = error.cause else { throw error }
    #expect(error.exitStatus == .exited(3))
    #expect(error.description.contains("exited with status 3 without saying why"))
    #expect(error.description.hasSuffix("its last words on stderr: \"first\\npanic: at the disco\""))
    #expect(error.cniError.code == .internalError)
  }

  @Test func exitsWithText() throws {
    let error = try add("echo 'Usage: tried [options]'; exit 2")
    #expect(error.description.contains("exited with status 2 without saying why"))
    #expect(error.description.contains("it wrote \"Usage: tried [options]\\n\""))
  }

  @Test func isKilled() throws {
    let error = try add("echo 'about to crash' >&2; ulimit -c 0; kill -SEGV $$; sleep 5")
    guard case .signaled(SIGSEGV, _) = error.cause else { throw error }
    #expect(error.description.contains("killed by signal 11 (SIGSEGV"))
    #expect(error.description.contains("without saying why"))
    #expect(error.description.contains("about to crash"))
  }

  @Test func succeedsSilently() throws {
    let error = try add("cat >/dev/null; echo done >&2")
    guard case .unreadableReply = error.cause else { throw error }
    #expect(error.description.contains("it gave no result, although ADD has to; exited with status 0"))
    #expect(error.description.contains("\"done\""))
    #expect(error.cniError.code == .decodingFailure)
  }

  @Test func chatters() throws {
    let error = try add("echo 'debug: hello'; echo '\(emptyResult)'; echo bye >&2")
    guard case .unreadableReply = error.cause else { throw error }
    #expect(error.description.contains("its result is not JSON: line 1, column 1"))
    #expect(error.description.contains("exited with status 0"))
    #expect(error.description.contains("it wrote \"debug: hello\\n{\\\"cniVersion\\\""))
    #expect(error.description.contains("\"bye\""))
  }

  @Test func succeedsWithError() throws {
    let error = try add("echo '{\"code\":7,\"msg\":\"bad subnet\"}'")
    guard case .error(let own) = error.cause else { throw error }
    #expect(own.code == .invalidConfiguration)
  }

  @Test(arguments: ["[]", "null", "12", "\"text\""])
  func resultIsNoObject(_ text: String) throws {
    let error = try add("echo '\(text)'")
    #expect(error.description.contains("its result is not a JSON object"))
  }

  @Test func neverEnds() throws {
    let limits = ExecutionLimits(timeout: .milliseconds(200), gracePeriod: .milliseconds(300))
    var failed: PluginFailure?
    let time = try seconds { failed = try add("echo waiting >&2; sleep 100", limits: limits) }
    let error = try #require(failed)
    guard case .timedOut = error.cause else { throw error }
    #expect(
      error.description.contains("did not finish in time and was stopped; killed by signal 15 (SIGTERM)"))
    #expect(error.description.contains("\"waiting\""))
    #expect((0.2..<5).contains(time))
  }

  @Test func neverEndsAndIgnoresTheQuestion() throws {
    let limits = ExecutionLimits(timeout: .milliseconds(200), gracePeriod: .milliseconds(200))
    let error = try add("trap '' TERM; while :; do sleep 0.05; done", limits: limits)
    guard case .timedOut = error.cause else { throw error }
    #expect(error.exitStatus == .signaled(SIGKILL))
    #expect(error.description.contains("killed by signal 9 (SIGKILL)"))
  }

  @Test func closesItsOutputAndNeverEnds() throws {
    let limits = ExecutionLimits(timeout: .milliseconds(200), gracePeriod: .milliseconds(200))
    let error = try add("exec >&- 2>&- <&-; sleep 100", limits: limits)
    guard case .timedOut = error.cause else { throw error }
  }

  @Test func writesWithoutEnd() throws {
    let error = try add("echo flooding >&2; yes")
    guard case .unreadableReply = error.cause else { throw error }
    #expect(error.description.contains("its reply is longer than 4 MB, and it was stopped"))
    #expect(error.description.contains("it wrote \"y\\ny\\n"))
    #expect(error.description.contains("flooding"))
    #expect(error.description.utf8.count < 2000)
  }

  @Test func lastWordsAreTheLast() throws {
    let error = try add(
      "i=0; while [ $i -lt 5000 ]; do echo \"line $i\" >&2; i=$((i+1)); done; echo the end >&2; exit 1")
    #expect(error.standardErrorTail.count == 4096)
    #expect(error.description.hasSuffix("the end\""))
    #expect(error.lastWords.count < 1500)
  }

  @Test func isNoProgram() throws {
    plugins.write("no program", to: "broken", mode: 0o755)
    plugins.write("#!/no/such/interpreter\n", to: "orphan", mode: 0o755)
    let broken = failure { () throws(PluginFailure) in _ = try plugins.runner().add("broken", request(.add)) }
    #expect(broken?.description.contains("it could not be executed: Exec format error") == true)
    let orphan = failure { () throws(PluginFailure) in _ = try plugins.runner().add("orphan", request(.add)) }
    #expect(orphan?.description.contains("the interpreter or loader that it names is missing") == true)
    #expect(orphan?.network == "podnet")
  }

  @Test func isNowhere() throws {
    let failed = failure { () throws(PluginFailure) in
      _ = try PluginRunner(path: ["/nowhere/a", "", "/nowhere/b"]).add("bridge", request(.add))
    }
    let error = try #require(failed)
    guard case .notFound = error.cause else { throw error }
    #expect(error.description.contains("plugin \"bridge\" failed to ADD to network \"podnet\""))
    #expect(error.description.contains("there is no such plugin in /nowhere/a, /nowhere/b"))
    #expect(error.description.contains("reference plugins"))
    #expect(error.cniError.code == .invalidConfiguration)
  }

  @Test func isNotExecutable() throws {
    let path = plugins.script("tried", "exit 0", mode: 0o644)
    let failed = failure { () throws(PluginFailure) in
      _ = try plugins.runner().add("tried", request(.add))
    }
    let error = try #require(failed)
    #expect(error.description.contains("\(path) is there but is not executable (chmod 755 \(path))"))
  }

  @Test func networkIsTakenFromTheConfiguration() throws {
    plugins.script("tried", "exit 1")
    var anonymous = request(.del)
    anonymous.network = ""
    let failed = failure { () throws(PluginFailure) in try plugins.runner().delete("tried", anonymous) }
    #expect(failed?.network == "podnet")
    #expect(failed?.description.contains("failed to DEL from network \"podnet\"") == true)
  }
}
