import NetworkAddresses
import Testing

@testable import DHCP

@Suite struct DHCPv4OptionsTests {
  private func routes(_ values: [DHCPv4OptionCode: [UInt8]]) -> [String] {
    var options = DHCPv4Options()
    for (code, value) in values { options[code] = value }
    return options.routes.map { "\($0.destination) via \($0.router)" }
  }

  @Test func classlessRoutes() {
    // The examples of RFC 3442, and the lengths between them.
    #expect(
      routes([
        .classlessStaticRoutes: [
          0, 10, 0, 0, 1, 8, 10, 10, 0, 0, 2, 25, 10, 0, 0, 128, 10, 0, 0, 3, 32, 10, 1, 2, 3, 0, 0, 0, 0,
        ]
      ]) == [
        "0.0.0.0/0 via 10.0.0.1", "10.0.0.0/8 via 10.0.0.2", "10.0.0.128/25 via 10.0.0.3",
        "10.1.2.3/32 via 0.0.0.0",
      ])
    // Bits behind the prefix are cleared.
    #expect(
      routes([.classlessStaticRoutes: [20, 10, 1, 255, 10, 0, 0, 1]]) == ["10.1.240.0/20 via 10.0.0.1"])
  }

  @Test func classlessRoutesReplaceAllOthers() {
    let router: [UInt8] = [10, 0, 0, 1]
    let classful: [UInt8] = [172, 16, 0, 0, 10, 0, 0, 4]
    #expect(
      routes([.routers: router, .staticRoutes: classful, .classlessStaticRoutes: [8, 11, 10, 0, 0, 2]])
        == ["11.0.0.0/8 via 10.0.0.2"])
    #expect(
      routes([.routers: router, .microsoftClasslessStaticRoutes: [8, 12, 10, 0, 0, 3]]) == [
        "12.0.0.0/8 via 10.0.0.3"
      ])
    #expect(
      routes([
        .microsoftClasslessStaticRoutes: [8, 12, 10, 0, 0, 3], .classlessStaticRoutes: [8, 11] + router,
      ])
        == ["11.0.0.0/8 via 10.0.0.1"], "121 counts before 249")
    #expect(
      routes([.routers: router, .staticRoutes: classful]) == [
        "172.16.0.0/16 via 10.0.0.4", "0.0.0.0/0 via 10.0.0.1",
      ])
    #expect(routes([.routers: router, .classlessStaticRoutes: []]) == ["0.0.0.0/0 via 10.0.0.1"])
  }

  @Test func listsHaveAnEnd() {
    var options = DHCPv4Options()
    options[.domainNameServers] =
      [0, 0, 0, 0, 255, 255, 255, 255, 224, 0, 0, 1] + (1...9).flatMap { [10, 0, 0, $0] }
    #expect(options.nameservers == (1...8).map { IPv4Address(10, 0, 0, $0) })
    options[.domainSearch] = [1, 0x61, 0] + [UInt8](repeating: 0xc0, count: 2).flatMap { [$0, 0] }
    #expect(options.searchDomains == ["a", "a", "a"])
    options[.domainSearch] = [1, 0x61, 0] + (0..<500).flatMap { _ in [0xc0, 0] as [UInt8] }
    #expect(options.searchDomains.count == 32)
    let label = [63] + [UInt8](repeating: 0x61, count: 63)
    options[.domainSearch] = label + label + label + label + [0, 1, 0x62, 0]
    #expect(options.searchDomains == [], "longer than a name may be")
    options[.domainName] = [UInt8](repeating: 0x61, count: 254)
    #expect(options.domain == nil)
    options[.classlessStaticRoutes] = (0..<300).flatMap {
      [24, 10, UInt8($0 >> 8), UInt8($0 & 255), 10, 0, 0, 1]
    }
    #expect(options.routes.count == 256)
    options[.routers] = [255, 255, 255, 255, 10, 0, 0, 2]
    #expect(options.gateway == IPv4Address(10, 0, 0, 2))
  }

  @Test func classfulRoutesGoByTheClass() {
    let router: [UInt8] = [10, 0, 0, 4]
    let networks: [[UInt8]] = [
      [10, 1, 2, 3], [172, 16, 9, 0], [192, 168, 7, 9], [224, 0, 0, 1], [0, 0, 0, 0],
    ]
    #expect(
      routes([
        .staticRoutes: networks.flatMap { $0 + router } + [10, 0]
      ]) == ["10.0.0.0/8 via 10.0.0.4", "172.16.0.0/16 via 10.0.0.4", "192.168.7.0/24 via 10.0.0.4"])
  }

  @Test func brokenRoutesAreLeftOut() {
    #expect(routes([.classlessStaticRoutes: [8, 10, 10, 0, 0, 1, 33, 1, 2, 3, 4, 5, 6, 7, 8, 9]]).count == 1)
    #expect(routes([.classlessStaticRoutes: [8, 10, 10, 0, 0, 1, 24, 10, 0]]).count == 1)
    #expect(routes([.routers: [10, 0, 0]]) == [])
  }

  @Test func masks() {
    var options = DHCPv4Options()
    for (mask, length) in [([255, 255, 255, 0], 24), ([255, 255, 255, 255], 32), ([0, 0, 0, 0], 0)]
      as [([UInt8], Int)]
    {
      options[.subnetMask] = mask
      #expect(options.prefixLength == length)
    }
    for mask in [[255, 0, 255, 0], [255, 255], []] as [[UInt8]] {
      options[.subnetMask] = mask
      #expect(options.prefixLength == nil)
    }
  }

  @Test func searchDomains() {
    func search(_ bytes: [UInt8]) -> [String] {
      var options = DHCPv4Options()
      options[.domainSearch] = bytes
      return options.searchDomains
    }
    // The example of RFC 3397, section 2.
    var example: [UInt8] = [3]
    example += Array("eng".utf8) + [5]
    example += Array("apple".utf8) + [3]
    example += Array("com".utf8) + [0, 9]
    example += Array("marketing".utf8) + [0xc0, 4]
    #expect(search(example) == ["eng.apple.com", "marketing.apple.com"])
    #expect(search([0xc0, 0]) == [], "a reference to itself")
    #expect(search([1, 0x61, 0xc0, 0]) == [], "a reference to where the name begins")
    #expect(search([1, 0x61, 0, 1, 0x62, 0xc0, 9]) == ["a"], "a reference beyond the end")
    #expect(search([5, 0x61]) == [])
    #expect(search([1, 0x61]) == [], "without its end it is no name")
    #expect(search([0x80, 1]) == [])
    #expect(search([3, 0x61, 0x0a, 0x62, 0, 1, 0x63, 0]) == ["c"], "no line breaks in resolver files")
    let label: [UInt8] = [9] + Array("abcdefghi".utf8)
    var long: [UInt8] = []
    for _ in 0..<40 { long += label }
    #expect(search(long + [0]) == [], "longer than a name can be")
  }

  @Test func texts() {
    var options = DHCPv4Options()
    options[.domainName] = Array("example.org\0".utf8)
    #expect(options.domain == "example.org")
    options[.domainName] = Array("example.org.".utf8)
    #expect(options.domain == "example.org")
    options[.domainName] = Array("evil.org\nnameserver 6.6.6.6".utf8)
    #expect(options.domain == nil)
    options[.message] = [0x6e, 0x6f, 0x0a, 0xff]
    #expect(options.text(.message) == "no\u{fffd}")
  }

  @Test func namesAndNumbers() {
    #expect(DHCPv4OptionCode("host-name") == .hostName)
    #expect(DHCPv4OptionCode("routers") == .routers)
    #expect(DHCPv4OptionCode("user-class") == .userClass)
    #expect(DHCPv4OptionCode("vendor-class-identifier") == .vendorClassIdentifier)
    #expect(DHCPv4OptionCode("dhcp-client-identifier") == .clientIdentifier)
    #expect(DHCPv4OptionCode("subnet-mask") == .subnetMask)
    #expect(DHCPv4OptionCode("121") == .classlessStaticRoutes)
    for text in ["", "256", "-1", "+1", "1.0", "hostname", " 1"] { #expect(DHCPv4OptionCode(text) == nil) }
    #expect(DHCPv4OptionCode.hostName.description == "12 (host-name)")
    #expect(DHCPv4OptionCode(rawValue: 224).description == "224")
  }
}

