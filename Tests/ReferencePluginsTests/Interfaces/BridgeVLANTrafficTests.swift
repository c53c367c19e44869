import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

/// Which frames pass between containers on one bridge, and which do not.
@Suite("traffic on a bridge with VLANs", .requiresRoot)
struct BridgeVLANTrafficTests {
  /// A bridge network without addresses.
  private func configuration(_ keys: String) -> String {
    #"{"cniVersion":"1.1.0","name":"net","type":"bridge","bridge":"cni0"\#(keys.isEmpty ? "" : ",")\#(keys)}"#
  }

  /// Makes containers, each attached as its keys say, and listens in each.
  private func attach(_ containers: [(name: String, keys: String)], on host: TestHost) throws -> [String:
    PacketTap]
  {
    var taps: [String: PacketTap] = [:]
    for (name, keys) in containers {
      try host.makeContainer(name)
      _ = try host.add(configuration(keys), container: name)
      taps[name] = try PacketTap("eth0", namespace: name)
    }
    return taps
  }

  /// Broadcasts a frame, and expects these to hear it, with these tags, and nobody else.
  private func expect(
    _ taps: [String: PacketTap], from sender: String, vlan: UInt16? = nil, source: [UInt8]? = nil,
    heardBy expected: [String: UInt16?], sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let text = "from \(sender), \(vlan.map { "tag \($0)" } ?? "no tag")"
    let tap = try #require(taps[sender])
    try tap.send(.init(from: source ?? tap.mac, vlan: vlan, text))
    // Those who must hear it have time; by then the others would have heard it, too.
    var heard: [String: [UInt16?]] = [:]
    for name in expected.keys { heard[name] = try taps[name]!.heard(within: 5).map(\.vlan) }
    usleep(100_000)
    for name in taps.keys where name != sender {
      heard[name, default: []] += try taps[name]!.heard().map(\.vlan)
    }
    heard = heard.filter { !$0.value.isEmpty }
    #expect(heard == expected.mapValues { [$0] }, "\(text)", sourceLocation: sourceLocation)
  }

