import CNI
import CNIExecution
import Glibc
import Testing

/// What reaches a plugin process, and that nothing it does with its pipes can harm or hang us.
@Suite struct ProcessTests {
  let plugins: PluginDirectory

  init() throws { plugins = try PluginDirectory() }

  @Test func seesTheProtocol() throws {
    setenv("CNI_COMMAND", "inherited", 1)
    setenv("CNI_EXECUTION_TEST", "kept", 1)
    defer {
      unsetenv("CNI_COMMAND")
      unsetenv("CNI_EXECUTION_TEST")
    }
    plugins.script(
      "tried",
      "env > \(plugins.path)/environment; cat > \(plugins.path)/input; echo \"$0\" > \(plugins.path)/name")
    var asked = request(.del)
    asked.extraEnvironment = [("TRACEPARENT", "00-1-2-01"), ("PATH", "/bin:/usr/bin:/x")]
    try plugins.runner().delete("tried", asked)
    let variables = plugins.read("environment").split(separator: "\n")
    for expected in [
      "CNI_COMMAND=DEL", "CNI_CONTAINERID=c1", "CNI_NETNS=/run/netns/c1", "CNI_IFNAME=eth0", "CNI_PATH=/a:/b",
      "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=p", "CNI_EXECUTION_TEST=kept", "TRACEPARENT=00-1-2-01",
      "PATH=/bin:/usr/bin:/x",
    ] {
      #expect(variables.filter { $0 == expected }.count == 1, "\(expected)")
    }
    #expect(variables.filter { $0.hasPrefix("CNI_COMMAND=") || $0.hasPrefix("PATH=") }.count == 2)
    #expect(!variables.contains { $0.hasPrefix("CNI_NETNS_OVERRIDE") })
    #expect(plugins.read("input") == podnet)
    #expect(plugins.read("name") == plugins.path + "/tried\n")
  }

  @Test func environmentAsText() {
    var asked = request(.gc)
    asked.netnsOverride = true
    asked.extraEnvironment = [("TRACEPARENT", "t"), ("CNI_COMMAND", "not this one")]
    let variables = asked.environment(inheriting: [
      "HOME=/root", "CNI_COMMAND=ADD", "CNI_COMMANDER=x", "TRACEPARENT=old",
    ])
    #expect(variables.prefix(2) == ["HOME=/root", "CNI_COMMANDER=x"])
    #expect(variables.contains("CNI_NETNS_OVERRIDE=1"))
    #expect(variables.contains("TRACEPARENT=t"))
    #expect(variables.filter { $0.hasPrefix("CNI_COMMAND=") } == ["CNI_COMMAND=GC"])
  }

  @Test func silentDeletionIsSuccess() throws {
    plugins.script("tried", "cat >/dev/null")
    try plugins.runner().delete("tried", request(.del))
    try plugins.runner().check("tried", request(.check))
    try plugins.runner().status("tried", request(.status))
    try plugins.runner().collectGarbage("tried", request(.gc))
  }

  @Test func replyIsRaw() throws {
    plugins.script("tried", "echo out; echo err >&2; exit 7")
    let reply = try plugins.runner().run("tried", request(.add))
    #expect(reply.exitStatus == .exited(7))
    #expect(reply.standardOutput == Array("out\n".utf8))
    #expect(reply.standardErrorTail == Array("err\n".utf8))
  }

  @Test func bigConfigurationAndBigReplyAtOnce() throws {
    // Writes 1 MB before it reads, then gives back what it has read: deadlocks whoever does one after the other.
    plugins.script("tried", "head -c 1000000 /dev/zero | tr '\\0' ' '; cat")
    let padding = String(repeating: "x", count: 700_000)
    let configuration = #"{"cniVersion":"1.0.0","name":"podnet","padding":"\#(padding)"}"#
    let reply = try plugins.runner().run("tried", request(.add, configuration: configuration))
    #expect(reply.standardOutput.count == 1_000_000 + configuration.utf8.count)
    #expect(reply.standardOutput.suffix(10) == Array(configuration.utf8).suffix(10))
  }

