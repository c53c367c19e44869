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
    #expect(try shell("grep -ls 'clockid: 7' /proc/\(getpid())/fdinfo/* || true").contains("fdinfo"))
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

  @Test func aLostLeaseIsLostAfterARestartToo() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":60,"t1":1,"t2":2"#)
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      try host.apply(result)
      try host.behave(Self.ordinary + #","request":"nak","discover":false"#)
      let isRefused = {
        CNIError.parse(try host.call(.check, host.after(result)).standardOutput)?.message.contains(
          "refused to renew the lease: not here") == true
      }
      try eventually("lost") { try isRefused() }
      _ = try host.endDaemon(SIGKILL)
      try host.startDaemon()
      #expect(try isRefused())
      try host.behave(Self.ordinary)
      try eventually("it is back", within: 40) {
        try host.call(.check, host.after(result)).exitStatus == .exited(0)
      }
      _ = try host.endDaemon(SIGKILL)
      try host.startDaemon()
      try host.succeed(.check, host.after(result))
    }
  }

  @Test func anotherHardwareAddressIsNoOtherInterface() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":30,"t1":2,"t2":25"#)
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      try shell("ip -n c1 link set eth0 address 02:00:5e:00:00:77")
      try host.apply(result)
      try eventually("renewed") { try host.heard().contains("REQUEST 10.60.0.5 - - unicast") }
      _ = try host.endDaemon(SIGKILL)
      try host.startDaemon()
      try host.succeed(.check, host.after(result))
      #expect(try host.add() == result, "ADD again")
      try host.succeed(.del)
      try eventually("released") { try host.heard().contains("RELEASE 10.60.0.5 - 10.60.0.1 unicast") }
    }
  }

  @Test func aContainerOutOfSightKeepsItsLease() throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      _ = try host.endDaemon(SIGKILL)
      try shell(
        "touch /run/netns/aside; mount --bind /run/netns/c1 /run/netns/aside; umount /run/netns/c1; rm /run/netns/c1"
      )
      try host.startDaemon()
      #expect(try host.files().count == 1)
      try shell("touch /run/netns/c1; mount --bind /run/netns/aside /run/netns/c1; umount /run/netns/aside")
      try eventually("it goes on") { try host.call(.check, host.after(result)).exitStatus == .exited(0) }
      #expect(try host.heard().count { $0.contains("DHCPDISCOVER") } == 1)
    }
  }

  @Test func aLeaseThatCannotBeKeptIsNoLease() throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      try host.makeContainer()
      try shell("rm -r '\(host.stateDirectory)'")
      #expect(try host.fail(.status).code == .notAvailable)
      let error = try host.fail(.add)
      #expect(error.code == .ioFailure)
      #expect(error.message.contains("cannot be kept"))
      try eventually("given back") { try host.leases().isEmpty }
      try shell("mkdir '\(host.stateDirectory)'")
      try host.succeed(.status)
      _ = try host.add()
    }
  }

  @Test func garbageCollectionSparesWhatIsBeingAdded() throws {
    try DHCPHost.run { host in
      try host.startDaemon("-timeout=20s")
      try host.makeContainer()
      let adding = try host.startAdding()
      usleep(500_000)
      try host.succeed(.gc, host.configuration(plugin: #""type":"dhcp","cni.dev/valid-attachments":[]"#))
      try host.startServer()
      let added = try adding.wait()
      #expect(added.exitStatus == 0, "\(added)")
      #expect(try host.files().count == 1)
    }
  }

  @Test func aDeleteEndsTheAdd() throws {
    try DHCPHost.run { host in
      try host.startDaemon("-timeout=20s")
      try host.makeContainer()
      let adding = try host.startAdding()
      usleep(500_000)
      try host.succeed(.del)
      let added = try adding.wait(timeout: 10)
      #expect(added.standardOutput.contains("the ADD of net/c1/eth0 has ended: DEL"))
      #expect(try host.files() == [])
    }
  }

  @Test func whatIsBeingAddedIsGivenBackWhenTheDaemonEnds() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","delay":1"#)
      try host.startDaemon()
      try host.makeContainer()
      let adding = try host.startAdding()
      try eventually("asked for") { try host.heard().contains { $0.hasPrefix("REQUEST") } }
      #expect(try host.endDaemon(SIGTERM).exitStatus == 0)
      #expect(try adding.wait().standardOutput.contains("the dhcp daemon is being stopped"))
      try eventually("given back") { try host.heard().contains("RELEASE 10.60.0.5 - 10.60.0.1 unicast") }
      #expect(try host.files() == [])
    }
  }
}
