import CNI
import CNIExecution
import NetworkAddresses
import TestSupport
import Testing

@Suite("bridge", .requiresRoot)
struct BridgeTests {
  private let gateway = "\"isGateway\":true,\"ipMasq\":true"

  @Test("A container gets a network, CHECK agrees, DEL leaves nothing")
  func lifeCycle() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.bridge(gateway)
      let result = try host.add(configuration)

      #expect(result["cniVersion"] == "1.1.0")
      let decoded = try AddResult.decode(result, version: .v1_1_0)
      #expect(decoded.interfaces.map(\.name).first == "cni0")
      #expect(decoded.interfaces.last?.name == "eth0")
      #expect(decoded.interfaces.last?.sandbox == "/run/netns/c1")
      #expect(decoded.ips.map(\.address.description) == ["10.22.0.2/16"])
      #expect(decoded.ips.first?.gateway?.description == "10.22.0.1")
      #expect(decoded.ips.first?.interface == 2)

      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1")
      #expect(try shell("ip -n c1 route").contains("default via 10.22.0.1 dev eth0"))
      #expect(
        try shell("ip -o link show dev \(decoded.interfaces[1].name)").contains("alias cni:net/c1/eth0"))
      #expect(try shell("nft list ruleset").contains("cni:net/c1/eth0"))

      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      try host.succeeded(host.call(.del, later))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("Two containers reach each other; the second one's ADD and DEL leave the first alone")
  func twoContainers() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.bridge(gateway)
      let first = try host.add(configuration, container: "c1")
      let second = try host.add(configuration, container: "c2")
      #expect(second["ips"]?.array?.first?["address"] == "10.22.0.3/16")
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.3; ip netns exec c2 ping -c1 -W2 10.22.0.2")
      try host.succeeded(
        host.call(.del, host.after(second, configuration), container: "c2", namespace: "/run/netns/c2"))
      try host.succeeded(host.call(.check, host.after(first, configuration)))
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1")
    }
  }

  @Test("DEL without prevResult, and with the namespace gone or not given, removes everything")
  func deleteWithoutHelp() throws {
    try TestHost.run { host in
      let configuration = host.bridge(gateway)
      let before = try host.snapshot()
      try host.makeContainer()
      _ = try host.add(configuration)
      try shell("ip netns del c1")
      try host.succeeded(host.call(.del, configuration))
      try host.expectUnchanged(since: before)

      try host.makeContainer()
      _ = try host.add(configuration)
      try host.succeeded(host.call(.del, configuration, namespace: ""))
      try shell("ip netns del c1")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("The bridge goes with its last container, though the configuration names another one by now")
  func renamedBridge() throws {
    try TestHost.run { host in
      let configuration = host.bridge(gateway)
      let changed = configuration.split(separator: "cni0").joined(separator: "cni9")
      #expect(changed != configuration)
      let before = try host.snapshot()
      for isGone in [false, true] {
        try host.makeContainer()
        let result = try host.add(configuration)
        try host.makeContainer("c2")
        let second = try host.add(configuration, container: "c2")
        if isGone {
          try shell(
            "ip netns del c1; while [ $(ip -o link show master cni0 | wc -l) != 1 ]; do sleep 0.05; done")
        }
        try host.succeeded(host.call(.del, host.after(result, changed)))
        // That of another container stays.
        #expect(try shell("ip -o link show type bridge").contains("cni0"))
        try host.succeeded(
          host.call(
            .del, host.after(second, changed), container: "c2", namespace: isGone ? "" : "/run/netns/c2"))
        try shell("ip netns del c2; ip netns del c1 || true")
        try host.expectUnchanged(since: before)
      }
    }
  }

  @Test("DEL of an attachment that never was succeeds")
  func deleteOfNothing() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      try host.succeeded(host.call(.del, host.bridge(gateway)))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("GC removes links, rules and leases of attachments that are not valid, and of no others")
  func garbage() throws {
    try TestHost.run { host in
      for name in ["c1", "c2", "c3"] { try host.makeContainer(name) }
      let configuration = host.bridge(gateway)
      let kept = try host.add(configuration, container: "c1")
      let beforeOthers = try host.snapshot()
      _ = try host.add(configuration, container: "c2")
      _ = try host.add(configuration, container: "c3")
      try shell("ip netns del c3")

      var json = try JSONValue.parse(configuration).object!
      json.append(
        "cni.dev/valid-attachments", .array([Attachment(containerID: "c1", interfaceName: "eth0").encode()]))
      let request = String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
      try host.succeeded(host.call(.gc, request, container: "", namespace: "", interface: ""))
      try shell("ip netns del c2")
      let after = try host.snapshot().split(separator: "\n").filter { !$0.hasPrefix("container") }
      let expected = beforeOthers.split(separator: "\n").filter { !$0.hasPrefix("container") }
      #expect(
        Set(after).symmetricDifference(expected).filter { $0.contains("c2") || $0.contains("c3") } == [])
      try host.succeeded(host.call(.check, host.after(kept, configuration)))
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1")
    }
  }

  @Test("IPv6 and IPv4 together, without waiting for duplicate address detection")
  func dualStack() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let ipam =
        "\"ranges\":[[{\"subnet\":\"10.22.0.0/16\"}],[{\"subnet\":\"fd00:22::/64\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"}]"
      let configuration = host.bridge(gateway, ipam: ipam)
      let result = try host.add(configuration)
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1; ip netns exec c1 ping -c1 -W2 fd00:22::1")
      #expect(try !shell("ip -n c1 -6 addr show dev eth0 scope global").contains("tentative"))
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "CHECK names what is missing",
    arguments: [
      ("ip -n c1 addr del 10.22.0.2/16 dev eth0", "10.22.0.2/16"),
      ("ip -n c1 route del default", "0.0.0.0/0"),
      ("ip -n c1 link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
      ("ip -n c1 link del eth0", "eth0"),
      ("for l in $(ls /sys/class/net | grep veth); do ip link set $l nomaster; done", "cni0"),
      ("nft delete table inet cni_masquerade", "masquerad"),
    ])
  func checkFindsDamage(damage: String, named: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(gateway)
      let result = try host.add(configuration)
      try shell(damage)
      let error = try host.failed(host.call(.check, host.after(result, configuration)))
      #expect(error.description.contains(named), "\(error)")
    }
  }

  @Test("The hardware address of the caller is used: runtimeConfig before args before CNI_ARGS")
  func requestedAddress() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let mac = "02:00:00:00:00:01"
      let keys =
        "\(gateway),\"args\":{\"cni\":{\"mac\":\"02:00:00:00:00:02\"}},\"runtimeConfig\":{\"Mac\":\"\(mac)\"}"
      let result = try host.add(host.bridge(keys), arguments: "MAC=02:00:00:00:00:03")
      #expect(result["interfaces"]?.array?.last?["mac"]?.string == mac)
      #expect(try shell("ip -n c1 link show dev eth0").contains(mac))
    }
  }

  @Test("The bridge keeps its hardware address while ports come and go")
  func stableAddress() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.bridge(gateway)
      _ = try host.add(configuration, container: "c1")
      let before = try shell("cat /sys/class/net/cni0/address")
      _ = try host.add(configuration, container: "c2")
      try host.succeeded(host.call(.del, configuration, container: "c1"))
      #expect(try shell("cat /sys/class/net/cni0/address") == before)
    }
  }

  @Test("A bridge that was there before is used, and stays")
  func foreignBridge() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try shell("ip link add cni0 type bridge; ip addr add 10.22.0.1/16 dev cni0")
      let configuration = host.bridge(gateway)
      _ = try host.add(configuration)
      try host.succeeded(host.call(.del, configuration))
      #expect(try shell("ip -o addr show dev cni0").contains("10.22.0.1/16"))
    }
  }

  @Test("An address in the way is an error, or replaced with forceAddress")
  func addressInTheWay() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeBridge(address: "10.9.0.1/24")
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.bridge(gateway)))
      #expect(error.code == .invalidConfiguration)
      #expect(error.description.contains("10.9.0.1/24") && error.description.contains("forceAddress"))
      try host.expectUnchanged(since: before)
      _ = try host.add(host.bridge(gateway + ",\"forceAddress\":true"))
      #expect(try !shell("ip -o addr show dev cni0").contains("10.9.0.1"))
    }
  }

  @Test("Port settings: hairpin, isolation, promiscuous bridge, MTU")
  func portSettings() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let keys = gateway + ",\"hairpinMode\":true,\"portIsolation\":true,\"mtu\":1400"
      let configuration = host.bridge(keys)
      let result = try host.add(configuration)
      let port = try #require(result["interfaces"]?.array?[1]["name"]?.string)
      let details = try shell("ip -d link show dev \(port)")
      #expect(
        details.contains("hairpin on") && details.contains("isolated on") && details.contains("mtu 1400"))
      #expect(try shell("ip -n c1 link show dev eth0").contains("mtu 1400"))
      try host.succeeded(host.call(.check, host.after(result, configuration)))
      try shell("bridge link set dev \(port) hairpin off")
      #expect(
        try host.failed(host.call(.check, host.after(result, configuration))).description.contains("hairpin"))
    }
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(gateway + ",\"promiscMode\":true")
      let result = try host.add(configuration)
      #expect(try shell("ip link show dev cni0").contains("PROMISC"))
      try host.succeeded(host.call(.check, host.after(result, configuration)))
    }
  }

  @Test("Layer 2 only: no addresses, the interface up, or down where asked for")
  func layer2() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"bridge\"}"
      let result = try host.add(configuration)
      #expect(result["ips"] == nil)
      #expect(try shell("ip -n c1 link show dev eth0").contains("state UP"))
      try host.succeeded(host.call(.check, host.after(result, configuration)))
      try host.succeeded(host.call(.del, configuration))
      let down =
        "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"bridge\",\"disableContainerInterface\":true}"
      _ = try host.add(down)
      #expect(try shell("ip -n c1 link show dev eth0").contains("state DOWN"))
    }
  }

  @Test("Frames with a foreign source address are dropped with macspoofchk, the container's own pass")
  func spoofCheck() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let before = try host.snapshot()
      let configuration = host.bridge(gateway + ",\"macspoofchk\":true")
      let result = try host.add(configuration)
      let second = try host.add(configuration, container: "c2")
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1")
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.3")
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try shell("ip -n c1 link set eth0 address 02:00:00:00:00:99")
      #expect(throws: CommandFailure.self) { try shell("ip netns exec c1 ping -c1 -W1 10.22.0.1") }
      try shell("ip netns exec c2 ping -c1 -W2 10.22.0.1")
      try host.succeeded(host.call(.del, later))
      try host.succeeded(
        host.call(.del, host.after(second, configuration), container: "c2", namespace: "/run/netns/c2"))
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "Wrong values are refused with the key and the remedy",
    arguments: [
      ("\"vlan\":5000", "vlan"), ("\"mtu\":-1", "mtu"), ("\"mtu\":\"big\"", "mtu"),
      ("\"vlanTrunk\":[{\"minID\":5}]", "vlanTrunk[0]"),
      ("\"vlanTrunk\":[{\"minID\":9,\"maxID\":5}]", "vlanTrunk[0]"),
      ("\"vlanTrunk\":[{\"id\":0}]", "vlanTrunk[0].id"),
      ("\"hairpinMode\":true,\"promiscMode\":true", "hairpinMode"),
      ("\"ipMasqBackend\":\"magic\",\"ipMasq\":true", "ipMasqBackend"),
      ("\"isGateway\":\"yes\"", "isGateway"),
      ("\"disableContainerInterface\":true", "disableContainerInterface"),
      ("\"runtimeConfig\":{\"mac\":\"nonsense\"}", "runtimeConfig.mac"),
      ("\"runtimeConfig\":{\"mac\":\"01:00:5e:00:00:01\"}", "runtimeConfig.mac"),
      ("\"bridge\":\"a/b\"", "bridge: "), ("\"bridge\":\"sixteen-bytes-16\"", "bridge: "),
    ])
  func wrongValues(keys: String, named: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.bridge(keys)))
      #expect(error.code == .invalidConfiguration || error.code == .decodingFailure)
      #expect(error.description.contains(named), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("DEL of another network leaves an interface of the same name alone")
  func interfaceOfAnotherNetwork() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge("\"isGateway\":true")
      let result = try host.add(configuration)
      let other = host.bridge("\"isGateway\":true", name: "other")
      // Refused, as the name is taken, and what a runtime undoes then is not this attachment.
      #expect(try host.call(.add, other).exitStatus != .exited(0))
      try host.succeeded(host.call(.del, other))
      try host.succeeded(host.call(.check, host.after(result, configuration)))
      try host.succeeded(host.call(.del, configuration))
      #expect(try shell("ip -n c1 -o link | grep -c eth0 || true") == "0\n")
    }
  }
}
