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
    "Where the kernel has no VLAN filtering, ADD says so and leaves nothing",
    .requiresKernel(without: .bridgeVLANFiltering))
  func kernelWithout() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.bridge(#""vlan":100"#)))
      #expect(error.message.contains("Operation not supported"))
      try host.expectUnchanged(since: before)
    }
  }
}
