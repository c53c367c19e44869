import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// A descriptor of a network namespace of its own, which ends with it.
func newNamespace() throws -> Int32 {
  try inNewNetworkNamespace { open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) }
}

@Suite(.requiresRoot) struct LinkTests {
  @Test func aPairComesUpInTwoNamespacesWithOneMessage() throws {
    try inNewNetworkNamespace {
      let container = try newNamespace()
      defer { close(container) }
      var host = try RouteSocket()
      let replies = try host.perform([
        .createLink(LinkSpecification(name: "br0", kind: .bridge(), index: 100, mac: mac(1), isUp: true)),
        .createLink(
          LinkSpecification(
            name: "veth0",
            kind: .veth(
              peer: LinkSpecification(name: "eth0", mtu: 1400, mac: mac(3), namespace: container)),
            mtu: 1400, mac: mac(2), master: 100, isUp: true)),
        .changeLink(.name("veth0"), LinkChange(alias: "net / c1 / eth0")),
        .bridgePort(.name("veth0"), .init { $0.hairpin = true }),
        .getLink(.name("veth0")),
      ])
      #expect(replies.prefix(4).allSatisfy { $0 == .done })
      let link = try #require(replies[4].link)
      #expect(link.name == "veth0")
      #expect(link.kind == "veth")
      #expect(link.mtu == 1400)
      #expect(link.mac == mac(2))
      #expect(link.master == 100)
      #expect(link.alias == "net / c1 / eth0")
      #expect(link.isUp)
      #expect(link.operationalState != .up)
      #expect(link.linkNamespaceID != nil)
      #expect(link.promiscuity == 1)
      #expect(link.portKind == "bridge")
      #expect(link.bridgePort?.hairpin == true)
      #expect(link.bridgePort?.isolated == false)
      #expect(link.bridgePort?.learning == true)
      #expect(link.bridge == nil)

      var inside = try RouteSocket(namespace: container)
      let peer = try inside.link(named: "eth0")
      #expect(peer.index == link.vethPeer)
      #expect(peer.vethPeer == link.index)
      #expect(peer.mac == mac(3))
      #expect(peer.mtu == 1400)
      #expect(!peer.isUp)
      #expect(try inside.link(index: peer.index) == peer)
      try inside.perform(.changeLink(.name("eth0"), LinkChange(isUp: true)))
      #expect(try inside.link(named: "eth0").flags.isSuperset(of: [.up, .lowerUp, .running]))
      #expect(try host.link(named: "veth0").operationalState == .up)

      #expect(try host.links(kind: "veth").map(\.name) == ["veth0"])
      #expect(try host.links(master: 100).map(\.name) == ["veth0"])
      #expect(try host.links(kind: "there-is-no-such-kind").isEmpty)

      try inside.perform(.deleteLink(.name("eth0")))
      let gone = #expect(throws: NetlinkError.self) { _ = try host.link(named: "veth0") }
      #expect(gone?.isNotFound == true)
      #expect(gone?.description.hasPrefix("cannot look up link \"veth0\": No such device (ENODEV)") == true)
    }
  }

  @Test func linksChange() throws {
    try inNewNetworkNamespace {
      let other = try newNamespace()
      defer { close(other) }
      var socket = try RouteSocket()
      try socket.perform([
        .createLink(LinkSpecification(name: "v0", kind: .veth(peer: LinkSpecification(name: "v1")))),
        .createLink(LinkSpecification(name: "br0", kind: .bridge())),
      ])
      let bridge = try socket.link(named: "br0").index
      try socket.perform([
        .changeLink(
          .name("v0"),
          LinkChange(
            mtu: 1300, mac: mac(9), isUp: true, master: bridge, transmitQueueLength: 77,
            receivesAllMulticast: true)),
        .changeLink(.name("v0"), LinkChange(alias: "first")),
      ])
      var link = try socket.link(named: "v0")
      #expect(link.mtu == 1300)
      #expect(link.mac == mac(9))
      #expect(link.master == bridge)
      #expect(link.transmitQueueLength == 77)
      #expect(link.flags.isSuperset(of: [.up, .allMulticast]))
      #expect(link.alias == "first")

      try socket.perform([
        .changeLink(
          .index(link.index),
          LinkChange(
            isUp: false, master: 0, alias: "", isPromiscuous: true, receivesAllMulticast: false,
            resolvesAddresses: false))
      ])
      link = try socket.link(named: "v0")
      #expect(link.master == nil)
      #expect(link.alias == nil)
      #expect(link.flags.isSuperset(of: [.promiscuous, .noARP]))
      #expect(link.flags.isDisjoint(with: [.up, .allMulticast]))

      try socket.perform(.changeLink(.name("v0"), LinkChange(name: "w0")))
      #expect(try socket.link(named: "w0").index == link.index)
      try socket.perform(.changeLink(.name("w0"), LinkChange(namespace: other)))
      #expect(throws: NetlinkError.self) { _ = try socket.link(named: "w0") }
      var there = try RouteSocket(namespace: other)
      #expect(try there.link(named: "w0").mac == mac(9))
    }
  }

