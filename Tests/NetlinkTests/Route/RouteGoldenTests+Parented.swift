import NetworkAddresses
import Testing

@testable import Netlink

/// Links that stand on another one, by themselves, and the numbers of namespaces.
extension RouteGoldenTests {
  /// A link on `v0`, as the commands of the fixtures make it: plain, or with another MTU and in the namespace `peer`.
  private func create(
    _ name: String, _ kind: LinkKind, isElsewhere: Bool = false, mac: MACAddress? = nil
  ) -> RouteRequest {
    var link = LinkSpecification(name: name, kind: kind, link: Self.port)
    if isElsewhere {
      link.mtu = 1400
      link.mac = mac
      link.namespace = Self.peerNamespace
    }
    return .createLink(link)
  }

  @Test func macvlans() throws {
    let every = MacvlanSettings(mode: .passthru, flags: 1, broadcastQueueLength: 250)
    try check(
      "macvlan",
      [
        (
          "ip link add link v0 name m0 type macvlan mode bridge", create("m0", .macvlan(.init(mode: .bridge)))
        ),
        (
          "ip link add link v0 mtu 1400 address 02:00:00:00:00:01 netns peer name m0 type macvlan "
            + "mode passthru nopromisc bcqueuelen 250",
          create("m0", .macvlan(every), isElsewhere: true, mac: Self.mac(1))
        ),
        (
          "ip link set m1 type macvlan mode private",
          .changeLink(.index(13), LinkChange(kind: .macvlan(.init(mode: .private))))
        ),
      ])
    #expect(MacvlanSettings(LinkKind.macvlan(every).attributes) == every)
  }

  @Test func ipvlans() throws {
    let every = IPVlanSettings(mode: .l3s, flags: .private)
    try check(
      "ipvlan",
      [
        (
          "ip link add link v0 name i0 type ipvlan mode l2",
          create("i0", .ipvlan(.init(mode: .l2, flags: [])))
        ),
        (
          "ip link add link v0 mtu 1400 netns peer name i0 type ipvlan mode l3s private",
          create("i0", .ipvlan(every), isElsewhere: true)
        ),
        (
          "ip link add link v0 name i0 type ipvlan mode l3 vepa",
          create("i0", .ipvlan(.init(mode: .l3, flags: .vepa)))
        ),
      ])
    #expect(IPVlanSettings(LinkKind.ipvlan(every).attributes) == every)
  }

  @Test func vlans() throws {
    let every = VLANSettings(id: 4094, protocol: 0x88a8)
    try check(
      "vlan",
      [
        ("ip link add link v0 name w0 type vlan id 100", create("w0", .vlan(.init(id: 100)))),
        (
          "ip link add link v0 mtu 1400 netns peer name w0 type vlan id 4094 protocol 802.1ad",
          create("w0", .vlan(every), isElsewhere: true)
        ),
      ])
    #expect(VLANSettings(LinkKind.vlan(every).attributes) == every)
  }

  @Test func dummies() throws {
    try check(
      "dummy", [("ip link add name d0 type dummy", .createLink(LinkSpecification(name: "d0", kind: .dummy)))])
  }

  @Test func ifbs() throws {
    try check(
      "ifb",
      [
        (
          "ip link add name ifb1 mtu 1400 type ifb",
          .createLink(LinkSpecification(name: "ifb1", kind: .ifb, mtu: 1400))
        )
      ])
  }

  @Test func namespaces() throws {
    try check(
      "namespace",
      [
        // A descriptor of the namespace was 6.
        ("ip netns set peer auto", .assignNamespaceID(descriptor: 6)),
        (
          "ip link add link-netnsid 0 link v0 name m0 type macvlan mode bridge",
          .createLink(
            LinkSpecification(
              name: "m0", kind: .macvlan(.init(mode: .bridge)), link: Self.port, linkNamespaceID: 0))
        ),
      ])
  }
}
