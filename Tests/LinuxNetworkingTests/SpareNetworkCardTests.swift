import TestSupport
import Testing

/// What tests with network cards stand on: the cards come, are connected, and come again for the next test.
@Suite(
  "spare network cards", .requiresKernel(.pciDevices))
struct SpareNetworkCardTests {
  @Test("Two cards are at both ends of one cable, time and again, whatever became of them", arguments: 1...2)
  func cards(_ round: Int) throws {
    try inNewNetworkNamespace {
      try withSpareNetworkCards { cards in
        try #require(cards.count == 2)
        try shell("ip netns add other; ip link set \(cards[1].name) netns other name card\(round)")
        try shell(
          """
          ip addr add 192.0.2.1/24 dev \(cards[0].name); ip link set \(cards[0].name) up alias mine
          ip -n other addr add 192.0.2.2/24 dev card\(round); ip -n other link set card\(round) up
          ping -c 1 -W 5 192.0.2.2
          """)
        #expect(
          try shell("ls /sys/bus/pci/devices/\(cards[0].pciAddress)/virtio*/net") == "\(cards[0].name)\n")
      }
    }
  }
}
