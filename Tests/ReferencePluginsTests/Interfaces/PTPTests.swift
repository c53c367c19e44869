import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  static let dualStack = """
    "ranges":[[{"subnet":"10.22.0.0/16"}],[{"subnet":"fd00:22::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]
    """

  /// The configuration of a ptp network; `keys` and `ipam` are further members, as JSON text.
  func ptp(
    _ keys: String = "\"ipMasq\":true", ipam: String = TestHost.dualStack, type: String = "host-local",
    version: String = "1.1.0"
  ) -> String {
    """
    {"cniVersion":"\(version)","name":"net","type":"ptp"\(keys.isEmpty ? "" : ",")\(keys),
     "ipam":{"type":"\(type)","dataDir":"\(dataDirectory)",\(ipam)}}
    """
  }

  /// Makes a namespace behind the host that knows no way back to the containers: 198.51.100.2, 2001:db8:51::2.
  func makeWorld() throws {
    try shell(
      """
      ip netns add world; ip link add out0 type veth peer name out1 netns world
      ip addr add 198.51.100.1/24 dev out0; ip addr add 2001:db8:51::1/64 dev out0 nodad; ip link set out0 up
      ip -n world addr add 198.51.100.2/24 dev out1; ip -n world addr add 2001:db8:51::2/64 dev out1 nodad
      ip -n world link set out1 up; ip -n world link set lo up
      """)
  }

  /// The interfaces' names as a result lists them.
  func interfaceNames(_ result: JSONValue) -> [String] {
    result["interfaces"]?.array?.compactMap { $0["name"]?.string } ?? []
  }
}

