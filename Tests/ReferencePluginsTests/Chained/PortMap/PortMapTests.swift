import CNI
import CNIExecution
import ReferencePlugins
import TestSupport
import Testing

/// Packets: a world that asks, a host, and containers that answer with their name and with who asked.
@Suite("portmap", .requiresRoot, .requiresProgram("python3"))
struct PortMapTests {
  private static let host4 = "198.51.100.1"
  private static let host6 = "2001:db8:51::1"

  @Test("The host's port leads to the container from ADD to DEL, in both families, by TCP and UDP")
  func lifeCycle() throws {
    try TestHost.runServing { host, result in
      let before = try host.snapshot()
      #expect(try host.ask(Self.host4, 8080) == "-, -")

      let later = try host.map(host.portmap(TestHost.both(8080, 80)), result)
      // Who asked is not hidden.
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      #expect(try host.ask(Self.host6, 8080) == "c1 2001:db8:51::2, c1 2001:db8:51::2")
      try host.succeeded(host.call(.check, later))
      // A second ADD of the same attachment takes the place of the first.
      try host.succeeded(host.call(.add, later))
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")

      try host.succeeded(host.call(.del, later))
      try host.succeeded(host.call(.del, later))
      #expect(try host.ask(Self.host4, 8080) == "-, -")
      #expect(try host.ask(Self.host6, 8080) == "-, -")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("DEL when the container has gone: nobody answers, until another one has the port")
  func containerGone() throws {
    try TestHost.run { host in
      try host.makeWorld()
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      let old = try host.serve("c1", ports: 80)
      let later = try host.map(host.portmap(TestHost.both(8080, 80)), first)
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      old.send(signal: 9)
      _ = try old.wait()
      try shell("ip netns del c1")
      try host.succeeded(host.call(.del, later, namespace: ""))
      for address in [Self.host4, Self.host6] { #expect(try host.ask(address, 8080) == "-, -") }
      let server = try host.serve("c2", ports: 80)
      defer { withExtendedLifetime(server) {} }
      try host.map(host.portmap(TestHost.both(8080, 80)), second, container: "c2")
      #expect(try host.ask(Self.host4, 8080) == "c2 198.51.100.2, c2 198.51.100.2")
      #expect(try host.ask(Self.host6, 8080) == "c2 2001:db8:51::2, c2 2001:db8:51::2")
    }
  }

  @Test("SCTP is mapped like the others")
  func sctp() throws {
    try TestHost.run { host in
      try host.makeWorld()
      let result = try host.addBridge()
      let configuration = host.portmap(TestHost.mapping(8080, 80, "SCTP"))
      let later = try host.map(configuration, result)
      #expect(try shell("nft list map inet cni_portmap ports4").contains("sctp . 8080"))
      if try shell("python3 -c 'import socket; socket.socket(2, 1, 132)' 2>&1 || echo none").isEmpty {
        let server = try host.serve("c1", ports: 80)
        defer { withExtendedLifetime(server) {} }
        #expect(try host.ask(Self.host4, 8080, "sctp") == "c1 198.51.100.2")
      }
      try host.succeeded(host.call(.check, later))
    }
  }

  @Test("From the host itself: by its addresses and by 127.0.0.1; ::1 is refused at once")
  func fromTheHost() throws {
    try TestHost.runServing { host, result in
      let later = try host.map(host.portmap(TestHost.both(8080, 80)), result)
      #expect(try host.ask("127.0.0.1", 8080, from: nil) == "c1 10.22.0.1, c1 10.22.0.1")
      #expect(try host.ask(Self.host4, 8080, from: nil) == "c1 \(Self.host4), c1 \(Self.host4)")
      #expect(try host.ask(Self.host6, 8080, from: nil) == "c1 \(Self.host6), c1 \(Self.host6)")
      let refused = try shell(
        "timeout 10 python3 -c 'import socket; socket.create_connection((\"::1\", 8080))' 2>&1 || true")
      #expect(refused.contains("ConnectionRefusedError"))

      // What lets 127.0.0.1 out lets nobody in who pretends to be it, or looks for it.
      #expect(try shell("cat /proc/sys/net/ipv4/conf/cni0/route_localnet") == "1\n")
      let local = try ChildProcess([
        "python3", "-c",
        """
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 9999)); print("bound", flush=True); s.recv(9); print("reached", flush=True)
        """,
      ])
      try local.waitForOutput("bound")
      try shell(
        """
        ip netns exec c1 sh -c 'ip route del local 127.0.0.1 table local; ip route del local 127.0.0.0/8 table local
          ip route add 127.0.0.0/8 via 10.22.0.1'
        """)
      func send() throws {
        try shell(
          """
          ip netns exec c1 python3 -c 'import socket
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.22.0.2", 0)); s.sendto(b"x", ("127.0.0.1", 9999))'
          """)
      }
      try send()
      #expect(throws: CommandFailure.self) { try local.waitForOutput("reached", timeout: 0.5) }
      try shell("nft delete chain inet cni_portmap loopback")
      try send()
      try local.waitForOutput("reached")

      try host.succeeded(host.call(.del, later))
      #expect(try shell("cat /proc/sys/net/ipv4/conf/cni0/route_localnet") == "0\n")
    }
  }

  /// On a bridge whose frames the packet filter sees (`br_netfilter`), what goes back by the port it came from needs
  /// `hairpinMode`.
  @Test("A container reaches itself and its neighbour by the host's addresses", arguments: ["bridge", "ptp"])
  func hairpin(type: String) throws {
    try TestHost.run { host in
      try host.makeWorld()
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration =
        type == "ptp"
        ? host.ptp("") : host.bridge("\"isGateway\":true,\"hairpinMode\":true", ipam: TestHost.dualStack)
      let result = try host.add(configuration)
      _ = try host.add(configuration, container: "c2")
      let server = try host.serve("c1", ports: 80)
      defer { withExtendedLifetime(server) {} }
      try host.map(host.portmap(TestHost.both(8080, 80)), result)
      for container in ["c1", "c2"] {
        for (address, seen) in [
          (Self.host4, "10.22.0.1"), ("10.22.0.1", "10.22.0.1"), (Self.host6, "fd00:22::1"),
        ] {
          #expect(
            try host.ask(address, 8080, from: container) == "c1 \(seen), c1 \(seen)",
            "\(container) asks \(address)")
        }
        // Who asks the neighbour directly is not hidden.
        if container == "c2" {
          #expect(try host.ask("10.22.0.2", 80, from: "c2") == "c1 10.22.0.3, c1 10.22.0.3")
        }
      }
    }
  }

  @Test(
    "What is routed through the host to the same port of somebody else goes there",
    arguments: ["", Self.host4])
  func routedThrough(hostIP: String) throws {
    try TestHost.run { host in
      try host.makeRoutedWorld()
      let result = try host.addBridge("c1")
      try host.addBridge("c2")
      let servers = [try host.serve("c1", ports: 80), try host.serve("c2", ports: 8080)]
      defer { withExtendedLifetime(servers) {} }
      try host.map(host.portmap(TestHost.both(8080, 80, ip: hostIP)), result)
      #expect(try host.ask("10.22.0.3", 8080) == "c2 198.51.100.2, c2 198.51.100.2")
      #expect(try host.ask("fd00:22::3", 8080) == "c2 2001:db8:51::2, c2 2001:db8:51::2")
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
    }
  }

  @Test("hostIP: one address, all of a family, the loopback address; the given one comes first")
  func hostIP() throws {
    try TestHost.run { host in
      try host.makeWorld()
      try shell("ip addr add 198.51.100.9/24 dev out0")
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      let servers = [try host.serve("c1", ports: 80, 81, 82, 83), try host.serve("c2", ports: 80)]
      defer { withExtendedLifetime(servers) {} }
      try host.map(
        host.portmap(
          [
            TestHost.mapping(8080, 80, ip: "198.51.100.9"), TestHost.mapping(8081, 81, ip: "0.0.0.0"),
            TestHost.mapping(8082, 82, ip: "::"), TestHost.mapping(8083, 83, ip: "127.0.0.1"),
            // The same for all addresses and for those of IPv4 is the same.
            TestHost.mapping(8086, 82, ip: "0.0.0.0"), TestHost.mapping(8086, 82, ip: ""),
            TestHost.mapping(8084, 83, ip: "::1"), TestHost.mapping(8085, 83, ip: Self.host6),
          ].joined(separator: ",")), first)
      try host.map(host.portmap(TestHost.mapping(8080, 80)), second, container: "c2")
      #expect(try host.ask("198.51.100.9", 8080, "tcp") == "c1 198.51.100.2")
      #expect(try host.ask(Self.host4, 8080, "tcp") == "c2 198.51.100.2")
      #expect(try host.ask(Self.host4, 8081, "tcp") == "c1 198.51.100.2")
      #expect(try host.ask(Self.host6, 8081, "tcp") == "-")
      #expect(try host.ask(Self.host4, 8082, "tcp") == "-")
      #expect(try host.ask(Self.host6, 8082, "tcp") == "c1 2001:db8:51::2")
      #expect(try host.ask(Self.host4, 8086, "tcp") == "c1 198.51.100.2")
      #expect(try host.ask(Self.host6, 8086, "tcp") == "c1 2001:db8:51::2")
      #expect(try host.ask(Self.host4, 8083, "tcp") == "-")
      #expect(try host.ask("127.0.0.1", 8083, from: nil, "tcp") == "c1 10.22.0.1")
      #expect(try host.ask(Self.host6, 8085, "tcp") == "c1 2001:db8:51::2")
    }
  }

  @Test("masqAll hides everybody; snat false hides nobody, and leaves 127.0.0.1 alone")
  func sources() throws {
    try TestHost.runServing { host, result in
      let all = try host.map(host.portmap(TestHost.both(8080, 80), "\"masqAll\":true"), result)
      #expect(try host.ask(Self.host4, 8080) == "c1 10.22.0.1, c1 10.22.0.1")
      #expect(try host.ask(Self.host6, 8080) == "c1 fd00:22::1, c1 fd00:22::1")
      #expect(try host.ask("127.0.0.1", 8080, from: nil) == "c1 10.22.0.1, c1 10.22.0.1")
      try host.succeeded(host.call(.check, all))
      try host.succeeded(host.call(.del, all))

      let none = try host.map(host.portmap(TestHost.both(8080, 80), "\"snat\":false"), result)
      #expect(try host.ask(Self.host4, 8080) == "c1 198.51.100.2, c1 198.51.100.2")
      #expect(try host.ask("127.0.0.1", 8080, from: nil) == "-, -")
      #expect(try host.ask(Self.host4, 8080, from: "c1") == "-, -")
      #expect(try shell("cat /proc/sys/net/ipv4/conf/cni0/route_localnet") == "0\n")
      try host.succeeded(host.call(.check, none))
    }
  }

  @Test(
    "A flow of UDP follows the port: to nobody after DEL, to the next container after ADD",
    arguments: [Self.host4, Self.host6])
  func flow(address: String) throws {
    try TestHost.run { host in
      try host.makeWorld()
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      let servers = [try host.serve("c1", ports: 80), try host.serve("c2", ports: 80)]
      defer { withExtendedLifetime(servers) {} }
      // Always from the same port: one flow to the kernel. A flow that leads elsewhere does so again; a busy machine may lose
      // an answer.
      func answer(is expected: String) throws -> Bool {
        let script = """
          import socket, sys
          s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
          s.bind(("", 40000)); s.settimeout(float(sys.argv[2]))
          try:
              s.sendto(b"?", (sys.argv[1], 8080)); print(s.recv(99).decode().split()[0])
          except OSError: print("-")
          """
        for timeout in ["1", "3", "9"] {
          let found = try ChildProcess(
            ["ip", "netns", "exec", "world", "python3", "-c", script, address, timeout]
          ).wait().standardOutput.split(separator: "\n").joined()
          if found == expected { return true }
        }
        return false
      }
      // Before there is a mapping the kernel already tracks the flow, to the host.
      try shell(
        "nft 'add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c ct state new'"
      )
      #expect(try answer(is: "-"))
      let mapped = try host.map(host.portmap(TestHost.mapping(8080, 80, "udp")), first)
      #expect(try answer(is: "c1"))
      try host.succeeded(host.call(.del, mapped))
      #expect(try answer(is: "-"))
      try host.map(host.portmap(TestHost.mapping(8080, 80, "udp")), second, container: "c2")
      #expect(try answer(is: "c2"))
    }
  }

  @Test("Flows of UDP through the host to the same port elsewhere are not forgotten")
  func foreignFlows() throws {
    try TestHost.run { host in
      try host.makeRoutedWorld()
      let result = try host.addBridge("c1")
      try host.addBridge("c2")
      let server = try host.serve("c2", ports: 53)
      defer { withExtendedLifetime(server) {} }
      try shell(
        "nft 'add table inet t; add chain inet t c { type filter hook forward priority 0; }; add rule inet t c ct state new'"
      )
      #expect(try host.ask("10.22.0.3", 53, "udp") == "c2 198.51.100.2")
      let before = try shell(
        "conntrack -L -p udp 2>/dev/null | grep dport=53 | grep -o 'src.*dport=[0-9]*' | head -1")
      #expect(before.contains("dst=10.22.0.3"))
      try host.map(host.portmap(TestHost.mapping(53, 53, "udp")), result)
      #expect(try shell("conntrack -L -p udp 2>/dev/null | grep dport=53").contains("dst=10.22.0.3"))
    }
  }
}
