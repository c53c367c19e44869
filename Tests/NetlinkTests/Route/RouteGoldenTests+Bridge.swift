import NetworkAddresses
import Testing

@testable import Netlink

extension RouteGoldenTests {
  @Test func bridges() throws {
    let every = BridgeSettings {
      $0.forwardDelay = 400
      $0.helloTime = 200
      $0.maximumAge = 2000
      $0.ageingTime = 0
      $0.spanningTree = true
      $0.priority = 100
      $0.vlanFiltering = true
      $0.vlanProtocol = 0x88a8
      $0.groupForwardMask = 8
      $0.groupAddress = MACAddress("01:80:c2:00:00:05")
      $0.multicastRouter = 2
      $0.multicastSnooping = false
      $0.multicastQueryUsesInterfaceAddress = true
      $0.multicastQuerier = true
      $0.multicastHashElasticity = 16
      $0.multicastHashMaximum = 1024
      $0.multicastLastMemberCount = 3
      $0.multicastStartupQueryCount = 4
      $0.multicastLastMemberInterval = 100
      $0.multicastMembershipInterval = 26000
      $0.multicastQuerierInterval = 25500
      $0.multicastQueryInterval = 12500
      $0.multicastQueryResponseInterval = 1000
      $0.multicastStartupQueryInterval = 3100
      $0.callsIPTables = true
      $0.callsIP6Tables = true
      $0.callsARPTables = true
      $0.vlanDefaultPVID = 0
      $0.vlanStatistics = true
      $0.multicastStatistics = true
      $0.multicastIGMPVersion = 3
      $0.multicastMLDVersion = 2
      $0.vlanStatisticsPerPort = true
    }
    let fixture = try Self.fixture("bridge")
    let command = try #require(fixture.keys.first { $0.hasPrefix("ip link add name br1 type bridge ") })
    let request = RouteRequest.createLink(LinkSpecification(name: "br1", kind: .bridge(every)))
    #expect(hex(request.encoded()) == fixture[command])
    // What is written is read.
    #expect(BridgeSettings(LinkKind.bridge(every).attributes) == every)
  }

  /// iproute2 adds `IFLA_INFO_KIND` "bridge_slave", which the kernel makes nothing of.
  @Test func bridgePorts() throws {
    let few = BridgePortSettings {
      $0.hairpin = true
      $0.isolated = true
    }
    let every = BridgePortSettings {
      $0.state = .forwarding
      $0.priority = 10
      $0.cost = 5
      $0.hairpin = false
      $0.guardsRoot = true
      $0.blocksRoot = true
      $0.fastLeave = true
      $0.learning = false
      $0.unicastFlood = false
      $0.proxyARP = true
      $0.proxyARPWiFi = true
      $0.multicastRouter = 2
      $0.multicastFlood = false
      $0.multicastToUnicast = true
      $0.vlanTunnel = true
      $0.broadcastFlood = false
      $0.groupForwardMask = 8
      $0.neighbourSuppression = true
      $0.isolated = false
      $0.locked = true
    }
    let fixture = try Self.fixture("bridge")
    for (settings, start) in [
      (few, "ip link set v0 type bridge_slave hairpin"), (every, "ip link set v0 type bridge_slave state"),
      (few, "bridge link set"),
    ] {
      let command = try #require(fixture.keys.first { $0.hasPrefix(start) })
      let theirs = try ReceivedMessage.parse(bytes(try #require(fixture[command])))[0]
      let ours = try ReceivedMessage.parse(
        RouteRequest.bridgePort(.index(Self.port), settings).encoded())[0]
      #expect(ours.payload.dropFirst(4).prefix(12).elementsEqual(theirs.payload.dropFirst(4).prefix(12)))
      let attributes = theirs.attributes(after: 16)
      let expected = attributes[18]?.nested[5]?.value ?? attributes[12]?.value
      #expect(ours.attributes(after: 16)[18]?.nested[5]?.value.elementsEqual(expected ?? []) == true)
      #expect(expected.map { BridgePortSettings(Attributes($0)) } == settings)
    }
  }

  @Test(arguments: [
    ("bridge vlan add dev v0 vid 10", RouteRequest.addBridgeVLAN(index: port, BridgeVLAN(id: 10))),
    ("bridge vlan add dev v0 vid 10-20", .addBridgeVLAN(index: port, BridgeVLAN(ids: 10...20))),
    (
      "bridge vlan add dev v0 vid 7 pvid untagged",
      .addBridgeVLAN(index: port, BridgeVLAN(id: 7, isPVID: true, isUntagged: true))
    ),
    (
      "bridge vlan add dev br0 vid 7 self",
      .addBridgeVLAN(index: bridge, BridgeVLAN(id: 7, isSelf: true))
    ),
    ("bridge vlan del dev v0 vid 10-20", .deleteBridgeVLAN(index: port, BridgeVLAN(ids: 10...20))),
    ("bridge vlan del dev v0 vid 1", .deleteBridgeVLAN(index: port, BridgeVLAN(id: 1))),
  ]) func bridgeVLANs(_ command: String, _ request: RouteRequest) throws {
    #expect(hex(request.encoded()) == (try Self.fixture("bridge"))[command])
  }

  private func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.utf8)
    return stride(from: 0, to: digits.count, by: 2).map {
      UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)!
    }
  }
}
