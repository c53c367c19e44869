import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  /// A container c1 with interfaces net1 and net2, each with a router of its own behind it (r1, r2), and a client `far`
  /// behind both, which has the addresses 198.51.100.9 and 2001:db8:51::9 and reaches each interface by its router.
  /// The container's way to everywhere is r1. Routers let pass only what comes from their own network.
  func makeTwoWays() throws {
    try makeContainer()
    try shell("ip netns add far; ip -n far link set lo up; ip netns add r1; ip netns add r2")
    // Addresses of the link, too, can be used at once.
    try shell(
      "for n in c1 far r1 r2; do ip netns exec $n sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'; done"
    )
    try shell("ip -n far addr add 198.51.100.9/32 dev lo; ip -n far addr add 2001:db8:51::9/128 dev lo nodad")
    for n in [1, 2] {
      try shell(
        """
        ip netns exec r\(n) sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
        ip link add net\(n) netns c1 type veth peer name in0 netns r\(n)
        ip link add way\(n) netns far type veth peer name out0 netns r\(n)
        address() { ip -n $1 addr add $2 dev $3; ip -n $1 addr add $4 dev $3 nodad; ip -n $1 link set $3 up; }
        address c1 10.\(n).0.2/24 net\(n) fd00:\(n)::2/64
        address r\(n) 10.\(n).0.1/24 in0 fd00:\(n)::1/64
        address r\(n) 192.0.2.\(n)1/28 out0 fd00:9\(n)::1/64
        address far 192.0.2.\(n)2/28 way\(n) fd00:9\(n)::2/64
        ip -n r\(n) route add 198.51.100.9 via 192.0.2.\(n)2; ip -n r\(n) -6 route add 2001:db8:51::9 via fd00:9\(n)::2
        ip -n far route add 10.\(n).0.0/24 via 192.0.2.\(n)1; ip -n far -6 route add fd00:\(n)::/64 via fd00:9\(n)::1
        ip netns exec r\(n) nft -f - <<RULES
        table inet own {
          chain forward {
            type filter hook forward priority 0; policy accept
            iifname in0 ip saddr != 10.\(n).0.0/24 counter drop
            iifname in0 ip6 saddr != fd00:\(n)::/64 counter drop
          }
        }
        RULES
        """)
    }
    try shell(
      """
      ip netns exec far sh -c 'echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/way1/rp_filter'
      ip netns exec far sh -c 'echo 0 > /proc/sys/net/ipv4/conf/way2/rp_filter'
      ip netns exec c1 sh -c 'for f in all net1 net2; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done'
      ip -n c1 route add default via 10.1.0.1; ip -n c1 -6 route add default via fd00:1::1
      """)
  }

  /// The result of the plugin that made net1 or net2.
  func way(_ n: Int, gateway: Bool = true) -> JSONValue {
    gateway
      ? interfaceResult("10.\(n).0.2/24 10.\(n).0.1", "fd00:\(n)::2/64 fd00:\(n)::1", interface: "net\(n)")
      : interfaceResult("10.\(n).0.2/24", "fd00:\(n)::2/64", interface: "net\(n)")
  }

  /// Rules, and routes of all tables but the local one, of c1.
  func routing() throws -> String {
    try shell(
      """
      ip -n c1 rule; ip -n c1 -6 rule; ip -n c1 route show table all | grep -v 'table local'
      ip -n c1 -6 route show table all | grep -v 'table local\\|fe80:\\|ff00:'
      """)
  }

  /// Whether the client gets an answer from an address of the container, by TCP and by UDP.
  func answers(_ address: String, patience: Double = 2.5) throws -> [Bool] {
    let source = address.contains(":") ? "2001:db8:51::9" : "198.51.100.9"
    return try Conversation.Transport.allCases.map {
      try Conversation.hold($0, from: "far", to: "c1", at: address, source: source, patience: patience)
        == source
    }
  }

  /// How many packets that are not IPv6's own housekeeping have left the container by an interface: of sizes that only
  /// conversations have.
  func routerDropped(_ n: Int) throws -> Bool {
    try shell("ip netns exec r\(n) nft list ruleset").split(separator: "\n").contains {
      $0.contains("counter packets") && !$0.contains("packets 0 ")
    }
  }
}