  @Test(
    "Frames stay in their VLAN, with tags on trunks and without elsewhere",
    .requiresKernel(.bridgeVLANFiltering))
  func separation() throws {
    try TestHost.run { host in
      let before = try host.snapshot()
      let containers = [
        ("a", #""vlan":100"#), ("b", #""vlan":100"#), ("c", #""vlan":200"#), ("none", ""),
        ("both", #""vlan":100,"preserveDefaultVlan":true"#),
        ("trunk", #""vlanTrunk":[{"id":100},{"minID":200,"maxID":201}]"#),
        ("mixed", #""vlan":7,"vlanTrunk":[{"id":100}]"#),
      ]
      let taps = try attach(containers, on: host)
      // An access port speaks without tags. On a trunk its frames have one.
      try expect(taps, from: "a", heardBy: ["b": nil, "both": nil, "trunk": 100, "mixed": 100])
      try expect(taps, from: "c", heardBy: ["trunk": 200])
      try expect(taps, from: "both", heardBy: ["a": nil, "b": nil, "trunk": 100, "mixed": 100])
      // The default VLAN, 1: ports without configuration, the trunk's native one, and those that preserve it.
      try expect(taps, from: "none", heardBy: ["both": nil, "trunk": nil])
      try expect(taps, from: "trunk", heardBy: ["both": nil, "none": nil])
      // What a trunk tags is for members of that VLAN; of a VLAN that it does not carry, nothing gets in.
      try expect(taps, from: "trunk", vlan: 100, heardBy: ["a": nil, "b": nil, "both": nil, "mixed": 100])
      try expect(taps, from: "trunk", vlan: 200, heardBy: ["c": nil])
      try expect(taps, from: "trunk", vlan: 201, heardBy: [:])
      try expect(taps, from: "trunk", vlan: 7, heardBy: [:])
      try expect(taps, from: "mixed", heardBy: [:])
      try expect(taps, from: "mixed", vlan: 200, heardBy: [:])
      // A tag does not get a container out of its VLAN.
      try expect(taps, from: "a", vlan: 200, heardBy: [:])
      try expect(taps, from: "a", vlan: 1, heardBy: [:])
      try expect(taps, from: "none", vlan: 100, heardBy: [:])

      for (name, keys) in containers {
        try host.succeeded(
          host.call(.del, configuration(keys), container: name, namespace: "/run/netns/\(name)"))
        try shell("ip netns del \(name)")
      }
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "A bridge that was made without VLANs separates them once a network asks for it",
    .requiresKernel(.bridgeVLANFiltering))
  func laterFiltering() throws {
    try TestHost.run { host in
      let taps = try attach([("p", ""), ("q", ""), ("a", #""vlan":100"#), ("b", #""vlan":100"#)], on: host)
      try expect(taps, from: "p", heardBy: ["q": nil])
      try expect(taps, from: "a", heardBy: ["b": nil])
    }
  }

  @Test(
    "A bridge of somebody else's that does not filter is refused, by STATUS as well",
    .requiresKernel(.bridgeVLANFiltering))
  func foreignWithoutFiltering() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeBridge(address: "10.9.0.1/24")
      let before = try host.snapshot()
      let configuration = configuration(#""vlanTrunk":[{"id":5}]"#)
      let refused = try host.failed(host.call(.add, configuration))
      #expect(refused.code == .invalidConfiguration && refused.details.contains("vlan_filtering 1"))
      let status = try host.failed(
        host.call(.status, configuration, container: "", namespace: "", interface: ""))
      #expect(status.code == .notAvailable && status.message.contains("does not filter VLANs"))
      try host.expectUnchanged(since: before)
      try shell("ip link set cni0 type bridge vlan_filtering 1")
      try host.succeeded(host.call(.status, configuration, container: "", namespace: "", interface: ""))
      let result = try host.add(configuration)
      let later = try host.after(result, configuration)
      try host.succeeded(host.call(.check, later))
      try shell("ip link set cni0 type bridge vlan_filtering 0")
      #expect(try host.failed(host.call(.check, later)).message.contains("does not filter VLANs"))
    }
  }

  @Test("Isolated ports reach those that are not, and not each other")
  func isolation() throws {
    try TestHost.run { host in
      let isolated = #""portIsolation":true"#
      let taps = try attach([("x", isolated), ("y", isolated), ("open", ""), ("other", "")], on: host)
      try expect(taps, from: "x", heardBy: ["open": nil, "other": nil])
      try expect(taps, from: "y", heardBy: ["open": nil, "other": nil])
      try expect(taps, from: "open", heardBy: ["x": nil, "y": nil, "other": nil])
    }
  }

  @Test("Isolation holds within a VLAN", .requiresKernel(.bridgeVLANFiltering))
  func isolationInVLAN() throws {
    try TestHost.run { host in
      let isolated = #""vlan":100,"portIsolation":true"#
      let taps = try attach(
        [("x", isolated), ("y", isolated), ("open", #""vlan":100"#), ("c", #""vlan":200"#)], on: host)
      try expect(taps, from: "x", heardBy: ["open": nil])
      try expect(taps, from: "open", heardBy: ["x": nil, "y": nil])
    }
  }

  @Test(
    "A foreign source address does not get out, with and without a tag", .requiresKernel(.bridgeVLANFiltering)
  )
  func spoofing() throws {
    try TestHost.run { host in
      let containers = [
        ("a", #""vlan":100,"macspoofchk":true"#), ("b", #""vlan":100"#),
        ("trunk", #""vlanTrunk":[{"id":100}],"macspoofchk":true"#), ("none", ""),
      ]
      let taps = try attach(containers, on: host)
      let foreign: [UInt8] = [0x02, 0, 0, 0, 0, 0x99]
      try expect(taps, from: "a", heardBy: ["b": nil, "trunk": 100])
      try expect(taps, from: "a", source: foreign, heardBy: [:])
      try expect(taps, from: "a", source: taps["b"]!.mac, heardBy: [:])
      try expect(taps, from: "trunk", vlan: 100, heardBy: ["a": nil, "b": nil])
      try expect(taps, from: "trunk", vlan: 100, source: foreign, heardBy: [:])
      try expect(taps, from: "trunk", heardBy: ["none": nil])
      try expect(taps, from: "trunk", source: foreign, heardBy: [:])
      // Who is not guarded may.
      try expect(taps, from: "b", source: foreign, heardBy: ["a": nil, "trunk": 100])
      // Guards go with their containers, and only those.
      for name in ["trunk", "none"] {
        let keys = containers.first { $0.0 == name }!.1
        try host.succeeded(
          host.call(.del, configuration(keys), container: name, namespace: "/run/netns/\(name)"))
      }
      try expect(taps.filter { ["a", "b"].contains($0.key) }, from: "a", source: foreign, heardBy: [:])
      try host.succeeded(
        host.call(.del, configuration(containers[0].1), container: "a", namespace: "/run/netns/a"))
      #expect(try shell("nft list ruleset") == "")
    }
  }
}
