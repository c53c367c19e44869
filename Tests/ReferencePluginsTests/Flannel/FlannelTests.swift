import CNI
import CNIExecution
import CNIRuntime
import ReferencePlugins
import TestSupport
import Testing

@Suite("flannel", .requiresRoot) struct FlannelTests {
  /// A node with two containers.
  private func run(_ body: (TestHost) throws -> Void) throws {
    try TestHost.run { host in
      try host.writeSubnet()
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      try body(host)
    }
  }

  private let pings =
    "ip netns exec c1 ping -c1 -W2 10.1.17.3; ip netns exec c2 ping -c1 -W2 fc00::2; ip netns exec c1 ping -c1 -W2 10.1.17.1"

  @Test("A whole life in every version of the protocol", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws {
    try run { host in
      let before = try host.snapshot()
      let configuration = host.flannel(version: version.rawValue)
      let result = try host.add(configuration)
      #expect(result["cniVersion"]?.string == version.rawValue)
      let decoded = try AddResult.decode(result, version: version)
      #expect(decoded.ips.map(\.address.description) == ["10.1.17.2/24", "fc00::2/64"])
      _ = try host.add(configuration, container: "c2")
      try shell(pings)
      #expect(try shell("ip -n c1 link show dev eth0; ip link show dev cni0").contains("mtu 1450"))
      #expect(try host.keptFiles() == [".c1", ".c2", "c1", "c2"])

      let later = try host.after(result, configuration)
      if version >= .v0_4_0 { try host.succeeded(host.call(.check, later)) }
      if version >= .v1_1_0 {
        try host.succeeded(host.call(.status, configuration, container: "", namespace: "", interface: ""))
      }
      try host.succeeded(host.call(.del, version >= .v0_4_0 ? later : configuration))
      #expect(try host.keptFiles() == [".c2", "c2"])
      try host.succeeded(host.call(.del, configuration))
      try host.succeeded(host.call(.del, configuration, container: "c2", namespace: ""))
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("TCP and UDP, to containers and out of the node, where flanneld does not masquerade; gone with DEL")
  func packets() throws {
    try run { host in
      try host.makeWorld()
      let configuration = host.flannel()
      _ = try host.add(configuration)
      _ = try host.add(configuration, container: "c2")
      for (family, address, out) in [("4", "10.1.17.3", "198.51.100.2"), ("6", "fc00::3", "2001:db8:51::2")] {
        for (there, target) in [("c2", address), ("world", out)] {
          for kind in ["STREAM", "DGRAM"] {
            try Self.talk(from: "c1", to: there, at: target, family: family, kind: kind)
          }
        }
      }
      try host.succeeded(host.call(.del, configuration))
      for address in ["10.1.17.2", "fc00::2"] {
        #expect(throws: CommandFailure.self) { try shell("ip netns exec c2 ping -c1 -W1 \(address)") }
      }
      // Its namespace goes first.
      try shell("ip netns delete c2")
      try host.succeeded(host.call(.del, configuration, container: "c2"))
      let rules = try shell("nft list ruleset; ip addr")
      #expect(!rules.contains("10.1.17.") && !rules.contains("fc00::"), "\(rules)")
    }
  }

  /// A word and its answer over TCP or UDP.
  static func talk(from client: String, to server: String, at address: String, family: String, kind: String)
    throws
  {
    let script = """
      import ctypes, os, socket, sys
      def enter(name):
          libc = ctypes.CDLL(None, use_errno=True)
          if libc.setns(os.open('/run/netns/' + name, os.O_RDONLY), 0x40000000): sys.exit('setns ' + name)
      family, kind = (socket.AF_INET if '\(family)' == '4' else socket.AF_INET6), socket.SOCK_\(kind)
      def made(name):
          enter(name); s = socket.socket(family, kind); s.settimeout(5); return s
      server, client = made('\(server)'), made('\(client)')
      server.bind(('', 7777))
      if kind == socket.SOCK_STREAM: server.listen()
      client.connect(('\(address)', 7777))
      if kind == socket.SOCK_STREAM:
          peer, _ = server.accept(); client.send(b'word'); peer.send(peer.recv(9) + b'?')
      else:
          client.send(b'word'); word, whence = server.recvfrom(9); server.sendto(word + b'?', whence)
      sys.exit(client.recv(9) != b'word?')
      """
    try shell("python3 - <<'END'\n\(script)\nEND")
  }

  @Test("The delegate is told what the Go plugin would tell it, and that is kept")
  func told() throws {
    try run { host in
      _ = try host.add(host.flannel("\"runtimeConfig\":{\"mac\":\"02:00:5e:10:00:07\"}", delegate: ""))
      let text = try shell("cat \(host.flannelState)/c1")
      #expect(
        text
          == #"{"cniVersion":"1.1.0","ipMasq":true,"ipam":{"dataDir":"\#(host.dataDirectory)/leases","ranges":[[{"subnet":"10.1.17.0/24"}],[{"subnet":"fc00::/64"}]],"routes":[{"dst":"10.1.0.0/16"},{"dst":"fc00::/48"}],"type":"host-local"},"isGateway":true,"mtu":1450,"name":"net","runtimeConfig":{"mac":"02:00:5e:10:00:07"},"type":"bridge"}"#
      )
      #expect(try host.kept(".c1") == .object(["eth0": JSONValue.parse(text)]))
      #expect(try shell("ip -n c1 link show dev eth0").contains("02:00:5e:10:00:07"))
      #expect(try shell("stat -c %a \(host.flannelState) \(host.flannelState)/c1") == "700\n600\n")
      #expect(try shell("ip -n c1 route").contains("10.1.0.0/16 via 10.1.17.1"))
    }
  }

  @Test("Another delegate, in another place") func otherDelegate() throws {
    try run { host in
      try host.writeSubnet(to: "/run/elsewhere/env")
      try shell("rm /run/flannel/subnet.env")
      let configuration = host.flannel(
        "\"subnetFile\":\"/run/elsewhere/env\"", delegate: "\"type\":\"ptp\",\"mtu\":1300")
      let before = try host.snapshot()
      _ = try host.add(configuration)
      #expect(try shell("ip -n c1 link show dev eth0").contains("mtu 1300"))
      #expect(try shell("ip link").contains("veth") && !shell("ip link").contains("cni0"))
      try shell("ip netns exec c1 ping -c1 -W2 10.1.17.1")
      try host.succeeded(host.call(.del, configuration))
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  /// Hands on what came before it.
  private static let behind = EmbeddedPlugin(type: "behind", needsOwnThread: false) { request, _ in
    let configuration = try? request.parsedConfiguration()
    guard let result = try? configuration?.prevResult(),
      let reply = try? PluginReply(result, version: .v1_1_0)
    else {
      return PluginReply(exitStatus: .exited([.add, .check].contains(request.command) ? 1 : 0))
    }
    return request.command == .add ? reply : PluginReply()
  }

  @Test("First in a list, run by the runtime") func list() throws {
    try run { host in
      let before = try host.snapshot()
      let list = try NetworkConfigurationList(
        bytes: Array(
          """
          {"cniVersion":"1.1.0","name":"net","plugins":[\(host.flannel()),{"type":"behind"}]}
          """.utf8))
      let runtime = CNIRuntime(
        pluginPath: [], cacheDirectory: host.dataDirectory + "/cache",
        embedded: ReferencePlugins.all + EmbeddedPlugins([Self.behind]))
      func parameters(_ name: String) -> AttachmentParameters {
        AttachmentParameters(containerID: name, namespace: "/run/netns/\(name)", interfaceName: "eth0")
      }
      try runtime.status(list)
      let result = try runtime.add(list, parameters("c1"))
      #expect(result.ips.map(\.address.description) == ["10.1.17.2/24", "fc00::2/64"])
      #expect(result.interfaces.map(\.name).last == "eth0")
      _ = try runtime.add(list, parameters("c2"))
      try shell(pings)
      try runtime.check(list, parameters("c1"))
      _ = try runtime.collectGarbage(
        list, validAttachments: [Attachment(containerID: "c2", interfaceName: "eth0")])
      #expect(try host.keptFiles() == [".c2", "c2"])
      try runtime.delete(list, parameters("c1"))
      try runtime.delete(list, parameters("c2"))
      try shell("rm -r \(host.flannelState) \(host.dataDirectory)/cache")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("As processes: flannel, its delegate and that one's IPAM plugin")
  func processes() throws {
    let executable = try #require(builtExecutable)
    try run { host in
      var host = host
      try shell(
        "mkdir /run/bin; for name in flannel bridge host-local; do ln -s \(executable) /run/bin/$name; done")
      host.runner = PluginRunner(path: ["/run/bin"])
      let before = try host.snapshot()
      let configuration = host.flannel()
      let result = try host.add(configuration)
      _ = try host.add(configuration, container: "c2")
      try shell(pings)
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      for container in ["c1", "c2"] {
        try host.succeeded(host.call(.del, configuration, container: container))
      }
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: Failing

  @Test("An ADD that fails leaves nothing, whoever fails, and says who") func failedAdd() throws {
    try run { host in
      for (delegate, ipam, subnet, named) in [
        ("", "", "FLANNEL_MTU=1", "FLANNEL_NETWORK"), ("", "", nil, "flanneld"),
        ("\"type\":\"no-such\"", "", TestHost.node, "no-such"),
        ("", "\"type\":\"no-such\"", TestHost.node, "no-such"),
        ("\"bridge\":\"lo\"", "", TestHost.node, "lo"),
        ("\"mtu\":-1", "", TestHost.node, "mtu"),
      ] {
        if let subnet { try host.writeSubnet(subnet) } else { try shell("rm /run/flannel/subnet.env") }
        let before = try host.snapshot()
        let error = try host.failed(host.call(.add, host.flannel(delegate: delegate, ipam: ipam)))
        #expect(error.description.contains(named), "\(error)")
        // What is nowhere cannot undo either.
        #expect(ipam.isEmpty != error.description.contains("could not undo"), "\(error)")
        try shell("rmdir \(host.flannelState) \(host.dataDirectory)/leases 2>/dev/null || true")
        try host.expectUnchanged(since: before)
      }
    }
  }

  @Test("What a delegate leaves that fails is removed by its DEL") func untidyDelegate() throws {
    try run { host in
      var host = host
      // It makes a link, and says that it has failed.
      try shell(
        """
        mkdir /run/bin; cat >/run/bin/untidy <<'END'
        #!/bin/sh
        cat >/run/told.$CNI_COMMAND
        case $CNI_COMMAND in
        ADD) ip link add untidy0 type bridge; echo '{"code":100,"msg":"half-way"}'; exit 1 ;;
        DEL) ip link delete untidy0 ;;
        esac
        END
        chmod 755 /run/bin/untidy
        """)
      host.runner.path = ["/run/bin"]
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.flannel(delegate: "\"type\":\"untidy\"")))
      #expect(error.description.contains("half-way") && error.code.rawValue == 100, "\(error)")
      #expect(try shell("cat /run/told.ADD") == shell("cat /run/told.DEL"))
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("A second ADD fails, and what the first one has made and kept stays")
  func secondAdd() throws {
    try run { host in
      let configuration = host.flannel()
      let result = try host.add(configuration)
      let before = try host.snapshot()
      _ = try host.failed(host.call(.add, configuration))
      try host.expectUnchanged(since: before)
      try shell("ip netns exec c1 ping -c1 -W2 10.1.17.1")
      try host.succeeded(host.call(.check, host.after(result, configuration)))
    }
  }

  @Test("Results that the version of flannel's own configuration cannot express fail whole")
  func inexpressible() throws {
    try run { host in
      let before = try host.snapshot()
      let configuration = """
        {"name":"net","type":"flannel","dataDir":"\(host.flannelState)",
         "delegate":{"type":"quiet","cniVersion":"1.0.0"}}
        """
      var host = host
      try shell(
        """
        mkdir /run/bin; cat >/run/bin/quiet <<'END'
        #!/bin/sh
        echo '{"cniVersion":"1.0.0"}'
        END
        chmod 755 /run/bin/quiet
        """)
      host.runner.path = ["/run/bin"]
      let error = try host.failed(host.call(.add, configuration))
      #expect(error.code == .incompatibleVersion, "\(error)")
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }
}
