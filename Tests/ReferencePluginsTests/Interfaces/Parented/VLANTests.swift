import CNI
import TestSupport
import Testing

@Suite("vlan", .requiresKernel(.vlan))
struct VLANTests {
  private let scenario = ParentedScenario(type: "vlan", keys: "\"vlanId\":100", vlan: 100)

  @Test("ADD, packets, CHECK, STATUS, GC, DEL, DEL", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws { try scenario.lifeCycle(version) }

  @Test("Both families, at once and announced") func dualStack() throws { try scenario.dualStack() }
  @Test("The default route's link is the master") func defaultMaster() throws { try scenario.defaultMaster() }
  @Test("The master is in the container") func masterInContainer() throws { try scenario.masterInContainer() }
  @Test("MTU") func mtu() throws { try scenario.mtu() }
  @Test("DEL, whatever is missing") func deletions() throws { try scenario.deletions() }
  @Test("GC") func garbage() throws { try scenario.garbage() }
  @Test("STATUS") func status() throws { try scenario.status() }

  @Test("CHECK names what is missing", arguments: ParentedScenario.damages)
  func checkFindsDamage(damage: String, named: String) throws {
    try scenario.checkFinds(damage, naming: named)
  }

  @Test(
    "CHECK compares with the configuration",
    arguments: [
      ("\"master\":\"other\"", "does not stand on other"), ("\"master\":\"eth0\",\"mtu\":1300", "MTU 1500"),
      ("\"master\":\"eth0\",\"linkInContainer\":true", "not in the container"),
    ])
  func checkFindsOther(keys: String, named: String) throws {
    try scenario.checkFindsOther(keys, naming: named)
  }

  @Test("CHECK compares the number") func checkFindsOtherNumber() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      let result = try host.add(host.network("vlan", "\"master\":\"eth0\",\"vlanId\":7"))
      let other = host.network("vlan", "\"master\":\"eth0\",\"vlanId\":8")
      let error = try host.failed(host.call(.check, host.after(result, other)))
      #expect(error.description.contains("is VLAN 7, the configuration says 8"), "\(error)")
    }
  }

  @Test(
    "Wrong input",
    arguments: [
      ("\"master\":\"eth0\"", "vlanId"), ("\"master\":\"eth0\",\"vlanId\":4095", "vlanId"),
      ("\"master\":\"eth0\",\"vlanId\":-1", "vlanId"), ("\"master\":\"eth0\",\"vlanId\":\"5\"", "vlanId"),
      ("\"master\":\"nowhere\",\"vlanId\":5", "no interface nowhere on the host"),
      ("\"master\":5,\"vlanId\":5", "master"), ("\"master\":\"eth0\",\"vlanId\":5,\"mtu\":1501", "1500"),
      ("\"master\":\"eth0\",\"vlanId\":5,\"mtu\":-5", "mtu"),
      ("\"master\":\"eth0\",\"vlanId\":5,\"linkInContainer\":\"\"", "linkInContainer"),
    ])
  func wrongInput(keys: String, named: String) throws {
    try ParentedScenario(type: "vlan").refuses(keys, naming: named)
  }

  @Test(
    "A failed ADD leaves nothing",
    arguments: [
      ("already has an interface eth0", "eth0", "ip -n c1 link add eth0 type veth peer name other"),
      ("VLANs not supported", "lo", ""),
      ("the master eth0 is down", "eth0", "ip link set eth0 down"),
      (
        "VLAN 100 of eth0 is taken: it is eth0.100 on the host", "eth0",
        "ip link add link eth0 name eth0.100 type vlan id 100"
      ),
      (
        "VLAN 100 of eth0 is taken: it is v0 in /run/netns/c2", "eth0",
        "ip netns add c2; ip link add link eth0 netns c2 name v0 type vlan id 100"
      ),
    ])
  func failedAdd(message: String, master: String, preparation: String) throws {
    try scenario.fails(message, "\"master\":\"\(master)\"") { _ in try shell(preparation) }
  }

  @Test("Who has the VLAN already: another container, the same one, nobody who could be found")
  func taken() throws {
    try TestHost.onNetwork { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.network("vlan", "\"master\":\"eth0\",\"vlanId\":9")
      _ = try host.add(configuration, container: "c1")
      let error = try host.failed(
        host.call(.add, configuration, container: "c2", namespace: "/run/netns/c2"))
      #expect(error.message == "VLAN 9 of eth0 is taken: it is eth0 in /run/netns/c1", "\(error)")
      #expect(error.details.contains("bridge or macvlan"), "\(error)")

      // A namespace without a name, as a process has that was started with one of its own.
      try host.succeeded(host.call(.del, configuration, container: "c1"))
      let process = try ChildProcess(["unshare", "-n", "sh", "-c", "echo ready; sleep 60"])
      try process.waitForOutput("ready", timeout: 60)
      try shell("ip link add link eth0 name v0 netns \(process.pid) type vlan id 9")
      let unknown = try host.failed(host.call(.add, configuration))
      #expect(unknown.code == .tryAgainLater && unknown.message == "VLAN 9 of eth0 is taken", "\(unknown)")
      process.send(signal: 9)
    }
    try TestHost.onNetwork { host in
      try host.makeContainer()
      try shell("ip link set eth0 netns c1 name up0; ip -n c1 link set up0 up")
      try shell("ip -n c1 link add link up0 name v0 type vlan id 9")
      let inside = host.network("vlan", "\"master\":\"up0\",\"linkInContainer\":true,\"vlanId\":9")
      let error = try host.failed(host.call(.add, inside))
      #expect(error.message.contains("it is v0 in the container"), "\(error)")
    }
  }

  /// Prints the VLAN of each ARP frame that comes to `eth0`, until frames of 100 and 200 have come.
  private let listener = """
    import socket, struct, time
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.setsockopt(263, 8, 1)
    link.bind(("eth0", 0))
    link.settimeout(0.1)
    print("listening", flush=True)
    end = time.monotonic() + 30
    missing = {100, 200}
    while missing and time.monotonic() < end:
      try:
        frame, extra, flags, sender = link.recvmsg(2048, 256)
      except TimeoutError:
        continue
      for level, type, data in extra:
        vlan = struct.unpack_from("=IIIHHHH", data)[5] & 4095
        if level == 263 and type == 8 and frame[12:14] in (b"\\x08\\x06", b"\\x81\\x00"):
          print("ARP in VLAN", vlan, flush=True)
          missing.discard(vlan)
    """

  @Test("Frames are tagged, and two VLANs of one master are apart", .requiresProgram("python3"))
  func tags() throws {
    try TestHost.onNetwork(vlan: 100) { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let ears = try ChildProcess(["ip", "netns", "exec", "server", "python3", "-c", listener])
      try ears.waitForOutput("listening", timeout: 60)
      _ = try host.add(
        host.network("vlan", "\"master\":\"eth0\",\"vlanId\":100", ipam: host.fixed("10.22.0.2/16")),
        container: "c1")
      _ = try host.add(
        host.network("vlan", "\"master\":\"eth0\",\"vlanId\":200", ipam: host.fixed("10.22.0.3/16")),
        container: "c2")
      try expectPing("c1", "10.22.0.1")
      try expectPing("c2", "10.22.0.1", passes: false)
      try expectPing("c1", "10.22.0.3", passes: false)
      let heard = try ears.wait(timeout: 60).standardOutput
      #expect(heard.contains("ARP in VLAN 100\n") && heard.contains("ARP in VLAN 200\n"), "\(heard)")
      #expect(!heard.contains("ARP in VLAN 0\n"), "\(heard)")
    }
  }

  @Test("The hardware address goes on following the master's") func followsMaster() throws {
    try TestHost.onNetwork { host in
      try host.makeContainer()
      _ = try host.add(host.network("vlan", "\"master\":\"eth0\",\"vlanId\":9"))
      try shell("ip link set eth0 address 02:00:00:00:00:42")
      #expect(try shell("ip -n c1 link show eth0").contains("02:00:00:00:00:42"))
    }
  }
}

@Suite("vlan where the kernel has none", .requiresKernel(without: .vlan))
struct NoVLANTests {
  @Test("STATUS and ADD say so") func said() throws {
    try ParentedScenario.lacking("vlan", keys: "\"master\":\"eth0\",\"vlanId\":100")
  }
}
