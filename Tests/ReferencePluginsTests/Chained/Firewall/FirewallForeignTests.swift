import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

/// Hosts whose rules live in iptables, and containers that change hands with the Go plugin.
@Suite("firewall on hosts with iptables", .requiresRoot, .requiresProgram("iptables-legacy"))
struct FirewallForeignTests {
  /// `PEER_BIN_DIR` has newer ones than Debian's, if it is set.
  private static let go = (getenv("PEER_BIN_DIR").map { String(cString: $0) } ?? "/usr/lib/cni") + "/firewall"
  private static let world = ["198.51.100.2", "2001:db8:51::2"]

  /// What Docker and others have there: FORWARD drops what nobody accepts.
  private func drop(_ form: String) throws {
    try shell(
      """
      for p in iptables-\(form) ip6tables-\(form); do
        $p -N DOCKER-USER; $p -A DOCKER-USER -j RETURN; $p -A FORWARD -j DOCKER-USER; $p -P FORWARD DROP
      done
      """)
  }

  @Test(
    "Where FORWARD drops, packets pass from ADD to DEL; nobody has to say that it does",
    arguments: ["nft", "legacy"])
  func drops(form: String) throws {
    try FirewallHost.run { host in
      try host.makeWorld()
      let server = try EchoServer(in: "world")
      defer { withExtendedLifetime(server) {} }
      let results = try ["c1", "c2"].map { try host.connect($0) }
      try drop(form)
      let before = try host.rules()
      #expect(try reached(from: "c1", Self.world, expecting: []) == [])
      let first = try host.add("c1", results[0])
      #expect(try reached(from: "c1", Self.world, expecting: all(Self.world)) == all(Self.world))
      #expect(try reached(from: "c2", Self.world, expecting: []) == [])
      let second = try host.add("c2", results[1])
      #expect(try reached(from: "c2", Self.world, expecting: all(Self.world)) == all(Self.world))
      try host.host.succeeded(host.check(first, "c1"))
      try host.host.succeeded(host.check(second, "c2"))
      try host.delete(first, "c1")
      #expect(try reached(from: "c1", Self.world, expecting: []) == [])
      #expect(try reached(from: "c2", Self.world, expecting: all(Self.world)) == all(Self.world))
      // The namespace is gone, and nobody remembers the addresses but the owner's own elements.
      try shell("ip netns del c2")
      try host.host.succeeded(host.host.call(.del, host.firewall(), container: "c2", namespace: ""))
      #expect(try host.rules() == before)
    }
  }

  @Test("Rules in one family, or in both forms, are each given theirs", arguments: ["one", "both"])
  func mixture(case name: String) throws {
    try FirewallHost.run { host in
      try host.makeWorld()
      let server = try EchoServer(in: "world")
      defer { withExtendedLifetime(server) {} }
      let result = try host.connect("c1")
      try shell("ip6tables-legacy -P FORWARD DROP")
      if name == "both" {
        try shell("ip6tables-nft -P FORWARD DROP; iptables-nft -A FORWARD -m mark --mark 1 -j DROP")
      }
      let before = try host.rules()
      let configuration = try host.add("c1", result, "\"ingressPolicy\":\"same-bridge\"")
      #expect(try reached(from: "c1", Self.world, expecting: all(Self.world)) == all(Self.world))
      #expect(try shell("ip6tables-legacy -S").contains("fd00:88:3::2"))
      #expect(try shell("nft list ruleset").contains("CNI-FORWARD") == (name == "both"))
      try host.host.succeeded(host.check(configuration, "c1"))
      try host.delete(configuration, "c1")
      #expect(try host.rules() == before)
    }
  }

  @Test("CHECK names the address whose rule is missing from iptables", arguments: ["nft", "legacy"])
  func check(form: String) throws {
    for (change, what) in [
      ("iptables-\(form) -D CNI-FORWARD -s 10.88.3.2/32 -j ACCEPT", "10.88.3.2"),
      ("ip6tables-\(form) -F CNI-FORWARD", "fd00:88:3::2"),
      ("iptables-\(form) -D FORWARD 2; iptables-\(form) -D FORWARD 1", "10.88.3.2"),
      ("iptables-\(form) -F CNI-ISOLATION-STAGE-2", "foo0"),
      ("ip6tables-\(form) -D CNI-ISOLATION-STAGE-1 1", "foo0"),
    ] {
      try FirewallHost.run { host in
        let result = try host.connect("c1")
        try drop(form)
        let configuration = try host.add("c1", result, "\"ingressPolicy\":\"isolated\"")
        try host.host.succeeded(host.check(configuration, "c1"))
        try shell(change)
        let error = try host.host.failed(host.check(configuration, "c1"))
        #expect(error.message.contains(what), "\(change): \(error)")
        try host.delete(configuration, "c1")
      }
    }
  }