@Suite("ptp", .requiresRoot)
struct PTPTests {
  @Test("A whole life in every version of the protocol", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.ptp(version: version.rawValue)
      let result = try host.add(configuration)
      // Who asks for an address is answered from now on.
      #expect(try shell("ip -6 maddr show").contains(" ff02::1:ff00:1"))
      #expect(try shell("ip netns exec c1 ip -6 maddr show dev eth0").contains(" ff02::1:ff00:2"))
      #expect(result["cniVersion"]?.string == version.rawValue)
      let decoded = try AddResult.decode(result, version: version)
      #expect(decoded.ips.map(\.address.description) == ["10.22.0.2/16", "fd00:22::2/64"])
      #expect(decoded.ips.map(\.gateway?.description) == ["10.22.0.1", "fd00:22::1"])
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1; ip netns exec c1 ping -c1 -W2 fd00:22::1")
      let ends = try shell("ip -d link show type veth; ip netns exec c1 ip -d link show eth0")
      #expect(ends.split(separator: " ").count { $0 == "numtxqueues" } == 2)
      #expect(
        ends.split(separator: "\n").count { $0.contains("numtxqueues 1 numrxqueues 1 ") } == 2, "\(ends)")
      if version >= .v0_4_0 { try host.succeeded(host.call(.check, host.after(result, configuration))) }
      if version >= .v1_1_0 {
        try host.succeeded(
          host.call(.status, configuration, container: "", namespace: "", interface: ""))
      }
      try host.succeeded(host.call(.del, configuration))
      try host.succeeded(host.call(.del, configuration))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("The result lists the host's end and the container's, which has the addresses")
  func result() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let result = try AddResult.decode(host.add(host.ptp()), version: .v1_1_0)
      try #require(result.interfaces.count == 2)
      #expect(result.interfaces[1].name == "eth0" && result.interfaces[1].sandbox == "/run/netns/c1")
      #expect(result.interfaces[0].sandbox == nil)
      #expect(result.ips.map(\.interface) == [1, 1])
      let hostEnd = try shell("ip -o link show dev \(result.interfaces[0].name)")
      #expect(hostEnd.contains(result.interfaces[0].mac!) && hostEnd.contains("alias cni:net/c1/eth0"))
      #expect(try shell("ip -n c1 -o link show dev eth0").contains(result.interfaces[1].mac!))
      #expect(result.routes.map(\.destination.description) == ["0.0.0.0/0", "::/0"])
    }
  }

  /// Word for word what the Go plugin 1.1.1 leaves, under another name of the host's end.
  @Test("Routes, addresses and settings are those of the Go plugin")
  func kernelState() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let names = host.interfaceNames(try host.add(host.ptp("\"mtu\":1400")))
      func lines(_ command: String) throws -> [String] {
        try shell(command).split(separator: "\n").map { line in
          line.split(separator: " ").joined(separator: " ").replacing(names[0], with: "HOST")
        }
      }
      #expect(
        try lines("ip -n c1 route") == [
          "default via 10.22.0.1 dev eth0", "10.22.0.0/16 via 10.22.0.1 dev eth0 src 10.22.0.2",
          "10.22.0.1 dev eth0 scope link src 10.22.0.2",
        ])
      #expect(
        try lines("ip -n c1 -6 route | grep -v fe80:") == [
          "fd00:22::1 dev eth0 src fd00:22::2 metric 1024 pref medium",
          "fd00:22::/64 via fd00:22::1 dev eth0 src fd00:22::2 metric 1024 pref medium",
          "default via fd00:22::1 dev eth0 metric 1024 pref medium",
        ])
      #expect(
        try lines("ip -n c1 route show table local dev eth0") == [
          "local 10.22.0.2 proto kernel scope host src 10.22.0.2",
          "broadcast 10.22.255.255 proto kernel scope link src 10.22.0.2",
        ])
      #expect(try lines("ip route") == ["10.22.0.2 dev HOST scope host"])
      #expect(
        try lines("ip -6 route | grep -v fe80:") == [
          "fd00:22::1 dev HOST proto kernel metric 256 pref medium",
          "fd00:22::2 dev HOST metric 1024 pref medium",
        ])
      #expect(
        try shell("ip -o -4 addr show dev \(names[0])").contains("inet 10.22.0.1/32 scope global \(names[0])")
      )
      #expect(try shell("ip -n c1 -o -4 addr").contains("inet 10.22.0.2/16 brd 10.22.255.255 scope global"))
      for end in ["-n c1 link show dev eth0", "link show dev \(names[0])"] {
        #expect(try shell("ip -o \(end)").contains("mtu 1400"))
      }
      #expect(
        try shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding") == "1\n1\n")
      #expect(try shell("cat /proc/sys/net/ipv6/conf/\(names[0])/accept_ra") == "0\n")
      #expect(
        try shell(
          "cd /proc/sys/net; ip netns exec c1 cat ipv4/conf/eth0/arp_notify ipv6/conf/eth0/accept_dad ipv6/conf/eth0/keep_addr_on_down"
        ) == "0\n1\n1\n")
    }
  }

  @Test("Nobody waits for IPv6: no address of either end is tentative")
  func noDuplicateAddressDetection() throws {
    try TestHost.run { host in
      try host.makeContainer()
      _ = try host.add(host.ptp())
      let addresses = try shell("ip -o -6 addr; ip -n c1 -o -6 addr show scope global")
      #expect(addresses.contains("fd00:22::1/128") && addresses.contains("fd00:22::2/64"))
      #expect(addresses.contains("fe80:"))
      #expect(!addresses.contains("tentative"))
    }
  }

  @Test(
    "A network of IPv4 alone leaves the host's IPv6 alone, and takes no advertisements from the container")
  func onlyIPv4() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let result = try host.add(host.ptp("", ipam: "\"subnet\":\"10.22.0.0/16\""))
      let name = host.interfaceNames(result)[0]
      #expect(
        try shell("cd /proc/sys/net/ipv6/conf; cat all/forwarding \(name)/accept_ra") == "0\n0\n")
    }
  }

  @Test("Containers reach each other, in both families; one's DEL leaves the other's network alone")
  func twoContainers() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.ptp()
      let first = try host.add(configuration, container: "c1")
      let second = try host.add(configuration, container: "c2")
      try shell(
        """
        ip netns exec c1 ping -c1 -W2 10.22.0.3; ip netns exec c2 ping -c1 -W2 10.22.0.2
        ip netns exec c1 ping -c1 -W2 fd00:22::3; ip netns exec c2 ping -c1 -W2 fd00:22::2
        ping -c1 -W2 10.22.0.2; ping -c1 -W2 fd00:22::3
        """)
      try host.succeeded(
        host.call(.del, host.after(second, configuration), container: "c2", namespace: "/run/netns/c2"))
      try host.succeeded(host.call(.check, host.after(first, configuration)))
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1; ip netns exec c1 ping -c1 -W2 fd00:22::1")
    }
  }

  @Test("The world answers masqueraded containers, and only those", arguments: ["nftables", "iptables"])
  func masquerade(backend: String) throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      try host.makeWorld()
      let configuration = host.ptp("\"ipMasq\":true,\"ipMasqBackend\":\"\(backend)\"")
      let result = try host.add(configuration)
      _ = try host.add(host.ptp(""), container: "c2")
      try shell(
        "ip netns exec c1 ping -c1 -W2 198.51.100.2; ip netns exec c1 ping -c1 -W2 2001:db8:51::2")
      for address in ["198.51.100.2", "2001:db8:51::2"] {
        #expect(throws: CommandFailure.self) { try shell("ip netns exec c2 ping -c1 -W1 \(address)") }
      }
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      let rules = try shell("nft list ruleset; iptables-save; ip6tables-save")
      #expect(
        !rules.contains("10.22.0.2") && !rules.contains("fd00:22::2") && !rules.contains("CNI-"), "\(rules)")
    }
  }

  // MARK: Unusual addresses

  @Test("Addresses of their own, with a gateway outside, as /32 and /128")
  func singleAddresses() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      func configuration(_ last: Int) -> String {
        host.ptp(
          "",
          ipam: """
            "addresses":[{"address":"10.9.0.\(last)/32","gateway":"169.254.1.1"},
             {"address":"fd00:9::\(last)/128","gateway":"fe80::1:1"}],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]
            """, type: "static")
      }
      let result = try host.add(configuration(1))
      _ = try host.add(configuration(2), container: "c2")
      try shell("ip netns exec c1 ping -c1 -W2 10.9.0.2; ip netns exec c2 ping -c1 -W2 fd00:9::1")
      #expect(try shell("ip -n c1 route").contains("169.254.1.1 dev eth0 scope link src 10.9.0.1"))
      try host.succeeded(host.call(.check, host.after(result, configuration(1))))
    }
  }

  @Test("A route of IPAM by way of another address of the subnet is set, as the Go plugin sets it")
  func routeInSubnet() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let ipam = "\"subnet\":\"10.22.0.0/16\",\"routes\":[{\"dst\":\"192.0.2.0/24\",\"gw\":\"10.22.0.77\"}]"
      _ = try host.add(host.ptp("", ipam: ipam))
      let routes = try shell("ip -n c1 route")
      #expect(routes.contains("192.0.2.0/24 via 10.22.0.77 dev eth0"))
      #expect(routes.contains("10.22.0.0/16 via 10.22.0.1") && !routes.contains("10.22.0.0/16 dev"))
    }
  }

  @Test("Two addresses of one subnet, with the same gateway")
  func sharedGateway() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.ptp(
        ipam: """
          "addresses":[{"address":"10.9.0.5/24","gateway":"10.9.0.1"},{"address":"10.9.0.6/24","gateway":"10.9.0.1"}]
          """, type: "static")
      let before = try host.snapshot()
      let result = try host.add(configuration)
      try shell("ping -c1 -W2 10.9.0.5; ping -c1 -W2 10.9.0.6; ip netns exec c1 ping -c1 -W2 10.9.0.1")
      try host.succeeded(host.call(.check, host.after(result, configuration)))
      try host.succeeded(host.call(.del, configuration))
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: CHECK

  @Test(
    "CHECK names what is missing",
    arguments: [
      ("ip -n c1 addr del 10.22.0.2/16 dev eth0", "10.22.0.2/16"),
      ("ip -n c1 addr del fd00:22::2/64 dev eth0", "fd00:22::2/64"),
      ("ip -n c1 route del default", "0.0.0.0/0"),
      ("ip -n c1 route del 10.22.0.0/16", "10.22.0.0/16 via 10.22.0.1"),
      ("ip -n c1 -6 route del fd00:22::/64", "fd00:22::/64 via fd00:22::1"),
      ("ip -n c1 -6 route del fd00:22::1", "fd00:22::1/128"),
      ("ip -n c1 link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
      ("ip -n c1 link set eth0 down", "eth0 is down"),
      ("ip -n c1 link del eth0", "eth0"),
      ("ip -n c1 link set eth0 name eth9", "eth0"),
      ("ip link set HOST down", "HOST"),
      ("ip link set HOST address 02:00:00:00:00:98", "02:00:00:00:00:98"),
      ("ip link set HOST down; ip link set HOST name other0", "other0"),
      ("ip addr del 10.22.0.1/32 dev HOST", "10.22.0.1/32"),
      ("ip addr del fd00:22::1/128 dev HOST", "fd00:22::1/128"),
      ("ip route del 10.22.0.2", "10.22.0.2/32"),
      ("ip -6 route del fd00:22::2", "fd00:22::2/128"),
      ("echo 0 >/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward"),
      ("echo 0 >/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
      ("nft delete table inet cni_masquerade", "masquerad"),
      ("ip -n c1 link del eth0; ip -n c1 link add eth0 type bridge", "eth0"),
    ])
  func checkFindsDamage(damage: String, named: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.ptp()
      let result = try host.add(configuration)
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      let name = host.interfaceNames(result)[0]
      try shell(damage.replacing("HOST", with: name))
      let error = try host.failed(host.call(.check, later))
      #expect(error.description.contains(named.replacing("HOST", with: name)), "\(error)")
    }
  }

  @Test("CHECK needs the result of ADD")
  func checkWithoutResult() throws {
    try TestHost.run { host in
      try host.makeContainer()
      _ = try host.add(host.ptp())
      let error = try host.failed(host.call(.check, host.ptp()))
      #expect(error.code == .invalidConfiguration && error.message.contains("prevResult"))
    }
  }

  // MARK: Configuration

  @Test(
    "Wrong values are refused with the key and the remedy",
    arguments: [
      ("\"mtu\":-1", "mtu"), ("\"mtu\":70000", "mtu"), ("\"mtu\":\"big\"", "mtu"),
      ("\"ipMasq\":\"yes\"", "ipMasq"), ("\"ipMasq\":1", "ipMasq"),
      ("\"ipMasq\":true,\"ipMasqBackend\":\"magic\"", "ipMasqBackend"),
      ("\"ipMasq\":true,\"ipMasqBackend\":7", "ipMasqBackend"), ("\"dns\":\"here\"", "dns"),
    ])
  func wrongValues(keys: String, named: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.ptp(keys)))
      #expect(error.code == .invalidConfiguration || error.code == .decodingFailure)
      #expect(error.description.contains(named), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("Keys match without regard to case; null and empty count as absent")
  func tolerance() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let result = try host.add(
        host.ptp("\"IPMASQ\":true,\"ipmasqbackend\":\"\",\"MTU\":null,\"dns\":null,\"args\":null"))
      #expect(try shell("nft list ruleset").contains("cni:net/c1/eth0"))
      #expect(try shell("ip -n c1 link show dev eth0").contains("mtu 1500"))
      #expect(host.interfaceNames(result).count == 2)
    }
  }

  @Test(
    "Without IPAM there is no network to make", arguments: ["", ",\"ipam\":{}", ",\"ipam\":{\"type\":\"\"}"])
  func noIPAM(ipam: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"ptp\"\(ipam)}"
      for command in [Command.add, .status] {
        let error = try host.failed(host.call(command, configuration))
        #expect(error.code == .invalidConfiguration && error.description.contains("ipam"), "\(error)")
        #expect(error.description.contains("host-local"), "\(error)")
      }
      try host.succeeded(host.call(.del, configuration))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("The network's DNS settings take precedence over those of IPAM")
  func dns() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      func configuration(_ last: Int, _ keys: String) -> String {
        host.ptp(
          keys,
          ipam: """
            "addresses":[{"address":"10.9.0.\(last)/24","gateway":"10.9.0.1"}],"dns":{"nameservers":["192.0.2.1"]}
            """, type: "static")
      }
      let leased = try host.add(configuration(5, ""))
      #expect(leased["dns"]?["nameservers"]?.array == ["192.0.2.1"])
      let own = try host.add(configuration(6, "\"dns\":{\"nameservers\":[\"192.0.2.53\"]}"), container: "c2")
      #expect(own["dns"]?["nameservers"]?.array == ["192.0.2.53"])
    }
  }
}
