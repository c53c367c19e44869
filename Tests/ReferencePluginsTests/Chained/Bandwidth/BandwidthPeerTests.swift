import CNI
import CNIExecution
import TestSupport
import Testing

/// A node changes hands with containers running, in either direction.
@Suite(
  "bandwidth and the Go plugin", .requiresRoot, .requiresProgram("\(AddressPlugin.goDirectory)/bandwidth"))
struct BandwidthPeerTests {
  private func run(_ body: (_ ours: TestHost, _ go: TestHost, _ first: JSONValue) throws -> Void) throws {
    try TestHost.run { host in
      var go = host
      go.runner = PluginRunner(path: [AddressPlugin.goDirectory], embedded: .none)
      try host.makeContainer()
      try body(host, go, host.addPTP(version: "1.0.0"))
    }
  }

  /// Rates and bursts that do not divide evenly, too.
  private let limits = [
    TestHost.limits(ingress: 8_000_000, egress: 16_000_000, burst: 1_000_000),
    TestHost.limits(ingress: 12_345_678, egress: 987_654_321, burst: 1_234_567),
    TestHost.limits(ingress: 1_000_003), TestHost.limits(egress: 40_000_000_000, burst: 4_294_967_296),
    #""runtimeConfig":{"bandwidth":{"EgressRate":3000000,"EgressBurst":999999}}"#,
  ]

  /// What the Go plugin and ours have in common of the state: its filter has a second action that is never reached, and
  /// its ifb no mark and a transmit queue of no length.
  private func common(_ traffic: String) -> [String] {
    let lines = traffic.split(separator: "\n").filter { !$0.contains("index ") }
    return lines.filter { !$0.contains("action order 2:") }.map { line in
      String(line.split(separator: "\\").first ?? "").replacing(" qlen 32", with: " ")
    }
  }

  @Test("Results, qdiscs and filters are the same")
  func same() throws {
    try run { ours, go, first in
      for keys in limits {
        let configuration = try ours.bandwidth(keys, after: first, version: "1.0.0")
        let other = try go.succeeded(go.call(.add, configuration))
        let theirs = try go.traffic()
        try ours.succeeded(ours.call(.del, configuration))
        #expect(try ours.traffic().isEmpty, "\(keys)")
        let result = try ours.succeeded(ours.call(.add, configuration))
        #expect(common(try ours.traffic()) == common(theirs), "\(keys)")
        #expect(ours.interfaceNames(result) == go.interfaceNames(other))
        try ours.succeeded(ours.call(.del, configuration))
      }
    }
  }

  @Test("What the Go plugin has shaped, ours checks and removes, with the namespace and without")
  func fromGo() throws {
    try run { ours, go, first in
      for keys in limits {
        for namespace in ["/run/netns/c1", ""] {
          let configuration = try ours.bandwidth(keys, after: first, version: "1.0.0")
          let result = try go.succeeded(go.call(.add, configuration))
          let after = try ours.bandwidth(keys, after: result, version: "1.0.0")
          try ours.succeeded(ours.call(.check, after))
          try ours.succeeded(ours.call(.del, after, namespace: namespace))
          #expect(try ours.traffic().isEmpty, "\(keys) \(namespace)")
        }
      }
    }
  }

  @Test("What ours has shaped, the Go plugin checks; its DEL leaves what it leaves of its own")
  func toGo() throws {
    try run { ours, go, first in
      for keys in limits {
        let configuration = try ours.bandwidth(keys, after: first, version: "1.0.0")
        let own = try go.bandwidth(keys, after: go.succeeded(go.call(.add, configuration)), version: "1.0.0")
        try go.succeeded(go.call(.del, own))
        let leftovers = try go.traffic()
        try ours.succeeded(ours.call(.del, own))
        #expect(try ours.traffic().isEmpty)

        let result = try ours.succeeded(ours.call(.add, configuration))
        let after = try ours.bandwidth(keys, after: result, version: "1.0.0")
        try go.succeeded(go.call(.check, after))
        try go.succeeded(go.call(.del, after))
        #expect(common(try ours.traffic()) == common(leftovers), "\(keys)")
        #expect(!(try ours.traffic().contains("ifb")))
        try ours.succeeded(ours.call(.del, after))
        #expect(try ours.traffic().isEmpty)
      }
    }
  }

  @Test("The Go plugin's ifb is another interface's: it stays")
  func otherInterface() throws {
    try run { ours, go, first in
      let keys = limits[0]
      let configuration = try ours.bandwidth(keys, after: first, version: "1.0.0")
      let result = try go.succeeded(go.call(.add, configuration))
      let second = try ours.bandwidth(
        keys, after: ours.addPTP(interface: "eth1", version: "1.0.0", ipam: TestHost.range(1)),
        version: "1.0.0")
      let before = try ours.traffic()
      try ours.succeeded(ours.call(.add, second, interface: "eth1"))
      for _ in 0..<2 {
        try ours.succeeded(ours.call(.del, second, interface: "eth1"))
        #expect(try ours.traffic() == before)
      }
      try ours.succeeded(ours.call(.check, ours.bandwidth(keys, after: result, version: "1.0.0")))
      try ours.succeeded(ours.call(.del, configuration))
      #expect(try ours.traffic().isEmpty)
    }
  }
}