  @Test(
    "The administrator's chain in iptables, of whatever name, is heard first and stays",
    arguments: ["nft", "legacy"])
  func administration(form: String) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      try drop(form)
      let keys = "\"iptablesAdminChainName\":\"SITE\""
      let configuration = try host.add("c1", result, keys)
      #expect(try shell("iptables-\(form) -S CNI-FORWARD").contains("admin overrides\" -j SITE"))
      try shell("iptables-\(form) -A SITE -p tcp --dport 25 -j DROP")
      try host.delete(configuration, "c1")
      let left = try shell("iptables-\(form) -S; ip6tables-\(form) -S")
      #expect(left.contains("-A SITE -p tcp") && left.contains("-j SITE") && left.contains("-j CNI-FORWARD"))
      #expect(!left.contains("10.88.3.2"))
      #expect(try !shell("ip6tables-\(form) -S").contains("SITE"))
      // A host on which only the administrator's chain has rules is one whose rules live in iptables.
      try shell("iptables-\(form) -P FORWARD ACCEPT; iptables-\(form) -D FORWARD -j DOCKER-USER")
      let again = try host.add("c1", result, keys)
      #expect(try shell("iptables-\(form) -S CNI-FORWARD").contains("10.88.3.2"))
      try host.delete(again, "c1")
    }
  }

  @Test("Chains that others call, or have made, stay, and keep no container", arguments: ["nft", "legacy"])
  func calledByOthers(form: String) throws {
    let programs = ["iptables-\(form)", "ip6tables-\(form)"]
    func change(_ words: String) throws {
      for program in programs { try shell("\(program) \(words)") }
    }
    func expectGone() throws {
      for program in programs { #expect(try !shell("\(program)-save -t filter").contains(":3::2")) }
      #expect(try !shell("\(programs[0])-save -t filter").contains("10.88.3.2"))
    }
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      // As Docker makes it for an administrator: empty, and called.
      for words in [
        "-N SITE", "-A FORWARD -j SITE", "-P FORWARD DROP", "-P INPUT ACCEPT", "-P OUTPUT ACCEPT",
      ] {
        try change(words)
      }
      let before = try host.rules()
      let own = try host.add("c1", result, "\"iptablesAdminChainName\":\"SITE\"")
      try host.delete(own, "c1")
      #expect(try host.rules() == before)

      for rule in [
        "INPUT -j CNI-ADMIN", "INPUT -j CNI-FORWARD", "FORWARD -i nowhere -j CNI-FORWARD",
        "OUTPUT -j CNI-ISOLATION-STAGE-1", "SITE -j CNI-ISOLATION-STAGE-2",
      ] {
        let configuration = try host.add("c1", result, "\"ingressPolicy\":\"isolated\"")
        try change("-A \(rule)")
        for _ in 0..<2 {
          try host.delete(configuration, "c1")
          try expectGone()
          for program in programs { #expect(try shell("\(program) -S").contains("-A \(rule)")) }
        }
        // With the rule goes, at the next opportunity, what it kept.
        try change("-D \(rule)")
        _ = try host.add("c1", result, "\"ingressPolicy\":\"isolated\"")
        try host.delete(configuration, "c1")
        #expect(try host.rules() == before, "\(rule)")
      }
    }
  }

  @Test("Who cannot remove rules does not forget whose they are", arguments: [Command.del, .gc])
  func removalWithoutPrograms(command: Command) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      try drop("legacy")
      let before = try host.rules()
      _ = try host.add("c1", result)
      let programs = try shell(
        "readlink -f $(command -v iptables-legacy-restore) $(command -v iptables-restore) | sort -u"
      ).split(separator: "\n")
      for program in programs { try shell("mount --bind /dev/null \(program)") }
      let configuration = host.firewall(#""cni.dev/valid-attachments":[]"#)
      func remove() throws -> PluginReply {
        command == .del
          ? try host.host.call(.del, configuration, namespace: "")
          : try host.host.call(.gc, configuration, container: "", namespace: "", interface: "")
      }
      #expect(try "\(host.host.failed(remove()))".contains("restore"))
      for program in programs { try shell("umount \(program)") }
      try host.host.succeeded(remove())
      #expect(try host.rules() == before)
    }
  }

  // MARK: The Go plugin

  /// Calls the Go plugin, whose iptables is that of the form.
  private func callGo(
    _ command: String, _ configuration: String, _ host: FirewallHost, _ container: String = "c1",
    form: String = "nft"
  ) throws {
    let directory = host.host.dataDirectory + "/programs"
    try shell(
      """
      mkdir -p \(directory)
      for p in iptables ip6tables; do ln -sf $(command -v xtables-\(form)-multi) \(directory)/$p; done
      """)
    let result = try runCommand(
      Self.go,
      environment: [
        "CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": "/run/netns/\(container)",
        "CNI_IFNAME": "eth0", "CNI_PATH": "/usr/lib/cni",
        "PATH": "\(directory):/usr/sbin:/usr/bin:/sbin:/bin",
      ], input: Array(configuration.replacingVersion.utf8))
    guard result.succeeded else { throw PacketFailure(description: result.standardOutput) }
  }

  /// Whether it is a Go plugin from before `isolated`.
  private static func isOld(_ error: any Error) -> Bool { "\(error)".contains("unknown ingress policy") }

  @Test(
    "iptables-save is the same after the Go plugin's ADD and after ours",
    .requiresProgram(go), arguments: ["open", "same-bridge", "isolated"], ["nft", "legacy"])
  func sameRules(policy: String, form: String) throws {
    func rules(_ add: (FirewallHost, String, String) throws -> Void) throws -> String {
      try FirewallHost.run { host in
        let results = try [("c1", "foo"), ("c2", "foo"), ("c3", "bar")].map {
          try host.connect($0.0, to: $0.1)
        }
        try drop(form)
        let keys = "\"backend\":\"iptables\",\"ingressPolicy\":\"\(policy)\""
        for (number, result) in results.enumerated() {
          let network = number == 2 ? "bar" : "foo"
          let configuration = try host.host.after(result, host.firewall(keys, network: network))
          try add(host, configuration, "c\(number + 1)")
          // Twice is once.
          if number == 0 { try add(host, configuration, "c1") }
        }
        return try host.saved(form)
      }
    }
    let go: String
    do { go = try rules { try callGo("ADD", $1, $0, $2, form: form) } } catch  where Self.isOld(error) {
      return
    }
    let ours = try rules { _ = try $0.host.add($1, container: $2) }
    // Plugins that do not know "isolated" do not mention it.
    #expect(go == (go.contains("|isolated") ? ours : ours.replacing("|isolated", with: "")))
    #expect(ours.contains("10.88.3.2/32"))
  }

  @Test(
    "What the Go plugin has added, ours checks, keeps working, and removes without a trace",
    .requiresProgram(go),
    arguments: ["open", "same-bridge", "isolated"], ["nft", "legacy"])
  func fromGo(policy: String, form: String) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      try drop(form)
      let before = try host.rules()
      let keys = "\"backend\":\"iptables\",\"ingressPolicy\":\"\(policy)\""
      let configuration = try host.host.after(result, host.firewall(keys))
      do { try callGo("ADD", configuration, host, form: form) } catch  where Self.isOld(error) { return }
      try shell("for p in /sys/class/net/foo0/brif/*; do bridge link set dev ${p##*/} isolated on; done")
      try host.host.succeeded(host.check(configuration, "c1"))
      try host.delete(configuration, "c1")
      #expect(try host.rules() == before)
      try host.delete(configuration, "c1")
    }
  }

  @Test("What ours has added, the Go plugin finds", .requiresProgram(go), arguments: ["nft", "legacy"])
  func toGo(form: String) throws {
    try FirewallHost.run { host in
      let results = try ["c1", "c2"].map { try host.connect($0) }
      try drop(form)
      let first = try host.add("c1", results[0], "\"backend\":\"iptables\"")
      _ = try host.add("c2", results[1], "\"backend\":\"iptables\"")
      try callGo("CHECK", first, host, form: form)
      try callGo("DEL", first, host, form: form)
      let rules = try host.saved(form)
      #expect(!rules.contains("10.88.3.2/32") && !rules.contains("fd00:88:3::2/128"))
      #expect(rules.contains("10.88.3.3/32") && rules.contains("fd00:88:3::3/128"))
      try host.delete(first, "c1")
    }
  }

  @Test(
    "A host without rules of its own: the Go plugin's containers and ours side by side", .requiresProgram(go))
  func sideBySide() throws {
    try FirewallHost.run { host in
      try host.makeWorld()
      let results = try [("c1", "foo"), ("c2", "bar")].map { try host.connect($0.0, to: $0.1) }
      try shell(
        "iptables-nft -S >/dev/null; ip6tables-nft -S >/dev/null; iptables-nft -P FORWARD ACCEPT; ip6tables-nft -P FORWARD ACCEPT"
      )
      let before = try host.rules()
      let servers = try ["c1", "c2"].map { try EchoServer(in: $0) }
      defer { withExtendedLifetime(servers) {} }
      let keys = "\"ingressPolicy\":\"same-bridge\""
      let theirs = try host.host.after(results[0], host.firewall(keys + ",\"backend\":\"iptables\""))
      try callGo("ADD", theirs, host)
      // Bridges that the Go plugin keeps apart are kept apart from ours, too.
      let ours = try host.add("c2", results[1], keys, network: "bar")
      #expect(try reached(from: "c1", ["10.88.4.2", "fd00:88:4::2"], expecting: []) == [])
      #expect(try reached(from: "c2", ["10.88.3.2", "fd00:88:3::2"], expecting: []) == [])
      try host.delete(theirs, "c1")
      try host.delete(ours, "c2")
      #expect(try host.rules() == before)
    }
  }
}

extension String {
  /// In the newest version that Debian's Go plugins know.
  fileprivate var replacingVersion: String {
    var json = try! JSONValue.parse(self).object!
    json.removeAll(matching: "cniVersion")
    json.prepend("cniVersion", "1.0.0")
    if var result = json.remove("prevResult")?.object {
      result.removeAll(matching: "cniVersion")
      result.prepend("cniVersion", "1.0.0")
      json.append("prevResult", .object(result))
    }
    return String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
  }
}
