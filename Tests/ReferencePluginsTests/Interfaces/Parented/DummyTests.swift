import CNI
import TestSupport
import Testing

@Suite("dummy", .requiresKernel(.dummy))
struct DummyTests {
  @Test("ADD, packets, CHECK, STATUS, GC, DEL, DEL", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.network("dummy", version: version.rawValue)
      let result = try host.add(configuration)
      let decoded = try AddResult.decode(result, version: version)
      #expect(decoded.ips.map(\.address.description) == ["10.22.0.2/16"])
      if version >= .v0_3_0 {
        let mac = try shell("ip netns exec c1 cat /sys/class/net/eth0/address").prefix { $0 != "\n" }
        #expect(
          decoded.interfaces == [Interface(name: "eth0", mac: String(mac), sandbox: "/run/netns/c1")])
      }
      let shown = try shell("ip -n c1 -d link show eth0")
      #expect(shown.contains("dummy") && shown.contains(",UP"), "\(shown)")
      try expectPing("c1", "10.22.0.2")
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

  @Test("Both families, at once") func dualStack() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.network("dummy", ipam: host.fixed("10.22.0.9/16", "fd00:22::9/64"))
      let result = try host.add(configuration)
      for address in ["10.22.0.9", "fd00:22::9"] { try expectPing("c1", address) }
      try host.succeeded(host.call(.check, host.after(result, configuration)))
    }
  }

  @Test(
    "CHECK names what is missing",
    arguments: ParentedScenario.damages + [
      ("ip -n c1 link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99")
    ])
  func checkFindsDamage(damage: String, named: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.network("dummy")
      let result = try host.add(configuration)
      try shell(damage)
      let error = try host.failed(host.call(.check, host.after(result, configuration)))
      #expect(error.description.contains(named), "\(error)")
    }
  }

  @Test("DEL, whatever is missing; GC gives back leases") func deletions() throws {
    try TestHost.run { host in
      let configuration = host.network("dummy")
      let empty = try host.snapshot()
      try host.succeeded(host.call(.del, configuration))
      for _ in 1...2 {
        try host.makeContainer()
        _ = try host.add(configuration)
        try shell("ip netns del c1")
        try host.succeeded(host.call(.del, configuration))
        try host.expectUnchanged(since: empty)
      }
      try host.makeContainer()
      _ = try host.add(configuration)
      try host.succeeded(host.collectGarbage(configuration))
      #expect(try !shell("ls \(host.dataDirectory)/net").contains("10.22.0.2"))
    }
  }

  @Test(
    "A failed ADD leaves nothing",
    arguments: [
      ("already has an interface eth0", "ip -n c1 link add eth0 type veth peer name other"),
      ("Not a directory", "echo in the way > $DATA/net"),
    ])
  func failedAdd(message: String, preparation: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try shell("DATA='\(host.dataDirectory)'; " + preparation)
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.network("dummy")))
      #expect(error.description.contains(message), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }
}

@Suite("dummy on every kernel", .requiresRoot)
struct DummyConfigurationTests {
  @Test("It needs IPAM, but not to be removed", arguments: ["dummy", "vlan"]) func missingIPAM(type: String)
    throws
  {
    try TestHost.run { host in
      try host.makeContainer()
      for ipam in ["", "\"type\":\"\""] {
        let configuration = host.network(type, "\"vlanId\":5", ipam: ipam)
        for reply in [try host.call(.add, configuration), try host.status(configuration)] {
          let error = try host.failed(reply)
          #expect(error.code == .invalidConfiguration && error.message.contains("ipam"), "\(error)")
        }
        try host.succeeded(host.call(.del, configuration))
      }
    }
  }
}

@Suite("dummy where the kernel has none", .requiresKernel(without: .dummy))
struct NoDummyTests {
  @Test("STATUS and ADD say so") func said() throws { try ParentedScenario.lacking("dummy", keys: "") }
}
