import CNI
import CNIExecution
import CNIPluginKit
import TestSupport
import Testing

/// What a process leaves that was killed between making a link and giving it its mark.
@Suite("Links without their mark", .requiresRoot)
struct UnfinishedLinkTests {
  private let gateway = "\"isGateway\":true"
  private let owner = Owner(network: "net", containerID: "c1", interfaceName: "eth0")

  private func collectGarbage(_ host: TestHost, _ configuration: String) throws {
    let request = String(configuration.dropLast()) + ",\"cni.dev/valid-attachments\":[]}"
    try host.succeeded(host.call(.gc, request, container: "", namespace: "", interface: ""))
  }

  @Test("A bridge: DEL and GC remove it, the next ADD makes it its own", arguments: [Command.del, .gc, .add])
  func bridge(command: Command) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      // With an address of its own, as ADD makes it.
      try shell("ip link add cni0 address 02:00:5e:10:00:01 group \(owner.unfinishedGroup) type bridge")
      let configuration = host.bridge(gateway)
      switch command {
      case .add:
        let result = try host.add(configuration)
        #expect(try shell("ip -o link show cni0").contains("group default"))
        #expect(try shell("ip -o link show cni0").contains("alias cni:net"))
        try host.succeeded(host.call(.check, host.after(result, configuration)))
        try host.succeeded(host.call(.del, host.after(result, configuration)))
      case .del: try host.succeeded(host.call(.del, configuration))
      default: try collectGarbage(host, configuration)
      }
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "A container's pair: DEL finds it without its namespace, GC without its name",
    arguments: [Command.del, .gc])
  func pair(command: Command) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.bridge(gateway)
      let before = try host.snapshot()
      try shell(
        """
        ip link add cni0 group \(owner.unfinishedGroup) type bridge
        ip link add \(owner.linkName()) group \(owner.unfinishedGroup) type veth peer name eth0 netns c1
        ip link set \(owner.linkName()) master cni0
        """)
      if command == .del {
        try host.succeeded(host.call(.del, configuration, namespace: ""))
      } else {
        try collectGarbage(host, configuration)
      }
      try host.expectUnchanged(since: before)
    }
  }

  @Test("Links of others, and those of another network, stay")
  func others() throws {
    try TestHost.run { host in
      let other = Owner(network: "other", containerID: "c1", interfaceName: "eth0")
      try shell(
        """
        ip link add x0 type bridge; ip link add x1 group 5 type bridge
        ip link add x2 group \(other.unfinishedGroup) type bridge
        ip link add x3 group \(owner.unfinishedGroup) type bridge; ip link set x3 alias somebody
        ip link add \(owner.linkName()) type veth peer name x4
        """)
      let before = try host.snapshot()
      try collectGarbage(host, host.bridge(gateway))
      try host.succeeded(host.call(.del, host.bridge(gateway), namespace: ""))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("An ifb: DEL and GC remove it, the next ADD makes another", arguments: [Command.del, .gc, .add])
  func device(command: Command) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let configuration = try host.bandwidth(
        TestHost.limits(ingress: 8_000_000, egress: 8_000_000), after: first)
      // Its name, as an ADD gives it.
      let before = try host.snapshot()
      let result = try host.add(configuration)
      let name = try shell("ip -o link show type ifb | cut -d' ' -f2 | tr -d ':'").trimmingNewline
      try host.succeeded(host.call(.del, host.bandwidth("", after: result)))
      try shell("ip link add \(name) group \(owner.unfinishedGroup) type ifb")
      switch command {
      case .add:
        let result = try host.add(configuration)
        let later = try host.bandwidth(TestHost.limits(ingress: 8_000_000, egress: 8_000_000), after: result)
        try host.succeeded(host.call(.check, later))
        try host.succeeded(host.call(.del, later))
      case .del: try host.succeeded(host.call(.del, configuration))
      default: try collectGarbage(host, configuration)
      }
      #expect(try shell("ip -o link show type ifb") == "")
      try host.expectUnchanged(since: before)
    }
  }
}
