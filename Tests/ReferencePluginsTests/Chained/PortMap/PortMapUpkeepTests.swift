import CNI
import CNIExecution
import ReferencePlugins
import TestSupport
import Testing

/// What becomes of mappings when containers, configurations or others go their own way.
@Suite("portmap: upkeep", .requiresRoot)
struct PortMapUpkeepTests {
  /// The table, without what is not of interest.
  private func table() throws -> String { try shell("nft list table inet cni_portmap 2>/dev/null || true") }

  @Test("The second container that asks for a port is refused, told who has it, and leaves nothing")
  func taken() throws {
    try TestHost.run { host in
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      let held = try host.map(host.portmap(TestHost.both(8080, 80)), first)
      let before = try host.snapshot()
      let wanted = try host.after(
        second, host.portmap(TestHost.mapping(9090, 80) + "," + TestHost.mapping(8080, 80, "udp")))
      let error = try host.failed(
        host.call(.add, wanted, container: "c2", namespace: "/run/netns/c2"))
      for word in ["8080/udp", "container c1", "network net", "interface eth0"] {
        #expect(error.message.contains(word), "\(error)")
      }
      try host.expectUnchanged(since: before)
      // TCP and UDP, and an address of its own, are other ports.
      try host.map(
        host.portmap(TestHost.mapping(8080, 80, "sctp") + "," + TestHost.mapping(8080, 80, ip: "127.0.0.1")),
        second, container: "c2")
      // What is freed can be had.
      try host.succeeded(host.call(.del, held))
      try host.succeeded(host.call(.add, wanted, container: "c2", namespace: "/run/netns/c2"))
    }
  }

  @Test("A container in two networks keeps its port in the first, whoever asks for it again")
  func twoNetworks() throws {
    try TestHost.run { host in
      let result = try host.addBridge("c1")
      let first = try host.map(host.portmap(TestHost.mapping(8080, 80), name: "one"), result)
      let second = try host.map(host.portmap(TestHost.mapping(8080, 80), name: "two"), result)
      for later in [first, second] { try host.succeeded(host.call(.check, later)) }
      try host.succeeded(host.call(.del, second))
      try host.succeeded(host.call(.check, first))
      try host.succeeded(host.call(.del, first))
      #expect(try table().isEmpty)
    }
  }

  /// The addresses of another container stand for those that the first one has in its second network.
  @Test("A container's port outlives its first network, and belongs to nobody else meanwhile")
  func firstNetworkGoes() throws {
    try TestHost.run { host in
      try host.makeWorld()
      let results = try ["c1", "c2", "c3"].map { try host.addBridge($0) }
      let servers = try ["c1", "c2"].map { try host.serve($0, ports: 80) }
      defer { withExtendedLifetime(servers) {} }
      let ports = TestHost.both(8080, 80) + "," + TestHost.mapping(8081, 80, ip: "198.51.100.1")
      func expect(_ name: String) throws {
        for (address, world) in [("198.51.100.1", "198.51.100.2"), ("2001:db8:51::1", "2001:db8:51::2")] {
          #expect(try host.ask(address, 8080) == "\(name) \(world), \(name) \(world)")
        }
        #expect(try host.ask("198.51.100.1", 8081, from: "world", "tcp") == "\(name) 198.51.100.2")
      }
      func refuse() throws {
        for wanted in [TestHost.mapping(8080, 80, "udp"), TestHost.mapping(8081, 80, ip: "198.51.100.1")] {
          let later = try host.after(results[2], host.portmap(wanted, name: "three"))
          let error = try host.failed(host.call(.add, later, container: "c3", namespace: "/run/netns/c3"))
          #expect(error.message.contains("container c1"), "\(error)")
        }
      }
      func collect(_ name: String) throws {
        let garbage = """
          {"cniVersion":"1.1.0","name":"\(name)","type":"portmap","cni.dev/valid-attachments":[]}
          """
        try host.succeeded(host.call(.gc, garbage, container: "", namespace: "", interface: ""))
      }
      let first = try host.map(host.portmap(ports, name: "one"), results[0])
      let alone = try table()
      var second = try host.map(host.portmap(ports, name: "two"), results[1])
      try expect("c1")
      try collect("two")
      #expect(try table() == alone)
      second = try host.map(host.portmap(ports, name: "two"), results[1])
      try refuse()
      for later in [first, second] { try host.succeeded(host.call(.check, later)) }

      try host.succeeded(host.call(.del, first))
      try expect("c2")
      try refuse()
      try host.succeeded(host.call(.check, second))
      try shell("nft flush chain inet cni_portmap prerouting-next")
      let error = try host.failed(host.call(.check, second))
      #expect(error.description.contains("prerouting-next"), "\(error)")

      try host.map(host.portmap(ports, name: "one"), results[0])
      try host.map(host.portmap(ports, name: "two"), results[1])
      try expect("c1")
      try host.succeeded(host.call(.del, second))
      try host.succeeded(host.call(.check, first))
      try expect("c1")
      #expect(try table() == alone)
      try host.map(host.portmap(ports, name: "two"), results[1])
      try collect("one")
      try expect("c2")
      try host.succeeded(host.call(.del, second))
      #expect(try table().isEmpty)
    }
  }