  @Test(arguments: [10, 4096, 4097, 65536, 65537, 1_000_000])
  func configurationArrivesWhole(_ size: Int) throws {
    plugins.script("tried", "wc -c")
    let reply = try plugins.runner().run(
      "tried", request(.add, configuration: String(repeating: "x", count: size)))
    #expect(String(decoding: reply.standardOutput, as: UTF8.self).filter(\.isNumber) == "\(size)")
  }

  @Test(arguments: [100, 1_000_000])
  func inputIsNeverRead(_ size: Int) throws {
    // Closing the reading end early must not end us by SIGPIPE.
    plugins.script("tried", "exec <&-; sleep 0.1; echo '\(emptyResult)'")
    _ = try plugins.runner().add(
      "tried",
      request(.add, configuration: #"{"name":"podnet","x":"\#(String(repeating: "x", count: size))"}"#))
  }

  @Test func signalsAreAsUsual() throws {
    // A caller that has blocked signals or ignores SIGPIPE does not hand that down.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    plugins.script("tried", "grep -E '^Sig(Blk|Ign)' /proc/self/status")
    let reply = try plugins.runner().run("tried", request(.add))
    let lines = String(decoding: reply.standardOutput, as: UTF8.self).split(separator: "\n")
    #expect(lines.first { $0.hasPrefix("SigBlk") }?.hasSuffix("\t0000000000000000") == true)
    let ignored = lines.first { $0.hasPrefix("SigIgn") }.flatMap { UInt64($0.dropFirst(8), radix: 16) }
    #expect(try #require(ignored) & (1 << (SIGPIPE - 1)) == 0)
  }

  @Test func noDescriptorLeaks() throws {
    plugins.script("tried", "ls /proc/self/fd")
    let before = openDescriptors()
    for _ in 0..<20 {
      _ = try plugins.runner(limits: .init(timeout: .seconds(5))).run("tried", request(.add))
    }
    // Other tests open and close descriptors of their own meanwhile.
    #expect(openDescriptors() < before + 60)
    let reply = try plugins.runner().run("tried", request(.add))
    let seen = String(decoding: reply.standardOutput, as: UTF8.self).split(separator: "\n").compactMap {
      Int($0)
    }
    #expect(seen.filter { $0 <= 2 } == [0, 1, 2])
  }

  @Test func grandchildHoldsThePipes() throws {
    plugins.script("tried", "sleep 20 & echo $! > \(plugins.path)/grandchild; echo '\(emptyResult)'")
    let time = try seconds { _ = try plugins.runner().add("tried", request(.add)) }
    #expect(time < 5)
    // It goes on: a daemon that a plugin starts on purpose is nobody else's business.
    let grandchild = try #require(pid_t(plugins.read("grandchild").filter(\.isNumber)))
    #expect(kill(grandchild, SIGKILL) == 0)
  }

  @Test func grandchildIsStoppedWithThePlugin() throws {
    plugins.script("tried", "sleep 50 & echo $! > \(plugins.path)/grandchild; wait")
    let limits = ExecutionLimits(timeout: .milliseconds(300), gracePeriod: .milliseconds(300))
    let failed = failure { () throws(PluginFailure) in
      try plugins.runner(limits: limits).delete("tried", request(.del))
    }
    guard case .timedOut? = failed?.cause else { throw failed ?? SilentSuccess() }
    let grandchild = try #require(pid_t(plugins.read("grandchild").filter(\.isNumber)))
    var isGone = false
    for _ in 0..<100 where !isGone {
      isGone = kill(grandchild, 0) != 0 || isZombie(grandchild)
      usleep(10_000)
    }
    #expect(isGone)
  }

  @Test func isCalledOff() throws {
    let cancellation = Cancellation()
    plugins.script("tried", "trap 'echo tidied >&2; exit 0' TERM; sleep 30 & wait")
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(cancellation)
    pthread_create(
      &thread, nil,
      {
        usleep(200_000)
        Unmanaged<Cancellation>.fromOpaque($0!).takeRetainedValue().cancel()
        return nil
      }, argument.toOpaque())
    var failed: PluginFailure?
    let runner = plugins.runner(limits: .init(cancellation: cancellation))
    let time = seconds {
      failed = failure { () throws(PluginFailure) in try runner.delete("tried", request(.del)) }
    }
    pthread_join(thread, nil)
    guard case .cancelled? = failed?.cause else { throw failed ?? SilentSuccess() }
    #expect(failed?.description.contains("it was called off; exited with status 0") == true)
    #expect(failed?.description.contains("tidied") == true)
    #expect(time < 5)
    #expect(cancellation.isCancelled)
    // What is called off already does not even start.
    plugins.script("tried", "touch \(plugins.path)/started")
    let again = failure { () throws(PluginFailure) in try runner.delete("tried", request(.del)) }
    guard case .cancelled? = again?.cause else { throw again ?? SilentSuccess() }
    #expect(!plugins.exists("started"))
  }

  @Test func deadlineIsOver() throws {
    plugins.script("tried", "touch \(plugins.path)/started")
    let runner = plugins.runner(limits: .init(deadline: .now))
    let failed = failure { () throws(PluginFailure) in try runner.delete("tried", request(.del)) }
    guard case .timedOut? = failed?.cause else { throw failed ?? SilentSuccess() }
    #expect(!plugins.exists("started"))
  }

  @Test func fileIsBeingWritten() throws {
    // An upgrade in place: executing fails with ETXTBSY until the writer is done.
    let path = plugins.path + "/tried"
    let copied = copyFile("/bin/true", path)
    #expect(copied)
    let writer = open(path, O_WRONLY)
    var thread = pthread_t()
    let box = Unmanaged.passRetained(DescriptorBox(writer))
    pthread_create(
      &thread, nil,
      {
        usleep(150_000)
        close(Unmanaged<DescriptorBox>.fromOpaque($0!).takeRetainedValue().number)
        return nil
      }, box.toOpaque())
    try plugins.runner().delete("tried", request(.del))
    pthread_join(thread, nil)
  }

  @Test func nulByteIsRefused() throws {
    plugins.script("tried", "exit 0")
    var hostile = request(.del)
    hostile.arguments = "A=b\0c"
    let failed = failure { () throws(PluginFailure) in try plugins.runner().delete("tried", hostile) }
    #expect(failed?.description.contains("NUL") == true)
  }

  @Test func manyAtOnce() throws {
    plugins.script("tried", "cat")
    let runner = plugins.runner(limits: .init(timeout: .seconds(30)))
    let threads = (0..<16).map { index in
      Worker { (try? runner.run("tried", request(.add)))?.standardOutput == Array(podnet.utf8) }
    }
    for thread in threads { #expect(thread.value()) }
  }
}

struct SilentSuccess: Error {}

final class DescriptorBox: Sendable {
  let number: Int32
  init(_ number: Int32) { self.number = number }
}

/// A thread that computes one truth.
final class Worker: @unchecked Sendable {
  private let body: @Sendable () -> Bool
  private var result = false
  private var thread = pthread_t()

  init(_ body: @escaping @Sendable () -> Bool) {
    self.body = body
    pthread_create(
      &thread, nil,
      {
        let worker = Unmanaged<Worker>.fromOpaque($0!).takeRetainedValue()
        worker.result = worker.body()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
  }

  func value() -> Bool {
    pthread_join(thread, nil)
    return result
  }
}

func openDescriptors() -> Int {
  var count = 0
  for number in 0..<Int32(1024) where fcntl(number, F_GETFD) >= 0 { count += 1 }
  return count
}

func isZombie(_ process: pid_t) -> Bool {
  guard let stream = fopen("/proc/\(process)/stat", "r") else { return true }
  defer { fclose(stream) }
  var line = [CChar](repeating: 0, count: 256)
  guard fgets(&line, 256, stream) != nil else { return true }
  return line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }.contains(") Z ")
}

func copyFile(_ source: String, _ destination: String) -> Bool {
  guard let from = fopen(source, "r"), let to = fopen(destination, "w") else { return false }
  var buffer = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = fread(&buffer, 1, buffer.count, from)
    if count == 0 { break }
    fwrite(&buffer, 1, count, to)
  }
  fclose(from)
  fclose(to)
  return chmod(destination, 0o755) == 0
}
