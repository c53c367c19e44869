import NetworkAddresses
import Testing

@testable import Netlink

/// Rules that choose a table, and links that have one.
extension RouteGoldenTests {
  @Test func rules() throws {
    func rule(
      _ family: AddressFamily = .ipv4, _ priority: UInt32? = 1000, _ set: (inout RoutingRule) -> Void
    ) -> RouteRequest {
      var rule = RoutingRule(family: family, priority: priority, table: 100)
      set(&rule)
      return .addRule(rule)
    }
    try check(
      "rule",
      [
        (
          "ip rule add from 10.22.0.5/32 table 100", rule(.ipv4, nil) { $0.source = IPPrefix("10.22.0.5/32") }
        ),
        (
          "ip rule add priority 1000 from 10.22.0.0/16 to 10.23.0.0/16 table 1000",
          rule {
            $0.source = IPPrefix("10.22.0.0/16")
            $0.destination = IPPrefix("10.23.0.0/16")
            $0.table = 1000
          }
        ),
        (
          "ip rule add priority 1000 fwmark 0x1/0xff table 100",
          rule {
            $0.mark = 1
            $0.markMask = 0xff
          }
        ),
        (
          "ip -6 rule add priority 1000 from 2001:db8::5 table 100",
          rule(.ipv6) { $0.source = IPPrefix("2001:db8::5/128") }
        ),
        ("ip rule add priority 1000 iif v0 table 100", rule { $0.inputInterface = "v0" }),
        (
          "ip rule add priority 1000 oif v0 blackhole",
          rule {
            $0.outputInterface = "v0"
            $0.action = .blackhole
            $0.table = nil
          }
        ),
        (
          "ip rule add not priority 1000 from 10.22.0.0/16 table 100",
          rule {
            $0.isInverted = true
            $0.source = IPPrefix("10.22.0.0/16")
          }
        ),
        (
          "ip rule add priority 1000 table main suppress_prefixlength 0",
          rule {
            $0.table = nil
            $0.suppressedPrefixLength = 0
          }
        ),
        (
          "ip rule add priority 1000 ipproto tcp dport 80-90 table 100",
          rule {
            $0.ipProtocol = 6
            $0.destinationPorts = 80...90
          }
        ),
        (
          "ip rule del priority 1000 from 10.22.0.5/32 table 100",
          .deleteRule(
            RoutingRule(family: .ipv4, priority: 1000, source: IPPrefix("10.22.0.5/32"), table: 100))
        ),
        (
          "ip rule add from 10.22.0.5 table 1000",
          .addRule(RoutingRule(family: .ipv4, source: IPPrefix("10.22.0.5/32"), table: 1000))
        ),
        (
          "ip -6 rule add from 2001:db8::5 table 100000",
          .addRule(RoutingRule(family: .ipv6, source: IPPrefix("2001:db8::5/128"), table: 100_000))
        ),
        (
          "ip rule del from 10.22.0.5 table 100",
          .deleteRule(RoutingRule(family: .ipv4, source: IPPrefix("10.22.0.5/32"), table: 100))
        ),
        (
          "ip -6 rule del from 2001:db8::5 table 100",
          .deleteRule(RoutingRule(family: .ipv6, source: IPPrefix("2001:db8::5/128"), table: 100))
        ),
        (
          "ip rule add priority 1000 l3mdev",
          rule {
            $0.usesVRF = true
            $0.table = nil
          }
        ),
        (
          "ip rule add priority 1000 from 10.22.0.0/16 fwmark 0x10 uidrange 1000-2000 table 100",
          rule {
            $0.source = IPPrefix("10.22.0.0/16")
            $0.mark = 16
            $0.userIDs = 1000...2000
          }
        ),
        (
          "ip rule add priority 1000 sport 53 prohibit",
          rule {
            $0.sourcePorts = 53...53
            $0.action = .prohibit
            $0.table = nil
          }
        ),
      ])
  }

  @Test func vrfs() throws {
    func vrf(_ table: UInt32, isUp: Bool = false) -> RouteRequest {
      .createLink(LinkSpecification(name: "blue", kind: .vrf(VRFSettings(table: table)), isUp: isUp))
    }
    try check(
      "vrf",
      [
        ("ip link add name blue type vrf table 100", vrf(100)),
        ("ip link add name blue up type vrf table 4000000000", vrf(4_000_000_000, isUp: true)),
        ("ip link set v0 master br0", .changeLink(.index(Self.port), LinkChange(master: Self.bridge))),
      ])
    let every = VRFSettings(table: 4_000_000_000)
    #expect(VRFSettings(LinkKind.vrf(every).attributes) == every)
    #expect(VRFSettings(LinkKind.vrf(VRFSettings()).attributes) == VRFSettings())
  }
}
