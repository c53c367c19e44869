import CNI
import CNIExecution
import ReferencePlugins
import TestSupport
import Testing

/// Hosts that translate addresses by rules of iptables of their own, and those that only seem to.
@Suite(
  "portmap on hosts with iptables", .requiresRoot, .requiresProgram("python3"),
  .requiresProgram("iptables-legacy"))
struct PortMapForeignTests {
  private static let host4 = "198.51.100.1"
  private static let host6 = "2001:db8:51::1"

  /// What Docker has there.
  private func makeDocker(_ form: String, _ programs: [String] = ["iptables", "ip6tables"]) throws {
    for program in programs {
      let (subnet, loopback) =
        program == "iptables" ? ("172.17.0.0/16", "127.0.0.0/8") : ("fd00:172::/64", "::1/128")
      try shell(
        """
        rule() { \(program)-\(form) -t nat "$@"; }
        rule -N DOCKER
        rule -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        rule -A OUTPUT ! -d \(loopback) -m addrtype --dst-type LOCAL -j DOCKER
        rule -A POSTROUTING -s \(subnet) ! -o docker0 -j MASQUERADE
        rule -A DOCKER -i docker0 -j RETURN
        """)
    }
  }

  /// Removes the host's own rules, as far as anything leads to them; what is there of containers stays.
  private func removeDocker(_ form: String) throws {
    try shell(
      """
      for p in iptables ip6tables; do for c in PREROUTING OUTPUT POSTROUTING; do
        $p-\(form) -t nat -S $c | grep -v CNI- | sed -n 's/^-A/-D/p' |
          while read rule; do $p-\(form) -t nat $rule; done
      done; done
      """)
  }

  /// All rules there are, of whatever kind.
  private func rules(_ host: TestHost) throws -> String { try FirewallHost(host: host).rules() }

  private func saved(_ program: String) throws -> String { try shell("\(program)-save -t nat") }

  /// What our own table has of port mappings.
  private func mapped() throws -> String {
    try shell("nft list table inet cni_portmap 2>/dev/null || true").split(separator: "\n")
      .filter { $0.contains("comment \"cni:") && $0.contains(" : ") && !$0.contains("0x0") }
      .joined(separator: "\n")
  }

