import CNI
import CNIExecution
import TestSupport
import Testing

@Suite("An ADD that fails leaves nothing", .requiresRoot)
struct FailedAddTests {
  private let gateway = "\"isGateway\":true,\"ipMasq\":true,\"macspoofchk\":true"

  /// Makes one step of ADD impossible, and checks that the error says which and that nothing is left of the others.
  private func expectNothingLeft(
    _ message: String, _ keys: String? = nil, ipam: String? = nil, namespace: String = "/run/netns/c1",
    canUndo: Bool = true, prepare: (TestHost) throws -> Void
  ) throws {
    try TestHost.run { host in
      var host = host
      host.runner.path = [host.dataDirectory + "/plugins"]
      try shell("mkdir \(host.dataDirectory)/plugins")
      try host.makeContainer()
      try prepare(host)
      let before = try host.snapshot()
      let error = try host.failed(
        host.call(.add, host.bridge(keys ?? gateway, ipam: ipam), namespace: namespace))
      #expect(error.description.contains(message), "\(error)")
      #expect(canUndo != error.description.contains("could not undo"), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("The container already has the interface")
  func takenName() throws {
    try expectNothingLeft("already has an interface eth0") { _ in
      try shell("ip -n c1 link add eth0 type veth peer name other")
    }
  }

  @Test("The version has no words for the result", arguments: ["0.1.0", "0.2.0"])
  func inexpressibleResult(version: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let layer2 = "{\"cniVersion\":\"\(version)\",\"name\":\"net\",\"type\":\"bridge\"}"
      let error = try host.failed(host.call(.add, layer2))
      #expect(error.code == .incompatibleVersion && error.message.contains("without addresses"), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("The namespace is gone") func noNamespace() throws {
    try expectNothingLeft("does not exist", namespace: "/run/netns/gone") { _ in }
  }

  @Test("The namespace is none") func notANamespace() throws {
    try expectNothingLeft("not a network namespace", namespace: "/etc/passwd") { _ in }
  }

  @Test("The namespace is the host's own") func ownNamespace() throws {
    try expectNothingLeft("the plugin itself runs in", namespace: "/proc/thread-self/ns/net") { _ in }
  }

  @Test("The bridge's name is another kind of link's") func noBridge() throws {
    try expectNothingLeft("is not a bridge") { _ in try shell("ip link add cni0 type veth peer name cni1") }
  }

  @Test("The pool is exhausted") func fullPool() throws {
    try expectNothingLeft(
      "10.22.0", ipam: "\"ranges\":[[{\"subnet\":\"10.22.0.0/30\"}]]"
    ) { host in
      try host.makeContainer("c2")
      _ = try host.add(
        host.bridge(gateway, ipam: "\"ranges\":[[{\"subnet\":\"10.22.0.0/30\"}]]"), container: "c2")
    }
  }

  @Test("The lease directory cannot be written") func noLeaseDirectory() throws {
    // DEL meets the same obstacle, and says so.
    try expectNothingLeft("Not a directory", canUndo: false) { host in
      try shell("echo in the way > \(host.dataDirectory)/net")
    }
  }

  @Test("There is no such IPAM plugin") func missingIPAM() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration =
        "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"bridge\",\"ipam\":{\"type\":\"nowhere\"}}"
      let error = try host.failed(host.call(.add, configuration))
      #expect(error.description.contains("nowhere"), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("The IPAM plugin is killed", arguments: ["kill -9 $$", "exit 3", "echo garbage", "echo '{}'"])
  func killedIPAM(ending: String) throws {
    try TestHost.run { host in
      var host = host
      let directory = host.dataDirectory + "/plugins"
      host.runner.path = [directory]
      try shell(
        """
        mkdir \(directory)
        printf '#!/bin/sh\\n[ "$CNI_COMMAND" = DEL ] && exit 0\\necho last words >&2\\n%s\\n' "\(ending.replacing("$", with: "\\$"))" > \(directory)/broken
        chmod 755 \(directory)/broken
        """)
      try host.makeContainer()
      let before = try host.snapshot()
      let configuration =
        "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"bridge\",\"isGateway\":true,\"ipam\":{\"type\":\"broken\"}}"
      let error = try host.failed(host.call(.add, configuration))
      #expect(error.description.contains("broken"), "\(error)")
      #expect(!error.description.contains("could not undo"), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("An address of the route is impossible") func impossibleRoute() throws {
    try expectNothingLeft(
      "route",
      ipam:
        "\"ranges\":[[{\"subnet\":\"10.22.0.0/16\"}]],\"routes\":[{\"dst\":\"192.0.2.0/24\",\"gw\":\"198.51.100.1\"}]"
    ) { _ in }
  }

  @Test("The bridge has another address") func otherAddress() throws {
    try expectNothingLeft("already has the address 10.9.0.1/24") { try $0.makeBridge(address: "10.9.0.1/24") }
  }

  @Test("nf_tables refuses: the table is there, with something else in it") func noMasquerade() throws {
    // DEL meets the same obstacle, and says so.
    try expectNothingLeft("net-10.22.0.0-16", canUndo: false) { _ in
      try shell(
        """
        nft 'add table inet cni_masquerade; add chain inet cni_masquerade net-10.22.0.0-16;
             add set inet cni_masquerade net-10.22.0.0-16 { type ether_addr; }'
        """)
    }
  }

  @Test("The last step fails on a bridge that was there before: its address goes, too")
  func foreignBridge() throws {
    try expectNothingLeft("net-10.22.0.0-16", canUndo: false) { host in
      try host.makeBridge(address: "fd00:9::1/64")
      try shell(
        """
        nft 'add table inet cni_masquerade; add chain inet cni_masquerade net-10.22.0.0-16;
             add set inet cni_masquerade net-10.22.0.0-16 { type ether_addr; }'
        """)
    }
  }
}
