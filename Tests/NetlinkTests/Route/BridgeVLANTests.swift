import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

@Suite(.requiresRoot) struct BridgeVLANTests {
  @Test(.requiresKernel(.bridgeVLANFiltering))
  func membershipsAreAddedReadAndDeleted() throws {
    try inNewNetworkNamespace {
      var socket = try RouteSocket()
      try socket.perform([
        .createLink(
          LinkSpecification(
            name: "br0",
            kind: .bridge(
              .init {
                $0.vlanFiltering = true
                $0.vlanDefaultPVID = 0
              }), index: 50)),
        .createLink(
          LinkSpecification(
            name: "v0", kind: .veth(peer: LinkSpecification(name: "v1")), index: 51, master: 50)),
        .addBridgeVLAN(index: 51, BridgeVLAN(id: 7, isPVID: true, isUntagged: true)),
        .addBridgeVLAN(index: 51, BridgeVLAN(ids: 10...20)),
        .addBridgeVLAN(index: 50, BridgeVLAN(id: 7, isSelf: true)),
      ])
      #expect(
        try socket.bridgeVLANs(index: 51) == [
          BridgeVLAN(id: 7, isPVID: true, isUntagged: true), BridgeVLAN(ids: 10...20),
        ])
      #expect(try socket.bridgeVLANs(index: 50) == [BridgeVLAN(id: 7)])
      try socket.perform(.deleteBridgeVLAN(index: 51, BridgeVLAN(ids: 12...14)))
      #expect(
        try socket.bridgeVLANs(index: 51).dropFirst() == [BridgeVLAN(ids: 10...11), BridgeVLAN(ids: 15...20)])
    }
  }

  @Test func rangesAreRead() throws {
    var builder = MessageBuilder()
    builder.message(type: RouteMessageType.newLink, flags: .multipart) { message in
      message.linkHeader(family: bridgeFamily, index: 5)
      message.nested(26, flagged: false) { spec in
        for (flags, id) in [(6, 1), (8, 10), (16, 20), (12, 30), (20, 31), (0, 40), (8, 50)] {
          spec.attribute(2, UInt32(flags) | UInt32(id) << 16)
        }
      }
    }
    let (index, vlans) = try #require(BridgeVLAN.decode(try ReceivedMessage.parse(builder.bytes)[0]))
    #expect(index == 5)
    #expect(
      vlans == [
        BridgeVLAN(id: 1, isPVID: true, isUntagged: true), BridgeVLAN(ids: 10...20),
        BridgeVLAN(ids: 30...31, isUntagged: true), BridgeVLAN(id: 40),
      ])
  }
}
