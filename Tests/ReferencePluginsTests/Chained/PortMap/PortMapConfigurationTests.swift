import CNI
import CNIExecution
import ReferencePlugins
import TestSupport
import Testing

@Suite("portmap: configuration", .requiresRoot)
struct PortMapConfigurationTests {
  @Test(
    "Wrong values are refused with the key and the remedy",
    arguments: [
      ("\"backend\":\"magic\"", "backend"), ("\"backend\":1", "backend"), ("\"snat\":\"yes\"", "snat"),
      ("\"masqAll\":1", "masqAll"), ("\"markMasqBit\":32", "markMasqBit"),
      ("\"markMasqBit\":-1", "markMasqBit"),
      ("\"markMasqBit\":\"13\"", "markMasqBit"),
      ("\"markMasqBit\":5,\"externalSetMarkChain\":\"KUBE-MARK-MASQ\"", "externalSetMarkChain"),
      ("\"externalSetMarkChain\":\"a b\"", "externalSetMarkChain"),
      ("\"backend\":\"nftables\",\"externalSetMarkChain\":\"KUBE-MARK-MASQ\"", "externalSetMarkChain"),
      ("\"conditionsV4\":\"-s 10.0.0.0/8\"", "conditionsV4"), ("\"conditionsV4\":[1]", "conditionsV4"),
      ("\"conditionsV4\":[\"-s\"]", "ends too early"), ("\"conditionsV4\":[\"-s\",\"fd00::1\"]", "fd00::1"),
      ("\"conditionsV4\":[\"ip6 saddr fd00::1\"]", "ip6"),
      ("\"conditionsV6\":[\"ip6 saddr 10.0.0.1\"]", "10.0.0.1"),
      ("\"conditionsV4\":[\"ip saddr 10.0.0.9-10.0.0.1\"]", "10.0.0.9-10.0.0.1"),
      ("\"conditionsV4\":[\"ip saddr 0.0.0.0/0\"]", "0.0.0.0/0"),
      ("\"conditionsV4\":[\"ct state new\"]", "ct"),
      ("\"conditionsV4\":[\"ip saddr { 10.0.0.1\"]", "conditionsV4"),
      ("\"conditionsV4\":[\"tcp dport 1-x\"]", "1-x"),
      ("\"conditionsV4\":[\"iifname averyveryverylongname\"]", "averyvery"),
      ("\"conditionsV4\":[\"meta mark 0xx\"]", "0xx"),
      ("\"backend\":\"iptables\",\"conditionsV4\":[\"ip saddr 10.0.0.1\"]", "conditionsV4"),
      ("\"backend\":\"iptables\",\"conditionsV4\":[\"!-s\",\"10.0.0.1\"]", "!-s"),
      (
        "\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":0,\"containerPort\":80}]}",
        "portMappings[0].hostPort"
      ),
      ("\"runtimeConfig\":{\"portMappings\":{}}", "portMappings"),
    ])
  func wrongValues(keys: String, named: String) throws {
    let json = try JSONValue.parse("{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"portmap\",\(keys)}")
    let error = try #require(ReferencePlugins.problem(in: json, for: "portmap"))
    #expect(error.code == .invalidConfiguration || error.code == .decodingFailure)
    #expect(error.description.contains(named), "\(error)")
  }

  @Test(
    "What is left open may be null or empty, and keys come in any case",
    arguments: [
      "\"backend\":\"\",\"snat\":null,\"masqAll\":null,\"markMasqBit\":null,\"externalSetMarkChain\":\"\"",
      "\"conditionsV4\":null,\"conditionsV6\":[]", "\"conditionsV4\":[\"\"],\"runtimeConfig\":null",
      "\"BACKEND\":\"nftables\",\"SNAT\":true,\"conditionsv4\":[\"-s\",\"10.0.0.0/8\"]",
      "\"runtimeConfig\":{\"PortMappings\":[{\"HostPort\":18081,\"ContainerPort\":80,\"Protocol\":\"tcp\",\"HostIP\":\"\"}]}",
      "\"externalSetMarkChain\":\"KUBE-MARK-MASQ\"", "\"markMasqBit\":0",
      "\"backend\":\"iptables\",\"conditionsV4\":[\"-m\",\"conntrack\",\"--ctstate\",\"NEW\"]",
      "\"backend\":\"iptables\",\"conditionsV4\":[\"\",\"!\",\"-s\",\"10.0.0.1\"],\"conditionsV6\":[\"! -s fd00::1\"]",
    ])
  func tolerance(keys: String) throws {
    let json = try JSONValue.parse("{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"portmap\",\(keys)}")
    #expect(ReferencePlugins.problem(in: json, for: "portmap") == nil)
  }