@Suite struct UDPPacketTests {
  private let packet = UDPPacket(
    source: .any, destination: .broadcast, sourcePort: 68, destinationPort: 67, payload: [1, 2, 3])

  @Test func readsBackWhatItWrites() throws {
    let bytes = packet.encode()
    #expect(bytes.count == 31)
    #expect(UDPPacket(decoding: bytes[...]) == packet)
    #expect(UDPPacket(decoding: (bytes + [0, 0, 0])[...]) == packet, "frames are padded")
  }

  @Test func damageIsNoticed() {
    let bytes = packet.encode()
    for index in bytes.indices {
      var damaged = bytes
      damaged[index] ^= 0x04
      // Bytes 26 and 27 are the checksum itself.
      #expect(UDPPacket(decoding: damaged[...]) == nil, "byte \(index)")
    }
  }

  @Test func anUnfinishedChecksumIsNotLookedAt() {
    #expect(UDPPacket(decoding: Captured.offer[...], checksumIsComplete: false) != nil)
    #expect(UDPPacket(decoding: Captured.offer[...]) == nil)
    var none = packet.encode()
    none[26] = 0
    none[27] = 0
    #expect(UDPPacket(decoding: none[...]) == packet, "zero: there is none")
  }

  @Test func whatIsCutOffIsNoPacket() {
    let bytes = packet.encode()
    for length in bytes.indices { #expect(UDPPacket(decoding: bytes[..<length]) == nil) }
  }

  @Test func fragmentsAreNoPackets() {
    var bytes = Captured.offer
    bytes[6] = 0x20
    // The header's own checksum follows.
    let sum = (UInt16(bytes[10]) << 8 | UInt16(bytes[11])) - 0x2000
    bytes[10] = UInt8(sum >> 8)
    bytes[11] = UInt8(sum & 0xff)
    #expect(UDPPacket(decoding: bytes[...], checksumIsComplete: false) == nil)
  }
}

@Suite struct ARPPacketTests {
  private let mine = MACAddress("02:00:00:00:00:01")!
  private let other = MACAddress("02:00:00:00:00:02")!
  private let address = IPv4Address(10, 0, 0, 5)

