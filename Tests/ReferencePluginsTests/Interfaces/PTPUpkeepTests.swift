import CNI
import CNIExecution
import TestSupport
import Testing

/// ADDs that fail, DEL under all circumstances, GC, STATUS.
@Suite("ptp: what is left, and what is not", .requiresRoot)
struct PTPUpkeepTests {
  // MARK: ADD that fails

  private func expectNothingLeft(
    _ message: String, _ configuration: ((TestHost) -> String)? = nil, namespace: String = "/run/netns/c1",
    canUndo: Bool = true, prepare: (TestHost) throws -> Void
  ) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try prepare(host)
      let before = try host.snapshot()
      let configuration = configuration?(host) ?? host.ptp()
      let error = try host.failed(host.call(.add, configuration, namespace: namespace))
      #expect(error.description.contains(message), "\(error)")
      #expect(canUndo != error.description.contains("could not undo"), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test("The container already has the interface") func takenName() throws {
    try expectNothingLeft("already has an interface eth0") { _ in
      try shell("ip -n c1 link add eth0 type veth peer name other")
    }
  }

  @Test("The namespace is gone, none, or the host's own")
  func namespaces() throws {
    try expectNothingLeft("does not exist", namespace: "/run/netns/gone") { _ in }
    try expectNothingLeft("not a network namespace", namespace: "/etc/passwd") { _ in }
    try expectNothingLeft("the plugin itself runs in", namespace: "/proc/thread-self/ns/net") { _ in }
  }

  @Test("The pool is exhausted") func fullPool() throws {
    func configuration(_ host: TestHost) -> String { host.ptp(ipam: "\"subnet\":\"10.9.0.0/30\"") }
    try expectNothingLeft("10.9.0", configuration) { host in
      try host.makeContainer("c2")
      _ = try host.add(configuration(host), container: "c2")
    }
  }

  @Test("There is no such IPAM plugin") func missingIPAM() throws {
    try expectNothingLeft("nowhere", { $0.ptp(type: "nowhere") }, canUndo: false) { _ in }
  }

  @Test("IPAM gives no gateway, or one that cannot be", arguments: ["", ",\"gateway\":\"10.9.0.5\""])
  func noGateway(gateway: String) throws {
    let addresses = "\"addresses\":[{\"address\":\"10.9.0.5/24\"\(gateway)}]"
    try expectNothingLeft("gateway", { $0.ptp(ipam: addresses, type: "static") }) { _ in }
  }

  @Test("A route is impossible") func impossibleRoute() throws {
    let ipam = "\"subnet\":\"10.9.0.0/24\",\"routes\":[{\"dst\":\"192.0.2.0/24\",\"gw\":\"198.51.100.1\"}]"
    try expectNothingLeft("route", { $0.ptp(ipam: ipam) }) { _ in }
  }

  @Test("The MTU is impossible") func impossibleMTU() throws {
    try expectNothingLeft("create link", { $0.ptp("\"mtu\":10") }) { _ in }
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

  @Test("Somebody else has the address: the error says who") func takenAddress() throws {
    try expectNothingLeft("by way of stranger (cni:other/c9/eth0)") { _ in
      try shell(
        """
        ip link add stranger type veth peer name peer
        for n in stranger peer; do echo 1 >/proc/sys/net/ipv6/conf/$n/disable_ipv6; done
        ip link set stranger up; ip link set peer up; ip link set stranger alias cni:other/c9/eth0; ip route add 10.22.0.2/32 dev stranger
        """)
    }
  }

  @Test(
    "Who had the address is about to vanish: ADD waits for that",
    arguments: ["10.22.0.2/32", "fd00:22::2/128"])
  func vanishingAddress(address: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try shell(
        """
        ip link add stranger type veth peer name peer; ip link set stranger up; ip link set peer up
        ip route add \(address) dev stranger
        (sleep 0.3; ip link del stranger) >/dev/null 2>&1 &
        """)
      let result = try host.add(host.ptp())
      try host.succeeded(host.call(.check, host.after(result, host.ptp())))
      try shell("ping -c1 -W2 10.22.0.2; ping -c1 -W2 fd00:22::2")
    }
  }

  // MARK: DEL

  @Test(
    "DEL without prevResult, and with the namespace gone or not given, removes everything",
    arguments: [
      "nftables", "iptables",
    ])
  func deleteWithoutHelp(backend: String) throws {
    try TestHost.run { host in
      let configuration = host.ptp("\"ipMasq\":true,\"ipMasqBackend\":\"\(backend)\"")
      // iptables leaves the table that it made.
      try shell(
        "iptables -t nat -S >/dev/null; ip6tables -t nat -S >/dev/null; nft delete table ip x || true")
      let before = try host.snapshot()
      try host.makeContainer()
      _ = try host.add(configuration)
      try shell("ip netns del c1")
      try host.succeeded(host.call(.del, configuration))
      try host.succeeded(host.call(.del, configuration))
      #expect(try leftovers() == "")

      try host.makeContainer()
      _ = try host.add(configuration)
      try host.succeeded(host.call(.del, configuration, namespace: ""))
      try shell("ip netns del c1")
      #expect(try leftovers() == "")
      if backend == "nftables" { try host.expectUnchanged(since: before) }
    }
  }

  private func leftovers() throws -> String {
    try shell(
      """
      ip -o link show type veth; ip route; ip -6 route | grep fd00: || true
      (nft list ruleset; iptables-save; ip6tables-save) | grep -e 10.22 -e fd00 -e CNI- -e cni: || true
      """)
  }

  @Test("DEL that asks for no masquerading removes what ADD was asked for")
  func changedConfiguration() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      _ = try host.add(host.ptp())
      try host.succeeded(host.call(.del, host.ptp("\"mtu\":\"nonsense\"")))
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: GC and STATUS

  @Test("GC removes links, rules and leases of attachments that are not valid, and of no others")
  func garbage() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.ptp()
      let before = try host.snapshot()
      let kept = try host.add(configuration, container: "c1")
      _ = try host.add(configuration, container: "c2")
      func collect(_ valid: [CNI.Attachment]) throws {
        var json = try JSONValue.parse(configuration).object!
        json.append("cni.dev/valid-attachments", .array(valid.map { $0.encode() }))
        let request = String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
        try host.succeeded(host.call(.gc, request, container: "", namespace: "", interface: ""))
      }
      try collect([Attachment(containerID: "c1", interfaceName: "eth0")])
      let left = try shell("ip -o link; ip route; nft list ruleset; ls '\(host.dataDirectory)/net'")
      #expect(!left.contains("10.22.0.3") && !left.contains("/c2/") && left.contains("10.22.0.2"))
      try host.succeeded(host.call(.check, host.after(kept, configuration)))
      try shell("ip netns exec c1 ping -c1 -W2 10.22.0.1")
      try collect([])
      try host.expectUnchanged(since: before)
    }
  }

  private func status(_ host: TestHost, _ configuration: String) throws -> PluginReply {
    try host.call(.status, configuration, container: "", namespace: "", interface: "")
  }

  @Test("STATUS is code 50 with an exhausted pool, and changes nothing")
  func exhaustedPool() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let configuration = host.ptp(ipam: "\"subnet\":\"10.9.0.0/30\"")
      let before = try host.snapshot()
      try host.succeeded(status(host, configuration))
      try host.expectUnchanged(since: before)
      _ = try host.add(configuration)
      let error = try host.failed(status(host, configuration))
      #expect(error.code == .notAvailable && error.message.contains("10.9.0.0/30"))
    }
  }

  @Test("STATUS is code 50 where iptables is asked for and not installed")
  func noIPTables() throws {
    try TestHost.run { host in
      // In mounts of the test's own, nothing is in the directories of programs.
      try shell(
        "for d in $(echo $PATH | tr : ' '); do [ -e $d/iptables-restore ] && mount --bind /dev/null $d/iptables-restore; done; true"
      )
      let error = try host.failed(
        status(host, host.ptp("\"ipMasq\":true,\"ipMasqBackend\":\"iptables\"")))
      #expect(error.code == .notAvailable && error.message.contains("iptables-restore"), "\(error)")
    }
  }
}
