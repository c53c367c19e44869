import CNI
import NetworkAddresses
import TestSupport
import Testing

/// What holds for all interfaces that stand on another one, told for one type of them.
struct ParentedScenario {
  let type: String
  /// Members of the configuration that the type needs.
  var keys = ""
  /// The VLAN in which the server is.
  var vlan: Int?

  private func configuration(
    _ host: TestHost, _ more: String = "\"master\":\"eth0\"", ipam: String? = nil, version: String = "1.1.0"
  ) -> String {
    host.network(
      type, [keys, more].filter { !$0.isEmpty }.joined(separator: ","), ipam: ipam, version: version)
  }

  private func run(_ body: (TestHost) throws -> Void) throws { try TestHost.onNetwork(vlan: vlan, body) }

  /// ADD, packets, CHECK, STATUS, GC, DEL and DEL again in one version of the specification.
  func lifeCycle(_ version: SpecVersion) throws {
    try run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = configuration(host, version: version.rawValue)
      let result = try host.add(configuration)
      #expect(result["cniVersion"] == .string(version.rawValue))
      let decoded = try AddResult.decode(result, version: version)
      #expect(decoded.ips.map(\.address.description) == ["10.22.0.2/16"])
      if version >= .v0_3_0 {
        let mac = try shell("ip netns exec c1 cat /sys/class/net/eth0/address").prefix { $0 != "\n" }
        #expect(
          decoded.interfaces == [Interface(name: "eth0", mac: String(mac), sandbox: "/run/netns/c1")])
        #expect(decoded.ips.first?.interface == 0)
      }
      #expect(try shell("ip -n c1 -d link show eth0").contains(type))
      #expect(try shell("ip -n c1 route").contains("default via 10.22.0.1 dev eth0"))
      try expectPing("c1", "10.22.0.1")
      try expectPing("server", "10.22.0.2")

