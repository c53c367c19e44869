import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// Links that stand on another one, against the kernel.
@Suite(.requiresRoot) struct StackedLinkTests {
  /// A descriptor of a new named namespace.
  private func makeNamespace(_ name: String) throws -> Int32 {
    try shell("ip netns add \(name)")
    let descriptor = open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
    try #require(descriptor >= 0)
    return descriptor
  }

  @Test func macvlansKeepTheirSettings() throws {
    try inNewNetworkNamespace {
      let other = try makeNamespace("other")
      defer { close(other) }
      try shell("ip link add v0 type veth peer name v1")
      var host = try RouteSocket()
      let parent = try host.link(named: "v0").index
      let settings = MacvlanSettings(mode: .vepa, broadcastQueueLength: 77)
      try host.perform(
        .createLink(
          LinkSpecification(name: "m0", kind: .macvlan(settings), mtu: 1400, link: parent, namespace: other)))
      var inside = try RouteSocket(namespace: other)
      let link = try inside.link(named: "m0")
      #expect(link.macvlan?.mode == .vepa)
      #expect(link.macvlan?.broadcastQueueLength == 77)
      #expect(link.macvlan?.usedBroadcastQueueLength == 77)
      #expect(link.link == parent)
      #expect(link.mtu == 1400)
      try inside.perform(
        .changeLink(.index(link.index), LinkChange(kind: .macvlan(MacvlanSettings(mode: .private)))))
      #expect(try inside.link(named: "m0").macvlan?.mode == .private)
    }
  }

  @Test func namespacesHaveNumbers() throws {
    try inNewNetworkNamespace {
      let other = try makeNamespace("other")
      let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
      defer {
        close(other)
        close(home)
      }
      try shell("ip link add v0 type veth peer name v1")
      var host = try RouteSocket()
      let parent = try host.link(named: "v0").index
      var inside = try RouteSocket(namespace: other)
      #expect(try inside.namespaceID(of: home) == nil)
      try inside.perform(.assignNamespaceID(descriptor: home))
      let id = try #require(try inside.namespaceID(of: home))
      let again = #expect(throws: NetlinkError.self) {
        _ = try inside.perform(.assignNamespaceID(descriptor: home))
      }
      #expect(again?.isExists == true)

      // Told where the parent is, a namespace makes a link on it for itself.
      try inside.perform(
        .createLink(LinkSpecification(name: "m0", kind: .macvlan(), link: parent, linkNamespaceID: id)))
      let link = try inside.link(named: "m0")
      #expect(link.link == parent)
      #expect(link.linkNamespaceID == id)
    }
  }

  @Test func kindsAreAskedForWithoutMakingOne() throws {
    try inNewNetworkNamespace {
      var socket = try RouteSocket()
      let before = try socket.links().map(\.name)
      #expect(try socket.supports(.macvlan()))
      #expect(try socket.supports(.bridge()))
      #expect(try socket.supports(.veth(peer: LinkSpecification(name: "peer"))))
      #expect(try !socket.supports(LinkKind("no-such-kind")))
      #expect(try socket.links().map(\.name) == before)
    }
  }

  @Test func defaultRoutesHaveAnInterface() throws {
    try inNewNetworkNamespace {
      try shell(
        """
        for l in da db dc; do ip link add $l type veth peer name p$l; ip link set $l up; ip link set p$l up; done
        ip route add default dev da table 100; ip route add 10.0.0.0/8 dev da; ip route add unreachable default metric 1
        """)
      var socket = try RouteSocket()
      #expect(try socket.defaultRouteInterface() == nil)
      func name() throws -> String? {
        guard let index = try socket.defaultRouteInterface() else { return nil }
        return try socket.link(index: index).name
      }
      try shell("ip -6 route add default dev dc metric 5; ip -6 route add default dev db metric 4")
      #expect(try name() == "db")
      try shell("ip route add default dev dc metric 20; ip route add default dev da metric 10")
      #expect(try name() == "da")
      try shell("ip route del default dev da; ip route del default dev dc")
      try shell("ip route add default metric 3 nexthop dev dc weight 1 nexthop dev da weight 1")
      #expect(try name() == "dc")
    }
  }
}
