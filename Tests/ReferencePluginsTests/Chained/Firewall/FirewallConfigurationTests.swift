import CNI
import CNIExecution
import TestSupport
import Testing

@Suite("firewall: configuration and STATUS", .requiresRoot)
struct FirewallConfigurationTests {
  @Test(
    "What is wrong with a key is said with its name",
    arguments: [
      (#""backend":"pf""#, "backend"), (#""backend":7"#, "backend"),
      (#""ingressPolicy":"closed""#, "ingressPolicy"), (#""ingressPolicy":["open"]"#, "ingressPolicy"),
      (#""iptablesAdminChainName":"FORWARD""#, "iptablesAdminChainName"),
      (#""iptablesAdminChainName":"CNI-FORWARD""#, "iptablesAdminChainName"),
      (#""iptablesAdminChainName":"a b""#, "iptablesAdminChainName"),
      (#""iptablesAdminChainName":"-x""#, "iptablesAdminChainName"),
      (#""iptablesAdminChainName":"a\nCOMMIT""#, "iptablesAdminChainName"),
      (#""iptablesAdminChainName":"abcdefghijklmnopqrstuvwxyz012""#, "iptablesAdminChainName"),
      (#""firewalldZone":7"#, "firewalldZone"),
    ])
  func wrong(keys: String, key: String) throws {
    try FirewallHost.run { host in
      let result = #""prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.88.3.2/24"}]}"#
      try host.host.makeContainer()
      let before = try host.rules()
      let error = try host.host.failed(host.host.call(.add, host.firewall(keys + "," + result)))
      // A value of another type than the key's cannot be decoded.
      #expect(error.code == .invalidConfiguration || error.code == .decodingFailure)
      #expect("\(error)".contains(key), "\(error)")
      #expect(try host.rules() == before)
    }
  }

  @Test("What is left open is null, empty, or in other letters")
  func loose() throws {
    try FirewallHost.run { host in
      let keys = #""Backend":"","IngressPolicy":null,"iptablesadminchainname":"","FIREWALLDZONE":"""#
      let configuration = try host.add("c1", host.connect("c1"), keys)
      try host.host.succeeded(host.check(configuration, "c1"))
      try host.delete(configuration, "c1")
    }
  }

  @Test("ADD and CHECK need a result before them; a policy needs an interface on the host")
  func results() throws {
    try FirewallHost.run { host in
      try host.host.makeContainer()
      for command in [Command.add, .check] {
        let error = try host.host.failed(host.host.call(command, host.firewall()))
        #expect(error.code == .invalidConfiguration && error.message.contains("prevResult"), "\(error)")
      }
      let inside = """
        "prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/c1"}],
         "ips":[{"address":"10.88.3.2/24","interface":0}]}
        """
      let error = try host.host.failed(
        host.host.call(.add, host.firewall("\"ingressPolicy\":\"same-bridge\",\(inside)")))
      #expect(error.code == .invalidConfiguration && error.message.contains("ingressPolicy"), "\(error)")
      try host.host.succeeded(host.host.call(.add, host.firewall(inside)))
    }
  }

  @Test(
    "What cannot be the name of an interface gets into no rule, and keeps nothing from being removed",
    arguments: ["br0 -m comment", "br0\\n-A FORWARD -j ACCEPT", "a-bridge-with-a-long-name", "a/b"])
  func hostileNames(name: String) throws {
    try FirewallHost.run { host in
      try host.host.makeContainer()
      let before = try host.rules()
      let result = """
        "prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"\(name)"},{"name":"eth0","sandbox":"/run/netns/c1"}],
         "ips":[{"address":"10.88.3.2/24","interface":1}]}
        """
      for backend in ["iptables", "nftables"] {
        let configuration = host.firewall(
          "\"backend\":\"\(backend)\",\"ingressPolicy\":\"isolated\",\(result)")
        let error = try host.host.failed(host.host.call(.add, configuration))
        #expect(
          error.code == .invalidConfiguration && error.message.contains("prevResult.interfaces"), "\(error)")
        #expect(try host.rules() == before)
        try host.host.succeeded(host.host.call(.del, configuration))
      }
    }
  }

  @Test("No address, nothing to let through", arguments: ["", "iptables", "nftables"])
  func noAddress(backend: String) throws {
    try FirewallHost.run { host in
      try host.host.makeContainer()
      let before = try host.rules()
      let keys = "\"backend\":\"\(backend)\",\"prevResult\":{\"cniVersion\":\"1.1.0\"}"
      for command in [Command.add, .check, .del] {
        try host.host.succeeded(host.host.call(command, host.firewall(keys)))
      }
      #expect(try host.rules() == before)
    }
  }

  @Test("Versions are those of the Go plugin", arguments: SpecVersion.allCases)
  func versions(version: SpecVersion) throws {
    try FirewallHost.run { host in
      guard version >= .v0_4_0 else {
        let old = host.firewall(version: version.rawValue)
        let error = try host.host.failed(host.host.call(.add, old))
        #expect(error.code == .incompatibleVersion)
        // The version of a network whose containers live has been changed: they can be deleted all the same.
        let result = try host.connect("c1")
        let before = try host.rules()
        _ = try host.add("c1", result)
        #expect(try host.rules() != before)
        try host.host.succeeded(host.host.call(.del, old))
        return #expect(try host.rules() == before)
      }
      let result = try AddResult.decode(host.connect("c1"), version: .v1_1_0).encode(as: version)
      let configuration = try host.host.after(result, host.firewall(version: version.rawValue))
      try host.host.succeeded(host.host.call(.add, configuration))
      try host.host.succeeded(host.host.call(.check, configuration))
      try host.host.succeeded(host.host.call(.del, configuration))
    }
  }

  // MARK: STATUS

  @Test("STATUS succeeds on a plain host, and changes nothing", arguments: ["", "nftables", "iptables"])
  func ready(backend: String) throws {
    try FirewallHost.run { host in
      let before = try host.rules()
      try host.host.succeeded(host.status(host.firewall("\"backend\":\"\(backend)\"")))
      #expect(try host.rules() == before)
    }
  }

  @Test(
    "STATUS and ADD say that FORWARD drops what our own table lets through",
    arguments: ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"])
  func overruled(program: String) throws {
    try FirewallHost.run { host in
      try shell("\(program) -P FORWARD DROP")
      let error = try host.host.failed(host.status(host.firewall("\"backend\":\"nftables\"")))
      #expect(error.code == .limitedConnectivity && error.message.contains("FORWARD"), "\(error)")
      #expect(error.details.contains("backend"))
      try host.host.succeeded(host.status(host.firewall()))
    }
  }

  @Test("STATUS is code 50 where iptables is needed and not installed")
  func noPrograms() throws {
    try FirewallHost.run { host in
      try shell("iptables-nft -P FORWARD DROP")
      try shell(
        """
        for d in $(echo $PATH | tr : ' '); do
          for p in $d/iptables-nft-restore $d/iptables-restore; do [ ! -e $p ] || mount --bind /dev/null $p; done
        done
        """)
      for backend in ["iptables", ""] {
        let error = try host.host.failed(host.status(host.firewall("\"backend\":\"\(backend)\"")))
        #expect(error.code == .notAvailable && error.message.contains("iptables-restore"), "\(error)")
      }
      try host.host.makeContainer()
      let result = #""prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.88.3.2/24"}]}"#
      let error = try host.host.failed(host.host.call(.add, host.firewall(result)))
      #expect(error.message.contains("iptables-restore"), "\(error)")
      // What had been done before is undone.
      #expect(try !shell("nft list ruleset").contains("cni_firewall"))
    }
  }
}
