import CNI
import CNIExecution
import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

/// The Go plugins do the same with the same configurations, and share a directory of leases with ours.
@Suite(.requiresProgram("\(AddressPlugin.goDirectory)/host-local")) struct GoPeerTests {
  /// The configuration with a placeholder for the directory, arguments, and the containers to add.
  struct Case: CustomTestStringConvertible, Sendable {
    let ipam: String
    var keys = ""
    var arguments = ""
    /// Versions to try; the rest is the same in all.
    var versions = ["0.3.1", "1.0.0"]

    var testDescription: String { "\(ipam) \(keys) \(arguments)" }
  }

  static let hostLocalCases: [Case] = [
    Case(
      ipam:
        #""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0","gw":"2001:db8:1::1"}]"#,
      versions: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]),
    Case(ipam: #""subnet":"10.1.2.0/30""#),
    Case(ipam: #""subnet":"10.1.2.0/24","rangeStart":"10.1.2.250","gateway":"10.1.2.252""#),
    Case(
      ipam: #""subnet":"10.1.2.0/24","rangeStart":"10.1.2.0","rangeEnd":"10.1.2.255","gateway":"10.9.9.9""#),
    Case(ipam: #""ranges":[[{"subnet":"10.1.2.0/30"},{"subnet":"10.1.3.0/29","gateway":"10.1.3.2"}]]"#),
    Case(ipam: #""ranges":[[{"subnet":"fd00::/126"}]]"#),
    Case(
      ipam: #""ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"10.2.0.0/16"}]]"#,
      versions: ["0.2.0", "0.3.0"]),
    Case(
      ipam: #""subnet":"10.1.0.0/24","ranges":[[{"subnet":"10.2.0.0/24"}]]"#,
      keys: #""runtimeConfig":{"ipRanges":[[{"subnet":"10.3.0.0/24"}]]}"#),
    Case(ipam: #""subnet":"10.1.0.0/24""#, keys: #""args":{"cni":{"ips":["10.1.0.50"]}}"#),
    Case(ipam: #""subnet":"10.1.0.0/24""#, keys: #""args":{"cni":{"ips":["10.1.0.50","10.1.0.51"]}}"#),
    Case(ipam: #""subnet":"10.1.0.0/24""#, keys: #""runtimeConfig":{"ips":["10.1.0.50/24","10.1.0.50"]}"#),
    Case(ipam: #""subnet":"10.1.0.0/24""#, arguments: "IP=10.1.0.7"),
    Case(ipam: #""subnet":"10.1.0.0/24""#, arguments: "IgnoreUnknown=1;A=b;IP=10.1.0.7/8"),
    Case(ipam: #""subnet":"10.1.0.0/24""#, arguments: "A=b"),
    Case(ipam: #""subnet":"10.1.0.0/24""#, arguments: "IP=10.1.0.1"),
    Case(ipam: #""subnet":"10.1.0.0/24""#, arguments: "IP=10.2.0.1"),
    Case(ipam: #""subnet":"10.1.0.3/24""#), Case(ipam: #""subnet":"10.1.0.0/31""#),
    Case(ipam: #""ranges":[]"#),
    Case(ipam: #""ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"10.1.0.0/25"}]]"#),
    Case(ipam: #""ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.9","rangeEnd":"10.1.0.3"}]]"#),
    Case(ipam: #""subnet":"10.1.0.0/24","resolvConf":"/nonexistent""#),
  ]

  /// Both give the same results to a line of containers, fail at the same ones, and leave the same files.
  @Test(arguments: hostLocalCases) func leasesTheSame(test: Case) throws {
    for version in test.versions {
      let ours = try LeaseFiles()
      let go = try LeaseFiles()
      func both(_ command: Command, _ container: String) throws -> (AddressPlugin.Reply, AddressPlugin.Reply)
      {
        func call(_ plugin: AddressPlugin, _ data: String) throws -> AddressPlugin.Reply {
          try plugin.call(
            "host-local", command, hostLocal(data, test.ipam, test.keys, version: version),
            container: container,
            arguments: test.arguments)
        }
        return (try call(.ours, ours.data), try call(.go, go.data))
      }
      func compare(_ command: Command, _ container: String) throws {
        let (a, b) = try both(command, container)
        #expect(a.status == b.status, "\(version) \(command) \(container): \(a.json) and \(b.json)")
        if a.status == 0 { #expect(a.json == b.json, "\(version) \(command) \(container)") }
        #expect(ours.leases == go.leases)
        for lease in ours.leases { #expect(ours.read(lease) == go.read(lease)) }
        // After a request that cannot be served, Go's points behind an address that it took and gave back.
        if a.status != 0 { return }
        for hint in 0..<3 {
          #expect(ours.read("last_reserved_ip.\(hint)") == go.read("last_reserved_ip.\(hint)"))
        }
      }
      for container in ["a", "b", "c", "d", "a"] { try compare(.add, container) }
      if version >= "0.4.0", !ours.leases.isEmpty {
        try compare(.check, "b")
        try compare(.check, "nobody")
      }
      if ours.leases.isEmpty { continue }
      for container in ["b", "b", "nobody", "a"] { try compare(.del, container) }
      for container in ["e", "b"] { try compare(.add, container) }
      for container in ["a", "b", "c", "d", "e"] { try compare(.del, container) }
      #expect(ours.leases == [])
    }
  }

  /// What one has added the other checks, refuses to add again, and removes.
  @Test func takesOver() throws {
    for (first, second) in [(AddressPlugin.go, AddressPlugin.ours), (.ours, .go)] {
      let files = try LeaseFiles()
      let configuration = hostLocal(
        files.data, #""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00::/64"}]]"#, version: "1.0.0")
      func call(_ plugin: AddressPlugin, _ command: Command, _ container: String) throws
        -> AddressPlugin.Reply
      {
        try plugin.call("host-local", command, configuration, container: container)
      }
      for container in ["a", "b"] { #expect(try call(first, .add, container).status == 0) }
      #expect(try call(second, .check, "a").status == 0)
      #expect(try call(second, .add, "a").status != 0)
      #expect(
        try call(second, .add, "c").result().ips.map(\.address.description) == ["10.1.2.4/24", "fd00::4/64"])
      #expect(try call(first, .check, "c").status == 0)
      #expect(try call(second, .del, "a").status == 0)
      #expect(try call(first, .check, "a").status != 0)
      #expect(try call(first, .del, "c").status == 0)
      #expect(try call(second, .check, "c").status != 0)
      #expect(files.leases == ["10.1.2.3", "fd00::3"])
      #expect(try call(second, .del, "b").status == 0)
      #expect(files.leases == [])
    }
  }

  static let staticCases: [Case] = [
    Case(
      ipam:
        #""addresses":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"3ffe:ffff:0:01ff::1/64"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.10.0.254"}],"dns":{"nameservers":["192.0.2.1"],"domain":"a.b","search":["c"],"options":["d"]}"#,
      versions: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]),
    Case(
      ipam: #""addresses":[{"address":"10.10.0.1/24"},{"address":"10.11.0.1/24"}]"#,
      versions: ["0.2.0", "0.3.0"]),
    Case(ipam: "", arguments: "IP=10.20.0.5/24, fd00::5/64;GATEWAY=10.20.0.1,fd00::1"),
    Case(
      ipam: #""addresses":[{"address":"10.20.0.1/24"}]"#,
      arguments: "IP=10.21.0.5/24;GATEWAY=10.20.0.9,10.21.0.9"),
    Case(
      ipam: #""addresses":[{"address":"10.20.0.1/24"}]"#, keys: #""args":{"cni":{"ips":["10.1.0.1/24"]}}"#),
    Case(
      ipam: "",
      keys: #""args":{"cni":{"ips":["10.1.0.1/24"]}},"runtimeConfig":{"ips":["10.2.0.1/24","fd00::1/64"]}"#,
      arguments: "IP=10.3.0.1/24"),
    Case(ipam: #""addresses":[{"address":"10.20.0.1"}]"#), Case(ipam: "", arguments: "IP=10.3.0.1"),
    Case(ipam: "", keys: #""runtimeConfig":{"ips":["10.2.0.1"]}"#), Case(ipam: "", arguments: "A=b"),
    Case(ipam: #""addresses":[{"address":"10.20.0.1/24","gateway":"x"}]"#),
  ]

  @Test(arguments: staticCases) func reportsTheSame(test: Case) throws {
    for version in test.versions {
      let configuration = fixed(test.ipam, test.keys, version: version)
      let ours = try AddressPlugin.ours.call("static", .add, configuration, arguments: test.arguments)
      let go = try AddressPlugin.go.call("static", .add, configuration, arguments: test.arguments)
      #expect(ours.status == go.status, "\(version): \(ours.json) and \(go.json)")
      if ours.status == 0 { #expect(ours.json == go.json, "\(version)") }
    }
  }
}
