import CNI
import CNIExecution
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

@Suite("firewall", .requiresRoot, .requiresProgram("nft"))
struct FirewallTests {
  private static let foo1 = ["10.88.3.2", "fd00:88:3::2"]
  private static let foo2 = ["10.88.3.3", "fd00:88:3::3"]
  private static let bar1 = ["10.88.4.2", "fd00:88:4::2"]

  @Test(
    "Killed behind the last element: the table goes with the next call", arguments: [Command.del, .gc],
    ["open", "same-bridge", "isolated"])
  func tableWithoutElements(command: Command, policy: String) throws {
    try FirewallHost.run { host in
      let result = try host.connect("f1", to: "foo")
      let before = try host.rules()
      let configuration = try host.add(
        "f1", result, "\"backend\":\"nftables\",\"ingressPolicy\":\"\(policy)\"")
      // As it is after the transaction in which the last container's elements go, and those of its owner with them.
      try shell(
        """
        nft flush map inet cni_firewall owners
        nft delete chain inet cni_firewall forward
        for s in containers4 containers6; do nft delete set inet cni_firewall $s; done
        for s in bridge-foo0 isolated-foo0; do nft delete set inet cni_firewall $s 2>/dev/null || true; done
        """)
      if command == .del {
        try host.delete(configuration, "f1")
      } else {
        try host.collectGarbage(configuration, valid: [])
      }
      #expect(try host.rules() == before)
    }
  }

