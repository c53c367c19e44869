import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

@Suite(
  "firewall with firewalld", .requiresRoot, .requiresProgram("firewalld"), .requiresProgram("dbus-daemon"),
  .serialized)
struct FirewalldTests {
  private static let world = ["198.51.100.2", "2001:db8:51::2"]
  private static let own = ["10.88.3.2/32", "fd00:88:3::2/128"]

  private func sources(_ firewalld: Firewalld, _ zone: String = "trusted", permanent: Bool = false) throws
    -> [String]
  {
    try firewalld.command("\(permanent ? "--permanent " : "")--zone=\(zone) --list-sources")
      .split { $0 == " " || $0 == "\n" }.map(String.init).sorted()
  }

  @Test("Packets pass from ADD to DEL, also after a reload and a restart", arguments: ["firewalld", ""])
  func lifeCycle(backend: String) throws {
    try FirewallHost.run { host in
      try host.makeWorld()
      let server = try EchoServer(in: "world")
      defer { withExtendedLifetime(server) {} }
      let results = try ["c1", "c2"].map { try host.connect($0) }
      let firewalld = try Firewalld()
      let keys = "\"backend\":\"\(backend)\""
      #expect(try reached(from: "c1", Self.world, expecting: []) == [])
      try host.host.succeeded(host.status(host.firewall(keys)))
      let configuration = try host.add("c1", results[0], keys)
      #expect(try sources(firewalld) == Self.own)
      #expect(try sources(firewalld, permanent: true) == Self.own)
      #expect(try reached(from: "c1", Self.world, expecting: all(Self.world)) == all(Self.world))
      #expect(try reached(from: "c2", Self.world, expecting: []) == [])
      try host.host.succeeded(host.check(configuration, "c1"))

      try firewalld.command("--reload")
      #expect(try reached(from: "c1", Self.world, expecting: all(Self.world)) == all(Self.world))
      try host.host.succeeded(host.check(configuration, "c1"))
      try firewalld.stop()
      try firewalld.start()
      #expect(try reached(from: "c1", Self.world, expecting: all(Self.world)) == all(Self.world))

      // Again, as after an error that the runtime did not see through.
      _ = try host.add("c1", results[0], keys)
      try firewalld.command("--zone=trusted --remove-source=fd00:88:3::2/128")
      let error = try host.host.failed(host.check(configuration, "c1"))
      #expect(error.message.contains("fd00:88:3::2"), "\(error)")

      try host.delete(configuration, "c1")
      try host.delete(configuration, "c1")
      #expect(try reached(from: "c1", Self.world, expecting: []) == [])
      #expect(try sources(firewalld) == [] && sources(firewalld, permanent: true) == [])
      #expect(try shell("ls /var/lib/cni/firewall") == "")
      #expect(try !shell("nft list ruleset").contains("cni_firewall"))
    }
  }

