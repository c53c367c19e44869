import CNI
import CNIExecution
import TestSupport
import Testing

@Suite("loopback", .requiresRoot)
struct LoopbackTests {
  private func configuration(_ version: String = "1.1.0", _ keys: String = "") -> String {
    "{\"cniVersion\":\"\(version)\",\"name\":\"lo\",\"type\":\"loopback\"\(keys)}"
  }

  private func call(
    _ host: TestHost, _ command: Command, _ configuration: String, namespace: String = "/run/netns/c1"
  ) throws -> PluginReply {
    try host.call(command, configuration, type: "loopback", namespace: namespace, interface: "lo")
  }

  /// With the loopback interface as the kernel made it: down.
  private func makeContainer() throws { try shell("ip netns add c1") }

  @Test("ADD, CHECK, DEL, DEL again", arguments: ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
  func lifeCycle(version: String) throws {
    try TestHost.run { host in
      try makeContainer()
      let result = try host.succeeded(call(host, .add, configuration(version)))
      #expect(try shell("ip -n c1 -br addr show dev lo").contains("127.0.0.1/8"))
      let decoded = try AddResult.decode(result)
      #expect(
        decoded.interfaces == [Interface(name: "lo", mac: "00:00:00:00:00:00", sandbox: "/run/netns/c1")])
      #expect(decoded.ips.first?.address.description == "127.0.0.1/8")
      if version != "0.3.1" {
        let later = try host.after(result, configuration(version))
        try host.succeeded(call(host, .check, later))
        try shell("ip -n c1 link set lo down")
        #expect(try host.failed(call(host, .check, later)).message.contains("down"))
      }
      try host.succeeded(call(host, .del, configuration(version)))
      try host.succeeded(call(host, .del, configuration(version)))
    }
  }

  @Test("DEL with the namespace gone, or not given")
  func namespaceGone() throws {
    try TestHost.run { host in
      try host.succeeded(call(host, .del, configuration(), namespace: "/run/netns/c1"))
      try host.succeeded(call(host, .del, configuration(), namespace: ""))
      #expect(try host.failed(call(host, .add, configuration())).code == .unknownContainer)
    }
  }

  @Test("The host's own loopback is not touched, except where that is meant", arguments: [Command.add, .del])
  func ownNamespace(command: Command) throws {
    try TestHost.run { host in
      let before = try host.snapshot()
      let error = try host.failed(
        call(host, command, configuration(), namespace: "/proc/thread-self/ns/net"))
      #expect(error.code == .invalidEnvironment && error.message.contains("CNI_NETNS"))
      try host.expectUnchanged(since: before)
    }
  }

  @Test("In a chain, the result of the plugin before is handed on")
  func inAChain() throws {
    try TestHost.run { host in
      try makeContainer()
      let before: JSONValue = [
        "cniVersion": "1.1.0", "interfaces": [["name": "eth0", "sandbox": "/run/netns/c1"]],
      ]
      let result = try host.succeeded(call(host, .add, host.after(before, configuration())))
      #expect(try AddResult.decode(result) == AddResult.decode(before))
    }
  }

  @Test("STATUS and GC succeed and change nothing")
  func networkWide() throws {
    try TestHost.run { host in
      let before = try host.snapshot()
      for command in [Command.status, .gc] {
        try host.succeeded(
          host.call(
            command, configuration("1.1.0", ",\"cni.dev/valid-attachments\":[]"), type: "loopback",
            container: "",
            namespace: "", interface: ""))
      }
      try host.expectUnchanged(since: before)
    }
  }
}
