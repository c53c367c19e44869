import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

@Suite(.requiresRoot) struct AddressAndRouteTests {
  /// A pair that is up, `v0` with index 11 and `v1` with index 12.
  private func withPair(_ body: (inout RouteSocket) throws -> Void) throws {
    try inNewNetworkNamespace {
      var socket = try RouteSocket()
      try socket.perform([
        .createLink(
          LinkSpecification(
            name: "v0", kind: .veth(peer: LinkSpecification(name: "v1", index: 12)), index: 11, isUp: true)),
        .changeLink(.index(12), LinkChange(isUp: true)),
        .addAddress(InterfaceAddress(IPPrefix("192.0.2.1/24")!), index: 11),
        .addAddress(InterfaceAddress(IPPrefix("2001:db8::1/64")!, flags: .noDAD), index: 11),
      ])
      try body(&socket)
    }
  }

  @Test func groupsOfOneInterface() throws {
    try withPair { socket in
      let group = IPv6Address(0xff02, 0, 0, 0, 0, 1, 0xff00, 1)
      for _ in 0..<500 where try !socket.multicastGroups(index: 11).contains(group) { usleep(10_000) }
      #expect(try socket.multicastGroups(index: 11).contains(group))
      #expect(try socket.multicastGroups(index: 12).contains(.allNodes))
      #expect(try !socket.multicastGroups(index: 12).contains(group))
    }
  }