  @Test func probeHasTheLayoutOfTheRFC() {
    #expect(
      ARPPacket.probe(for: address, from: mine).encode()
        == [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 5])
  }

  @Test func whoContests() throws {
    func heard(_ packet: ARPPacket) throws -> Bool {
      try #require(ARPPacket(decoding: packet.encode()[...])).contests(address, of: mine)
    }
    #expect(try heard(ARPPacket(isReply: true, senderHardware: other, sender: address, target: .any)))
    #expect(try heard(ARPPacket(isReply: false, senderHardware: other, sender: address, target: .broadcast)))
    #expect(try heard(.probe(for: address, from: other)), "another one that is about to take it")
    #expect(try !heard(.probe(for: address, from: mine)), "my own, come back")
    #expect(
      try !heard(
        ARPPacket(isReply: false, senderHardware: other, sender: IPv4Address(10, 0, 0, 9), target: address)),
      "somebody who only asks")
  }

  @Test func refusesOthers() {
    let bytes = ARPPacket.probe(for: address, from: mine).encode()
    for length in bytes.indices { #expect(ARPPacket(decoding: bytes[..<length]) == nil) }
    for index in 0..<7 {
      var wrong = bytes
      wrong[index] ^= 0x10
      #expect(ARPPacket(decoding: wrong[...]) == nil)
    }
  }
}