      let later = try host.after(result, configuration)
      if version >= .v0_4_0 { try host.succeeded(host.call(.check, later)) }
      if version >= .v1_1_0 {
        try host.succeeded(host.status(configuration))
        try host.succeeded(host.collectGarbage(configuration, keeping: "c1"))
        try host.succeeded(host.call(.check, later))
      }
      try host.succeeded(host.call(.del, later))
      try host.succeeded(host.call(.del, later))
      try host.expectUnchanged(since: before)
    }
  }

  /// IPv4 and IPv6 together, at once; and a neighbour that knew the addresses elsewhere has learned where they are now.
  func dualStack() throws {
    try run { host in
      try host.makeContainer()
      let device = vlan.map { "eth0.\($0)" } ?? "eth0"
      let addresses = ["10.22.0.9", "fd00:22::9"]
      for address in addresses {
        try shell("ip -n server neigh replace \(address) lladdr 02:00:00:00:00:99 dev \(device) nud stale")
      }
      let configuration = configuration(host, ipam: host.fixed("10.22.0.9/16", "fd00:22::9/64"))
      let result = try host.add(configuration)
      #expect(try !shell("ip -n c1 -6 addr show dev eth0 scope global").contains("tentative"))
      let mac = try #require(result["interfaces"]?.array?.first?["mac"]?.string)
      for address in addresses {
        let known = try shell(
          """
          for i in 1 2 3 4 5 6 7 8 9 10; do
            ip -n server neigh show \(address) | grep -q \(mac) && break; sleep 0.1
          done; ip -n server neigh show \(address)
          """)
        #expect(known.contains(mac), "\(known)")
      }
      for address in ["10.22.0.1", "fd00:22::1"] { try expectPing("c1", address) }
      for address in addresses { try expectPing("server", address) }
      try host.succeeded(host.call(.check, host.after(result, configuration)))
    }
  }

  /// Without `master`, the default route's link: IPv4's, or IPv6's if that is all there is.
  func defaultMaster() throws {
    try run { host in
      try host.makeContainer()
      let configuration = configuration(host, "\"master\":\"\"")
      let missing = try host.failed(host.call(.add, configuration))
      #expect(missing.code == .invalidConfiguration, "\(missing)")
      #expect(
        missing.description.contains("master") && missing.description.contains("default route"), "\(missing)")
      #expect(try host.failed(host.status(configuration)).code == .notAvailable)

      try shell("ip link add other type veth peer name another; ip link set other up; ip link set another up")
      try shell("ip -6 route add default dev eth0 metric 10; ip -6 route add default dev other metric 20")
      let parent = try shell("cat /sys/class/net/eth0/ifindex").prefix { $0 != "\n" }
      func expectOnUplink() throws {
        let result = try host.add(configuration)
        #expect(try shell("ip -n c1 -o link show eth0").contains("eth0@if\(parent):"))
        let later = try host.after(result, configuration)
        try host.succeeded(host.call(.check, later))
        // The attachment stays where it is when the default route moves on.
        try host.succeeded(host.call(.del, later))
      }
      try expectOnUplink()
      try shell("ip -6 route del default dev eth0; ip route add default dev eth0")
      try expectOnUplink()
      try host.succeeded(host.status(configuration))
    }
  }

  /// `linkInContainer`: the master is in the container, by name or by its default route.
  func masterInContainer() throws {
    try run { host in
      try host.makeContainer()
      try shell(
        """
        ip link set eth0 netns c1; ip -n c1 link set eth0 name up0; ip -n c1 link set up0 up
        while ip -n c1 link show up0 | grep -q NO-CARRIER; do sleep 0.1; done
        """)
      let before = try host.snapshot()
      let onHost = try host.failed(host.call(.add, configuration(host, "\"master\":\"up0\"")))
      #expect(
        onHost.description.contains("no interface up0 on the host")
          && onHost.description.contains("linkInContainer"), "\(onHost)")
      let nowhere = try host.failed(
        host.call(.add, configuration(host, "\"master\":\"up1\",\"linkInContainer\":true")))
      #expect(nowhere.description.contains("no interface up1 in the container (/run/netns/c1)"), "\(nowhere)")
      try host.expectUnchanged(since: before)

      let named = configuration(host, "\"master\":\"up0\",\"linkInContainer\":true")
      let result = try host.add(named)
      #expect(try shell("ip -n c1 -o link show eth0").contains("eth0@up0:"))
      try expectPing("c1", "10.22.0.1")
      let later = try host.after(result, named)
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.status(named))
      let other = configuration(host, "\"master\":\"lo\",\"linkInContainer\":true")
      let moved = try host.failed(host.call(.check, host.after(result, other)))
      #expect(moved.description.contains("does not stand on lo"), "\(moved)")
      try host.succeeded(host.call(.del, later))
      try host.expectUnchanged(since: before)

      try shell("ip -n c1 route add default dev up0")
      let unnamed = configuration(host, "\"linkInContainer\":true", ipam: host.fixed("10.22.0.7/16"))
      let second = try host.add(unnamed)
      #expect(try shell("ip -n c1 -o link show eth0").contains("eth0@up0:"))
      try host.succeeded(host.call(.check, host.after(second, unnamed)))
    }
  }

  /// `mtu`: the master's, or less, and never more.
  func mtu() throws {
    try run { host in
      try host.makeContainer()
      try shell("ip link set eth0 mtu 1400")
      for (value, expected) in [("", "1400"), (",\"mtu\":0", "1400"), (",\"mtu\":1300", "1300")] {
        let configuration = configuration(host, "\"master\":\"eth0\"" + value)
        let result = try host.add(configuration)
        #expect(try shell("ip -n c1 link show eth0").contains(" mtu \(expected) "))
        try host.succeeded(host.call(.check, host.after(result, configuration)))
        try host.succeeded(host.call(.del, configuration))
      }
      let high = configuration(host, "\"master\":\"eth0\",\"mtu\":1401")
      for reply in [try host.call(.add, high), try host.status(high)] {
        let error = try host.failed(reply)
        #expect(error.description.contains("mtu: 1401") && error.description.contains("1400"), "\(error)")
      }
    }
  }

  /// Every wrong value is refused with the name of its key, and DEL does not mind it.
  func refuses(_ keys: String, naming expected: String) throws {
    try run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = configuration(host, keys)
      let error = try host.failed(host.call(.add, configuration))
      #expect(error.code == .invalidConfiguration || error.code == .decodingFailure, "\(error)")
      #expect(error.description.contains(expected), "\(error)")
      try host.expectUnchanged(since: before)
      try host.succeeded(host.call(.del, configuration))
      try host.succeeded(host.collectGarbage(configuration))
    }
  }

  /// An ADD that `prepare` makes impossible says so, and leaves nothing.
  func fails(
    _ message: String, _ more: String = "\"master\":\"eth0\"", ipam: String? = nil,
    prepare: (TestHost) throws -> Void = { _ in }
  ) throws {
    try run { host in
      try host.makeContainer()
      try prepare(host)
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, configuration(host, more, ipam: ipam)))
      #expect(error.description.contains(message), "\(error)")
      #expect(!error.description.contains("could not undo"), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  /// DEL without a namespace, of nothing, with the master gone or moved away.
  func deletions() throws {
    try run { host in
      let configuration = configuration(host)
      let empty = try host.snapshot()
      try host.succeeded(host.call(.del, configuration))
      try host.makeContainer()
      _ = try host.add(configuration)
      // The kernel takes its time to clear a namespace away.
      try shell("ip netns del c1; sleep 1")
      try host.succeeded(host.call(.del, configuration))
      try host.expectUnchanged(since: empty)

      try host.makeContainer()
      _ = try host.add(configuration)
      try host.succeeded(host.call(.del, configuration, namespace: ""))
      // The link lives as long as its namespace: without one, there is no way to it.
      try host.succeeded(host.call(.del, configuration))

      _ = try host.add(configuration)
      try shell("ip link set eth0 netns server name moved")
      try host.succeeded(host.call(.del, configuration))
      #expect(try !shell("ip -n c1 link").contains("eth0"))
    }
    try run { host in
      try host.makeContainer()
      let configuration = configuration(host)
      let result = try host.add(configuration)
      try shell("ip link del eth0")
      let error = try host.failed(host.call(.check, host.after(result, configuration)))
      #expect(error.description.contains("eth0"), "\(error)")
      try host.succeeded(host.call(.del, host.after(result, configuration)))
      #expect(try shell("ls \(host.dataDirectory)/net").contains("10.22.0.2") == false)
    }
  }

  /// GC gives back what stale attachments leased, and nothing else.
  func garbage() throws {
    try run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = configuration(host)
      let kept = try host.add(configuration, container: "c1")
      if vlan == nil { _ = try host.add(configuration, container: "c2") }
      try shell("ip netns del c2")
      try host.succeeded(host.collectGarbage(configuration, keeping: "c1"))
      #expect(try shell("cd \(host.dataDirectory)/net; ls | grep -v '^l'") == "10.22.0.2\n")
      try host.succeeded(host.call(.check, host.after(kept, configuration)))
      try expectPing("c1", "10.22.0.1")
    }
  }

  /// CHECK notices what has been done to an attachment, and names it.
  func checkFinds(_ damage: String, naming expected: String, keys more: String = "\"master\":\"eth0\"") throws
  {
    try run { host in
      try host.makeContainer()
      let configuration = configuration(host, more)
      let result = try host.add(configuration)
      try host.succeeded(host.call(.check, host.after(result, configuration)))
      try shell(damage)
      let error = try host.failed(host.call(.check, host.after(result, configuration)))
      #expect(error.description.contains(expected), "\(error)")
    }
  }

  /// CHECK with another configuration than ADD's: of another master, or with `other` keys.
  func checkFindsOther(_ other: String, naming expected: String) throws {
    try run { host in
      try host.makeContainer()
      try shell("ip link add other type veth peer name another; ip link set other up")
      let result = try host.add(configuration(host))
      let error = try host.failed(host.call(.check, host.after(result, configuration(host, other))))
      #expect(error.description.contains(expected), "\(error)")
    }
  }

  /// A kernel without such links: STATUS and ADD say so.
  static func lacking(_ type: String, keys: String) throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.network(type, keys)
      let status = try host.failed(host.status(configuration))
      #expect(
        status.code == .notAvailable && status.message == "this kernel has no \(type) interfaces", "\(status)"
      )
      let added = try host.failed(host.call(.add, configuration))
      #expect(
        added.code == .internalError && added.message == "this kernel has no \(type) interfaces", "\(added)")
      #expect(added.details.contains("modprobe"), "\(added)")
      try host.expectUnchanged(since: before)
      try host.succeeded(host.call(.del, configuration))
    }
  }

  /// The damages of `checkFinds` that every type can have.
  static let damages: [(String, String)] = [
    ("ip -n c1 addr del 10.22.0.2/16 dev eth0", "10.22.0.2/16"),
    ("ip -n c1 route del default", "0.0.0.0/0"),
    ("ip -n c1 link set eth0 down", "eth0 is down"),
    ("ip -n c1 link del eth0", "no interface eth0"),
  ]

  /// Those that the interface outlives as it is.
  static let damagesOfMaster: [(String, String)] = [
    ("ip link set eth0 down; ip link set eth0 name eth9; ip link set eth9 up", "master eth0"),
    (
      "ip link set eth0 down; ip link set eth0 name eth9; ip link set eth9 up; ip link add eth0 type veth peer name eth8",
      "does not stand on eth0"
    ),
    ("ip link set eth0 netns server name moved", "not on the host any more"),
  ]

  /// STATUS: the master, and whether it is up.
  func status() throws {
    try run { host in
      let configuration = configuration(host)
      try host.succeeded(host.status(configuration))
      try shell("ip link set eth0 down")
      let down = try host.failed(host.status(configuration))
      #expect(down.code == .limitedConnectivity && down.description.contains("eth0 is down"), "\(down)")
      try shell("ip link del eth0")
      let gone = try host.failed(host.status(configuration))
      #expect(
        gone.code == .notAvailable && gone.description.contains("no interface eth0 on the host"), "\(gone)")
    }
  }
}
