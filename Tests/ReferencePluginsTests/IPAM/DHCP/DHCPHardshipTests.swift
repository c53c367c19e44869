import CNI
import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

/// What comes to the daemon that no well-behaved neighbour would send.
@Suite(
  "dhcp in hard times", .requiresRoot, .requiresProgram("python3"), .requiresProgram("dnsmasq"),
  .enabled(if: builtExecutable != nil, "the executable is not built"), .serialized)
struct DHCPHardshipTests {
  private static let ordinary = #""address":"10.60.0.5","server":"10.60.0.1""#

  @Test(arguments: ["00000000", "fe000000", "ffffffff00", "fffffffc"])
  func anAddressThatNoHostCanHaveIsAnError(mask: String) throws {
    try DHCPHost.run { host in
      try host.startResponder(#""address":"10.60.0.8","server":"10.60.0.1","options":{"1":"\#(mask)"}"#)
      try host.startDaemon()
      try host.makeContainer()
      let error = try host.fail(.add)
      #expect(error.message.contains("10.60.0.8"))
      #expect(error.message.contains("no host can have") || error.message.contains("without a subnet mask"))
      #expect(try host.files() == [])
      try eventually("given back") { try host.heard().contains("RELEASE 10.60.0.8 - 10.60.0.1 unicast") }
    }
  }

  @Test func withoutDescriptorsItRests() throws {
    try DHCPHost.run { host in
      try host.startDaemon(descriptors: 24)
      let script = """
        import os, socket, sys, time
        path, pid = sys.argv[1:]
        used = lambda: sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
        many = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for one in many: one.connect(path)
        time.sleep(0.5)
        open_files = len(os.listdir(f"/proc/{pid}/fd"))
        before = used()
        time.sleep(1)
        print("open", open_files, "ticks", used() - before)
        """
      let crowd = try ChildProcess([
        "python3", "-c", script, host.socketPath, String(host.daemon!.pid),
      ]).wait()
      let words = crowd.standardOutput.split { $0 == " " || $0 == "\n" }.compactMap { Int($0) }
      try #require(words.count == 2, "\(crowd)")
      #expect(words[0] == 24, "the limit is reached")
      #expect(words[1] < 30, "of a hundred ticks in which it has nothing to do")
      try host.succeed(.status)
    }
  }

  @Test func connectionsThatSayNothingOrNonsenseEnd() throws {
    try DHCPHost.run { host in
      try host.startDaemon()
      let script = """
        import socket, sys
        def connection():
            one = socket.socket(socket.AF_UNIX)
            one.connect(sys.argv[1])
            one.settimeout(10)
            return one
        silent, half, long = connection(), connection(), connection()
        half.send(b'{"swiftCNIDHCP":')
        try:
            long.sendall(b"x" * (2 << 20))
        except OSError:
            pass
        def rest(one):
            try:
                return one.recv(4096)
            except ConnectionResetError:
                return b""
        print(rest(silent) == b"", rest(half) == b"", b'"milliseconds"' not in rest(long))
        """
      let answer = try ChildProcess(["python3", "-c", script, host.socketPath]).wait(timeout: 30)
      #expect(answer.standardOutput == "True True True\n", "\(answer)")
      try host.succeed(.status)
    }
  }

  @Test func whatIsNoSocketIsNotRemoved() throws {
    try DHCPHost.run { host in
      try shell("echo precious >'\(host.socketPath)'")
      symlink(builtExecutable!, host.directory + "/dhcp")
      let ended = try ChildProcess([
        host.directory + "/dhcp", "daemon", "-socketpath", host.socketPath, "-statedir", host.stateDirectory,
      ]).wait()
      #expect(ended.exitStatus == 1)
      #expect(ended.standardError.contains("is there and no socket"))
      #expect(try shell("cat '\(host.socketPath)'") == "precious\n")
    }
  }

  /// Deadlines are of the clock that goes on while the machine sleeps; the wait has to be, too.
  @Test func theLoopWaitsByTheClockOfItsDeadlines() throws {
    let loop = try EventLoop()
    let end = EventLoop.now + .milliseconds(30)
    try loop.runOnce(until: end)
    #expect(EventLoop.now >= end)
    let later = EventLoop.now
    try loop.runOnce(until: later - .seconds(1))
    try loop.runOnce(until: EventLoop.now + .milliseconds(20))
    #expect(EventLoop.now >= later + .milliseconds(20))
    #expect(try shell("grep -l 'clockid: 7' /proc/\(getpid())/fdinfo/*").contains("fdinfo"))
  }

  @Test func whereTheContainerIsGoneALostLeaseIsForgottenToo() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":2"#)
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      try host.behave(Self.ordinary + #","request":"none","discover":false"#)
      try eventually("lost") { try host.call(.check, host.after(result)).exitStatus == .exited(1) }
      try shell("ip netns del c1")
      try eventually("nothing is left", within: 40) { try host.files().isEmpty }
      try eventually("only the socket for plugins is open") {
        try shell("ls -l /proc/\(host.daemon!.pid)/fd | grep -c socket:") == "1\n"
      }
    }
  }
}
