import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

/// noop takes its time, as plugins do that hang.
@Suite("noop and time")
struct NoopTimeTests {
  private func milliseconds(_ body: () throws -> Void) rethrows -> Int64 {
    let start = Deadline.now
    try body()
    return (Deadline.now.nanoseconds - start.nanoseconds) / 1_000_000
  }

  @Test("It answers late, or ends late after its answer", arguments: Way.possible, ["delay", "linger"])
  func late(_ way: Way, _ key: String) throws {
    let noop = try NoopFixture(way)
    for more in ["", #","closesOutput":true"#] {
      let time = try milliseconds {
        try noop.runner.delete("noop", noop.answering(.del, #""\#(key)":300\#(more)"#))
      }
      #expect(time >= 300)
    }
  }

  @Test("A caller's limit ends its waiting", arguments: Way.possible)
  func stopped(_ way: Way) throws {
    let noop = try NoopFixture(way, limits: ExecutionLimits(timeout: .milliseconds(300)))
    let time = milliseconds {
      let failure = #expect(throws: PluginFailure.self) {
        try noop.runner.delete("noop", noop.answering(.del, #""delay":60000"#))
      }
      guard case .timedOut? = failure?.cause else {
        Issue.record("\(String(describing: failure))")
        return
      }
    }
    #expect((300..<30_000).contains(time))
    #expect(try noop.record().count == 1)
  }

  @Test(
    "One that does not mind SIGTERM has to be killed",
    .enabled(if: builtExecutable != nil, "the executable is not built"))
  func stubborn() throws {
    let limits = ExecutionLimits(timeout: .milliseconds(500), gracePeriod: .milliseconds(200))
    let noop = try NoopFixture(.process, limits: limits)
    let failure = #expect(throws: PluginFailure.self) {
      try noop.runner.delete("noop", noop.answering(.del, #""delay":60000,"ignoresTermination":true"#))
    }
    #expect(failure?.exitStatus == .signaled(SIGKILL))
    let polite = #expect(throws: PluginFailure.self) {
      try noop.runner.delete("noop", noop.answering(.del, #""delay":60000"#))
    }
    #expect(polite?.exitStatus == .signaled(SIGTERM))
  }

  @Test(
    "One that leaves a process behind, which holds its output, has answered all the same",
    .enabled(if: builtExecutable != nil, "the executable is not built"))
  func orphan() throws {
    let noop = try NoopFixture(.process)
    try noop.write(
      String(decoding: noop.answering(.add, #""orphan":1500"#).configuration, as: UTF8.self), to: "input")
    // cat reads to the end of the output, which is as far away as the orphan's.
    let time = try milliseconds {
      try shell(
        """
        cd '\(noop.directory.path)'; export CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/n CNI_IFNAME=eth0 CNI_PATH=/p
        ./noop <input | cat
        """)
    }
    #expect(time >= 1400)
    let short = try milliseconds {
      try #expect(noop.runner.add("noop", noop.answering(.add, #""orphan":10000"#)) == AddResult())
    }
    #expect(short < 9_000)
  }
}
