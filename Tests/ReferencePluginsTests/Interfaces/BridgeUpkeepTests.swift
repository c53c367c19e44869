import CLinux
import CNI
import CNIExecution
import CNIPluginKit
import Glibc
import TestSupport
import Testing

/// What a node relies on over months: GC, STATUS, no slow leak, nobody who can stand in the way.
@Suite("bridge over time", .requiresRoot)
struct BridgeUpkeepTests {
  private let gateway = "\"isGateway\":true,\"ipMasq\":true"

  private func garbageReply(_ host: TestHost, _ configuration: String, _ lists: String) throws -> PluginReply
  {
    let request = configuration.replacingLast("}", with: "," + lists + "}")
    return try host.call(.gc, request, container: "", namespace: "", interface: "")
  }

  private func collectGarbage(_ host: TestHost, _ configuration: String, _ lists: String) throws {
    try host.succeeded(garbageReply(host, configuration, lists))
  }

  private func status(_ host: TestHost, _ configuration: String) throws -> PluginReply {
    try host.call(.status, configuration, container: "", namespace: "", interface: "")
  }

  // MARK: GC

  @Test(
    "GC with no valid attachment, in each form of an empty list, leaves nothing",
    arguments: [
      "\"cni.dev/valid-attachments\":[]",
      "\"cni.dev/valid-attachments\":null,\"cni.dev/attachments\":null",
    ])
  func garbageOfAll(lists: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.bridge(gateway + ",\"macspoofchk\":true")
      _ = try host.add(configuration)
      try collectGarbage(host, configuration, lists)
      try host.expectUnchanged(since: before)
    }
  }

  @Test("GC that names no list at all removes nothing")
  func garbageOfNobody() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(gateway)
      let result = try host.add(configuration)
      try collectGarbage(host, configuration, "\"comment\":\"none\"")
      try host.succeeded(host.call(.check, host.after(result, configuration)))
    }
  }

  @Test("GC that fails at one thing sees to the others", .requiresProgram("iptables-legacy-save"))
  func garbageInSpite() throws {
    try TestHost.run { host in
      try host.makeContainer()
      // A rule of the host's own: the container's come beside it, and go only with the help of a program.
      try shell("iptables-legacy -t nat -A POSTROUTING -o lo -j RETURN")
      let before = try host.snapshot()
      let configuration = host.bridge(gateway + ",\"ipMasqBackend\":\"iptables\",\"macspoofchk\":true")
      _ = try host.add(configuration)
      let rules = "iptables-legacy-save -t nat"
      #expect(try shell(rules).contains("10.22.0.2"))
      #expect(try shell("nft list ruleset").contains("cni:net/c1/eth0"))
      let programs = try shell(
        "readlink -f $(command -v iptables-legacy-save) $(command -v iptables-save) | sort -u"
      ).split(separator: "\n")
      for program in programs { try shell("mount --bind /dev/null \(program)") }
      let error = try host.failed(garbageReply(host, configuration, "\"cni.dev/valid-attachments\":[]"))
      #expect("\(error)".contains("iptables"), "\(error)")
      // Neither the check of source addresses nor the bridge.
      try host.expectUnchanged(since: before)
      for program in programs { try shell("umount \(program)") }
      #expect(try shell(rules).contains("10.22.0.2"))
      try collectGarbage(host, configuration, "\"cni.dev/valid-attachments\":[]")
      #expect(try !shell(rules).contains("10.22.0.2"))
    }
  }

  // MARK: iptables

  @Test("Masquerading in the form of iptables: ADD, CHECK, DEL", .requiresProgram("iptables-restore"))
  func iptables() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(gateway + ",\"ipMasqBackend\":\"iptables\"")
      let result = try host.add(configuration)
      let rules = try shell("iptables-save -t nat")
      #expect(rules.contains("-s 10.22.0.2/32") && rules.contains("MASQUERADE"))
      #expect(rules.contains(#"name: \"net\" id: \"c1\""#))
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try shell("iptables -t nat -F POSTROUTING; iptables -t nat -F; iptables -t nat -X")
      #expect(try host.failed(host.call(.check, later)).message.contains("masqueraded"))
      try host.succeeded(host.call(.del, later))
    }
  }

  @Test(
    "What iptables was told goes with DEL without help, and with GC", .requiresProgram("iptables-restore"),
    arguments: [Command.del, .gc])
  func iptablesRulesGo(command: Command) throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.bridge(gateway + ",\"ipMasqBackend\":\"iptables\"")
      _ = try host.add(configuration, container: "c1")
      let kept = try host.add(configuration, container: "c2")
      if command == .del {
        try host.succeeded(host.call(.del, configuration, namespace: ""))
      } else {
        try collectGarbage(
          host, configuration, #""cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]"#)
      }
      let rules = try shell("iptables-save -t nat")
      #expect(!rules.contains("10.22.0.2") && !rules.contains(#"id: \"c1\""#), "\(rules)")
      #expect(rules.split(separator: "\n").count { $0.hasPrefix(":CNI-") } == 1)
      try host.succeeded(
        host.call(.check, host.after(kept, configuration), container: "c2", namespace: "/run/netns/c2"))
    }
  }

  // MARK: STATUS

  @Test("STATUS is code 50 with an exhausted pool and with another link in the bridge's place")
  func notReady() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(gateway, ipam: "\"subnet\":\"10.9.0.0/30\"")
      try host.succeeded(status(host, configuration))
      _ = try host.add(configuration)
      let exhausted = try host.failed(status(host, configuration))
      #expect(exhausted.code == .notAvailable && exhausted.message.contains("10.9.0.0/30"))
      try host.succeeded(host.call(.del, configuration))
      try host.succeeded(status(host, configuration))
      try shell("ip link add cni0 type veth peer name other")
      let taken = try host.failed(status(host, configuration))
      #expect(taken.code == .notAvailable && taken.message.contains("cni0"))
    }
  }

  @Test("STATUS is code 50 where iptables is asked for and not installed")
  func noIPTables() throws {
    try TestHost.run { host in
      let configuration = host.bridge(gateway + ",\"ipMasqBackend\":\"iptables\"")
      // In mounts of the test's own, nothing is in the directories of programs.
      try shell(
        "for d in $(echo $PATH | tr : ' '); do [ -e $d/iptables-restore ] && mount --bind /dev/null $d/iptables-restore; done; true"
      )
      let error = try host.failed(status(host, configuration))
      #expect(error.code == .notAvailable && error.message.contains("iptables-restore"), "\(error)")
    }
  }

  @Test("STATUS changes nothing")
  func statusIsHarmless() throws {
    try TestHost.run { host in
      let before = try host.snapshot()
      try host.succeeded(status(host, host.bridge(gateway + ",\"macspoofchk\":true")))
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: Who stands in the way

  @Test("A process that locks the host's namespace for itself keeps nobody from the network")
  func lockedNamespace() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let stranger = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
      defer { close(stranger) }
      try #require(flock(stranger, LOCK_EX) == 0)
      let result = try host.add(host.bridge(gateway))
      try host.succeeded(host.call(.del, host.after(result, host.bridge(gateway))))
      #expect(try shell("ip -o link show type veth").isEmpty)
    }
  }

  @Test("The last DEL removes the bridge although an ADD of another network is under way")
  func busyHost() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      _ = try host.add(host.bridge(gateway))
      // What an ADD does with a bridge of its own, for as long as its IPAM takes.
      try shell("flock --shared /proc/self/ns/net sleep 0.2 >/dev/null 2>&1 & sleep 0.1")
      try host.succeeded(host.call(.del, host.bridge(gateway)))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("An ADD that fails takes the bridge along if the others have gone meanwhile")
  func lastOneFails() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.bridge(gateway)
      let first = try host.add(configuration, container: "c1")
      let port = try #require(first["interfaces"]?.array?[1]["name"]?.string)
      let directory = host.dataDirectory + "/plugins"
      try shell(
        """
        mkdir \(directory); cd \(directory)
        printf '#!/bin/sh\\n[ $CNI_COMMAND = ADD ] || exit 0\\nip link del \(port)\\nexit 3\\n' >slow; chmod 755 slow
        """)
      var other = host
      other.runner.path = [directory]
      let failing = configuration.split(separator: "\"host-local\"").joined(separator: "\"slow\"")
      _ = try host.failed(other.call(.add, failing, container: "c2", namespace: "/run/netns/c2"))
      #expect(try shell("ip -o link show type bridge").isEmpty)
    }
  }

  @Test("DEL finds the link under its second name when the first, taken at ADD, has become free")
  func secondName() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let name = Owner(network: "net", containerID: "c1", interfaceName: "eth0").linkName()
      try shell("ip link add \(name) type veth peer name stranger")
      let configuration = host.bridge(gateway + ",\"macspoofchk\":true")
      let result = try host.add(configuration)
      #expect(result["interfaces"]?.array?[1]["name"]?.string != name)
      try shell("ip link del stranger")
      // Without a namespace only the name leads to the link.
      try host.succeeded(host.call(.del, configuration, namespace: ""))
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: Leaks

  @Test("Descriptors do not become more: a hundred ADDs and DELs in this process, some of them failing")
  func descriptors() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(gateway + ",\"macspoofchk\":true")
      let impossible = host.bridge(
        gateway, ipam: "\"subnet\":\"10.22.0.0/16\",\"routes\":[{\"dst\":\"1.0.0.0/8\",\"gw\":\"9.9.9.9\"}]")
      func ofThisHost() throws -> Int {
        // Other tests run meanwhile, in namespaces of their own: only what this thread opens is counted, in a process
        // with a table of its own.
        var count = 0
        for number in 0..<Int32(1024) where fcntl(number, F_GETFD) >= 0 { count += 1 }
        return count
      }
      try #require(clinux_unshare(0x400 /* CLONE_FILES */) == 0)
      _ = try host.add(configuration)
      try host.succeeded(host.call(.del, configuration))
      let before = try ofThisHost()
      for round in 0..<100 {
        if round % 10 == 9 {
          _ = try host.failed(host.call(.add, impossible))
        } else {
          let result = try host.add(configuration)
          if round % 10 == 5 { try host.succeeded(host.call(.check, host.after(result, configuration))) }
          try host.succeeded(host.call(.del, configuration))
        }
      }
      #expect(try ofThisHost() == before)
    }
  }
}

extension String {
  fileprivate func replacingLast(_ character: Character, with text: String) -> String {
    guard let index = lastIndex(of: character) else { return self }
    return self[..<index] + text + self[self.index(after: index)...]
  }
}