  @Test(
    "Who reaches whom, by policy and back end; afterwards nothing is left",
    arguments: ["open", "same-bridge", "isolated"], ["nftables", "iptables", ""])
  func policies(policy: String, backend: String) throws {
    try FirewallHost.run { host in
      try host.makeWorld()
      let places = [("f1", "foo"), ("f2", "foo"), ("b1", "bar")]
      let results = try places.map { try host.connect($0.0, to: $0.1) }
      try shell("iptables-nft -S >/dev/null; ip6tables-nft -S >/dev/null")
      let servers = try ["f1", "f2", "b1", "world"].map { try EchoServer(in: $0) }
      defer { withExtendedLifetime(servers) {} }
      let before = try host.saved("nft")
      let keys = "\"ingressPolicy\":\"\(policy)\",\"backend\":\"\(backend)\""
      let configurations = try zip(places, results).map {
        try host.add($0.0, $1, keys, network: $0.1)
      }
      for (place, configuration) in zip(places, configurations) {
        try host.host.succeeded(host.check(configuration, place.0))
      }
      // Whoever looks at the rules with nft or iptables sees them.
      try shell("nft list ruleset; nft -j list ruleset; iptables-nft -S; ip6tables-nft -S; iptables-nft-save")

      let world = ["198.51.100.2", "2001:db8:51::2"]
      func expect(_ source: String, reaches targets: [[String]], butNot others: [[String]]) throws {
        let expected = all((targets + [world]).flatMap { $0 })
        let found = try reached(
          from: source, (targets + others + [world]).flatMap { $0 }, expecting: expected)
        #expect(found == expected, "from \(source)")
      }
      let (one, two, three) = (Self.foo1, Self.foo2, Self.bar1)
      switch policy {
      case "open":
        try expect("f1", reaches: [two, three], butNot: [])
        try expect("b1", reaches: [one, two], butNot: [])
      case "same-bridge":
        try expect("f1", reaches: [two], butNot: [three])
        try expect("f2", reaches: [one], butNot: [three])
        try expect("b1", reaches: [], butNot: [one, two])
      default:
        try expect("f1", reaches: [], butNot: [two, three])
        try expect("f2", reaches: [], butNot: [one, three])
        try expect("b1", reaches: [], butNot: [one, two])
      }
      // Published ports are for the world.
      #expect(
        try reached(from: "world", one + two + three, expecting: all(one + two + three))
          == all(one + two + three))

      // A container that goes takes only its own along.
      try host.delete(configurations[0], "f1")
      try host.delete(configurations[0], "f1")
      try host.host.succeeded(host.check(configurations[1], "f2"))
      if policy != "open" {
        #expect(try reached(from: "b1", two, expecting: []) == [])
      }
      try host.delete(configurations[1], "f2")
      try host.delete(configurations[2], "b1")
      #expect(try !shell("nft list ruleset").contains("cni_firewall"))
      #expect(try host.saved("nft") == before)
      #expect(try reached(from: "f1", two + three, expecting: all(two + three)) == all(two + three))
      #expect(try !shell("bridge -d link").contains("isolated on"))
    }
  }

  @Test(
    "DEL without prevResult, without a namespace, of what is not there", arguments: ["nftables", "iptables"])
  func deleteWithoutHelp(backend: String) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let keys = "\"backend\":\"\(backend)\",\"ingressPolicy\":\"isolated\""
      try shell("iptables-nft -S >/dev/null; ip6tables-nft -S >/dev/null")
      let before = try host.saved("nft")
      _ = try host.add("c1", result, keys)
      #expect(try shell("nft list ruleset").contains("10.88.3.2"))
      try shell("ip netns del c1")
      try host.host.succeeded(host.host.call(.del, host.firewall(keys), container: "c1", namespace: ""))
      try host.host.succeeded(host.host.call(.del, host.firewall(keys), container: "c1"))
      try host.host.succeeded(host.host.call(.del, host.firewall(keys), container: "never"))
      let rules = try shell("nft list ruleset")
      #expect(!rules.contains("cni_firewall") && !rules.contains("CNI-"), "\(rules)")
      #expect(try host.saved("nft") == before)
    }
  }

  @Test(
    "A configuration that cannot be read any more keeps nothing from being removed",
    arguments: [Command.del, .gc])
  func spoiltConfiguration(command: Command) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      _ = try host.add("c1", result)
      let spoilt = host.firewall("\"backend\":7,\"ingressPolicy\":\"none\",\"firewalldZone\":[]")
      if command == .gc {
        try host.collectGarbage(spoilt, valid: [])
      } else {
        try host.host.succeeded(host.host.call(.del, spoilt, container: "c1"))
      }
      #expect(try !shell("nft list ruleset").contains("cni_firewall"))
    }
  }

  @Test("GC removes what is stale, and of this network only", arguments: ["nftables", "iptables"])
  func garbage(backend: String) throws {
    try FirewallHost.run { host in
      let keys = "\"backend\":\"\(backend)\",\"ingressPolicy\":\"same-bridge\""
      let stale = try host.add("c1", host.connect("c1"), keys)
      let kept = try host.add("c2", host.connect("c2"), keys)
      let other = try host.add("c3", host.connect("c3", to: "bar"), keys, network: "bar")
      try host.collectGarbage(host.firewall(keys), valid: ["c2"])
      let rules = try shell("nft list ruleset")
      #expect(!rules.contains("10.88.3.2") && !rules.contains("fd00:88:3::2"), "\(rules)")
      try host.host.succeeded(host.check(kept, "c2"))
      try host.host.succeeded(host.check(other, "c3"))
      #expect(try host.host.failed(host.check(stale, "c1")).message.contains("10.88.3.2"))
      try host.collectGarbage(host.firewall(keys), valid: [])
      try host.collectGarbage(host.firewall(keys, network: "bar"), valid: [])
      let left = try shell("nft list ruleset")
      #expect(!left.contains("cni_firewall") && !left.contains("CNI-"), "\(left)")
    }
  }

  @Test(
    "CHECK names what is missing",
    arguments: [
      ("nft delete element inet cni_firewall containers6 { fd00:88:3::2 }", "fd00:88:3::2"),
      ("nft delete element inet cni_firewall containers4 { 10.88.3.2 }", "10.88.3.2"),
      ("nft delete element inet cni_firewall bridge-foo0 { ::ffff:10.88.3.2 }", "10.88.3.2"),
      ("nft flush chain inet cni_firewall forward", "forward"),
      ("nft flush set inet cni_firewall policed", "foo0"),
      ("nft flush set inet cni_firewall isolated", "foo0"),
      ("nft delete table inet cni_firewall", "10.88.3.2"),
      ("bridge link set dev $(ls /sys/class/net/foo0/brif) isolated off", "isolated"),
      ("iptables-nft -P FORWARD DROP", "10.88.3.2"), ("ip6tables-legacy -P FORWARD DROP", "fd00:88:3::2"),
    ])
  func checkNames(change: String, what: String) throws {
    try FirewallHost.run { host in
      let configuration = try host.add("c1", host.connect("c1"), "\"ingressPolicy\":\"isolated\"")
      try host.host.succeeded(host.check(configuration, "c1"))
      try shell(change)
      let error = try host.host.failed(host.check(configuration, "c1"))
      #expect(error.message.contains(what), "\(error)")
      try host.delete(configuration, "c1")
    }
  }

  @Test("An administrator's rules come first, and stay when all containers have gone")
  func administration() throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      var configuration = try host.add("c1", result, "\"ingressPolicy\":\"isolated\"")
      try shell("nft add rule inet cni_firewall admin ip saddr 10.88.3.2 tcp dport 25 drop")
      try host.delete(configuration, "c1")
      let left = try shell("nft list ruleset")
      #expect(left.contains("dport 25 drop") && !left.contains("hook forward"), "\(left)")
      configuration = try host.add("c1", result, "\"ingressPolicy\":\"isolated\"")
      try host.host.succeeded(host.check(configuration, "c1"))
      #expect(try shell("nft list chain inet cni_firewall admin").contains("dport 25 drop"))
      try shell("nft flush chain inet cni_firewall admin")
      try host.delete(configuration, "c1")
      #expect(try !shell("nft list ruleset").contains("cni_firewall"))
    }
  }

  @Test("An address that another container has by now stays with it")
  func inheritedAddress() throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let keys = "\"backend\":\"iptables\""
      let old = try host.add("c1", result, keys)
      let new = try host.add("c2", result, keys)
      try host.delete(old, "c1")
      try host.host.succeeded(host.host.call(.check, new, container: "c2", namespace: "/run/netns/c1"))
      try host.delete(new, "c2")
      #expect(try !shell("nft list ruleset").contains("10.88.3.2"))
    }
  }

  @Test("Interfaces with strange names have policies of their own")
  func strangeNames() throws {
    for name in ["br_0", "a.b-c", "ünïcø", "x\"y", "_5f"] {
      #expect(NativeFirewall.unescaped(NativeFirewall.escaped(name)[...]) == name)
      #expect(
        NativeFirewall.escaped(name).utf8.allSatisfy {
          $0 < 128 && ($0 > 64 || $0 == 45 || $0 == 46 || $0 >= 48 && $0 < 58)
        })
    }
    #expect(NativeFirewall.escaped("a_b") != NativeFirewall.escaped("a_5fb"))
  }

  @Test("Thirty containers come and go at once", arguments: ["nftables", "iptables"])
  func crowd(backend: String) throws {
    try FirewallHost.run { host in
      let count = 30
      let keys = "\"backend\":\"\(backend)\",\"ingressPolicy\":\"same-bridge\""
      try shell(
        """
        iptables-nft -S >/dev/null; ip6tables-nft -S >/dev/null
        ip link add foo0 type bridge; ip netns add c0
        """)
      let before = try host.saved("nft")
      let results = try (0..<count).map { number in
        try JSONValue.parse(
          """
          {"cniVersion":"1.1.0","interfaces":[{"name":"foo0"},{"name":"eth0","sandbox":"/run/netns/c0"}],
           "ips":[{"address":"10.88.3.\(number + 2)/24","interface":1},{"address":"fd00:88:3::\(number + 2)/64","interface":1}]}
          """)
      }
      let configurations = try concurrently(count) { number in
        let configuration = try host.host.after(results[number], host.firewall(keys))
        _ = try host.host.add(configuration, container: "n\(number)", namespace: "/run/netns/c0")
        return configuration
      }
      for (number, configuration) in configurations.enumerated() {
        try host.host.succeeded(
          host.host.call(.check, configuration, container: "n\(number)", namespace: "/run/netns/c0"))
      }
      if backend == "iptables" {
        let rules = try host.saved("nft").split(separator: "\n")
        #expect(rules.count { $0.hasPrefix("-A CNI-FORWARD") } == 4 * count + 2)
        #expect(rules.count { $0.hasPrefix("-A FORWARD") } == 4)
      }
      _ = try concurrently(count) { number in
        try host.host.succeeded(
          host.host.call(.del, configurations[number], container: "n\(number)", namespace: "/run/netns/c0"))
      }
      #expect(try !shell("nft list ruleset").contains("cni_firewall"))
      #expect(try host.saved("nft") == before)
    }
  }
}
