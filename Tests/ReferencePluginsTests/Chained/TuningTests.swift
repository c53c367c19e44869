import CNI
import CNIExecution
import LinuxNetworking
import TestSupport
import Testing

extension TestHost {
  /// A container with an interface that has the hardware address 02:00:00:00:00:01; its other end is on the host.
  func makeTunable(_ interface: String = "eth0", container: String = "c1") throws {
    try makeContainer(container)
    try shell(
      """
      ip link add host0 type veth peer name \(interface) address 02:00:00:00:00:01 netns \(container)
      ip link set host0 up; ip -n \(container) link set \(interface) up
      """)
  }

  /// `tuning` with its records in the test's own directory.
  func tuning(
    _ keys: String, previous: JSONValue? = nil, version: String = "1.1.0", name: String = "net"
  ) -> String {
    chained(
      "tuning", "\"dataDir\":\"\(dataDirectory)/tuning\"\(keys.isEmpty ? "" : ",")\(keys)",
      previous: previous ?? interfaceResult("10.1.0.2/24", version: version), version: version, name: name)
  }

  /// Everything that the tests tune.
  func tunables(_ interface: String = "eth0") throws -> String {
    // Without what settles at a moment of its own: the carrier, and with it the first qdisc.
    try shell(
      "ip -n c1 -o link show dev \(interface) | sed 's/,LOWER_UP//; s/NO-CARRIER,//; s/,M-DOWN//; s/qdisc.*qlen/qlen/'"
    )
      + inContainer(
        "cd /proc/sys/net; grep -H . core/somaxconn ipv4/conf/\(interface)/arp_notify ipv4/conf/\(interface)/rp_filter ipv4/ip_local_reserved_ports || true"
      )
  }

  /// The record of c1's eth0; empty if there is none.
  func record() throws -> String {
    try shell("cat '\(dataDirectory)/tuning/c1_eth0.json' 2>/dev/null || true")
  }
}

/// Every key at once, with the values that the container's interface does not have.
let everything = """
  "sysctl":{"net.core.somaxconn":"500","net/ipv4/conf/IFNAME/arp_notify":"1","net.ipv4.ip_local_reserved_ports":"8080,8081,9000"},
  "mac":"02:00:00:00:00:77","mtu":1400,"promisc":true,"allmulti":true,"txQLen":77
  """

