import CNI
import CNIExecution
import ReferencePlugins
import TestSupport
import Testing

@Suite("flannel: DEL, CHECK, GC, STATUS", .requiresRoot) struct FlannelUpkeepTests {
  private func run(_ body: (TestHost) throws -> Void) throws {
    try TestHost.run { host in
      try host.writeSubnet()
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      try body(host)
    }
  }

  private func interface(
    _ host: TestHost, _ command: Command, _ configuration: String, _ container: String, _ name: String
  ) throws {
    try host.succeeded(
      host.call(
        command, configuration, container: container, namespace: "/run/netns/\(container)", interface: name))
  }

  // MARK: DEL

  @Test("DEL removes what ADD has made, whatever flanneld and the configuration say now")
  func changedMeanwhile() throws {
    try run { host in
      let before = try host.snapshot()
      _ = try host.add(host.flannel(delegate: "\"bridge\":\"old0\",\"isDefaultGateway\":true"))
      try host.writeSubnet(
        "FLANNEL_NETWORK=10.9.0.0/16\nFLANNEL_SUBNET=10.9.1.1/24\nFLANNEL_MTU=9000\nFLANNEL_IPMASQ=true")
      try host.succeeded(host.call(.del, host.flannel(delegate: "\"type\":\"ptp\"")))
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "Where what was kept is gone or spoilt, DEL does with what flanneld says, and with less",
    arguments: [
      "rm FILE", "truncate -s 0 FILE", "truncate -s 40 FILE", "echo '[1]' >FILE", "echo '{\"type\":5}' >FILE",
      "echo '{\"name\":\"net\",\"type\":\"../../bin/sh\"}' >FILE",
      "echo '{\"name\":\"net\",\"type\":\"flannel\"}' >FILE", "rm FILE; mkdir FILE",
    ], [true, false])
  func spoilt(damage: String, flanneldIsThere: Bool) throws {
    try run { host in
      let before = try host.snapshot()
      let configuration = host.flannel()
      _ = try host.add(configuration)
      for name in ["c1", ".c1"] { try shell(damage.replacing("FILE", with: "\(host.flannelState)/\(name)")) }
      if !flanneldIsThere { try shell("rm /run/flannel/subnet.env") }
      let reply = try host.call(.del, configuration)
      if damage.contains("mkdir") {
        // Nobody's file: it is said and left.
        #expect(try host.failed(reply).description.contains("\(host.flannelState)/"))
      } else {
        try host.succeeded(reply)
      }
      try shell(
        "rmdir \(host.flannelState)/* \(host.flannelState)/.c1 \(host.flannelState) 2>/dev/null || true")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("Only one of the two files is spoilt: the other one says it") func oneSpoilt() throws {
    try run { host in
      let before = try host.snapshot()
      for name in ["c1", ".c1"] {
        _ = try host.add(host.flannel(delegate: "\"type\":\"ptp\""))
        try shell("echo '{' >\(host.flannelState)/\(name)")
        // By what is configured now it would be looked for at the wrong place.
        try host.succeeded(
          host.call(.del, host.flannel(delegate: "\"type\":\"host-device\",\"device\":\"lo\"")))
        #expect(try host.keptFiles() == [])
      }
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("DEL of what never was; also with a configuration that ADD would refuse")
  func nothingThere() throws {
    try run { host in
      let before = try host.snapshot()
      for delegate in ["", "\"type\":7", "\"name\":\"x\"", "\"type\":\"flannel\""] {
        try host.succeeded(host.call(.del, host.flannel(delegate: delegate)))
        try host.succeeded(host.call(.del, host.flannel(delegate: delegate), namespace: ""))
      }
      try host.expectUnchanged(since: before)
    }
  }

  @Test("What was kept stays until the delegate has succeeded") func failingDelegate() throws {
    try run { host in
      _ = try host.add(host.flannel())
      try shell("sed -i 's/\"bridge\"/\"absent\"/' \(host.flannelState)/c1 \(host.flannelState)/.c1")
      let error = try host.failed(host.call(.del, host.flannel()))
      #expect(error.description.contains("absent"), "\(error)")
      #expect(try host.keptFiles() == [".c1", "c1"])
      try shell("sed -i 's/\"absent\"/\"bridge\"/' \(host.flannelState)/c1 \(host.flannelState)/.c1")
      try host.succeeded(host.call(.del, host.flannel()))
      #expect(try host.keptFiles() == [])
    }
  }

  @Test(
    "Several interfaces of a container, of different networks, removed in either order",
    arguments: [true, false])
  func severalInterfaces(inOrder: Bool) throws {
    try run { host in
      let before = try host.snapshot()
      let one = host.flannel(delegate: "\"bridge\":\"one0\"")
      let two = host.flannel(delegate: "\"bridge\":\"two0\"", name: "other")
        .replacing("/leases", with: "/others")
      try interface(host, .add, one, "c1", "eth0")
      try interface(host, .add, two, "c1", "net1")
      #expect(try host.keptFiles() == [".c1", "c1"])
      #expect(try host.kept(".c1").object?.keys == ["eth0", "net1"])
      #expect(try host.kept()["bridge"] == "two0")
      let (first, last) = inOrder ? ((one, "eth0"), (two, "net1")) : ((two, "net1"), (one, "eth0"))
      try interface(host, .del, first.0, "c1", first.1)
      #expect(try host.kept()["bridge"]?.string == (inOrder ? "two0" : "one0"))
      #expect(try !shell("ip -n c1 link").contains(first.1))
      #expect(try shell("ip -n c1 link").contains(last.1))
      try interface(host, .del, first.0, "c1", first.1)
      #expect(try host.keptFiles() == [".c1", "c1"])
      #expect(try shell("ip -n c1 link").contains(last.1))
      try interface(host, .del, last.0, "c1", last.1)
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "Two interfaces of a container in one network, each with the network's route; one that is listed twice")
  func twoInTheSameNetwork() throws {
    try run { host in
      let before = try host.snapshot()
      let configuration = host.flannel(ipam: "\"routes\":[{\"dst\":\"10.1.0.0/16\"}]")
      try interface(host, .add, configuration, "c1", "eth0")
      try interface(host, .add, configuration, "c1", "net1")
      #expect(try shell("ip -n c1 route show 10.1.0.0/16 | wc -l") == "2\n")
      try shell("for n in 2 3; do ping -c1 -W2 10.1.17.$n; ping -c1 -W2 fc00::$n; done")
      try interface(host, .del, configuration, "c1", "eth0")
      #expect(try shell("ip -n c1 route show 10.1.0.0/16").contains("dev net1"))
      try shell("ping -c1 -W2 10.1.17.3; ping -c1 -W2 fc00::3")
      try interface(host, .del, configuration, "c1", "net1")
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: The Go plugin's files

  @Test("What the Go plugin has kept, ours checks and removes; what it finds of ours is its own form")
  func goFile() throws {
    try run { host in
      let before = try host.snapshot()
      let configuration = host.flannel(version: "1.0.0")
      let result = try host.add(configuration)
      // That is all the Go plugin would have left.
      try shell("rm \(host.flannelState)/.c1; rm /run/flannel/subnet.env")
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try host.succeeded(host.call(.del, later))
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "With the Go plugins as delegates", .requiresProgram("\(AddressPlugin.goDirectory)/bridge"),
    .requiresProgram("\(AddressPlugin.goDirectory)/host-local"))
  func goDelegates() throws {
    try run { host in
      var host = host
      host.runner.path = [AddressPlugin.goDirectory]
      for flanneldIsThere in [true, false] {
        try host.writeSubnet()
        // The Go bridge stays, with its address.
        let configuration = host.flannel(
          delegate: "\"isDefaultGateway\":true,\"ipMasq\":false", version: "1.0.0")
        _ = try host.add(configuration)
        _ = try host.add(configuration, container: "c2")
        try shell(
          """
          ip netns exec c1 ping -c1 -W2 10.1.17.1
          for i in 1 2 3 4 5; do if ip netns exec c2 ping -c1 -W1 fc00::1; then exit; fi; done; exit 1
          """)
        // The Go bridge 1.1.1 misses at CHECK each route without a gateway of its own, of which the network's is one.
        if !flanneldIsThere { try shell("rm -r /run/flannel/subnet.env \(host.flannelState)") }
        for container in ["c1", "c2"] {
          try host.succeeded(
            host.call(.del, configuration, container: container, namespace: "/run/netns/\(container)"))
        }
        #expect(try host.keptFiles() == [])
        #expect(try !shell("ip link").contains("veth"))
        #expect(try shell("ls \(host.dataDirectory)/leases/net | grep -v '^l' || true") == "")
      }
    }
  }

  // MARK: CHECK

  @Test("CHECK finds what the delegate finds, what was kept gone, and a subnet that is another node's")
  func check() throws {
    try run { host in
      let configuration = host.flannel()
      let later = try host.after(host.add(configuration), configuration)
      try host.succeeded(host.call(.check, later))
      // While flanneld is away, or writes nonsense, containers are none the worse.
      for text in ["", "FLANNEL_MTU=x"] {
        try host.writeSubnet(text)
        try host.succeeded(host.call(.check, later))
      }
      try host.writeSubnet(TestHost.node.replacing("10.1.17.1/24", with: "10.1.18.1/24"))
      let moved = try host.failed(host.call(.check, later))
      #expect(moved.message.contains("10.1.17.0/24") && moved.message.contains("10.1.18.0/24"), "\(moved)")
      try host.writeSubnet()
      try host.succeeded(host.call(.check, later))

      try shell("ip -n c1 addr del 10.1.17.2/24 dev eth0")
      let delegate = try host.failed(host.call(.check, later))
      #expect(delegate.description.contains("bridge") && delegate.description.contains("10.1.17.2/24"))
      try shell("rm \(host.flannelState)/c1 \(host.flannelState)/.c1")
      let gone = try host.failed(host.call(.check, later))
      #expect(gone.message.contains("there is no \(host.flannelState)/c1"), "\(gone)")
    }
  }

  // MARK: GC

  private func collect(_ host: TestHost, _ configuration: String, valid: [(String, String)]) throws
    -> PluginReply
  {
    var json = try JSONValue.parse(configuration).object!
    json.append(
      "cni.dev/valid-attachments",
      .array(valid.map { Attachment(containerID: $0.0, interfaceName: $0.1).encode() }))
    return try host.call(
      .gc, JSONValue.object(json).description, container: "", namespace: "", interface: "")
  }

  @Test("GC removes what is stale, by the delegate that it had, and what was kept of it; no other network's")
  func garbage() throws {
    try run { host in
      let before = try host.snapshot()
      let other = host.flannel(delegate: "\"bridge\":\"two0\"", name: "other").replacing(
        "/leases", with: "/others")
      let old = host.flannel(
        "\"runtimeConfig\":{\"mac\":\"02:00:5e:10:00:07\"}", delegate: "\"type\":\"ptp\"")
      let now = host.flannel()
      try interface(host, .add, old, "c1", "eth0")
      try interface(host, .add, now, "c1", "net1")
      try interface(host, .add, now, "c2", "eth0")
      try interface(host, .add, other, "c2", "net1")
      try host.succeeded(collect(host, now, valid: [("c1", "net1")]))
      #expect(try host.keptFiles() == [".c1", ".c2", "c1", "c2"])
      #expect(try host.kept(".c1").object?.keys == ["net1"])
      #expect(try host.kept(".c2").object?.keys == ["net1"])
      #expect(try host.kept("c1")["type"] == "bridge" && host.kept("c2")["name"] == "other")
      #expect(try !shell("ip -n c1 link").contains("eth0") && shell("ip -n c1 link").contains("net1"))
      #expect(try !shell("ip -n c2 link").contains("eth0") && shell("ip -n c2 link").contains("net1"))
      try shell(
        "ls \(host.dataDirectory)/leases/net/10.1.17.3; ! ls \(host.dataDirectory)/leases/net/10.1.17.2")
      try host.succeeded(collect(host, now, valid: []))
      #expect(try host.keptFiles() == [".c2", "c2"])
      try host.succeeded(collect(host, other, valid: []))
      try shell("rmdir \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("GC also finds what the Go plugin has kept; without flanneld, too; what cannot be read stays")
  func garbageOfGo() throws {
    try run { host in
      let before = try host.snapshot()
      let configuration = host.flannel()
      _ = try host.add(configuration)
      _ = try host.add(configuration, container: "c2")
      try shell("rm \(host.flannelState)/.c? /run/flannel/subnet.env; echo '{' >\(host.flannelState)/c3")
      try host.succeeded(collect(host, configuration, valid: [("c1", "eth0")]))
      #expect(try host.keptFiles() == ["c1", "c3"])
      try shell("ip -n c1 link show dev eth0; ! ip -n c2 link show dev eth0")
      try host.succeeded(collect(host, configuration, valid: []))
      #expect(try host.keptFiles() == ["c3"])
      try shell("rm -r \(host.flannelState)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("What was kept stays if the delegate's GC fails, and the rest is done all the same")
  func failingGarbage() throws {
    try run { host in
      let configuration = host.flannel()
      _ = try host.add(configuration)
      _ = try host.add(configuration, container: "c2")
      try shell("sed -i 's/\"bridge\"/\"absent\"/' \(host.flannelState)/c1 \(host.flannelState)/.c1")
      let error = try host.failed(collect(host, configuration, valid: []))
      #expect(error.description.contains("absent"), "\(error)")
      #expect(try host.keptFiles() == [".c1", "c1"])
      #expect(try !shell("ip link").contains("veth"))
    }
  }

  // MARK: STATUS

  @Test("STATUS: flanneld, the place for what is kept, and the delegate, each with code 50")
  func status() throws {
    try run { host in
      func fails(_ configuration: String, _ named: String, remedy: String = "") throws {
        let error = try host.failed(
          host.call(.status, configuration, container: "", namespace: "", interface: ""))
        #expect(error.code == .notAvailable && error.description.contains(named), "\(error)")
        #expect(error.details.contains(remedy), "\(error)")
      }
      let configuration = host.flannel()
      try host.succeeded(host.call(.status, configuration, container: "", namespace: "", interface: ""))
      try shell("rm -r /run/flannel")
      try fails(configuration, "/run/flannel/subnet.env", remedy: "is flanneld running")
      try host.writeSubnet("FLANNEL_MTU=1")
      try fails(configuration, "FLANNEL_SUBNET", remedy: "restart it")
      try host.writeSubnet()
      try fails(configuration.replacing(host.flannelState, with: "/run/flannel/subnet.env/x"), "subnet.env/x")
      try fails(host.flannel(delegate: "\"type\":\"no-such\""), "no-such")
      try shell("ip link add port0 type veth peer name port1")
      try fails(host.flannel(delegate: "\"bridge\":\"port0\""), "port0")
      try fails(host.flannel(ipam: "\"type\":\"no-such\""), "no-such")
      #expect(try host.keptFiles() == [])
    }
  }
}
