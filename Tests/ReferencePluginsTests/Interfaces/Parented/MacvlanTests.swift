import CNI
import NetworkAddresses
import TestSupport
import Testing

@Suite("macvlan", .requiresRoot)
struct MacvlanTests {
  private let scenario = ParentedScenario(type: "macvlan")

  @Test("ADD, packets, CHECK, STATUS, GC, DEL, DEL", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws { try scenario.lifeCycle(version) }

  @Test("Both families, at once and announced") func dualStack() throws { try scenario.dualStack() }
  @Test("The default route's link is the master") func defaultMaster() throws { try scenario.defaultMaster() }
  @Test("The master is in the container") func masterInContainer() throws { try scenario.masterInContainer() }
  @Test("MTU") func mtu() throws { try scenario.mtu() }
  @Test("DEL, whatever is missing") func deletions() throws { try scenario.deletions() }
  @Test("GC") func garbage() throws { try scenario.garbage() }
  @Test("STATUS") func status() throws { try scenario.status() }

  @Test(
    "CHECK names what is missing",
    arguments: ParentedScenario.damages + ParentedScenario.damagesOfMaster + [
      ("ip -n c1 link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
      ("ip -n c1 link set eth0 type macvlan mode private", "in mode private"),
      (
        "ip -n c1 link del eth0; ip -n c1 link add eth0 address 02:00:00:00:00:01 type veth peer name v1; "
          + "ip -n c1 addr add 10.22.0.2/16 dev eth0; ip -n c1 link set eth0 up; ip -n c1 link set v1 up; "
          + "ip -n c1 route add default via 10.22.0.1", "is a veth"
      ),
      ("ip -n c1 link set eth0 mtu 1299", "MTU 1299"),
      ("ip -n c1 link set eth0 type macvlan bcqueuelen 70", "bcqueuelen 70"),
    ])
  func checkFindsDamage(damage: String, named: String) throws {
    try scenario.checkFinds(
      damage, naming: named,
      keys: "\"master\":\"eth0\",\"mtu\":1300,\"bcqueuelen\":90,\"mac\":\"02:00:00:00:00:01\"")
  }

  @Test(
    "Wrong input",
    arguments: [
      ("\"master\":\"nowhere\"", "no interface nowhere on the host"), ("\"master\":7", "master"),
      ("\"master\":\"no name\"", "master"), ("\"master\":\"a/b\"", "master"),
      ("\"master\":\"eth0\",\"mode\":\"hairpin\"", "\"bridge\", \"private\", \"vepa\", \"passthru\""),
      ("\"master\":\"eth0\",\"mode\":\"Bridge\"", "mode"), ("\"master\":\"eth0\",\"mode\":1", "mode"),
      ("\"master\":\"eth0\",\"mtu\":-1", "mtu"), ("\"master\":\"eth0\",\"mtu\":\"1500\"", "mtu"),
      ("\"master\":\"eth0\",\"mtu\":1501", "1500"), ("\"master\":\"eth0\",\"mtu\":70000", "mtu"),
      ("\"master\":\"eth0\",\"mac\":\"02:00:00\"", "mac"), ("\"master\":\"eth0\",\"mac\":1", "mac"),
      ("\"master\":\"eth0\",\"mac\":\"01:00:5e:00:00:01\"", "multicast"),
      ("\"master\":\"eth0\",\"mac\":\"00:00:00:00:00:00\"", "mac"),
      ("\"master\":\"eth0\",\"runtimeConfig\":{\"mac\":\"x\"}", "runtimeConfig.mac"),
      ("\"master\":\"eth0\",\"args\":{\"cni\":{\"mac\":\"x\"}}", "args.cni.mac"),
      ("\"master\":\"eth0\",\"linkInContainer\":\"yes\"", "linkInContainer"),
      ("\"master\":\"eth0\",\"bcqueuelen\":-1", "bcqueuelen"),
      ("\"master\":\"eth0\",\"bcqueuelen\":4294967296", "bcqueuelen"),
      ("\"master\":\"eth0\",\"bcqueuelen\":\"9\"", "bcqueuelen"),
    ])
  func wrongInput(keys: String, named: String) throws { try scenario.refuses(keys, naming: named) }

  @Test("What is left open may be null or empty")
  func nothingSaid() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      try host.succeeded(
        host.call(
          .add,
          host.network(
            "macvlan",
            """
            "Master":"eth0","mode":"","mtu":null,"mac":"","linkInContainer":null,"bcqueuelen":0,"runtimeConfig":{"mac":""}
            """)))
    }
  }

  @Test(
    "A failed ADD leaves nothing",
    arguments: [
      ("already has an interface eth0", "", "ip -n c1 link add eth0 type veth peer name other"),
      ("port of a bridge", "", "ip link add br0 type bridge; ip link set eth0 master br0"),
      ("not an Ethernet interface", "lo", ""),
      ("has the hardware address 02:00:00:00:00:01", "", "ip link set eth0 address 02:00:00:00:00:01"),
    ])
  func failedAdd(message: String, master: String, preparation: String) throws {
    try scenario.fails(
      message, "\"master\":\"\(master.isEmpty ? "eth0" : master)\",\"mac\":\"02:00:00:00:00:01\""
    ) { _ in try shell(preparation) }
  }

  @Test("A failing IPAM plugin leaves nothing") func failedIPAM() throws {
    try scenario.fails(
      "10.22.0.300", ipam: "\"type\":\"static\",\"addresses\":[{\"address\":\"10.22.0.300/16\"}]")
    try scenario.fails(
      "route",
      ipam: "\"type\":\"static\",\"addresses\":[{\"address\":\"10.22.0.5/16\"}],"
        + "\"routes\":[{\"dst\":\"192.0.2.0/24\",\"gw\":\"198.51.100.1\"}]")
  }