  @Test func alternativeNamesGoWithTheLink() throws {
    try inNewNetworkNamespace {
      let other = try newNamespace()
      defer { close(other) }
      var here = try RouteSocket()
      var there = try RouteSocket(namespace: other)
      let long = "cni:network:" + String(repeating: "x", count: 110) + ":eth0"
      #expect(long.utf8.count == 127)
      try here.perform([
        .createLink(LinkSpecification(name: "v0", kind: .veth(peer: LinkSpecification(name: "v1")))),
        .addAlternativeName(.name("v0"), "cni:net:c:eth0"), .addAlternativeName(.name("v0"), long),
      ])
      let link = try here.link(named: long)
      #expect(link.name == "v0")
      #expect(link.alternativeNames == ["cni:net:c:eth0", long])
      let taken = #expect(throws: NetlinkError.self) {
        _ = try here.perform(.addAlternativeName(.name("v1"), long))
      }
      #expect(taken?.isExists == true)

      try here.perform(.changeLink(.index(link.index), LinkChange(name: "eth0", namespace: other)))
      #expect(try here.find(.name(long)) == nil)
      #expect(try there.link(named: long).name == "eth0")
      try there.perform(.deleteAlternativeName(.name("cni:net:c:eth0"), long))
      #expect(try there.link(named: "eth0").alternativeNames == ["cni:net:c:eth0"])
      let missing = #expect(throws: NetlinkError.self) {
        _ = try there.perform(.deleteAlternativeName(.name("eth0"), long))
      }
      #expect(missing?.isNotFound == true)
    }
  }

  @Test func bridgesKeepTheirSettings() throws {
    try inNewNetworkNamespace {
      var socket = try RouteSocket()
      let settings = BridgeSettings {
        $0.forwardDelay = 400
        $0.ageingTime = 0
        $0.groupForwardMask = 8
        $0.multicastSnooping = false
        $0.callsIPTables = true
        $0.options = .init(values: .noLinkLocalLearning, mask: .noLinkLocalLearning)
      }
      try socket.perform(.createLink(LinkSpecification(name: "br0", kind: .bridge(settings), mac: mac(1))))
      let read = try #require(try socket.link(named: "br0").bridge)
      #expect(read.forwardDelay == 400)
      #expect(read.ageingTime == 0)
      #expect(read.groupForwardMask == 8)
      #expect(read.multicastSnooping == false)
      #expect(read.callsIPTables == true)
      #expect(read.spanningTree == false)
      #expect(read.options?.values.contains(.noLinkLocalLearning) == true)

      try socket.perform(
        .changeLink(.name("br0"), LinkChange(kind: .bridge(.init { $0.ageingTime = 30000 }))))
      #expect(try socket.link(named: "br0").bridge?.ageingTime == 30000)
      #expect(try socket.link(named: "br0").bridge?.forwardDelay == 400)
    }
  }

  @Test func bridgePortsKeepTheirSettings() throws {
    try inNewNetworkNamespace {
      var socket = try RouteSocket()
      let settings = BridgePortSettings {
        $0.hairpin = true
        $0.isolated = true
        $0.learning = false
        $0.unicastFlood = false
        $0.guardsRoot = true
        $0.fastLeave = true
        $0.neighbourSuppression = true
        $0.cost = 17
      }
      try socket.perform([
        .createLink(LinkSpecification(name: "br0", kind: .bridge(), index: 50)),
        .createLink(
          LinkSpecification(name: "v0", kind: .veth(peer: LinkSpecification(name: "v1")), master: 50)),
        .bridgePort(.name("v0"), settings),
      ])
      let read = try #require(try socket.link(named: "v0").bridgePort)
      #expect(read.hairpin == true)
      #expect(read.isolated == true)
      #expect(read.learning == false)
      #expect(read.unicastFlood == false)
      #expect(read.guardsRoot == true)
      #expect(read.fastLeave == true)
      #expect(read.neighbourSuppression == true)
      #expect(read.cost == 17)
      #expect(read.broadcastFlood == true)
      // What is not a port of anything has no such settings.
      #expect(throws: NetlinkError.self) { _ = try socket.perform(.bridgePort(.name("v1"), settings)) }
    }
  }

  @Test func refusalsSayWhy() throws {
    try inNewNetworkNamespace {
      var socket = try RouteSocket()
      try socket.perform(.createLink(LinkSpecification(name: "br0", kind: .bridge())))
      let taken = #expect(throws: NetlinkError.self) {
        _ = try socket.perform(.createLink(LinkSpecification(name: "br0", kind: .bridge())))
      }
      #expect(taken?.isExists == true)
      #expect(
        taken?.description.hasPrefix("cannot create link \"br0\" (bridge): File exists (EEXIST)") == true)

      let small = #expect(throws: NetlinkError.self) {
        _ = try socket.perform([
          .changeLink(.name("br0"), LinkChange(isUp: true)), .changeLink(.name("br0"), LinkChange(mtu: 10)),
        ])
      }
      #expect(small?.requestIndex == 1)
      #expect(small?.message?.contains("mtu") == true)

      let unknown = #expect(throws: NetlinkError.self) {
        _ = try socket.perform(.createLink(LinkSpecification(name: "x0", kind: LinkKind("no-such-kind"))))
      }
      #expect(unknown?.isUnsupported == true)

      let tooLong = String(repeating: "n", count: 70_000)
      let oversized = #expect(throws: NetlinkError.self) { _ = try socket.link(named: tooLong) }
      #expect(oversized?.errno.rawValue == EMSGSIZE)
      let pair = LinkSpecification(name: "v0", kind: .veth(peer: LinkSpecification(name: tooLong)))
      #expect(throws: NetlinkError.self) { _ = try socket.perform(.createLink(pair)) }
    }
  }

  /// In this test the table changes all the while it is being read.
  @Test func dumpsOfAChangingTableAreWhole() throws {
    try inNewNetworkNamespace {
      let namespace = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
      defer { close(namespace) }
      var socket = try NetlinkSocket(.route)
      var route = try RouteSocket()
      try route.perform(
        (0..<100).map {
          .createLink(
            LinkSpecification(
              name: "base\($0)", kind: .veth(peer: LinkSpecification(name: "peer\($0)"))))
        })
      let expected = Set((0..<100).flatMap { ["base\($0)", "peer\($0)"] })
      let churn = Churn(namespace)
      defer { churn.end() }
      let request = NetlinkRequest(
        type: RouteMessageType.getLink, flags: [], body: [UInt8](repeating: 0, count: 16),
        operation: "list links")
      for _ in 0..<200 {
        let names = try socket.dump(request).compactMap { Link($0)?.name }
        #expect(expected.isSubset(of: names))
        #expect(Set(names).count == names.count)
        if socket.repeatedDumps > 20 { break }
      }
      #expect(socket.repeatedDumps > 0, "no dump was interrupted: the test has shown nothing")
    }
  }
}

private func mac(_ last: UInt8) -> MACAddress { MACAddress(bytes: [2, 0, 0, 0, 0, last])! }

/// A thread that creates, renames and deletes a link until it is told to end.
private final class Churn: @unchecked Sendable {
  private let namespace: Int32
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var isEnding = false
  private var thread = pthread_t()

  init(_ namespace: Int32) {
    self.namespace = namespace
    pthread_mutex_init(lock, nil)
    pthread_create(
      &thread, nil,
      { context in
        try? Unmanaged<Churn>.fromOpaque(context!).takeUnretainedValue().run()
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  func end() {
    pthread_mutex_lock(lock)
    isEnding = true
    pthread_mutex_unlock(lock)
    pthread_join(thread, nil)
    lock.deallocate()
  }

  private func run() throws {
    var socket = try RouteSocket(namespace: namespace)
    let pair = LinkSpecification(name: "churn0", kind: .veth(peer: LinkSpecification(name: "churn1")))
    while true {
      pthread_mutex_lock(lock)
      let done = isEnding
      pthread_mutex_unlock(lock)
      if done { return }
      try socket.perform([.createLink(pair)])
      try socket.perform([.deleteLink(.name("churn0"))])
    }
  }
}