@Suite("tuning", .requiresRoot)
struct TuningTests {
  @Test("A whole life in every version of the protocol", arguments: SpecVersion.allCases)
  func lifeCycle(version: SpecVersion) throws {
    try TestHost.run { host in
      try host.makeTunable()
      let before = try host.tunables()
      let hostSetting = try shell("cat /proc/sys/net/core/somaxconn")
      let old = try JSONValue.parse(Array("{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.1.0.2/24\"}}".utf8))
      let previous =
        version < .v0_3_0 ? old : host.interfaceResult("10.1.0.2/24", version: version.rawValue)
      let configuration = host.tuning(everything, previous: previous, version: version.rawValue)
      let result = try host.add(configuration)
      let decoded = try AddResult.decode(result, version: version)
      if version >= .v0_3_0 { #expect(decoded.interfaces.first?.mac == "02:00:00:00:00:77") }
      if version >= .v1_0_0 { #expect(decoded.interfaces.first?.mtu == 1400) }
      #expect(decoded.ips.map(\.address.description) == ["10.1.0.2/24"])

      let tuned = try host.tunables()
      for text in [
        "PROMISC", "ALLMULTI", "mtu 1400", "qlen 77", "link/ether 02:00:00:00:00:77", "somaxconn:500",
        "arp_notify:1",
        "ports:8080-8081,9000",
      ] { #expect(tuned.contains(text), "\(text)") }
      #expect(try shell("cat /proc/sys/net/core/somaxconn") == hostSetting)
      if version >= .v0_4_0 { try host.check(configuration, after: result) }
      try host.succeeded(host.call(.del, configuration))
      #expect(try host.tunables() == before)
      #expect(try shell("ls -A '\(host.dataDirectory)/tuning'").isEmpty)
      try host.succeeded(host.call(.del, configuration))
      #expect(try host.tunables() == before)
    }
  }

  @Test("The record is what the Go plugin writes, and says more")
  func recordForm() throws {
    try TestHost.run { host in
      try host.makeTunable()
      _ = try host.add(host.tuning(everything))
      let record = try JSONValue.parse(Array(host.record().utf8))
      #expect(record["mac"] == "02:00:00:00:00:01" && record["mtu"] == 1500 && record["txQLen"] == 1000)
      #expect(record["promisc"] == false && record["allmulti"] == false)
      #expect(record["owner"] == "cni:net/c1/eth0")
      #expect(record["sysctl"]?["net/ipv4/conf/eth0/arp_notify"]?["before"] == "0")
    }
  }

  @Test("What is as it should be is not touched, and needs no record")
  func nothingToDo() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let keys =
        #""sysctl":{"net.ipv4.conf.IFNAME.arp_notify":"0"},"mtu":1500,"mac":"02:00:00:00:00:01","promisc":false,"allmulti":false"#
      let result = try host.add(host.tuning(keys))
      #expect(try host.record() == "")
      try host.check(host.tuning(keys), after: result)
      _ = try host.add(host.tuning(""))
      _ = try host.add(
        host.tuning(#""sysctl":null,"mac":"","mtu":0,"promisc":null,"args":null,"runtimeConfig":{"mac":""}"#))
      #expect(try host.record() == "")
    }
  }

  @Test(
    "Where the hardware address comes from: args.cni before runtimeConfig, CNI_ARGS and the key",
    arguments: [
      (#""mac":"02:00:00:00:00:11""#, "", "02:00:00:00:00:11"),
      (#""MAC":"02:00:00:00:00:11""#, "MAC=02:00:00:00:00:22", "02:00:00:00:00:22"),
      (
        #""mac":"02:00:00:00:00:11","runtimeConfig":{"Mac":"02:00:00:00:00:33"}"#,
        "IgnoreUnknown=1;K=v;MAC=02:00:00:00:00:22",
        "02:00:00:00:00:33"
      ),
      (
        #""runtimeConfig":{"mac":"02:00:00:00:00:33"},"args":{"cni":{"mac":"02:00:00:00:00:44"}}"#,
        "MAC=02:00:00:00:00:22",
        "02:00:00:00:00:44"
      ),
    ])
  func hardwareAddress(keys: String, arguments: String, expected: String) throws {
    try TestHost.run { host in
      try host.makeTunable()
      let result = try host.add(host.tuning(keys), arguments: arguments)
      #expect(try AddResult.decode(result).interfaces[0].mac == expected)
      #expect(try host.tunables().contains(expected))
    }
  }

  @Test("args.cni goes over the configuration, key by key")
  func arguments() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let keys = """
        "sysctl":{"net.core.somaxconn":"500","net.ipv4.conf.IFNAME.arp_notify":"1"},"mtu":1400,"promisc":true,"txQLen":5,"allmulti":true,
        "args":{"cni":{"sysctl":{"net/core/somaxconn":"600"},"mtu":1300,"promisc":false,"txQLen":0,"allmulti":false,"ips":["10.1.0.2"]}}
        """
      let result = try host.add(host.tuning(keys))
      let tuned = try host.tunables()
      for text in ["mtu 1300", "somaxconn:600", "arp_notify:1"] { #expect(tuned.contains(text), "\(text)") }
      for text in ["PROMISC", "ALLMULTI", "qlen 5"] { #expect(!tuned.contains(text), "\(text)") }
      try host.check(host.tuning(keys), after: result)
    }
  }

  @Test("Names of settings: with dots, with slashes, with a dot in the interface's name")
  func names() throws {
    try TestHost.run { host in
      try host.makeTunable("eth0.5")
      for key in [
        "net.ipv4.conf.IFNAME.arp_notify", "net/ipv4/conf/IFNAME/arp_notify",
        "net.ipv4.conf.eth0/5.arp_notify",
        "net/ipv4/conf/eth0.5/arp_notify", "/proc/sys/net/ipv4/conf/eth0.5/arp_notify",
      ] {
        let configuration = host.tuning(#""sysctl":{"\#(key)":"1"}"#)
        try host.succeeded(host.call(.add, configuration, interface: "eth0.5"))
        #expect(try host.tunables("eth0.5").contains("arp_notify:1"), "\(key)")
        try host.succeeded(host.call(.del, configuration, interface: "eth0.5"))
        #expect(try host.tunables("eth0.5").contains("arp_notify:0"), "\(key)")
      }
    }
  }

  @Test("A setting that can only be written is written; an empty value empties a list")
  func unusualSettings() throws {
    try TestHost.run { host in
      try host.makeTunable()
      try shell("ip netns exec c1 sh -c 'echo 7000 > /proc/sys/net/ipv4/ip_local_reserved_ports'")
      let keys =
        #""sysctl":{"net.ipv4.route.flush":"1","net.ipv4.ip_local_reserved_ports":"","net.ipv4.ping_group_range":"0 5"}"#
      let result = try host.add(host.tuning(keys))
      #expect(try host.inContainer("cat /proc/sys/net/ipv4/ip_local_reserved_ports") == "")
      try host.check(host.tuning(keys), after: result)
      try host.succeeded(host.call(.del, host.tuning(keys)))
      #expect(try host.inContainer("cat /proc/sys/net/ipv4/ip_local_reserved_ports") == "7000")
    }
  }

  // MARK: Failures

  @Test(
    "What is wrong is named, and nothing is changed",
    arguments: [
      (#""sysctl":{"kernel.hostname":"x"}"#, "kernel.hostname", 7),
      (#""sysctl":{"kernel/hostname":"x"}"#, "kernel/hostname", 7),
      (#""sysctl":{"net":"x"}"#, "net", 7),
      (#""sysctl":{"netx.core.somaxconn":"9"}"#, "netx.core.somaxconn", 7),
      (#""sysctl":{"net/../kernel/hostname":"x"}"#, "net/../kernel/hostname", 7),
      (#""sysctl":{"net.//.kernel.hostname":"x"}"#, "kernel.hostname", 7),
      (#""sysctl":{"net/./core/somaxconn":"9"}"#, "net/./core", 7),
      (#""sysctl":{"net..core":"9"}"#, "net..core", 7),
      (#""sysctl":{"/net/core/somaxconn":"9"}"#, "/net/core/somaxconn", 7),
      (#""sysctl":{"/proc/sys/kernel/hostname":"x"}"#, "/proc/sys/kernel", 7),
      (#""sysctl":{"":"9"}"#, "sysctl", 7), (#""sysctl":{"net.core.somaxconn\u0000":"9"}"#, "sysctl", 7),
      (#""sysctl":{"net.core.somaxconn":9}"#, "sysctl", 6),
      (#""sysctl":["net.core.somaxconn=9"]"#, "sysctl", 6),
      (#""sysctl":{"net.core.absent":"9"}"#, "net.core.absent", 7),
      (#""sysctl":{"net.core":"9"}"#, "net.core", 7),
      (#""sysctl":{"net.core.somaxconn":"nine"}"#, "net.core.somaxconn", 7),
      (#""sysctl":{"net.core.somaxconn":""}"#, "net.core.somaxconn", 7),
      (#""sysctl":{"net.core.somaxconn":"8","net/core/somaxconn":"9"}"#, "net/core/somaxconn", 7),
      (#""mac":"zz""#, "mac", 7), (#""mac":5"#, "mac", 6), (#""mac":"01:00:5e:00:00:01""#, "multicast", 7),
      (#""mac":"00:00:00:00:00:00""#, "mac", 7), (#""runtimeConfig":{"mac":"zz"}"#, "runtimeConfig.mac", 7),
      (#""mtu":-1"#, "mtu", 7), (#""mtu":65536"#, "mtu", 7), (#""mtu":"1400""#, "mtu", 6),
      (#""mtu":20"#, "mtu", 7),
      (#""promisc":"yes""#, "promisc", 6), (#""allmulti":1"#, "allmulti", 6), (#""txQLen":-1"#, "txQLen", 7),
      (#""txQLen":4294967296"#, "txQLen", 7), (#""txQLen":"5""#, "txQLen", 6),
      (#""dataDir":5"#, "dataDir", 6),
      (#""args":{"cni":{"mtu":-5}}"#, "args.cni.mtu", 7),
      (#""args":{"cni":{"sysctl":{"vm.swappiness":"1"}}}"#, "vm.swappiness", 7),
    ])
  func mistakes(keys: String, named: String, code: UInt32) throws {
    try TestHost.run { host in
      try host.makeTunable()
      let before = try host.tunables()
      let error = try host.failed(host.call(.add, host.tuning(keys)))
      #expect(error.code.rawValue == code, "\(error)")
      #expect(error.description.contains(named), "\(error)")
      #expect(try host.tunables() == before)
      #expect(try host.record() == "")
      // What never was can be removed all the same.
      try host.succeeded(host.call(.del, host.tuning(keys.contains("dataDir") ? "" : keys)))
    }
  }

  @Test("CNI_ARGS with a MAC that is none")
  func malformedArguments() throws {
    try TestHost.run { host in
      try host.makeTunable()
      for arguments in ["MAC=zz", "MAC=01:00:5e:00:00:01", "UNKNOWN=1"] {
        let error = try host.failed(host.call(.add, host.tuning(""), arguments: arguments))
        #expect(error.code == .invalidEnvironment && error.message.contains("CNI_ARGS"))
      }
    }
  }

  @Test("ADD that fails late leaves everything as it was")
  func failedAdd() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let before = try host.tunables()
      let good = #""net.core.somaxconn":"500","net.ipv4.conf.IFNAME.arp_notify":"1""#
      let link = #""mac":"02:00:00:00:00:77","promisc":true,"allmulti":true,"txQLen":77"#
      for (keys, word) in [
        ("\"sysctl\":{\(good),\"net.ipv4.conf.IFNAME.rp_filter\":\"many\"},\(link)", "rp_filter"),
        // The kernel has changed the hardware address before it comes to the MTU.
        ("\"sysctl\":{\(good)},\"mtu\":50,\(link)", "mtu"),
      ] {
        let error = try host.failed(host.call(.add, host.tuning(keys)))
        #expect(error.description.contains(word) && !error.details.contains("could not undo"), "\(error)")
        #expect(try host.tunables() == before)
        #expect(try host.record() == "")
      }
      let error = try host.failed(
        host.call(.add, host.tuning("\"sysctl\":{\"net.core.somaxconn\":\"500\"},\(link)"), interface: "eth9")
      )
      #expect(error.message.contains("eth9"))
      #expect(try host.tunables() == before)
    }
  }

  @Test("An MTU that would take IPv6 from the interface is refused where there are IPv6 addresses")
  func smallMTU() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let dual = host.interfaceResult("10.1.0.2/24", "fd00:1::2/64")
      let error = try host.failed(host.call(.add, host.tuning(#""mtu":1000"#, previous: dual)))
      #expect(error.code == .invalidConfiguration && error.message.contains("fd00:1::2"))
      _ = try host.add(host.tuning(#""mtu":1000"#))
    }
  }

  @Test("The host's own namespace, and one that is gone, are refused")
  func namespaces() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let configuration = host.tuning(everything)
      let before = try NetworkNamespace.currentIdentity
      let own = try host.failed(host.call(.add, configuration, namespace: "/proc/thread-self/ns/net"))
      #expect(own.code == .invalidEnvironment)
      #expect(
        try host.failed(host.call(.add, configuration, namespace: "/run/netns/gone")).code
          == .unknownContainer)
      _ = try host.add(configuration)
      // Linked in, it is a guest on the caller's thread.
      #expect(try NetworkNamespace.currentIdentity == before)
    }
  }

  // MARK: CHECK

  @Test("CHECK names every value that differs")
  func check() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let configuration = host.tuning(everything)
      let result = try host.add(configuration)
      try shell(
        """
        ip -n c1 link set eth0 address 02:00:00:00:00:88 mtu 1300 promisc off allmulticast off txqueuelen 5
        ip netns exec c1 sh -c 'echo 2 > /proc/sys/net/core/somaxconn; echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify'
        """)
      let error = try host.failed(host.call(.check, host.after(result, configuration)))
      for text in [
        "net.core.somaxconn is 2, it was set to 500", "arp_notify is 0", "mac is 02:00:00:00:00:88",
        "mtu is 1300",
        "promisc is false", "allmulti is false", "txQLen is 5, it was set to 77",
      ] { #expect(error.description.contains(text), "\(text)") }
      try shell("ip -n c1 link delete eth0")
      let gone = host.tuning(#""mtu":1400"#)
      #expect(try host.failed(host.call(.check, host.after(result, gone))).message.contains("eth0"))
    }
  }
}