  @Test(
    "DEL removes what there is, whatever it is told",
    arguments: [
      "everything", "no result", "no ports", "nothing", "other ports", "other conditions", "nonsense",
    ])
  func removal(told: String) throws {
    try TestHost.run { host in
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      let configuration = host.portmap(
        TestHost.both(8080, 80), "\"conditionsV4\":[\"ip saddr 198.51.100.0/24\"]")
      let later = try host.map(configuration, first)
      let other = try host.map(host.portmap(TestHost.both(9090, 80)), second, container: "c2")
      try shell("ip netns del c1")
      let bare = "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"portmap\"}"
      let removing =
        switch told {
        case "no result": configuration
        case "no ports": try host.after(first, bare)
        case "nothing": bare
        case "other ports": try host.after(first, host.portmap(TestHost.mapping(1, 1)))
        case "other conditions": try host.after(first, host.portmap(TestHost.both(8080, 80)))
        case "nonsense":
          try host.after(first, host.portmap("{\"hostPort\":\"x\"}", "\"backend\":7,\"snat\":\"y\""))
        default: later
        }
      try host.succeeded(host.call(.del, removing, namespace: ""))
      let left = try table()
      #expect(!left.contains("c1/eth0") && !left.contains("8080") && !left.contains("198.51.100"), "\(left)")
      try host.succeeded(host.call(.check, other, container: "c2", namespace: "/run/netns/c2"))
      try host.succeeded(host.call(.del, other, container: "c2", namespace: "/run/netns/c2"))
      #expect(try table().isEmpty)
      #expect(try shell("cat /proc/sys/net/ipv4/conf/cni0/route_localnet") == "0\n")
    }
  }

  @Test("GC removes what is not valid, and leaves other networks alone")
  func garbage() throws {
    try TestHost.run { host in
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      try host.map(host.portmap(TestHost.both(8080, 80)), first)
      let kept = try host.map(host.portmap(TestHost.both(9090, 80)), second, container: "c2")
      // Of another port: what leads to the same one is shared by both networks, and the first to have it keeps it.
      let foreign = try host.map(host.portmap(TestHost.both(7070, 81), name: "other"), first)
      let collect = """
        {"cniVersion":"1.1.0","name":"net","type":"portmap",
         "cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]}
        """
      try host.succeeded(host.call(.gc, collect, container: "", namespace: "", interface: ""))
      #expect(try !table().contains("8080"))
      try host.succeeded(host.call(.check, kept, container: "c2", namespace: "/run/netns/c2"))
      try host.succeeded(host.call(.check, foreign))
    }
  }

  @Test(
    "CHECK names what is missing",
    arguments: [
      ("nft delete element inet cni_portmap ports4 { tcp . 8080 }", "8080/tcp -> 80"),
      ("nft delete element inet cni_portmap ports6 { udp . 8080 }", "8080/udp -> 80"),
      (
        "nft 'delete element inet cni_portmap ports4 { tcp . 8080 }; add element inet cni_portmap ports4 { tcp . 8080 : 10.22.0.9 . 80 }'",
        "8080/tcp -> 80"
      ),
      ("nft flush chain inet cni_portmap prerouting", "prerouting"),
      ("nft flush set inet cni_portmap from4-16", "masqueraded"),
      ("nft flush set inet cni_portmap localnet", "127.0.0.1"),
      ("echo 0 >/proc/sys/net/ipv4/conf/cni0/route_localnet", "127.0.0.1"),
      ("nft delete table inet cni_portmap", "8080"),
    ])
  func damage(command: String, named: String) throws {
    try TestHost.run { host in
      let later = try host.map(host.portmap(TestHost.both(8080, 80)), host.addBridge())
      try host.succeeded(host.call(.check, later))
      try shell(command)
      let error = try host.failed(host.call(.check, later))
      #expect(error.description.contains(named), "\(error)")
      // A second ADD mends it, and DEL still finds everything.
      try host.succeeded(host.call(.del, later))
      try host.succeeded(host.call(.add, later))
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      #expect(try table().isEmpty)
    }
  }