  @Test(
    "DEL without prevResult and GC know the addresses, also after the machine has been restarted",
    arguments: [Command.del, .gc])
  func forgotten(command: Command) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let firewalld = try Firewalld()
      try firewalld.command("--zone=trusted --add-source=192.0.2.1/32")
      let keys = "\"backend\":\"firewalld\""
      _ = try host.add("c1", result, keys)
      try shell("nft delete table inet cni_firewall; ip netns del c1")
      if command == .del {
        try host.host.succeeded(host.host.call(.del, host.firewall(keys), namespace: ""))
      } else {
        try host.collectGarbage(host.firewall(keys), valid: [])
      }
      #expect(try sources(firewalld) == ["192.0.2.1/32"])
      #expect(try sources(firewalld, permanent: true) == [])
    }
  }

  @Test("DEL while firewalld does not run succeeds; the permanent configuration is put right by a later call")
  func stopped() throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let other = try host.connect("c2")
      let firewalld = try Firewalld()
      let keys = "\"backend\":\"firewalld\""
      let configuration = try host.add("c1", result, keys)
      try firewalld.stop()
      try host.delete(configuration, "c1")
      try firewalld.start()
      #expect(try sources(firewalld) == Self.own)
      _ = try host.add("c2", other, keys)
      #expect(try sources(firewalld) == ["10.88.3.3/32", "fd00:88:3::3/128"])
      #expect(try sources(firewalld, permanent: true) == ["10.88.3.3/32", "fd00:88:3::3/128"])
    }
  }

  @Test("Another zone; one that does not exist; an address that is in another")
  func zones() throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let firewalld = try Firewalld()
      let keys = "\"backend\":\"firewalld\",\"firewalldZone\":"
      let configuration = try host.add("c1", result, keys + "\"internal\"")
      #expect(try sources(firewalld, "internal") == Self.own && sources(firewalld) == [])
      try host.delete(configuration, "c1")
      #expect(try sources(firewalld, "internal") == [])

      let before = try host.rules()
      let missing = try host.host.after(result, host.firewall(keys + "\"nowhere\""))
      let error = try host.host.failed(host.host.call(.add, missing))
      #expect(error.code == .invalidConfiguration && "\(error)".contains("nowhere"), "\(error)")
      #expect(error.details.contains("firewalldZone"))
      #expect(try host.rules() == before)

      try firewalld.command("--zone=home --add-source=fd00:88:3::2/128")
      let taken = try host.host.after(result, host.firewall(keys + "\"trusted\""))
      let conflict = try host.host.failed(host.host.call(.add, taken))
      #expect(conflict.message.contains("fd00:88:3::2"), "\(conflict)")
      // The address that had gone in before is out again.
      #expect(try sources(firewalld) == [] && sources(firewalld, permanent: true) == [])
      #expect(try sources(firewalld, "home") == ["fd00:88:3::2/128"])
    }
  }

  @Test("Policies are kept where firewalld lets pass", arguments: ["same-bridge", "isolated"])
  func policies(policy: String) throws {
    try FirewallHost.run { host in
      try host.makeWorld()
      let results = try [("c1", "foo"), ("c2", "foo"), ("c3", "bar")].map { try host.connect($0.0, to: $0.1) }
      let firewalld = try Firewalld()
      defer { withExtendedLifetime(firewalld) {} }
      let servers = try ["c2", "c3", "world"].map { try EchoServer(in: $0) }
      defer { withExtendedLifetime(servers) {} }
      let keys = "\"backend\":\"firewalld\",\"ingressPolicy\":\"\(policy)\""
      let configurations = try results.enumerated().map {
        try host.add("c\($0 + 1)", $1, keys, network: $0 == 2 ? "bar" : "foo")
      }
      let (near, far) = (["10.88.3.3", "fd00:88:3::3"], ["10.88.4.2", "fd00:88:4::2"])
      let expected = all((policy == "isolated" ? [] : near) + Self.world)
      let found = try reached(from: "c1", near + far + Self.world, expecting: expected)
      #expect(found == expected)
      for (number, configuration) in configurations.enumerated() {
        try host.host.succeeded(host.check(configuration, "c\(number + 1)"))
        try host.delete(configuration, "c\(number + 1)")
      }
    }
  }

  @Test(
    "Without a bus, and without firewalld on it, ADD and STATUS say so; DEL succeeds",
    arguments: [false, true])
  func absent(hasBus: Bool) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let bus = hasBus ? try Firewalld(startsDaemon: false) : nil
      defer { withExtendedLifetime(bus) {} }
      let configuration = try host.host.after(result, host.firewall("\"backend\":\"firewalld\""))
      let before = try host.rules()
      let status = try host.host.failed(host.status(configuration))
      #expect(status.code == .notAvailable)
      let error = try host.host.failed(host.host.call(.add, configuration))
      for error in [status, error] {
        #expect(error.message.contains(hasBus ? "does not run" : "D-Bus"), "\(error)")
        #expect(error.details.contains("start"))
      }
      #expect(try host.rules() == before)
      try host.delete(configuration, "c1")
      try host.collectGarbage(configuration, valid: [])
    }
  }

  @Test(
    "What the Go plugin has put into a zone, ours takes out, and the other way round",
    .requiresProgram("/usr/lib/cni/firewall"))
  func handover() throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let firewalld = try Firewalld()
      let configuration = try host.host.after(
        result, host.firewall("\"backend\":\"firewalld\"", version: "1.0.0")
      )
      .replacingResultVersion
      func go(_ command: String) throws {
        let result = try runCommand(
          "/usr/lib/cni/firewall",
          environment: [
            "CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/c1",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/usr/lib/cni", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/dbus/system_bus_socket",
          ], input: Array(configuration.utf8))
        guard result.succeeded else { throw PacketFailure(description: result.standardOutput) }
      }
      try go("ADD")
      #expect(try sources(firewalld) == Self.own)
      try host.delete(configuration, "c1")
      #expect(try sources(firewalld) == [])

      try host.host.succeeded(host.host.call(.add, configuration))
      try go("CHECK")
      try go("DEL")
      #expect(try sources(firewalld) == [])
      try host.delete(configuration, "c1")
      #expect(try sources(firewalld, permanent: true) == [])
    }
  }
}

extension String {
  fileprivate var replacingResultVersion: String {
    var json = try! JSONValue.parse(self).object!
    if var result = json.remove("prevResult")?.object {
      result.removeAll(matching: "cniVersion")
      result.prepend("cniVersion", "1.0.0")
      json.append("prevResult", .object(result))
    }
    return String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
  }
}