  @Test func addressesAreAddedReadAndDeleted() throws {
    try withPair { socket in
      var address = InterfaceAddress(
        IPPrefix("10.22.0.5/16")!, broadcast: IPv4Address(10, 22, 255, 255),
        flags: [.noPrefixRoute], label: "v0:1", lifetimes: .init(preferred: 1800, valid: 3600))
      try socket.perform(.addAddress(address, index: 11))
      let read = try #require(try socket.addresses(index: 11).first { $0.prefix == address.prefix })
      #expect(read.broadcast == address.broadcast)
      #expect(read.label == "v0:1")
      #expect(read.flags.contains(.noPrefixRoute))
      #expect(!read.flags.contains(.permanent))
      #expect((3590...3600).contains(read.lifetimes?.valid ?? 0))
      #expect(read.index == 11)

      let v6 = try #require(
        try socket.addresses(index: 11, family: .ipv6).first {
          $0.prefix.length == 64 && $0.scope == .universe
        })
      #expect(v6.prefix == IPPrefix("2001:db8::1/64"))
      #expect(v6.flags.isSuperset(of: [.noDAD, .permanent]))
      #expect(!v6.flags.contains(.tentative))
      #expect(v6.lifetimes?.valid == InterfaceAddress.Lifetimes.infinite)
      #expect(try socket.addresses(index: 11, family: .ipv4).count == 2)
      #expect(try socket.addresses(family: .ipv4).count == 2)

      let twice = #expect(throws: NetlinkError.self) {
        _ = try socket.perform(.addAddress(address, index: 11))
      }
      #expect(twice?.isExists == true)
      address.lifetimes = nil
      try socket.perform(.addAddress(address, index: 11, replace: true))
      try socket.perform(.deleteAddress(address, index: 11))
      let gone = #expect(throws: NetlinkError.self) {
        _ = try socket.perform(.deleteAddress(address, index: 11))
      }
      #expect(gone?.isNotFound == true)
      #expect(gone?.description.hasPrefix("cannot delete address 10.22.0.5/16 of link 11: ") == true)
    }
  }

  @Test func pointToPointAddressesKnowTheirPeer() throws {
    try withPair { socket in
      try socket.perform(
        .addAddress(InterfaceAddress(IPPrefix("10.0.0.1/32")!, peer: IPAddress("10.0.0.2")), index: 12))
      let read = try #require(try socket.addresses(index: 12, family: .ipv4).first)
      #expect(read.prefix == IPPrefix("10.0.0.1/32"))
      #expect(read.peer == IPAddress("10.0.0.2"))
    }
  }

  @Test func routesAreAddedReadAndDeleted() throws {
    try withPair { socket in
      let routes = [
        Route(
          destination: IPPrefix("198.51.100.0/24")!, gateway: IPAddress("192.0.2.254"), interface: 11,
          preferredSource: IPAddress("192.0.2.1"), priority: 100, table: 1000, mtu: 1400, advertisedMSS: 1360),
        Route(destination: IPPrefix("0.0.0.0/0")!, gateway: IPAddress("192.0.2.254"), interface: 11),
        Route(destination: IPPrefix("203.0.113.0/24")!, interface: 11, scope: .link),
        Route(
          destination: IPPrefix("203.0.113.9/32")!, gateway: IPAddress("198.51.100.77"), interface: 11,
          isOnLink: true),
        Route(destination: IPPrefix("::/0")!, gateway: IPAddress("2001:db8::2"), interface: 11, priority: 7),
        Route(destination: IPPrefix("2001:db8:1::/48")!, interface: 11, table: 70_000, mtu: 1280),
        Route(
          destination: IPPrefix("198.18.0.0/15")!,
          nextHops: [
            .init(gateway: IPAddress("192.0.2.2"), interface: 11, weight: 2),
            .init(gateway: IPAddress("192.0.2.3"), interface: 11),
          ]),
        Route(destination: IPPrefix("203.0.113.1/32")!, gateway: IPAddress("2001:db8::2"), interface: 11),
        Route(destination: IPPrefix("198.51.100.1/32")!, type: .blackhole),
      ]
      try socket.perform(routes.map { .addRoute($0) })
      let all = try socket.routes()
      for route in routes {
        let read = try #require(
          all.first {
            $0.destination == route.destination && $0.table == route.table ?? Route.mainTable
          }, "\(route)")
        #expect(read.gateway == route.gateway)
        #expect(read.interface == route.interface)
        #expect(read.priority == route.priority || route.priority == nil)
        #expect(read.preferredSource == route.preferredSource)
        #expect(read.mtu == route.mtu)
        #expect(read.advertisedMSS == route.advertisedMSS)
        #expect(read.isOnLink == route.isOnLink)
        #expect(read.nextHops == route.nextHops)
        #expect(read.type == route.type ?? .unicast)
        #expect(read.protocol == .boot)
      }
      #expect(try socket.routes(table: 1000).map(\.destination) == [routes[0].destination])
      #expect(try socket.routes(family: .ipv6, table: 70_000).contains { $0.mtu == 1280 })
      #expect(try socket.routes(table: 4711).isEmpty)
      #expect(try socket.routes(family: .ipv4, interface: 12).isEmpty)

      let twice = #expect(throws: NetlinkError.self) { _ = try socket.perform(.addRoute(routes[1])) }
      #expect(twice?.isExists == true)
      try socket.perform(.addRoute(routes[1], replace: true))
      // What was read deletes what it was read from.
      for route in try socket.routes().filter({ $0.protocol == .boot }) {
        try socket.perform(.deleteRoute(route))
      }
      #expect(try socket.routes().allSatisfy { $0.protocol != .boot })
      let gone = #expect(throws: NetlinkError.self) { _ = try socket.perform(.deleteRoute(routes[1])) }
      #expect(gone?.isNotFound == true)
      #expect(
        gone?.description.hasPrefix("cannot delete route default via 192.0.2.254 on link 11: No such process")
          == true)
    }
  }

  @Test func rulesAreAddedReadAndDeleted() throws {
    try withPair { socket in
      var byMark = RoutingRule(family: .ipv4, priority: 1001, mark: 0x10, markMask: 0xf0, table: 1000)
      byMark.destinationPorts = 80...90
      byMark.ipProtocol = 6
      byMark.userIDs = 0...1000
      let rules = [
        RoutingRule(
          family: .ipv4, priority: 1000, source: IPPrefix("10.22.0.5/32"),
          destination: IPPrefix("10.23.0.0/16"), table: 100),
        byMark,
        RoutingRule(family: .ipv6, priority: 1000, source: IPPrefix("2001:db8::5/128"), table: 100),
        RoutingRule(family: .ipv4, priority: 1002, inputInterface: "v0", action: .prohibit, isInverted: true),
      ]
      try socket.perform(rules.map { .addRule($0) })
      let read = try socket.rules()
      for rule in rules {
        let found = try #require(read.first { $0.priority == rule.priority && $0.family == rule.family })
        #expect(found.source == rule.source)
        #expect(found.destination == rule.destination)
        #expect(found.mark == rule.mark)
        #expect(found.markMask == rule.markMask)
        #expect(found.table == rule.table ?? 0)
        #expect(found.action == rule.action)
        #expect(found.isInverted == rule.isInverted)
        #expect(found.inputInterface == rule.inputInterface)
        #expect(found.destinationPorts == rule.destinationPorts)
        #expect(found.ipProtocol == rule.ipProtocol)
        #expect(found.userIDs == rule.userIDs)
      }
      #expect(try socket.rules(family: .ipv6).allSatisfy { $0.family == .ipv6 })
      let twice = #expect(throws: NetlinkError.self) { _ = try socket.perform(.addRule(rules[0])) }
      #expect(twice?.isExists == true)
      try socket.perform(rules.map { .deleteRule($0) })
      #expect(try socket.rules().count == read.count - rules.count)
      let gone = #expect(throws: NetlinkError.self) { _ = try socket.perform(.deleteRule(rules[0])) }
      #expect(gone?.isNotFound == true)
    }
  }

  @Test func neighboursAndForwardingEntriesAreAddedReadAndDeleted() throws {
    try withPair { socket in
      let mac = MACAddress("02:00:00:00:00:09")!
      let neighbour = Neighbour(interface: 11, address: IPAddress("192.0.2.9")!, mac: mac)
      let entry = Neighbour(forwarding: mac, to: 12, state: .noARP)
      try socket.perform([
        .createLink(LinkSpecification(name: "br0", kind: .bridge(), index: 50)),
        .changeLink(.index(12), LinkChange(master: 50)),
        .addNeighbour(neighbour),
        .addNeighbour(Neighbour(interface: 11, address: IPAddress("2001:db8::9")!, mac: mac)),
        .addNeighbour(entry),
      ])
      #expect(try socket.neighbours(index: 11, family: .ipv4) == [neighbour])
      #expect(try socket.neighbours(index: 11).contains { $0.address == IPAddress("2001:db8::9") })
      let read = try #require(try socket.forwardingEntries(port: 12).first { $0.mac == mac })
      #expect(read.master == 50)
      #expect(read.isForwardingEntry)

      let twice = #expect(throws: NetlinkError.self) { _ = try socket.perform(.addNeighbour(neighbour)) }
      #expect(twice?.isExists == true)
      try socket.perform([.deleteNeighbour(neighbour), .deleteNeighbour(entry)])
      #expect(try socket.forwardingEntries(port: 12).allSatisfy { $0.mac != mac })
      let gone = #expect(throws: NetlinkError.self) { _ = try socket.perform(.deleteNeighbour(neighbour)) }
      #expect(gone?.isNotFound == true)
    }
  }
}
