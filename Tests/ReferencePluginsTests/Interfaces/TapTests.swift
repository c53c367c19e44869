import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  /// The configuration of a tap network; `keys` are further members, as JSON text. Without `ipam`, layer 2 only.
  func tap(_ keys: String = "", ipam: String? = nil, version: String = "1.1.0") -> String {
    let ipam = ipam.map { ",\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"\(dataDirectory)\",\($0)}" } ?? ""
    return """
      {"cniVersion":"\(version)","name":"net","type":"tap"\(keys.isEmpty ? "" : ",")\(keys)\(ipam)}
      """
  }
}

@Suite("tap", .requiresRoot, .enabled(if: findDriver(), "needs /dev/net/tun"))
struct TapTests {
  private let dualStack = TestHost.dualStack

  @Test("A whole life in every version of the protocol", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.tap("\"owner\":1000", ipam: dualStack, version: version.rawValue)
      let result = try host.add(configuration)
      #expect(result["cniVersion"]?.string == version.rawValue)
      let decoded = try AddResult.decode(result, version: version)
      #expect(decoded.ips.map(\.address.description) == ["10.22.0.2/16", "fd00:22::2/64"])
      if version >= .v0_4_0 { try host.succeeded(host.call(.check, host.after(result, configuration))) }
      if version >= .v1_1_0 {
        try host.succeeded(
          host.call(.status, configuration, container: "", namespace: "", interface: ""))
        let request = configuration.dropLast() + ",\"cni.dev/valid-attachments\":[]}"
        try host.succeeded(
          host.call(.gc, String(request), container: "", namespace: "", interface: ""))
      }
      try host.succeeded(host.call(.del, configuration))
      try host.succeeded(host.call(.del, configuration))
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "The result lists the device alone, which is up, has addresses and routes, and is there for any process")
  func result() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let result = try AddResult.decode(
        host.add(host.tap("\"mtu\":1400,\"mac\":\"02:00:00:00:00:07\"", ipam: dualStack)), version: .v1_1_0)
      try #require(result.interfaces.count == 1)
      #expect(result.interfaces[0].name == "eth0" && result.interfaces[0].sandbox == "/run/netns/c1")
      #expect(result.interfaces[0].mac == "02:00:00:00:00:07")
      #expect(result.ips.map(\.interface) == [0, 0])
      let link = try shell("ip -n c1 -d -o link show dev eth0")
      for expected in ["mtu 1400", "02:00:00:00:00:07", ",UP", "tun type tap", "persist on"] {
        #expect(link.contains(expected), "\(link)")
      }
      #expect(
        !link.contains("user") && !link.contains("on group") && !link.contains("multi_queue"), "\(link)")
      #expect(try shell("ip -n c1 route").contains("default via 10.22.0.1 dev eth0"))
      #expect(try shell("ip -n c1 -6 route").contains("default via fd00:22::1 dev eth0"))
      #expect(try !shell("ip -n c1 -6 addr show dev eth0 scope global").contains("tentative"))
      #expect(try shell("ip -o link show type tun").isEmpty)
    }
  }

  @Test("Without IPAM the device is up, and that is all")
  func layer2() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.tap()
      let result = try host.add(configuration)
      #expect(result["ips"] == nil)
      #expect(try shell("ip -n c1 -o link show dev eth0").contains(",UP"))
      #expect(try shell("ip -n c1 -4 -o addr show dev eth0").isEmpty)
      try host.succeeded(host.call(.check, host.after(result, configuration)))
    }
  }

  @Test(
    "Owner, group and queues are as asked for",
    arguments: [
      ("\"owner\":54321", "user 54321", "group 5"), ("\"group\":54322", "group 54322", "user"),
      ("\"owner\":0,\"group\":0", "user root group root", "multi_queue"),
      ("\"multiQueue\":true,\"owner\":4294967294", "multi_queue", "group 5"),
    ])
  func settings(keys: String, present: String, absent: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let result = try host.add(host.tap(keys))
      let link = try shell("ip -n c1 -d -o link show dev eth0").split(separator: "tun type tap").last!
      #expect(link.contains(present) && !link.contains(absent), "\(link)")
      try host.succeeded(host.call(.check, host.after(result, host.tap(keys))))
    }
  }

  @Test(
    "The caller's hardware address: runtimeConfig before args before CNI_ARGS before mac", arguments: 0..<4)
  func requestedAddress(given: Int) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let keys = [
        "\"mac\":\"02:00:00:00:00:00\"", "", "\"args\":{\"cni\":{\"mac\":\"02:00:00:00:00:02\"}}",
        "\"runtimeConfig\":{\"Mac\":\"02:00:00:00:00:03\"}",
      ][...given].filter { !$0.isEmpty }.joined(separator: ",")
      let configuration = host.tap(keys)
      let result = try host.succeeded(
        host.call(.add, configuration, arguments: given >= 1 ? "MAC=02:00:00:00:00:01" : ""))
      let mac = "02:00:00:00:00:0\(given)"
      #expect(result["interfaces"]?.array?.first?["mac"]?.string == mac)
      #expect(try shell("ip -n c1 link show dev eth0").contains(mac))
    }
  }

  // MARK: CHECK

  @Test(
    "CHECK names what is missing",
    arguments: [
      ("ip -n c1 link del eth0", "eth0"), ("ip -n c1 link set eth0 down", "eth0 is down"),
      ("ip -n c1 link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
      ("ip -n c1 addr del 10.22.0.2/16 dev eth0", "10.22.0.2/16"),
      ("ip -n c1 addr del fd00:22::2/64 dev eth0", "fd00:22::2/64"),
      ("ip -n c1 route del default", "0.0.0.0/0"), ("ip -n c1 link set eth0 nomaster", "br0"),
      ("ip -n c1 link del br0", "br0"),
      ("ip -n c1 link del eth0; ip -n c1 tuntap add eth0 mode tap user 1001 group 7; AGAIN", "owner"),
      ("ip -n c1 link del eth0; ip -n c1 tuntap add eth0 mode tap user 1000 group 8; AGAIN", "group"),
      (
        "ip -n c1 link del eth0; ip -n c1 tuntap add eth0 mode tap user 1000 group 7 multi_queue; AGAIN",
        "multiQueue"
      ),
      ("ip -n c1 link del eth0; ip -n c1 link add eth0 type veth peer name e1; AGAIN", "no TAP device"),
    ])
  func checkFindsDamage(damage: String, named: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try shell("ip -n c1 link add br0 type bridge; ip -n c1 link set br0 up")
      let configuration = host.tap(
        "\"owner\":1000,\"group\":7,\"bridge\":\"br0\",\"mac\":\"02:00:00:00:00:07\"", ipam: dualStack)
      let later = try host.after(host.add(configuration), configuration)
      try host.succeeded(host.call(.check, later))
      let again = """
        ip -n c1 link set eth0 address 02:00:00:00:00:07 master br0 up; ip -n c1 addr add 10.22.0.2/16 dev eth0
        ip -n c1 addr add fd00:22::2/64 dev eth0 nodad; ip -n c1 route add default via 10.22.0.1
        ip -n c1 route add default via fd00:22::1 dev eth0
        """
      try shell(damage.replacing("AGAIN", with: again))
      let error = try host.failed(host.call(.check, later))
      #expect(error.description.contains(named), "\(error)")
    }
  }

  // MARK: Configuration

  @Test(
    "Wrong values are refused with the key and the remedy",
    arguments: [
      ("\"multiQueue\":\"yes\"", "multiQueue"), ("\"mtu\":-1", "mtu"), ("\"mtu\":\"big\"", "mtu"),
      ("\"mac\":\"zz\"", "mac"), ("\"mac\":\"01:00:5e:00:00:01\"", "mac"),
      ("\"runtimeConfig\":{\"mac\":\"zz\"}", "runtimeConfig.mac"),
      ("\"args\":{\"cni\":{\"mac\":7}}", "args.cni.mac"),
      ("\"owner\":\"qemu\"", "id -u qemu"), ("\"owner\":-1", "owner"), ("\"owner\":4294967295", "4294967294"),
      ("\"owner\":\"1000\"", "quotation marks"), ("\"owner\":1.5", "owner"),
      ("\"group\":\"kvm\"", "id -g kvm"),
      ("\"group\":-1", "group"), ("\"group\":true", "group"), ("\"bridge\":\"a/b\"", "bridge: "),
      ("\"bridge\":7", "bridge"), ("\"selinuxContext\":7", "selinuxContext"),
      ("\"selinuxContext\":\"two words\"", "ps -Z"),
    ])
  func wrongValues(keys: String, named: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.tap(keys)))
      #expect(error.code == .invalidConfiguration || error.code == .decodingFailure, "\(error)")
      #expect(error.description.contains(named), "\(error)")
      // A mistake must not keep anything from being removed.
      try host.succeeded(host.call(.del, host.tap(keys)))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("null and empty count as absent, keys match without regard to case")
  func tolerance() throws {
    try TestHost.run { host in
      try host.makeContainer()
      _ = try host.add(
        host.tap(
          "\"MultiQueue\":true,\"MTU\":0,\"mac\":\"\",\"owner\":null,\"Group\":54322,\"bridge\":\"\",\"selinuxContext\":\"\""
        ))
      let link = try shell("ip -n c1 -d -o link show dev eth0")
      #expect(
        link.contains("multi_queue") && link.contains("mtu 1500") && link.contains("group 54322"), "\(link)")
    }
  }
}

/// Whether TAP devices can be made here.
func findDriver() -> Bool {
  (try? shell("exec 3<>/dev/net/tun")) != nil
}
