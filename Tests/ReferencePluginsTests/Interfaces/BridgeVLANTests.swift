import CNI
import CNIExecution
import TestSupport
import Testing

/// `vlan`, `vlanTrunk`, `preserveDefaultVlan`: as the kernel's own tool shows them.
@Suite("bridge with VLANs", .requiresRoot)
struct BridgeVLANTests {
  private func memberships(of port: String) throws -> Set<String> {
    let lines = try shell("bridge -compressvlans vlan show dev \(port)").split(separator: "\n").dropFirst()
    return Set(
      lines.map { line in
        line.split { $0 == " " || $0 == "\t" }.filter { $0 != port }.joined(separator: " ")
      })
  }

  @Test(
    "A port's VLANs are those of the configuration",
    .requiresKernel(.bridgeVLANFiltering),
    arguments: [
      (#""vlan":100"#, Set(["100 PVID Egress Untagged"])),
      (#""vlan":100,"preserveDefaultVlan":true"#, Set(["1 Egress Untagged", "100 PVID Egress Untagged"])),
      (
        #""vlanTrunk":[{"id":5},{"minID":10,"maxID":12},{"id":11}]"#,
        Set(["1 PVID Egress Untagged", "5", "10-12"])
      ),
      (#""vlan":7,"vlanTrunk":[{"id":8}]"#, Set(["7 PVID Egress Untagged", "8"])),
    ])
  func memberships(keys: String, expected: Set<String>) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration = host.bridge(keys)
      let result = try host.add(configuration)
      let port = try #require(result["interfaces"]?.array?[1]["name"]?.string)
      #expect(try memberships(of: port) == expected)
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try shell("for id in 5 7 8 10 100; do bridge vlan del vid $id dev \(port) 2>/dev/null; done; true")
      #expect(try host.failed(host.call(.check, later)).message.contains("VLAN"))
      try host.succeeded(host.call(.del, later))
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "The gateway of a VLAN is an interface of its own, and goes with the last container",
    .requiresKernel(.bridgeVLANFiltering))
  func gateway() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let before = try host.snapshot()
      let configuration = host.bridge(#""vlan":100,"isGateway":true"#)
      let first = try host.add(configuration, container: "c1")
      #expect(first["interfaces"]?.array?.contains { $0["name"] == "cni0.100" } == true)
      _ = try host.add(configuration, container: "c2")
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1; ip netns exec c2 ping -c1 -W2 10.22.0.2")
      try host.succeeded(host.call(.del, configuration, container: "c1", namespace: "/run/netns/c1"))
      try shell("ip netns exec c2 ping -c1 -W2 10.22.0.1")
      try host.succeeded(host.call(.del, configuration, container: "c2", namespace: "/run/netns/c2"))
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "CHECK misses a VLAN, and one that is not the untagged one any more",
    .requiresKernel(.bridgeVLANFiltering))
  func check() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(#""vlan":100,"vlanTrunk":[{"minID":200,"maxID":205}],"isGateway":true"#)
      let result = try host.add(configuration)
      let port = try #require(result["interfaces"]?.array?[1]["name"]?.string)
      let later = try host.after(result, configuration)
      for (damage, repair, named) in [
        ("bridge vlan del vid 203 dev \(port)", "bridge vlan add vid 203 dev \(port)", "VLAN 203"),
        (
          "bridge vlan add vid 100 dev \(port)", "bridge vlan add vid 100 dev \(port) pvid untagged",
          "without a tag does not belong to VLAN 100"
        ),
        ("ip addr del 10.22.0.1/16 dev cni0.100", "ip addr add 10.22.0.1/16 dev cni0.100", "10.22.0.1/16"),
        ("ip link del cni0.100", "true", "cni0.100"),
      ] {
        try host.succeeded(host.call(.check, later))
        try shell(damage)
        #expect(try host.failed(host.call(.check, later)).message.contains(named), "\(damage)")
        try shell(repair)
      }
    }
  }

  @Test(
    "With both families, masquerading and source addresses checked: gateway, CHECK, GC, and nothing left",
    .requiresKernel(.bridgeVLANFiltering))
  func everything() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let before = try host.snapshot()
      let ipam = #""ranges":[[{"subnet":"10.22.0.0/16"}],[{"subnet":"fd00:22::/64"}]]"#
      let configuration = host.bridge(
        #""vlan":100,"isDefaultGateway":true,"ipMasq":true,"macspoofchk":true,"mtu":1400"#, ipam: ipam)
      let first = try host.add(configuration, container: "c1")
      let second = try host.add(configuration, container: "c2")
      for destination in ["10.22.0.1", "fd00:22::1", "10.22.0.3", "fd00:22::3"] {
        try shell("ip netns exec c1 ping -c1 -W5 \(destination)")
      }
      #expect(try shell("cat /sys/class/net/cni0.100/mtu") == "1400\n")
      // The bridge itself is not in the VLAN, and has no address.
      #expect(try shell("ip -4 -o addr show dev cni0") == "")
      try host.succeeded(host.call(.check, host.after(first, configuration), container: "c1"))
      try host.succeeded(
        host.call(
          .check, host.after(second, configuration), container: "c2", namespace: "/run/netns/c2"))
      try shell("ip netns del c1; ip netns del c2")
      var json = try JSONValue.parse(configuration).object!
      json.append("cni.dev/valid-attachments", .array([]))
      let request = String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
      try host.succeeded(host.call(.gc, request, container: "", namespace: "", interface: ""))
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "On somebody else's bridge, the VLAN's gateway goes with the last container",
    .requiresKernel(.bridgeVLANFiltering)
  )
  func gatewayOnForeignBridge() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      try host.makeBridge(address: "10.9.0.1/24")
      try shell("ip link set cni0 type bridge vlan_filtering 1")
      let before = try host.snapshot()
      let configuration = host.bridge(#""vlan":100,"isGateway":true"#)
      _ = try host.add(configuration, container: "c1")
      let second = try host.add(configuration, container: "c2")
      try host.succeeded(host.call(.del, configuration, container: "c1"))
      try shell("ip netns exec c2 ping -c1 -W5 10.22.0.1")
      // Without the namespace, too: then it is not the interface in the container that leads there.
      try host.succeeded(host.call(.del, host.after(second, configuration), container: "c2", namespace: ""))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("STATUS asks the kernel, and makes nothing", .requiresKernel(.bridgeVLANFiltering))
  func status() throws {
    try TestHost.run { host in
      let before = try host.snapshot()
      try host.succeeded(
        host.call(.status, host.bridge(#""vlan":100"#), container: "", namespace: "", interface: ""))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("A bridge whose name leaves no room for the gateway's is refused")
  func longName() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(#""vlan":100,"isGateway":true"#)
        .replacing(#""bridge":"cni0""#, with: #""bridge":"bridge-twelve""#)
      let error = try host.failed(host.call(.add, configuration))
      #expect(error.code == .invalidConfiguration && error.message.contains("bridge-twelve.100"))
    }
  }

  @Test(
    "Where the kernel has no VLAN filtering, STATUS and ADD say so and leave nothing",
    .requiresKernel(without: .bridgeVLANFiltering))
  func kernelWithout() throws {
    try TestHost.run { host in
      try host.makeContainer()
      for preparation in ["true", "ip link add cni0 type bridge"] {
        try shell(preparation)
        let before = try host.snapshot()
        let configuration = host.bridge(#""vlan":100"#)
        let status = try host.failed(
          host.call(.status, configuration, container: "", namespace: "", interface: ""))
        #expect(status.code == .notAvailable)
        for error in [status, try host.failed(host.call(.add, configuration))] {
          #expect(error.message.contains("this kernel's bridges know no VLANs"), "\(error)")
        }
        try host.expectUnchanged(since: before)
      }
    }
  }
}