  /// The rules that come before the look-ups, as nft lists them.
  private func conditions(_ texts: String, key: String = "conditionsV4") throws -> [String] {
    try TestHost.run { host in
      try host.map(host.portmap(TestHost.mapping(8080, 80), "\"\(key)\":[\(texts)]"), host.addBridge())
      let word = key.hasSuffix("4") ? "dnat ip to meta" : "dnat ip6 to meta"
      return try shell("nft -n list table inet cni_portmap").split(separator: "chain ").filter {
        $0.hasPrefix("prerouting")
      }.flatMap { $0.split(separator: "\n") }.filter { $0.contains(word) }.map {
        String(
          $0.prefix(while: { _ in true }).trimmingPrefix(while: { $0 == "\t" }).split(separator: " dnat ip")[
            0])
      }
    }
  }

  @Test(
    "Conditions in iptables' and in nft's words",
    arguments: [
      ("\"-s\",\"10.0.0.0/8\"", ["ip saddr 10.0.0.0/8"]),
      ("\"!\",\"-d\",\"192.0.2.1\"", ["ip daddr != 192.0.2.1"]),
      ("\"-s\",\"0.0.0.0/0\",\"-i\",\"eth0\"", ["iifname \"eth0\""]),
      ("\"-s 10.0.0.1,10.0.0.2\"", ["ip saddr 10.0.0.1", "ip saddr 10.0.0.2"]),
      (
        "\"-i\",\"eth+\",\"-m\",\"mark\",\"!\",\"--mark\",\"0x100/0xff00\"",
        ["iifname \"eth*\" meta mark & 0x0000ff00 != 0x00000100"]
      ),
      ("\"-m\",\"iprange\",\"--src-range\",\"10.0.0.1-10.0.0.9\"", ["ip saddr 10.0.0.1-10.0.0.9"]),
      ("\"ip saddr != 10.0.0.0/8\",\"iifname eth0\"", ["ip saddr != 10.0.0.0/8 iifname \"eth0\""]),
      (
        "\"ip saddr { 10.0.0.0/8, 192.0.2.1-192.0.2.9 } ip daddr {198.51.100.1,198.51.100.2}\"",
        [
          "ip saddr 10.0.0.0/8 ip daddr 198.51.100.1", "ip saddr 10.0.0.0/8 ip daddr 198.51.100.2",
          "ip saddr 192.0.2.1-192.0.2.9 ip daddr 198.51.100.1",
          "ip saddr 192.0.2.1-192.0.2.9 ip daddr 198.51.100.2",
        ]
      ),
      (
        "\"ip saddr != { 10.0.0.1, 10.0.0.3 } meta mark 5\"",
        ["ip saddr != 10.0.0.1 ip saddr != 10.0.0.3 meta mark 0x00000005"]
      ),
    ])
  func words(texts: String, expected: [String]) throws {
    #expect(try conditions(texts) == expected)
  }

  @Test("Conditions of IPv6 are of IPv6")
  func six() throws {
    #expect(
      try conditions("\"ip6 saddr { fd00::/8, 2001:db8::1 }\"", key: "conditionsV6") == [
        "ip6 saddr fd00::/8 ip6 daddr != ::1", "ip6 saddr 2001:db8::1 ip6 daddr != ::1",
      ])
  }

  @Test(
    "Who does not meet the conditions does not reach the container; networks do not get in each other's way")
  func traffic() throws {
    try TestHost.run { host in
      try host.makeWorld()
      try shell("ip -n world addr add 198.51.100.3/24 dev out1")
      let first = try host.addBridge("c1")
      let second = try host.addBridge("c2")
      let servers = [try host.serve("c1", ports: 80), try host.serve("c2", ports: 80)]
      defer { withExtendedLifetime(servers) {} }
      func ask(from source: String) throws -> String {
        let script =
          "import socket; s = socket.create_connection((\"198.51.100.1\", 8080), 1, (\"\(source)\", 0)); print(s.recv(99).decode())"
        return try ChildProcess(["ip", "netns", "exec", "world", "python3", "-c", script]).wait()
          .standardOutput
          .split(separator: " ").first.map(String.init) ?? "-"
      }
      let narrow = try host.map(
        host.portmap(TestHost.mapping(8080, 80), "\"conditionsV4\":[\"-s\",\"198.51.100.3\"]"), first)
      #expect(try ask(from: "198.51.100.3") == "c1")
      #expect(try ask(from: "198.51.100.2") == "-")
      let wide = try host.map(host.portmap(TestHost.mapping(8080, 80), name: "wide"), second, container: "c2")
      #expect(try ask(from: "198.51.100.3") == "c1")
      #expect(try ask(from: "198.51.100.2") == "c2")
      try host.succeeded(host.call(.check, narrow))
      try host.succeeded(host.call(.del, narrow))
      #expect(try ask(from: "198.51.100.3") == "c2")
      try host.succeeded(host.call(.del, wide, container: "c2"))
      #expect(try shell("nft list tables").isEmpty)
    }
  }
}
