import CNI
import CNIExecution
import TestSupport
import Testing

/// Packets of a container with two uplinks, where everybody drops what does not come by the way to its source
/// (`rp_filter` 1), and each router what is not of its network.
@Suite("sbr: packets by the right uplink", .requiresRoot)
struct SBRTrafficTests {
  private func makeStrict() throws {
    try shell(
      """
      strict() { for f in all $2; do ip netns exec $1 sh -c "echo 1 >/proc/sys/net/ipv4/conf/$f/rp_filter"; done; }
      strict c1 'net1 net2'; strict far 'way1 way2'
      """)
  }

  /// How many packets have left the container by an interface.
  private func sent(_ interface: String) throws -> Int {
    let text = try shell("ip netns exec c1 cat /sys/class/net/\(interface)/statistics/tx_packets")
    return Int(text.split(separator: "\n").joined()) ?? 0
  }

  @Test(
    "Questions by either uplink are answered by it, and the container's own go by that of their source",
    arguments: [
      ("", true), ("\"gateways\":[\"10.2.0.1\",\"fd00:2::1\"]", false), ("\"addSourceHints\":true", true),
      ("\"gateways\":[\"10.2.0.1\",\"fd00:2::1\"],\"addSourceHints\":true", false),
    ])
  func uplinks(keys: String, hasGateway: Bool) throws {
    try TestHost.run { host in
      try host.makeTwoWays()
      try makeStrict()
      let second = ["10.2.0.2", "fd00:2::2"]
      for address in second { #expect(try host.answers(address, patience: 0.4) == [false, false]) }

      let configuration = host.chained("sbr", keys, previous: host.way(2, gateway: hasGateway))
      let result = try host.succeeded(host.call(.add, configuration, interface: "net2"))
      try host.check(configuration, after: result, interface: "net2")
      for address in ["10.1.0.2", "fd00:1::2"] + second {
        #expect(try host.answers(address) == [true, true], "\(address)")
      }
      for (source, way, other) in [
        ("10.1.0.2", "net1", "net2"), ("10.2.0.2", "net2", "net1"), ("fd00:1::2", "net1", "net2"),
        ("fd00:2::2", "net2", "net1"),
      ] {
        let far = source.contains(":") ? "2001:db8:51::9" : "198.51.100.9"
        for transport in Conversation.Transport.allCases {
          let before = (try sent(way), try sent(other))
          #expect(
            try Conversation.hold(transport, from: "c1", to: "far", at: far, source: source) == source)
          #expect(try sent(way) > before.0)
          // A neighbour may be looked for, or answered, meanwhile; a conversation by TCP is more than that.
          if transport == .tcp { #expect(try sent(other) - before.1 < 4, "\(source)") }
        }
      }
      // Who has no source yet, and asks a neighbour on the second link: only hints know the way.
      for (neighbour, own) in [("10.2.0.1", "10.2.0.2"), ("fd00:2::1", "fd00:2::2")] {
        let hinted = keys.contains("Hints")
        let seen = try Conversation.hold(
          .tcp, from: "c1", to: "r2", at: neighbour, patience: hinted ? 2.5 : 0.4)
        #expect(seen == (hinted ? own : nil))
      }

      try host.succeeded(host.call(.del, configuration, interface: "net2"))
      for address in second { #expect(try host.answers(address, patience: 0.4) == [false, false]) }
    }
  }
}