  @Test("Where the rules have been flushed, or somebody has opened the interface, it is guarded all the same")
  func flushed() throws {
    try TestHost.run { host in
      let setting = "/proc/sys/net/ipv4/conf/cni0/route_localnet"
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      try host.map(host.portmap(TestHost.both(8080, 80)), first)
      try shell("nft flush ruleset")
      #expect(try shell("cat \(setting)") == "1\n")
      let later = try host.map(host.portmap(TestHost.both(9090, 80)), second, container: "c2")
      #expect(try shell("nft list set inet cni_portmap localnet").contains("\"cni0\""))
      try host.succeeded(host.call(.del, later, container: "c2", namespace: "/run/netns/c2"))
      #expect(try shell("cat \(setting)") == "0\n")
      // Where every interface is open, none of them is ours to close.
      try shell("echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet")
      try host.map(host.portmap(TestHost.both(9090, 80)), second, container: "c2")
      #expect(try !shell("nft list set inet cni_portmap localnet").contains("cni0"))
      try host.succeeded(host.call(.del, later, container: "c2", namespace: "/run/netns/c2"))
      #expect(try table().isEmpty)
    }
  }

  @Test("STATUS is ready here, before and after the first mapping, and leaves nothing")
  func status() throws {
    try TestHost.run { host in
      let configuration = host.portmap("")
      let before = try host.snapshot()
      try host.succeeded(host.call(.status, configuration, container: "", namespace: "", interface: ""))
      try host.expectUnchanged(since: before)
      try host.map(host.portmap(TestHost.both(8080, 80)), host.addBridge())
      try host.succeeded(host.call(.status, configuration, container: "", namespace: "", interface: ""))
    }
  }

  @Test("nft can read everything back, as text and as JSON")
  func listing() throws {
    try TestHost.run { host in
      try host.map(
        host.portmap(
          TestHost.both(8080, 80) + "," + TestHost.mapping(81, 81, ip: "10.22.0.1"),
          "\"conditionsV4\":[\"ip saddr { 10.0.0.0/8, 192.0.2.1-192.0.2.9 } iifname != lo meta mark & 0xff00 != 0x100\"],"
            + "\"conditionsV6\":[\"ip6 daddr != 2001:db8::/32 th sport 1000-2000\"]"),
        host.addBridge())
      let text = try shell("nft list table inet cni_portmap")
      #expect(text.contains("comment \"cni:net/c1/eth0\""))
      try shell(
        "nft list table inet cni_portmap >/run/listed; nft delete table inet cni_portmap; nft -f /run/listed")
      #expect(try shell("nft list table inet cni_portmap") == text)
      let json = try JSONValue.parse(shell("nft -j list table inet cni_portmap"))
      #expect(json["nftables"]?.array?.isEmpty == false)
    }
  }

  @Test("100 attachments added and removed at once leave nothing")
  func crowd() throws {
    try TestHost.run { host in
      try host.addBridge()
      let before = try host.snapshot()
      let configurations = try (0..<100).map { number in
        let result = "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.22.1.\(number)/16\"}]}"
        return try host.after(
          JSONValue.parse(result),
          host.portmap(
            (0..<4).map { TestHost.mapping(20000 + number * 4 + $0, 80 + $0) }.joined(separator: ",")))
      }
      for command in [Command.add, .del] {
        let failures = try concurrently(8) { thread in
          try stride(from: thread, to: 100, by: 8).compactMap { number in
            let reply = try host.call(command, configurations[number], container: "c\(number)")
            return CNIError.parse(reply.standardOutput).map { "\(command) \(number): \($0)" }
          }
        }.flatMap { $0 }
        #expect(failures.isEmpty, "\(failures)")
        if command == .add {
          let elements = try shell("nft list map inet cni_portmap ports4").split(separator: "tcp . 2")
          #expect(elements.count == 401)
        }
      }
      #expect(try table().isEmpty)
      try host.expectUnchanged(since: before)
    }
  }
}