  @Test(
    "Where rules live in iptables, in either form, there they come, among the host's own",
    arguments: ["nft", "legacy"])
  func lifeCycle(form: String) throws {
    try TestHost.runServing(keys: "\"isGateway\":true,\"hairpinMode\":true") { host, result in
      try shell("ip -n world addr add 198.51.100.3/24 dev out1")
      try makeDocker(form)
      // An administrator's rule that comes first is heard first.
      try shell("iptables-\(form) -t nat -A PREROUTING -s 198.51.100.3 -j ACCEPT")
      let before = try rules(host)
      let configuration = host.portmap(TestHost.both(8080, 80))
      try host.succeeded(host.call(.status, configuration, container: "", namespace: "", interface: ""))
      #expect(try host.ask(Self.host4, 8080) == "-, -")

      let later = try host.map(configuration, result)
      for program in ["iptables", "ip6tables"] {
        let text = try saved("\(program)-\(form)")
        #expect(text.contains(#"dnat name: \"net\" id: \"c1\""#), "\(text)")
        #expect(text.contains("-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT"))
      }
      #expect(try mapped().isEmpty)
      try host.succeeded(host.call(.check, later))
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      #expect(try host.ask(Self.host6, 8080) == "c1 2001:db8:51::2, c1 2001:db8:51::2")
      for asking in [nil, "c1"] {
        #expect(try host.ask(Self.host4, 8080, from: asking).contains("c1 "))
        #expect(try host.ask(Self.host6, 8080, from: asking).contains("c1 "))
      }
      #expect(try host.ask("127.0.0.1", 8080, from: nil) == "c1 10.22.0.1, c1 10.22.0.1")
      let excluded = try shell(
        """
        ip netns exec world timeout 10 python3 -c 'import socket
        socket.create_connection(("\(Self.host4)", 8080), 1, ("198.51.100.3", 0))' 2>&1 || true
        """)
      #expect(excluded.contains("Refused"))
      // What lets 127.0.0.1 out lets nobody in who pretends to be it.
      #expect(try shell("cat /proc/sys/net/ipv4/conf/cni0/route_localnet") == "1\n")
      #expect(
        try shell("nft list chain inet cni_portmap loopback")
          .contains("iifname @localnet ip saddr 127.0.0.0/8 drop"))

      try host.succeeded(host.call(.del, later))
      try host.succeeded(host.call(.del, later))
      #expect(try rules(host) == before)
      #expect(try host.ask(Self.host4, 8080) == "-, -")
      #expect(try host.ask(Self.host6, 8080) == "-, -")
      #expect(try shell("cat /proc/sys/net/ipv4/conf/cni0/route_localnet") == "0\n")

      // The namespace is gone, and nothing is told that is not in the rules.
      try host.map(configuration, result)
      #expect(try host.ask(Self.host4, 8080, "udp") == "c1 198.51.100.2")
      try shell("ip netns del c1")
      let bare = "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"portmap\"}"
      try host.succeeded(host.call(.del, bare, namespace: ""))
      #expect(try rules(host) == before)
      #expect(try !shell("conntrack -L -p udp 2>/dev/null || true").contains("10.22.0.2"))
    }
  }

  @Test("Each family is told where its own rules are")
  func mixture() throws {
    try TestHost.runServing { host, result in
      try makeDocker("legacy", ["ip6tables"])
      let before = try rules(host)
      let later = try host.map(host.portmap(TestHost.both(8080, 80)), result)
      #expect(try saved("ip6tables-legacy").contains("--to-destination [fd00:22::2]:80"))
      let own = try mapped()
      #expect(own.contains("tcp . 8080") && own.contains("10.22.0.2") && !own.contains("fd00:22::2"))
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      #expect(try host.ask(Self.host6, 8080) == "c1 2001:db8:51::2, c1 2001:db8:51::2")
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.status, later, container: "", namespace: "", interface: ""))
      try shell("ip6tables-legacy -t nat -F CNI-HOSTPORT-DNAT")
      _ = try host.failed(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      #expect(try rules(host) == before)
    }
  }

  @Test("What was only looked at, and what the CNI plugins have made, keeps nobody in iptables")
  func nobodysOwn() throws {
    try TestHost.run { host in
      try host.makeWorld()
      let results = try ["c1", "c2"].map { try host.addBridge($0) }
      let servers = try ["c1", "c2"].map { try host.serve($0, ports: 80) }
      defer { withExtendedLifetime(servers) {} }
      try shell(
        """
        for p in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do $p -t nat -S; done
        iptables-legacy -t nat -N CNI-HOSTPORT-DNAT
        iptables-legacy -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
        """)
      let before = try rules(host)
      let first = try host.map(host.portmap(TestHost.both(9090, 80), "\"backend\":\"iptables\""), results[0])
      #expect(try saved("iptables").contains(#"id: \"c1\""#))
      let second = try host.map(host.portmap(TestHost.both(8080, 80)), results[1], container: "c2")
      #expect(try mapped().contains("tcp . 8080"))
      #expect(try !saved("iptables").contains(#"id: \"c2\""#))
      #expect(try host.ask(Self.host4, 9090) == "c1 198.51.100.2, c1 198.51.100.2")
      #expect(try host.ask(Self.host4, 8080) == "c2 198.51.100.2, c2 198.51.100.2")
      try host.succeeded(host.call(.del, first))
      try host.succeeded(host.call(.del, second, container: "c2", namespace: "/run/netns/c2"))
      #expect(try rules(host) == before)
    }
  }

  @Test(
    "A host may begin to use iptables, and stop: containers stay reachable, and go over with their next ADD")
  func change() throws {
    try TestHost.runServing { host, result in
      let later = try host.map(host.portmap(TestHost.both(8080, 80)), result)
      try makeDocker("nft")
      try host.succeeded(host.call(.check, later))
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      try host.succeeded(host.call(.add, later))
      #expect(try mapped().isEmpty)
      try host.succeeded(host.call(.check, later))
      #expect(try host.ask(Self.host6, 8080) == "c1 2001:db8:51::2, c1 2001:db8:51::2")
      try removeDocker("nft")
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      try host.succeeded(host.call(.add, later))
      #expect(try !saved("iptables").contains("CNI-") && mapped().contains("tcp . 8080"))
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      #expect(try !rules(host).contains("CNI-") && mapped().isEmpty)
    }
  }

  @Test(
    "Where there is no program for the form that the rules are in, nf_tables does",
    arguments: ["nft", "legacy"])
  func noProgram(form: String) throws {
    try TestHost.runServing { host, result in
      try makeDocker(form)
      let before = try rules(host)
      let program = try shell("readlink -f $(command -v iptables-\(form))").split(separator: "\n").joined()
      try shell("mount --bind /dev/null \(program)")
      let later = try host.map(host.portmap(TestHost.both(8080, 80)), result)
      try host.succeeded(host.call(.status, later, container: "", namespace: "", interface: ""))
      #expect(try mapped().contains("tcp . 8080"))
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      try shell("umount \(program)")
      #expect(try rules(host) == before)
    }
  }

  @Test(
    "Words that only iptables understands choose it on a host without rules, nft's words nf_tables on any")
  func words() throws {
    try TestHost.runServing { host, result in
      func ask(ttl: Int) throws -> String {
        let script = """
          import socket
          s = socket.socket(); s.settimeout(8); s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, \(ttl))
          try: s.connect(("\(Self.host4)", 8080)); print(s.recv(99).decode().split()[0])
          except OSError: print("-")
          """
        return try ChildProcess(["ip", "netns", "exec", "world", "python3", "-c", script]).wait()
          .standardOutput.split(separator: "\n").joined()
      }
      let before = try host.snapshot()
      let foreign = try host.map(
        host.portmap(TestHost.both(8080, 80), "\"conditionsV4\":[\"-m\",\"ttl\",\"--ttl-eq\",\"77\"]"), result
      )
      #expect(try saved("iptables").contains("-m ttl --ttl-eq 77"))
      #expect(try mapped().isEmpty)
      #expect(try ask(ttl: 77) == "c1")
      #expect(try ask(ttl: 64) == "-")
      #expect(try host.ask(Self.host6, 8080, "tcp") == "c1 2001:db8:51::2")
      try host.succeeded(host.call(.check, foreign))
      try host.succeeded(host.call(.del, foreign))
      #expect(try !saved("iptables").contains("CNI-"))
      // As with the Go plugin, what lets 127.0.0.1 through stays.
      try shell("echo 0 >/proc/sys/net/ipv4/conf/cni0/route_localnet")
      try host.expectUnchanged(since: before)

      try makeDocker("nft")
      let own = try host.map(
        host.portmap(TestHost.both(8080, 80), "\"conditionsV4\":[\"ip saddr 198.51.100.0/24\"]"), result)
      #expect(try mapped().contains("tcp . 8080") && !saved("iptables").contains("CNI-"))
      #expect(try ask(ttl: 64) == "c1")
      try host.succeeded(host.call(.check, own))
    }
  }

  @Test(
    "A port that another container has is refused, whichever form the two are in",
    arguments: [("nft", "nft"), ("legacy", "legacy"), ("none", "nft"), ("none", "legacy"), ("nft", "none")])
  func taken(first: String, second: String) throws {
    try TestHost.run { host in
      let results = try ["c1", "c2"].map { try host.addBridge($0) }
      func change(from old: String, to form: String) throws {
        if old == form { return }
        if old != "none" { try removeDocker(old) }
        if form != "none" { try makeDocker(form) }
      }
      try change(from: "none", to: first)
      let ports = [
        TestHost.mapping(8080, 80), TestHost.mapping(8081, 80, "udp", ip: "198.51.100.9"),
        TestHost.mapping(8082, 80, ip: "::"),
      ].joined(separator: ",")
      let held = try host.map(host.portmap(ports), results[0])
      try change(from: first, to: second)
      let before = try rules(host)
      func add(_ mappings: String, name: String = "net") throws -> PluginReply {
        try host.call(
          .add, host.after(results[1], host.portmap(mappings, name: name)), container: "c2",
          namespace: "/run/netns/c2")
      }
      for (wanted, port) in [
        (TestHost.mapping(9090, 80) + "," + TestHost.mapping(8080, 80), "8080/tcp"),
        (TestHost.mapping(8081, 80, "udp", ip: "198.51.100.9"), "198.51.100.9:8081/udp"),
        (TestHost.mapping(8082, 80), "8082/tcp"),
      ] {
        for network in ["net", "other"] {
          let error = try host.failed(add(wanted, name: network))
          for word in [port, "container c1", "network net"] {
            #expect(error.message.contains(word), "\(error)")
          }
          #expect(try rules(host) == before)
        }
      }
      // Other protocols, other addresses, and the other family are free; and what is freed can be had.
      let beside = [
        TestHost.mapping(8080, 80, "udp"), TestHost.mapping(8081, 80, "udp"),
        TestHost.mapping(8082, 80, ip: "0.0.0.0"),
      ].joined(separator: ",")
      try host.succeeded(add(beside))
      try host.succeeded(
        host.call(.del, host.portmap(beside), container: "c2", namespace: "/run/netns/c2"))
      try host.succeeded(host.call(.del, held))
      try host.succeeded(add(ports))
    }
  }

  @Test("The same container in another network may ask for its ports again", arguments: ["nft", "legacy"])
  func twoNetworks(form: String) throws {
    try TestHost.run { host in
      let result = try host.addBridge()
      try makeDocker(form)
      let before = try rules(host)
      let both = try ["one", "two"].map {
        try host.map(host.portmap(TestHost.both(8080, 80), name: $0), result)
      }
      for later in both { try host.succeeded(host.call(.check, later)) }
      for later in both { try host.succeeded(host.call(.del, later)) }
      #expect(try rules(host) == before)
    }
  }
}
