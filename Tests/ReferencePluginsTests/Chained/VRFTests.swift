import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  /// A container c1 with interfaces net1, net2, …, all with the same addresses, 10.0.0.2 and fd00::2; behind each a namespace
  /// of its own, r1, r2, …, with 10.0.0.1 and fd00::1.
  func makeTwins(_ count: Int = 2) throws {
    try makeContainer()
    var script =
      "settle() { ip netns exec $1 sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'; }\nsettle c1\n"
    for n in 1...count {
      script += """
        ip netns add r\(n); settle r\(n)
        ip link add net\(n) netns c1 type veth peer name in0 netns r\(n)
        ip -n c1 addr add 10.0.0.2/24 dev net\(n); ip -n c1 addr add fd00::2/64 dev net\(n) nodad
        ip -n r\(n) addr add 10.0.0.1/24 dev in0; ip -n r\(n) addr add fd00::1/64 dev in0 nodad
        ip -n r\(n) link set in0 up; ip -n c1 link set net\(n) up

        """
    }
    // An emulated machine takes its time.
    try shell(script, timeout: 120)
  }

  func twin(_ n: Int, version: String = "1.1.0") -> JSONValue {
    interfaceResult("10.0.0.2/24 10.0.0.1", "fd00::2/64 fd00::1", interface: "net\(n)", version: version)
  }

  func vrf(_ name: String, _ keys: String = "", of n: Int, version: String = "1.1.0") -> String {
    chained(
      "vrf", "\"vrfname\":\"\(name)\"\(keys.isEmpty ? "" : ",")\(keys)", previous: twin(n, version: version),
      version: version)
  }

  /// Whether r\(n) hears a question from the container's 10.0.0.2 or fd00::2, sent by a socket of a VRF or of none, and is
  /// heard: by TCP, by UDP.
  func talks(to n: Int, _ address: String, by device: String?) throws -> [Bool] {
    try Conversation.Transport.allCases.map {
      try Conversation.hold(
        $0, from: "c1", to: "r\(n)", at: address, clientDevice: device, patience: 2) != nil
    }
  }
}

