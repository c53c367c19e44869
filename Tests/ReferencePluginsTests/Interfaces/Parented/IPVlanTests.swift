import CNI
import NetworkAddresses
import TestSupport
import Testing

@Suite("ipvlan", .requiresKernel(.ipvlan))
struct IPVlanTests {
  private let scenario = ParentedScenario(type: "ipvlan")

  @Test("ADD, packets, CHECK, STATUS, GC, DEL, DEL", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws { try scenario.lifeCycle(version) }

  @Test("Both families, at once and announced") func dualStack() throws { try scenario.dualStack() }
  @Test("The default route's link is the master") func defaultMaster() throws { try scenario.defaultMaster() }
  @Test("The master is in the container") func masterInContainer() throws { try scenario.masterInContainer() }
  @Test("MTU") func mtu() throws { try scenario.mtu() }
  @Test("DEL, whatever is missing") func deletions() throws { try scenario.deletions() }
  @Test("GC") func garbage() throws { try scenario.garbage() }
  @Test("STATUS") func status() throws { try scenario.status() }

  @Test("CHECK names what is missing", arguments: ParentedScenario.damages + ParentedScenario.damagesOfMaster)
  func checkFindsDamage(damage: String, named: String) throws {
    try scenario.checkFinds(damage, naming: named)
  }

  @Test(
    "CHECK compares with the configuration",
    arguments: [
      ("\"master\":\"other\"", "does not stand on other"), ("\"master\":\"eth0\",\"mtu\":1300", "MTU 1500"),
      ("\"master\":\"eth0\",\"mode\":\"l3s\"", "in mode l2"),
      ("\"master\":\"eth0\",\"linkInContainer\":true", "not in the container"),
    ])
  func checkFindsOther(keys: String, named: String) throws {
    try scenario.checkFindsOther(keys, naming: named)
  }

  @Test(
    "Wrong input",
    arguments: [
      ("\"master\":\"nowhere\"", "no interface nowhere on the host"), ("\"master\":[]", "master"),
      ("\"master\":\"eth0\",\"mode\":\"l4\"", "\"l2\", \"l3\", \"l3s\""),
      ("\"master\":\"eth0\",\"mode\":2", "mode"),
      ("\"master\":\"eth0\",\"mtu\":-1", "mtu"), ("\"master\":\"eth0\",\"mtu\":1501", "1500"),
      ("\"master\":\"eth0\",\"linkInContainer\":1", "linkInContainer"),
    ])
  func wrongInput(keys: String, named: String) throws { try scenario.refuses(keys, naming: named) }

  @Test(
    "A failed ADD leaves nothing",
    arguments: [
      ("already has an interface eth0", "eth0", "ip -n c1 link add eth0 type veth peer name other"),
      ("port of a bridge", "eth0", "ip link add br0 type bridge; ip link set eth0 master br0"),
      (
        "macvlan or ipvlan, not both", "eth0",
        "ip netns add c2; ip link add link eth0 netns c2 name m0 type macvlan"
      ),
      ("not an Ethernet interface", "lo", ""),
      (
        "already assigned", "eth0",
        "ip netns add c2; ip link add link eth0 netns c2 name i0 type ipvlan mode l2; ip -n c2 addr add 10.22.0.2/16 dev i0"
      ),
    ])
  func failedAdd(message: String, master: String, preparation: String) throws {
    try scenario.fails(message, "\"master\":\"\(master)\"") { _ in try shell(preparation) }
  }

  @Test("Without IPAM there has to be a plugin before it") func missingIPAM() throws {
    try scenario.fails("ipam", ipam: "")
  }

  // MARK: Modes

  @Test("Mode l2: containers reach each other and have the master's hardware address") func l2() throws {
    try TestHost.onNetwork { host in
      let configuration = host.network("ipvlan", "\"master\":\"eth0\",\"mode\":\"l2\"")
      let own = try shell("cat /sys/class/net/eth0/address").prefix { $0 != "\n" }
      for name in ["c1", "c2"] {
        try host.makeContainer(name)
        let result = try host.add(configuration, container: name)
        #expect(result["interfaces"]?.array?.first?["mac"]?.string == String(own))
      }
      try expectPing("c1", "10.22.0.3")
      try expectPing("c2", "10.22.0.1")
    }
  }

  @Test("Modes l3 and l3s: the host routes, its packet filter sees l3s only", arguments: ["l3", "l3s"])
  func l3(mode: String) throws {
    try TestHost.onNetwork { host in
      try shell(
        """
        ip addr add 192.0.2.1/24 dev eth0; ip addr add fd00:2::1/64 dev eth0 nodad; ip addr add fe80::1/64 dev eth0 nodad
        ip -n server addr flush dev eth0 scope global
        ip -n server addr add 192.0.2.2/24 dev eth0; ip -n server addr add fd00:2::2/64 dev eth0 nodad
        ip -n server route add 10.30.0.0/24 via 192.0.2.1; ip -n server -6 route add fd00:30::/64 via fd00:2::1
        """)
      let configuration = host.network(
        "ipvlan", "\"master\":\"eth0\",\"mode\":\"\(mode)\"",
        ipam: "\"type\":\"host-local\",\"dataDir\":\"\(host.dataDirectory)\","
          + "\"ranges\":[[{\"subnet\":\"10.30.0.0/24\"}],[{\"subnet\":\"fd00:30::/64\"}]],"
          + "\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"}]")
      var results: [JSONValue] = []
      for name in ["c1", "c2"] {
        try host.makeContainer(name)
        results.append(try host.add(configuration, container: name))
        #expect(try shell("ip -n \(name) -d link show eth0").contains("ipvlan  mode \(mode) "))
      }
      for address in ["10.30.0.3", "fd00:30::3", "192.0.2.2", "fd00:2::2"] { try expectPing("c1", address) }
      for address in ["10.30.0.2", "fd00:30::2"] { try expectPing("server", address) }
      try host.succeeded(host.call(.check, host.after(results[0], configuration)))

      try shell(
        """
        nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in ip daddr 10.30.0.2 drop'
        """)
      try expectPing("server", "10.30.0.2", passes: mode == "l3")
      try host.succeeded(host.call(.del, configuration))
    }
  }

