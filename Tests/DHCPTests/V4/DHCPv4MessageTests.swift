import NetworkAddresses
import Testing

@testable import DHCP

@Suite struct DHCPv4MessageTests {
  @Test func discoverHasTheLayoutOfTheRFC() {
    var message = DHCPv4Message(
      .discover, transactionID: 0x1234_5678, hardwareAddress: MACAddress("02:00:5e:10:00:01")!)
    message.seconds = 3
    message.wantsBroadcast = true
    message.options[.parameterRequestList] = [3, 1]
    let bytes = message.encode()
    #expect(bytes.count == 300)
    #expect(Array(bytes[..<12]) == [1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 3, 0x80, 0])
    #expect(bytes[12..<28].allSatisfy { $0 == 0 })
    #expect(Array(bytes[28..<34]) == [2, 0, 0x5e, 0x10, 0, 1])
    #expect(bytes[34..<236].allSatisfy { $0 == 0 })
    #expect(Array(bytes[236..<248]) == [99, 130, 83, 99, 53, 1, 1, 55, 2, 3, 1, 255])
    #expect(bytes[248...].allSatisfy { $0 == 0 })
  }

  @Test func readsWhatDnsmasqOffers() throws {
    let packet = try #require(UDPPacket(decoding: Captured.offer[...], checksumIsComplete: false))
    #expect(packet.source == IPv4Address(10, 50, 0, 1))
    #expect(packet.destination == IPv4Address(10, 50, 1, 184))
    #expect(packet.sourcePort == 67)
    #expect(packet.destinationPort == 68)
    let message = try #require(DHCPv4Message(decoding: packet.payload))
    #expect(message.isReply)
    #expect(message.kind == .offer)
    #expect(message.transactionID == 0xf8f8_86af)
    #expect(message.yourAddress == IPv4Address(10, 50, 1, 184))
    #expect(message.nextServer == IPv4Address(10, 50, 0, 1))
    #expect(message.hardwareAddress == MACAddress("46:c7:b1:ce:be:ad"))
    let options = message.options
    #expect(options.address(.serverIdentifier) == IPv4Address(10, 50, 0, 1))
    #expect(options.number(.leaseTime) == UInt32(120))
    #expect(options.number(.renewalTime) == UInt32(60))
    #expect(options.number(.rebindingTime) == UInt32(105))
    #expect(options.prefixLength == 16)
    #expect(options.addresses(.domainNameServers) == [IPv4Address(10, 50, 0, 2)])
    #expect(options.searchDomains == ["a.example", "b.example"])
    #expect(
      options.routes.map { "\($0.destination) \($0.router)" } == ["10.9.0.0/16 10.50.0.7"],
      "option 121 replaces the router")
    #expect(options.gateway == IPv4Address(10, 50, 0, 1))
    #expect(options[.messageType] == nil)
  }

  @Test func readsBackWhatItWrites() throws {
    var message = DHCPv4Message(
      .request, transactionID: 7, hardwareAddress: MACAddress(rawValue: 0x0200_0000_0001))
    message.clientAddress = IPv4Address(10, 0, 0, 5)
    message.relayAddress = IPv4Address(10, 0, 0, 9)
    message.options[.hostName] = Array("web".utf8)
    message.options[DHCPv4OptionCode(rawValue: 224)] = []
    #expect(DHCPv4Message(decoding: message.encode()) == message)
  }

  @Test(arguments: [255, 256, 510, 511, 700]) func longOptionsAreSplitAndPutTogether(length: Int) throws {
    var message = DHCPv4Message(.offer, transactionID: 7, hardwareAddress: MACAddress(rawValue: 1))
    let value = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
    message.options[.classlessStaticRoutes] = value
    message.options[.hostName] = [1]
    let decoded = try #require(DHCPv4Message(decoding: message.encode()))
    #expect(decoded.options[.classlessStaticRoutes] == value)
    #expect(decoded.options[.hostName] == [1])
  }

  @Test func optionsGoOnInTheFieldsOfBOOTP() throws {
    var bytes = DHCPv4Message(.offer, transactionID: 7, hardwareAddress: MACAddress(rawValue: 1)).encode()
    // Overloaded: both fields; the domain name begins in the options, goes on in file, and ends in sname (RFC 3396).
    bytes.replaceSubrange(240..., with: [53, 1, 2, 52, 1, 3, 15, 2, 0x61, 0x62, 255])
    bytes.replaceSubrange(108..<113, with: [15, 2, 0x63, 0x64, 255])
    bytes.replaceSubrange(44..<51, with: [15, 1, 0x65, 12, 1, 0x7a, 255])
    let message = try #require(DHCPv4Message(decoding: bytes))
    #expect(message.options.domain == "abcde")
    #expect(message.options.text(.hostName) == "z")
    #expect(message.options[.overload] == nil)
  }

  @Test func withoutOverloadTheFieldsAreNotOptions() throws {
    var bytes = DHCPv4Message(.offer, transactionID: 7, hardwareAddress: MACAddress(rawValue: 1)).encode()
    bytes.replaceSubrange(108..<112, with: [12, 1, 0x7a, 255])
    #expect(try #require(DHCPv4Message(decoding: bytes)).options.all.isEmpty)
  }

  @Test func whatIsCutOffIsLeftOut() throws {
    var bytes = DHCPv4Message(.offer, transactionID: 7, hardwareAddress: MACAddress(rawValue: 1)).encode()
    bytes.replaceSubrange(240..., with: [53, 1, 2, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0])
    let message = try #require(DHCPv4Message(decoding: bytes))
    #expect(message.kind == .offer)
    #expect(message.options.address(.serverIdentifier) == IPv4Address(10, 0, 0, 1))
    #expect(message.options[.leaseTime] == nil)
  }

  @Test func refusesWhatIsNoMessage() {
    let bytes = DHCPv4Message(.offer, transactionID: 7, hardwareAddress: MACAddress(rawValue: 1)).encode()
    for length in 0..<240 { #expect(DHCPv4Message(decoding: Array(bytes[..<length])) == nil) }
    for (index, value) in [(0, 3), (1, 6), (2, 16), (236, 0)] as [(Int, UInt8)] {
      var wrong = bytes
      wrong[index] = value
      #expect(DHCPv4Message(decoding: wrong) == nil)
    }
  }

  /// A trap would end the process: reaching the end is what is tested, besides the bound on what is made of it.
  @Test func nothingThatIsSentMakesItTrap() {
    var random = SplitMix(state: 1)
    for round in 0..<20_000 {
      var bytes = Captured.offer
      for _ in 0..<(1 + round % 40) {
        let value: UInt64 = random.next()
        bytes[Int(value % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: value >> 32)
      }
      if round % 3 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count) as UInt64)) }
      let payload =
        UDPPacket(decoding: bytes[...], checksumIsComplete: round % 2 == 0)?.payload
        ?? Array(bytes.dropFirst(28))
      _ = ARPPacket(decoding: bytes[...])
      guard let message = DHCPv4Message(decoding: payload) else { continue }
      #expect(message.options.routes.count < 200)
      #expect(message.options.searchDomains.count <= payload.count)
      _ = (message.options.domain, message.options.gateway, message.options.prefixLength)
      _ = DHCPv4Lease(acknowledgement: message, requestedAt: .zero, fuzz: 1)
      _ = message.encode()
    }
  }
}

/// Packets as a packet socket gave them, behind the Ethernet header: dnsmasq 2.90 on a veth, its checksum not filled in.
enum Captured {
  static let offer = bytes(
    """
    45c0015ae0240000401182920a3200010a3201b8004300440146177402010600f8f886af00000000000000000a3201b80a320001\
    0000000046c7b1cebead
    """, zeros: 202,
    """
    6382536335010236040a3200013304000000783a040000003c3b04000000690104ffff00001c040a32ffff03040a3200017907100a09\
    0a32000706040a320002770f0161076578616d706c65000162c002ff
    """)

  private static func bytes(_ start: String, zeros: Int, _ end: String) -> [UInt8] {
    hexadecimal(start) + [UInt8](repeating: 0, count: zeros) + hexadecimal(end)
  }

  private static func hexadecimal(_ text: String) -> [UInt8] {
    let digits = text.compactMap { $0.hexDigitValue }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }
}