  // MARK: Modes

  /// Containers c1 and c2, 10.22.0.2 and 10.22.0.3, in that mode.
  private func twoContainers(_ mode: String, _ body: (TestHost) throws -> Void) throws {
    try TestHost.onNetwork { host in
      for name in ["c1", "c2"] {
        try host.makeContainer(name)
        let configuration = host.network("macvlan", "\"master\":\"eth0\",\"mode\":\"\(mode)\"")
        let result = try host.add(configuration, container: name)
        #expect(try shell("ip -n \(name) -d link show eth0").contains("macvlan mode \(mode)"))
        try host.succeeded(
          host.call(
            .check, host.after(result, configuration), container: name, namespace: "/run/netns/\(name)"))
        try expectPing(name, "10.22.0.1")
      }
      try body(host)
    }
  }

  /// Makes the server's end the port of a switch that sends frames back to where they came from.
  private func makeReflecting() throws {
    try shell(
      """
      ip -n server link add br0 type bridge; ip -n server link set eth0 master br0; ip -n server link set br0 up
      ip -n server link set eth0 type bridge_slave hairpin on
      """)
  }

  @Test("Mode bridge: containers reach each other") func bridge() throws {
    try twoContainers("bridge") { _ in try expectPing("c1", "10.22.0.3") }
  }

  @Test("Mode private: they do not, not even by way of the switch") func `private`() throws {
    try twoContainers("private") { _ in
      try expectPing("c1", "10.22.0.3", passes: false)
      try makeReflecting()
      try expectPing("c1", "10.22.0.3", passes: false)
    }
  }

  @Test("Mode vepa: they do if the switch sends their frames back") func vepa() throws {
    try twoContainers("vepa") { _ in
      try expectPing("c1", "10.22.0.3", passes: false)
      try makeReflecting()
      try expectPing("c1", "10.22.0.3")
    }
  }

  @Test("Mode passthru: one container has the master for itself, and gives it back")
  func passthru() throws {
    try TestHost.onNetwork { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let before = try host.snapshot()
      let own = try shell("cat /sys/class/net/eth0/address").prefix { $0 != "\n" }
      let configuration = host.network("macvlan", "\"master\":\"eth0\",\"mode\":\"passthru\"")
      let result = try host.add(configuration)
      #expect(result["interfaces"]?.array?.first?["mac"]?.string == String(own))
      try expectPing("c1", "10.22.0.1")
      try host.succeeded(host.call(.check, host.after(result, configuration)))
      for mode in ["passthru", "bridge"] {
        let second = host.network("macvlan", "\"master\":\"eth0\",\"mode\":\"\(mode)\"")
        let error = try host.failed(host.call(.add, second, container: "c2", namespace: "/run/netns/c2"))
        #expect(error.description.contains("single macvlan in mode passthru"), "\(error)")
      }
      try host.succeeded(host.call(.del, configuration))

      // The container's address becomes the master's, as long as it is there.
      let chosen = host.network(
        "macvlan", "\"master\":\"eth0\",\"mode\":\"passthru\",\"mac\":\"02:00:00:00:00:05\"")
      let second = try host.add(chosen)
      #expect(second["interfaces"]?.array?.first?["mac"] == "02:00:00:00:00:05")
      #expect(try shell("cat /sys/class/net/eth0/address") == "02:00:00:00:00:05\n")
      try expectPing("c1", "10.22.0.1")
      try host.succeeded(host.call(.check, host.after(second, chosen)))
      try host.succeeded(host.call(.del, chosen))
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: Keys

  @Test("The hardware address: runtimeConfig before args.cni, CNI_ARGS and the plugin's own key")
  func hardwareAddress() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      func expect(_ last: String, _ keys: String, arguments: String = "") throws {
        let configuration = host.network("macvlan", "\"master\":\"eth0\"" + keys, ipam: "")
        let result = try host.add(configuration, arguments: arguments)
        #expect(result["interfaces"]?.array?.first?["mac"]?.string == "02:00:00:00:00:0\(last)")
        #expect(try shell("ip -n c1 link show eth0").contains("02:00:00:00:00:0\(last)"))
        try host.succeeded(host.call(.del, configuration, arguments: arguments))
      }
      let own = ",\"mac\":\"02:00:00:00:00:01\""
      let args = ",\"args\":{\"cni\":{\"mac\":\"02:00:00:00:00:03\"}}"
      let runtime = ",\"runtimeConfig\":{\"Mac\":\"02:00:00:00:00:04\"}"
      try expect("1", own)
      try expect("2", own, arguments: "IgnoreUnknown=1;K8S_POD_NAME=p;MAC=02:00:00:00:00:02")
      try expect("3", own + args, arguments: "MAC=02:00:00:00:00:02")
      try expect("4", own + args + runtime, arguments: "MAC=02:00:00:00:00:02")
    }
  }

  @Test("Without IPAM: layer 2, up and without addresses")
  func layer2() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.network("macvlan", "\"master\":\"eth0\"", ipam: "")
      let result = try host.add(configuration)
      #expect(result["ips"] == nil)
      let shown = try shell("ip -n c1 link show eth0")
      #expect(shown.contains(",UP"), "\(shown)")
      try host.succeeded(host.call(.check, host.after(result, configuration)))
      try host.succeeded(host.call(.del, configuration))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("bcqueuelen") func broadcastQueue() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      try host.succeeded(
        host.call(.add, host.network("macvlan", "\"master\":\"eth0\",\"bcqueuelen\":250")))
      #expect(try shell("ip -n c1 -d link show eth0").contains("bcqueuelen 250 "))
    }
  }
}