@Suite("sbr", .requiresRoot)
struct SBRTests {
  @Test("What comes in by an interface is answered by that interface: before, with and after")
  func traffic() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      let second = ["10.2.0.2", "fd00:2::2"]
      for address in ["10.1.0.2", "fd00:1::2"] { #expect(try host.answers(address) == [true, true]) }
      // Without, answers go to the first router, which has no business with that address.
      for address in second { #expect(try host.answers(address, patience: 0.4) == [false, false]) }
      #expect(try host.routerDropped(1))

      let configuration = host.chained("sbr", previous: host.way(2))
      let result = try host.succeeded(host.call(.add, configuration, interface: "net2"))
      #expect(try AddResult.decode(result) == AddResult.decode(host.way(2)))
      try host.check(configuration, after: result, interface: "net2")
      for address in second + ["10.1.0.2", "fd00:1::2"] {
        #expect(try host.answers(address) == [true, true], "\(address)")
      }
      // What the container begins goes where it went, or where its own address says.
      for (source, way) in [
        ("10.1.0.2", "net1"), ("10.2.0.2", "net2"), ("fd00:1::2", "net1"), ("fd00:2::2", "net2"),
      ] {
        let far = source.contains(":") ? "2001:db8:51::9" : "198.51.100.9"
        #expect(try shell("ip -n c1 route get \(far) from \(source)").contains("dev \(way)"), "\(source)")
        #expect(try Conversation.hold(.tcp, from: "c1", to: "far", at: far, source: source) == source)
      }
      #expect(try shell("ip -n c1 route get 198.51.100.9").contains("via 10.1.0.1 dev net1"))
      #expect(try !host.routerDropped(2))

      try host.succeeded(host.call(.del, configuration, interface: "net2"))
      for address in second { #expect(try host.answers(address, patience: 0.4) == [false, false]) }
      for address in ["10.1.0.2", "fd00:1::2"] { #expect(try host.answers(address) == [true, true]) }
      try host.succeeded(host.call(.del, configuration, interface: "net2"))
    }
  }

  @Test(
    "Each address has a table of its own, from 100 on; the interface's routes move there; link-local ones stay"
  )
  func tables() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try shell(
        "ip -n c1 route add 203.0.113.0/24 via 10.2.0.77; ip -n c1 route add 203.0.114.0/24 dev net2 mtu 1400"
      )
      for n in [2, 1] {
        try host.succeeded(host.call(.add, host.chained("sbr", previous: host.way(n)), interface: "net\(n)"))
      }
      func lines(_ command: String) throws -> [String] {
        try shell("ip -n c1 \(command)").split(separator: "\n").map {
          $0.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }.sorted()
      }
      #expect(
        try lines("route show table 100") == [
          "10.2.0.0/24 dev net2 proto kernel scope link src 10.2.0.2",
          "203.0.113.0/24 via 10.2.0.77 dev net2",
          "203.0.114.0/24 dev net2 scope link mtu 1400", "default via 10.2.0.1 dev net2",
        ])
      #expect(
        try lines("-6 route show table 101") == [
          "default via fd00:2::1 dev net2 metric 1024 pref medium",
          "fd00:2::/64 dev net2 proto kernel metric 256 pref medium",
        ])
      #expect(
        try lines("route show table 102") == [
          "10.1.0.0/24 dev net1 proto kernel scope link src 10.1.0.2", "default via 10.1.0.1 dev net1",
        ])
      #expect(try lines("-6 route show table 103").count == 2)
      #expect(try lines("route show table main") == [])
      #expect(try lines("-6 route show table main | grep -v ^fe80::/64 || true") == [])
      #expect(try lines("-6 route show table main | grep -c ^fe80::/64") == ["2"])
      let rules = try lines("rule") + lines("-6 rule")
      for rule in [
        "from 10.2.0.2 lookup 100", "from fd00:2::2 lookup 101", "from 10.1.0.2 lookup 102",
        "from fd00:1::2 lookup 103",
      ] {
        #expect(rules.contains { $0.hasSuffix(rule) }, "\(rule)")
      }
    }
  }

  @Test("Several addresses of a family: routes go with the address they belong to")
  func severalAddresses() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try shell(
        "ip -n c1 addr add 10.5.0.2/24 dev net2; ip -n c1 route add 203.0.113.0/24 via 10.5.0.9; ip -n c1 route add 203.0.114.0/24 dev net2"
      )
      let previous = host.interfaceResult("10.2.0.2/24 10.2.0.1", "10.5.0.2/24 10.5.0.1", interface: "net2")
      let configuration = host.chained("sbr", previous: previous)
      let result = try host.succeeded(host.call(.add, configuration, interface: "net2"))
      let (first, other) = (
        try shell("ip -n c1 route show table 100"), try shell("ip -n c1 route show table 101")
      )
      #expect(
        first.contains("default via 10.2.0.1") && first.contains("10.2.0.0/24 ")
          && first.contains("203.0.114.0/24"))
      #expect(!first.contains("10.5.0.") && !first.contains("203.0.113.0"))
      #expect(
        other.contains("default via 10.5.0.1") && other.contains("203.0.113.0/24 via 10.5.0.9")
          && other.contains("203.0.114.0/24"))
      #expect(!other.contains("10.2.0."))
      try host.check(configuration, after: result, interface: "net2")
    }
  }

  @Test("gateways take the place of those of the result, and of the default route that is there")
  func gateways() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try shell("ip -n c1 route add default via 10.2.0.5 dev net2 metric 7")
      let configuration = host.chained(
        "sbr", "\"gateways\":[\"10.2.0.1\",\"fd00:2::1\"]",
        previous: host.interfaceResult("10.2.0.2/24 10.2.0.5", "fd00:2::2/64", interface: "net2"))
      let result = try host.succeeded(host.call(.add, configuration, interface: "net2"))
      #expect(try shell("ip -n c1 route show table 100").contains("default via 10.2.0.1 dev net2"))
      #expect(try !shell("ip -n c1 route show table 100").contains("10.2.0.5"))
      #expect(try shell("ip -n c1 -6 route show table 101").contains("default via fd00:2::1 dev net2"))
      for address in ["10.2.0.2", "fd00:2::2"] { #expect(try host.answers(address) == [true, true]) }
      try host.check(configuration, after: result, interface: "net2")
    }
  }

  @Test("addSourceHints: subnets stay reachable by the main table, with the address as the source")
  func sourceHints() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try shell("ip -n c1 route add 203.0.113.0/24 via 10.2.0.77")
      let configuration = host.chained("sbr", "\"addSourceHints\":true", previous: host.way(2))
      let result = try host.succeeded(host.call(.add, configuration, interface: "net2"))
      let main = try shell("ip -n c1 route show table main; ip -n c1 -6 route show table main")
      #expect(main.contains("10.2.0.0/24 dev net2 scope link src 10.2.0.2"))
      #expect(main.contains("fd00:2::/64 dev net2 src fd00:2::2"))
      #expect(!main.contains("203.0.113.0") && main.contains("default via 10.1.0.1"))
      #expect(try shell("ip -n c1 route get 10.2.0.1").contains("dev net2"))
      for address in ["10.2.0.2", "fd00:2::2", "10.1.0.2"] {
        #expect(try host.answers(address) == [true, true])
      }
      try host.check(configuration, after: result, interface: "net2")
    }
  }

  @Test("table: rules lead there, routes are somebody else's")
  func givenTable() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try shell(
        "ip -n c1 route add default via 10.2.0.1 dev net2 table 5000; ip -n c1 -6 route add default via fd00:2::1 dev net2 table 5000"
      )
      let before = try host.routing()
      let configuration = host.chained("sbr", "\"table\":5000", previous: host.way(2))
      let result = try host.succeeded(host.call(.add, configuration, interface: "net2"))
      for address in ["10.2.0.2", "fd00:2::2"] { #expect(try host.answers(address) == [true, true]) }
      try host.check(configuration, after: result, interface: "net2")
      try host.succeeded(host.call(.del, configuration, interface: "net2"))
      #expect(try host.routing() == before)
    }
  }

  // MARK: Failures

  @Test("ADD that fails leaves rules and routes as they were", arguments: [false, true])
  func failedAdd(hints: Bool) throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try shell("ip -n c1 route add 203.0.113.0/24 via 10.2.0.77")
      let before = try host.routing()
      let keys = "\"gateways\":[\"10.99.0.1\"],\"addSourceHints\":\(hints)"
      let configuration = host.chained("sbr", keys, previous: host.way(2))
      let error = try host.failed(host.call(.add, configuration, interface: "net2"))
      #expect(error.details.contains("gateway") && !error.details.contains("could not undo"), "\(error)")
      // Not in the same order: what was taken away has come back.
      #expect(Set(try host.routing().split(separator: "\n")) == Set(before.split(separator: "\n")))
      #expect(try host.answers("10.1.0.2") == [true, true])
    }
  }

  @Test(
    "What is wrong is named",
    arguments: [
      (#""table":0"#, "table", 7), (#""table":-1"#, "table", 7), (#""table":4294967296"#, "table", 7),
      (#""table":"100""#, "table", 6), (#""gateways":"10.2.0.1""#, "gateways", 6),
      (#""gateways":["ten"]"#, "gateways[0]", 7),
      (#""gateways":["10.2.0.1","10.2.0.2"]"#, "gateways", 7),
      (#""gateways":["10.2.0.1","fd00::1","fd00::2"]"#, "gateways", 7),
      (#""gateways":[5]"#, "gateways[0]", 6), (#""gateways":["0.0.0.0"]"#, "gateways[0]", 7),
      (#""addSourceHints":"yes""#, "addSourceHints", 6),
    ])
  func mistakes(keys: String, named: String, code: UInt32) throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      let before = try host.routing()
      let error = try host.failed(
        host.call(.add, host.chained("sbr", keys, previous: host.way(2)), interface: "net2"))
      #expect(error.code.rawValue == code && error.message.contains(named), "\(error)")
      #expect(try host.routing() == before)
      try host.succeeded(host.call(.del, host.chained("sbr", keys, previous: host.way(2)), interface: "net2"))
    }
  }

  @Test("No result, no address, no interface")
  func nothingToRoute() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      #expect(
        try host.failed(host.call(.add, host.chained("sbr"), interface: "net2")).message.contains(
          "prevResult"))
      let others = host.chained("sbr", previous: host.way(1))
      #expect(
        try host.failed(host.call(.add, others, interface: "net2")).message.contains("net2 has no address"))
      let absent = host.chained("sbr", previous: host.interfaceResult("10.2.0.2/24", interface: "net3"))
      #expect(try host.failed(host.call(.add, absent, interface: "net3")).message.contains("net3"))
    }
  }

  // MARK: CHECK, DEL, STATUS

  @Test(
    "CHECK misses rules and routes",
    arguments: [
      ("rule del from 10.2.0.2", "10.2.0.2"), ("-6 rule del from fd00:2::2", "fd00:2::2"),
      ("route del default table 100", "default route"), ("route flush table 100", "no route"),
      ("-6 route del default table 101", "default route"), ("link delete net2", "net2"),
    ])
  func check(tamper: String, named: String) throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      let configuration = host.chained("sbr", previous: host.way(2))
      let result = try host.succeeded(host.call(.add, configuration, interface: "net2"))
      try shell("ip -n c1 \(tamper)")
      let error = try host.failed(host.call(.check, host.after(result, configuration), interface: "net2"))
      #expect(error.message.contains(named), "\(error)")
    }
  }

  @Test(
    "DEL finds the rules by the interface's addresses or the result's, and needs neither namespace nor interface"
  )
  func delete() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      func rules() throws -> String { try shell("ip -n c1 rule; ip -n c1 -6 rule") }
      let before = try rules()
      let configuration = host.chained("sbr", previous: host.way(2))
      let without = host.chained("sbr")
      try host.succeeded(host.call(.add, configuration, interface: "net2"))
      try shell(
        "ip -n c1 rule add from 10.2.0.2 to 192.0.2.0/24 table 77; ip -n c1 rule add from 10.7.0.0/16 table 100"
      )
      try host.succeeded(host.call(.del, without, interface: "net2"))
      let left = try rules()
      #expect(
        left.contains("from 10.2.0.2 to 192.0.2.0/24 lookup 77")
          && left.contains("from 10.7.0.0/16 lookup 100"))
      try shell(
        "ip -n c1 rule del table 77; ip -n c1 rule del from 10.7.0.0/16; ip -n c1 route flush table 100; ip -n c1 -6 route flush table 101"
      )
      #expect(try rules() == before)

      try shell(
        "ip -n c1 addr flush dev net2; ip -n c1 addr add 10.2.0.2/24 dev net2; ip -n c1 addr add fd00:2::2/64 dev net2 nodad"
      )
      try host.succeeded(host.call(.add, configuration, interface: "net2"))
      try shell("ip -n c1 link delete net2")
      try host.succeeded(host.call(.del, configuration, interface: "net2"))
      #expect(try rules() == before)
      try host.succeeded(host.call(.del, configuration, namespace: "", interface: "net2"))
      try host.succeeded(host.call(.del, configuration, namespace: "/run/netns/gone", interface: "net2"))
    }
  }

  @Test("Two interfaces with the same address: the rule of one goes, the other's stays")
  func sameAddress() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try shell("ip -n c1 addr add 10.2.0.2/24 dev net1")
      for interface in ["net1", "net2"] {
        let previous = host.interfaceResult("10.2.0.2/24 10.2.0.1", interface: interface)
        try host.succeeded(host.call(.add, host.chained("sbr", previous: previous), interface: interface))
      }
      let previous = host.interfaceResult("10.2.0.2/24 10.2.0.1", interface: "net2")
      try host.succeeded(host.call(.del, host.chained("sbr", previous: previous), interface: "net2"))
      let rules = try shell("ip -n c1 rule")
      #expect(rules.contains("lookup 100") && !rules.contains("lookup 101"))
    }
  }

  @Test("Several at once choose different tables")
  func concurrency() throws {
    try TestHost.run { host in
      try host.makeContainer()
      for n in 1...8 {
        try shell(
          "ip link add h\(n) type veth peer name net\(n) netns c1; ip -n c1 addr add 10.\(n).0.2/24 dev net\(n); ip link set h\(n) up; ip -n c1 link set net\(n) up"
        )
      }
      let replies = try concurrently(8) { index in
        let previous = host.interfaceResult(
          "10.\(index + 1).0.2/24 10.\(index + 1).0.1", interface: "net\(index + 1)")
        return try host.call(.add, host.chained("sbr", previous: previous), interface: "net\(index + 1)")
      }
      for reply in replies { try host.succeeded(reply) }
      let rules = try shell("ip -n c1 rule").split(separator: "\n").filter { $0.contains("from 10.") }
      #expect(Set(rules.compactMap { $0.split(separator: " ").last }).count == 8)
      for n in 1...8 {
        let table = try #require(rules.first { $0.contains("10.\(n).0.2") }?.split(separator: " ").last)
        let routes = try shell("ip -n c1 route show table \(table)").split(separator: "\n")
        #expect(routes.count == 2 && routes.allSatisfy { $0.contains("net\(n)") })
      }
    }
  }

  @Test(
    "A container that holds the lock of its own namespace keeps nobody from removing, and ADD says who to look for"
  )
  func lockedNamespace() throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      let configuration = host.chained("sbr", previous: host.way(2))
      try host.succeeded(host.call(.add, configuration, interface: "net2"))
      let holder = try ChildProcess(["flock", "/run/netns/c1", "sh", "-c", "echo held; exec sleep 60"])
      try holder.waitForOutput("held")
      try host.succeeded(host.call(.del, configuration, interface: "net2"))
      #expect(try !shell("ip -n c1 rule").contains("10.2.0.2"))
      let error = try host.failed(
        host.call(.add, host.chained("sbr", previous: host.way(1)), interface: "net1"))
      #expect(error.code == .tryAgainLater && error.details.contains("lslocks"))
      holder.send(signal: 9)
    }
  }

  @Test("Behind ptp, as a runtime calls them: CHECK of both, DEL in reverse order")
  func chain() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let ptp = host.ptp("")
      let result = try host.add(ptp)
      let sbr = host.chained("sbr")
      let final = try host.add(host.after(result, sbr))
      try host.check(ptp, after: final)
      try host.check(sbr, after: final)
      try shell(
        "ip netns exec c1 ping -c1 -W2 -I 10.22.0.2 10.22.0.1; ip netns exec c1 ping -c1 -W2 -I fd00:22::2 fd00:22::1"
      )
      for configuration in [sbr, ptp] {
        try host.succeeded(host.call(.del, host.after(final, configuration)))
      }
      try host.expectUnchanged(since: before)
      #expect(try !shell("ip -n c1 rule; ip -n c1 -6 rule").contains("22"))
    }
  }

  @Test("STATUS")
  func status() throws {
    try TestHost.run { host in
      _ = try host.succeeded(
        host.call(.status, host.chained("sbr"), container: "", namespace: "", interface: ""))
    }
  }
}
