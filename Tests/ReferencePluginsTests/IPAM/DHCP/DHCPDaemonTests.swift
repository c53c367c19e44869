import CNI
import CNIExecution
import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

/// What a lease goes through, with a server that behaves as told.
@Suite(
  "dhcp over time", .requiresRoot, .requiresProgram("python3"), .requiresProgram("dnsmasq"),
  .enabled(if: builtExecutable != nil, "the executable is not built"), .serialized)
struct DHCPDaemonTests {
  private static let ordinary = #""address":"10.60.0.5","server":"10.60.0.1""#

  @Test func withoutAServerItSaysWhatItHasTried() throws {
    try DHCPHost.run { host in
      try host.startDaemon("-timeout=2s")
      try host.makeContainer()
      let error = try host.fail(.add)
      #expect(error.code == .tryAgainLater)
      #expect(error.message.contains("no DHCP lease for net/c1/eth0 within 2 s: DHCPv4: "))
      #expect(error.message.contains(" DISCOVER sent, no answer on eth0 ("))
      #expect(try host.files() == [])
    }
  }

  @Test func aRefusalIsInTheError() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","request":"nak""#)
      try host.startDaemon("-timeout=2s")
      try host.makeContainer()
      let error = try host.fail(.add)
      #expect(
        error.message.contains("OFFER 10.60.0.5 from 10.60.0.1, REQUEST sent, NAK from 10.60.0.1: not here"))
    }
  }

  @Test func aSlowServerIsWaitedFor() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","delay":0.8"#)
      try host.startDaemon("-timeout=30s")
      try host.makeContainer()
      #expect(try host.add().ips[0].address == IPPrefix("10.60.0.5/16"))
    }
  }

  @Test func anAddressThatSomebodyHasIsDeclined() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","fallback":"10.60.0.6""#)
      try host.startDaemon("-probe", "500ms")
      try host.makeContainer("squatter")
      try shell("ip -n squatter addr add 10.60.0.5/16 dev eth0; ip -n squatter link set eth0 up; sleep 0.3")
      try host.makeContainer()
      #expect(try host.add().ips[0].address == IPPrefix("10.60.0.6/16"))
      #expect(try host.heard().contains("DECLINE 0.0.0.0 10.60.0.5 10.60.0.1 broadcast"))
    }
  }

  @Test func renewsWithItsServer() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":20,"t1":1,"t2":15"#)
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      try host.apply(result)
      try eventually("three renewals") {
        try host.heard().count { $0 == "REQUEST 10.60.0.5 - - unicast" } >= 3
      }
      try host.succeed(.check, host.after(result))
      #expect(try host.heard().count { $0.hasPrefix("DISCOVER") } == 1)
      try host.succeed(.del)
      try eventually("released") {
        try host.heard().contains("RELEASE 10.60.0.5 - 10.60.0.1 unicast")
      }
    }
  }

  @Test func whereItsServerIsGoneAnyOtherMayRenew() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":30,"t1":1,"t2":3"#)
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      try host.apply(result)
      try shell("ip addr add 10.60.0.2/16 dev lan")
      try host.behave(
        #""address":"10.60.0.5","server":"10.60.0.2","lease":30,"t1":20,"t2":25,"unicast":"none""#)
      try eventually("asked by broadcast") {
        try host.heard().contains("REQUEST 10.60.0.5 - - broadcast")
      }
      try eventually("the file names the other server") {
        try shell("cat \(host.stateDirectory)/*.json").contains(#""server": "10.60.0.2""#)
      }
      try host.succeed(.check, host.after(result))
    }
  }

  @Test(arguments: [
    (
      #""address":"10.60.0.5","server":"10.60.0.1","request":"nak","discover":false"#,
      "refused to renew the lease: not here"
    ),
    (#""address":"10.60.0.9","server":"10.60.0.1""#, "the server gives the address 10.60.0.9 instead"),
    (
      #""address":"10.60.0.5","server":"10.60.0.1","request":"none","discover":false"#,
      "no server has renewed it"
    ),
  ]) func aLeaseThatIsLostFailsCheckAndIsAskedForAgain(behaviour: String, words: String) throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":4,"t1":1,"t2":2"#)
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      try host.apply(result)
      try host.behave(behaviour)
      try eventually("CHECK says it") {
        CNIError.parse(try host.call(.check, host.after(result)).standardOutput)?.message.contains(words)
          == true
      }
      #expect(
        try shell("ip -n c1 -4 addr show eth0").contains("10.60.0.5/16"), "the container keeps its address")
      try host.behave(Self.ordinary)
      try eventually("it has the same address again", within: 40) {
        try host.call(.check, host.after(result)).exitStatus == .exited(0)
      }
    }
  }

  @Test func whereTheContainerIsGoneTheLeaseIsForgotten() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":20,"t1":1,"t2":15"#)
      try host.startDaemon()
      try host.makeContainer()
      _ = try host.add()
      #expect(try host.files().count == 1)
      try shell("ip netns del c1")
      try eventually("nothing is left") { try host.files().isEmpty }
    }
  }

  @Test func leasesOutliveTheDaemonHoweverItEnds() throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      for signal in [SIGKILL, SIGTERM] {
        let ended = try host.endDaemon(signal)
        #expect(ended.exitStatus == (signal == SIGKILL ? -SIGKILL : 0))
        #expect(try host.fail(.status).code == .notAvailable)
        let away = try host.fail(.add)
        #expect(away.code == .tryAgainLater)
        #expect(away.message.contains("the dhcp daemon is not running"))
        #expect(away.details.contains("systemctl enable --now cni-dhcp.socket cni-dhcp.service"))
        try host.startDaemon()
        try host.succeed(.check, host.after(result))
      }
      #expect(try host.heard().count { $0.contains("DHCPDISCOVER") } == 1)
      #expect(try host.leases().count == 1)
      try host.succeed(.del)
      try eventually("released after all") { try host.leases().isEmpty }
    }
  }

  @Test func whatRanOutMeanwhileIsAskedForAgain() throws {
    try DHCPHost.run { host in
      try host.startResponder(Self.ordinary + #","lease":2"#)
      try host.startDaemon()
      try host.makeContainer()
      let result = try host.add()
      _ = try host.endDaemon(SIGKILL)
      usleep(2_500_000)
      try host.behave(Self.ordinary)
      try host.startDaemon()
      try eventually("it is back") { try host.call(.check, host.after(result)).exitStatus == .exited(0) }
      #expect(try host.heard().contains("REQUEST 0.0.0.0 10.60.0.5 - broadcast"), "INIT-REBOOT")
      #expect(try host.heard().count { $0.hasPrefix("DISCOVER") } == 1)
    }
  }

  @Test func aDeleteWhileTheDaemonIsAwaySucceeds() throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      try host.makeContainer()
      _ = try host.add()
      _ = try host.endDaemon(SIGKILL)
      try host.succeed(.del)
      try shell("ip netns del c1")
      try host.startDaemon()
      #expect(try host.files().count == 1, "it may only be out of sight")
      try host.succeed(.del)
      #expect(try host.files() == [])
    }
  }

  @Test func filesThatAreNoLeasesHarmNobody() throws {
    try DHCPHost.run { host in
      try host.startServer()
      try shell(
        "mkdir '\(host.stateDirectory)'; cd '\(host.stateDirectory)'; : >a.lease.json; echo '{' >b.lease.json; echo '{}' >c.lease.json; mkdir d.lease.json; echo x >other"
      )
      try host.startDaemon()
      try host.makeContainer()
      _ = try host.add()
      let log = try host.endDaemon(SIGTERM).standardError
      for words in [
        "a.lease.json is empty", "b.lease.json is not whole", "c.lease.json is not a lease", "d.lease.json",
      ] {
        #expect(log.contains(words))
      }
      #expect(!log.contains("other"))
    }
  }

  @Test func aSecondDaemonIsRefused() throws {
    try DHCPHost.run { host in
      try host.startDaemon()
      let flags = ["daemon", "-socketpath", host.socketPath, "-statedir"]
      let same = try ChildProcess([host.directory + "/dhcp"] + flags + [host.stateDirectory]).wait()
      #expect(same.exitStatus == 1)
      #expect(same.standardError.contains("another dhcp daemon keeps its leases in"))
      let other = try ChildProcess([host.directory + "/dhcp"] + flags + [host.directory + "/elsewhere"])
        .wait()
      #expect(other.exitStatus == 1)
      #expect(other.standardError.contains("another daemon listens at"))
      try host.succeed(.status)
    }
  }

  @Test func theServiceManagerMayHandOverTheSocket() throws {
    try DHCPHost.run { host in
      symlink(builtExecutable!, host.directory + "/dhcp")
      let script = """
        import os, signal, socket, sys, time
        directory = sys.argv[1]
        listener = socket.socket(socket.AF_UNIX); listener.bind(directory + "/dhcp.sock"); listener.listen(8)
        news = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); news.bind(directory + "/notify")
        pid = os.fork()
        if pid == 0:
            os.dup2(listener.fileno(), 3)
            os.set_inheritable(3, True)
            os.execve(directory + "/dhcp", ["dhcp", "daemon", "-statedir", directory + "/state"],
                {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "NOTIFY_SOCKET": directory + "/notify"})
        print(news.recv(100).decode(), flush=True)
        time.sleep(2)
        os.kill(pid, signal.SIGTERM)
        print(news.recv(100).decode(), os.waitpid(pid, 0)[1], flush=True)
        """
      let manager = try ChildProcess(["python3", "-c", script, host.directory])
      try manager.waitForOutput("READY=1")
      try host.succeed(.status)
      let ended = try manager.wait()
      #expect(ended.standardOutput.contains("STOPPING=1 0"))
      #expect(access(host.socketPath, F_OK) == 0, "the socket is the service manager's")
    }
  }

  @Test func whoGoesAwayGetsNoLease() throws {
    try DHCPHost.run { host in
      try host.startDaemon("-timeout=60s")
      try host.makeContainer()
      let plugin = try host.startAdding()
      usleep(500_000)
      plugin.send(signal: SIGKILL)
      try host.daemon!.waitForOutput("nobody waits for the ADD any more")
      try host.startServer()
      usleep(2_000_000)
      #expect(try host.leases().isEmpty)
      _ = try host.add()
    }
  }
}