  @Test("A master has one mode: CHECK says so where another network has changed it") func oneMode() throws {
    try TestHost.onNetwork { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let first = host.network("ipvlan", "\"master\":\"eth0\"")
      let result = try host.add(first, container: "c1")
      _ = try host.add(
        host.network(
          "ipvlan", "\"master\":\"eth0\",\"mode\":\"l3\"", ipam: host.fixed("10.22.0.9/16"), name: "other"),
        container: "c2")
      let error = try host.failed(host.call(.check, host.after(result, first)))
      #expect(error.message.contains("in mode l3") && error.details.contains("same mode"), "\(error)")
    }
  }

  // MARK: Behind another plugin

  /// What the plugin before has left, in the form of 1.0.0.
  private func previous(_ interfaces: String...) -> String {
    """
    "prevResult":{"cniVersion":"1.1.0","interfaces":[\(interfaces.joined(separator: ","))],
    "ips":[{"address":"10.22.0.50/16","gateway":"10.22.0.1"}],"routes":[{"dst":"0.0.0.0/0"}],
    "dns":{"nameservers":["10.22.0.1"]}}
    """
  }

  @Test("Behind another plugin: its interface is the master, its addresses are the container's")
  func chained() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let alone = host.network("ipvlan", ipam: "")
      try host.succeeded(host.status(alone))
      let added = try host.add(host.network("ipvlan", previous("{\"name\":\"eth0\"}"), ipam: ""))
      let decoded = try AddResult.decode(added, version: .v1_1_0)
      #expect(decoded.interfaces.map(\.sandbox) == ["/run/netns/c1"])
      #expect(decoded.ips.map(\.address.description) == ["10.22.0.50/16"])
      #expect(decoded.ips.first?.interface == 0)
      #expect(decoded.dns.nameservers == ["10.22.0.1"])
      try expectPing("c1", "10.22.0.1")
      try expectPing("server", "10.22.0.50")
      #expect(try shell("ip -n c1 route").contains("default via 10.22.0.1"))
      let later = try host.after(added, alone)
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      try host.expectUnchanged(since: before)

      let several = host.network("ipvlan", previous("{\"name\":\"eth0\"}", "{\"name\":\"eth1\"}"), ipam: "")
      let error = try host.failed(host.call(.add, several))
      #expect(error.code == .invalidConfiguration && error.message.contains("2 interfaces"), "\(error)")
      try host.succeeded(host.call(.del, several))
      try host.expectUnchanged(since: before)

      // Addresses of its own come before those of the plugin before.
      let both = host.network("ipvlan", previous("{\"name\":\"eth0\"}"), ipam: host.fixed("10.22.0.60/16"))
      #expect(try host.add(both)["ips"]?.array?.first?["address"] == "10.22.0.60/16")
      try host.succeeded(host.call(.del, both))
    }
  }

  @Test("Behind another plugin whose interface is in the container") func chainedInContainer() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      try shell("ip link set eth0 netns c1 name up0; ip -n c1 link set up0 up")
      let before = previous("{\"name\":\"up0\",\"sandbox\":\"/run/netns/c1\"}")
      _ = try host.add(host.network("ipvlan", before, ipam: ""))
      #expect(try shell("ip -n c1 -o link show eth0").contains("eth0@up0:"))
      try expectPing("c1", "10.22.0.1")
    }
  }
}

@Suite("ipvlan where the kernel has none", .requiresKernel(without: .ipvlan))
struct NoIPVlanTests {
  @Test("STATUS and ADD say so") func said() throws {
    try ParentedScenario.lacking("ipvlan", keys: "\"master\":\"eth0\"")
  }
}