@Suite("vrf", .serialized)
struct VRFTests {
  @Test(
    "A whole life: VRF, table, addresses and routes; DEL leaves nothing", .requiresKernel(.vrf),
    arguments: ["0.3.1", "0.4.0", "1.1.0"])
  func lifeCycle(version: String) throws {
    try TestHost.run { host in
      try host.makeTwins(1)
      try shell(
        """
        ip -n c1 route add default via 10.0.0.1; ip -n c1 route add 192.0.2.0/24 via 10.0.0.7 mtu 1400
        ip -n c1 route add 198.51.100.0/24 dev net1 table 77; ip -n c1 -6 route add default via fd00::1
        """)
      let configuration = host.vrf("blue", of: 1, version: version)
      let result = try host.succeeded(host.call(.add, configuration, interface: "net1"))
      #expect(try AddResult.decode(result) == AddResult.decode(host.twin(1, version: version)))
      let links = try shell("ip -n c1 -d -o link show")
      #expect(links.contains("vrf table 1 ") && links.contains("master blue"))
      let addresses = try shell("ip -n c1 -o addr show dev net1")
      #expect(
        addresses.contains("10.0.0.2/24") && addresses.contains("fd00::2/64")
          && !addresses.contains("tentative"))
      let routes = try shell("ip -n c1 route show table 1; ip -n c1 -6 route show table 1")
      for route in [
        "default via 10.0.0.1 dev net1", "192.0.2.0/24 via 10.0.0.7 dev net1 mtu 1400",
        "10.0.0.0/24 dev net1", "default via fd00::1 dev net1", "fd00::/64 dev net1",
      ] {
        #expect(routes.contains(route), "\(route) in \(routes)")
      }
      #expect(try shell("ip -n c1 route show table 77").contains("198.51.100.0/24"))
      #expect(try shell("ip -n c1 route show table main") == "")
      if version != "0.3.1" { try host.check(configuration, after: result, interface: "net1") }
      for _ in 0..<2 {
        try host.succeeded(host.call(.del, configuration, interface: "net1"))
        let links = try shell("ip -n c1 -o link")
        #expect(!links.contains("blue") && links.contains("net1"))
      }
      try host.succeeded(host.call(.del, configuration, namespace: "", interface: "net1"))
      try host.succeeded(host.call(.del, configuration, namespace: "/run/netns/gone", interface: "net1"))
    }
  }

  @Test(
    "The same addresses in two VRFs: each talks to its own neighbour, and nobody to them from outside",
    .requiresKernel(.vrf))
  func isolation() throws {
    try TestHost.run { host in
      try host.makeTwins(3)
      for (n, name) in [(1, "blue"), (2, "red")] {
        try host.succeeded(host.call(.add, host.vrf(name, of: n), interface: "net\(n)"))
      }
      // Outside of VRFs there is net3.
      for address in ["10.0.0.1", "fd00::1"] {
        #expect(try host.talks(to: 1, address, by: "blue") == [true, true], "\(address)")
        #expect(try host.talks(to: 2, address, by: "red") == [true, true], "\(address)")
        #expect(try host.talks(to: 3, address, by: nil) == [true, true], "\(address)")
        #expect(try host.talks(to: 1, address, by: "red") == [false, false], "\(address)")
        #expect(try host.talks(to: 2, address, by: nil) == [false, false], "\(address)")
      }
      try host.succeeded(host.call(.del, host.vrf("red", of: 2), interface: "net2"))
      #expect(try host.talks(to: 1, "10.0.0.1", by: "blue") == [true, true])
      #expect(try host.talks(to: 1, "fd00::1", by: "blue") == [true, true])
      #expect(try !shell("ip -n c1 -o link").contains("red"))
    }
  }

  @Test(
    "Several interfaces in one VRF, which goes with the last; tables are chosen from 1 on",
    .requiresKernel(.vrf))
  func shared() throws {
    try TestHost.run { host in
      try host.makeTwins(4)
      for (n, name, keys) in [
        (1, "blue", ""), (2, "blue", "\"table\":1"), (3, "red", ""), (4, "green", "\"table\":4000"),
      ] {
        try host.succeeded(host.call(.add, host.vrf(name, keys, of: n), interface: "net\(n)"))
      }
      let links = try shell("ip -n c1 -d -o link show type vrf").split(separator: "\n")
      #expect(links.count == 3)
      for (name, table) in [("blue", "1"), ("red", "2"), ("green", "4000")] {
        #expect(links.contains { $0.contains("\(name):") && $0.contains("vrf table \(table) ") }, "\(name)")
      }
      #expect(try shell("ip -n c1 -o link show master blue").split(separator: "\n").count == 2)
      try host.succeeded(host.call(.del, host.vrf("blue", of: 1), interface: "net1"))
      #expect(try shell("ip -n c1 -o link show master blue").contains("net2"))
      // Whatever the interface is called in the meantime, or whether it is there: the empty VRF goes.
      try shell("ip -n c1 link delete net2")
      try host.succeeded(host.call(.del, host.vrf("blue", of: 2), interface: "net2"))
      #expect(try !shell("ip -n c1 -o link").contains("blue"))
      // Without the name it is the one that the interface is in.
      try host.succeeded(host.call(.del, host.chained("vrf"), interface: "net3"))
      #expect(try !shell("ip -n c1 -o link").contains("red"))
    }
  }

  @Test(
    "ADD that fails leaves interface, addresses and routes as they were, and no VRF", .requiresKernel(.vrf))
  func failedAdd() throws {
    try TestHost.run { host in
      try host.makeTwins(2)
      try shell(
        "ip -n c1 route add default via 10.0.0.1 dev net1; ip -n c1 -6 route add default via fd00::1 dev net1; ip -n c1 link add br0 type bridge"
      )
      try host.succeeded(host.call(.add, host.vrf("blue", of: 2), interface: "net2"))
      func state() throws -> Set<Substring> {
        Set(
          try shell(
            """
            \(TestHost.settled)
            ip -n c1 -o link | settled; ip -n c1 -o addr | grep -v fe80 | settled; ip -n c1 route show table all | settled
            ip -n c1 -6 route show table all | grep -v 'fe80\\|ff00' | settled
            """
          )
          .split(separator: "\n"))
      }
      let before = try state()
      func expectUnchanged() throws {
        let different = try state().symmetricDifference(before)
        #expect(different.isEmpty, "\(different)")
      }
      for (configuration, word) in [
        (host.vrf("blue", "\"table\":9", of: 1), "table 1, not 9"),
        (host.vrf("br0", of: 1), "br0 is a bridge"),
      ] {
        let error = try host.failed(host.call(.add, configuration, interface: "net1"))
        #expect(error.code == .invalidConfiguration && error.message.contains(word), "\(error)")
        try expectUnchanged()
      }
      let taken = try host.failed(host.call(.add, host.vrf("red", of: 2), interface: "net2"))
      #expect(taken.message.contains("already a port of blue"))
      try expectUnchanged()
      let absent = try host.failed(host.call(.add, host.vrf("red", of: 1), interface: "net9"))
      #expect(absent.message.contains("net9"))
      // A result that the version has no words for fails after everything is done.
      let old = host.chained(
        "vrf", "\"vrfname\":\"red\"", previous: host.interfaceResult(interface: "net1"), version: "0.2.0")
      _ = try host.failed(host.call(.add, old, interface: "net1"))
      try expectUnchanged()
    }
  }

  @Test("CHECK misses route, address, the interface in the VRF, and the VRF", .requiresKernel(.vrf))
  func check() throws {
    try TestHost.run { host in
      try host.makeTwins(1)
      try shell("ip -n c1 route add default via 10.0.0.1")
      let configuration = host.vrf("blue", of: 1)
      var result = try #require(
        try host.succeeded(host.call(.add, configuration, interface: "net1")).object)
      result.append("routes", [["dst": "0.0.0.0/0"]])
      let later = try host.after(.object(result), configuration)
      try host.succeeded(host.call(.check, later, interface: "net1"))
      let wrongTable = try host.after(.object(result), host.vrf("blue", "\"table\":9", of: 1))
      #expect(try host.failed(host.call(.check, wrongTable, interface: "net1")).message.contains("table 1"))
      // Each comes before the one above in what CHECK looks at.
      for (tamper, named) in [
        ("route del default vrf blue", "0.0.0.0/0"), ("addr del 10.0.0.2/24 dev net1", "10.0.0.2"),
        ("link set net1 nomaster", "not in the VRF"), ("link set blue down", "down"),
        ("link delete blue", "no VRF blue"), ("link delete net1", "no interface net1"),
      ] {
        try shell("ip -n c1 \(tamper)")
        let error = try host.failed(host.call(.check, later, interface: "net1"))
        #expect(error.message.contains(named), "\(error)")
      }
    }
  }

  @Test("Behind ptp, as a runtime calls them: CHECK of both, DEL in reverse order", .requiresKernel(.vrf))
  func chain() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let (ptp, vrf) = (host.ptp(""), host.chained("vrf", "\"vrfname\":\"blue\""))
      let result = try host.add(ptp)
      let final = try host.add(host.after(result, vrf))
      try host.check(ptp, after: final)
      try host.check(vrf, after: final)
      try shell(
        "ip netns exec c1 ping -c1 -W2 -I blue 10.22.0.1; ip netns exec c1 ping -c1 -W2 -I blue fd00:22::1")
      for configuration in [vrf, ptp] {
        try host.succeeded(host.call(.del, host.after(final, configuration)))
      }
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: On every kernel

  @Test(
    "What is wrong is named", .requiresRoot,
    arguments: [
      ("", "vrfname", 7), (#""vrfname":"""#, "vrfname", 7), (#""vrfname":5"#, "vrfname", 6),
      (#""vrfname":"a/b""#, "vrfname", 7),
      (#""vrfname":"sixteen-letters-""#, "vrfname", 7), (#""vrfname":"net1""#, "vrfname", 7),
      (#""vrfname":"blue","table":-1"#, "table", 7), (#""vrfname":"blue","table":254"#, "table", 7),
      (#""vrfname":"blue","table":4294967296"#, "table", 7), (#""vrfname":"blue","table":"9""#, "table", 6),
    ])
  func mistakes(keys: String, named: String, code: UInt32) throws {
    try TestHost.run { host in
      try host.makeTwins(1)
      let configuration = host.chained("vrf", keys, previous: host.twin(1))
      let error = try host.failed(host.call(.add, configuration, interface: "net1"))
      #expect(error.code.rawValue == code && error.message.contains(named), "\(error)")
      try host.succeeded(host.call(.del, configuration, interface: "net1"))
    }
  }

  @Test(
    "A kernel without VRFs: STATUS says 50, ADD says why and changes nothing", .requiresKernel(without: .vrf))
  func withoutKernel() throws {
    try TestHost.run { host in
      try host.makeTwins(1)
      let configuration = host.vrf("blue", of: 1)
      let status = try host.failed(
        host.call(.status, configuration, container: "", namespace: "", interface: ""))
      #expect(status.code == .notAvailable && status.message.contains("vrf"))
      let before = try shell("ip -n c1 -o addr | grep -v fe80; ip -n c1 route")
      let error = try host.failed(host.call(.add, configuration, interface: "net1"))
      #expect(error.message.contains("no vrf interfaces") && error.details.contains("modprobe vrf"))
      #expect(try shell("ip -n c1 -o addr | grep -v fe80; ip -n c1 route") == before)
      try host.succeeded(host.call(.del, configuration, interface: "net1"))
    }
  }

  @Test("STATUS of a kernel that has them", .requiresKernel(.vrf))
  func status() throws {
    try TestHost.run { host in
      _ = try host.succeeded(
        host.call(.status, host.vrf("blue", of: 1), container: "", namespace: "", interface: ""))
    }
  }
}
