import DHCP
import NetworkAddresses
import Testing

@Suite struct DHCPv6MessageTests {
  /// A REPLY as kea 2.2 sends it, written out by hand from RFC 8415.
  static let reply: [UInt8] =
    [7, 0x12, 0x34, 0x56]
    + [0, 1, 0, 10, 0, 3, 0, 1, 0x02, 0x1a, 0x7b, 0, 0, 5]
    + [0, 2, 0, 14, 0, 1, 0, 1, 0x32, 0x94, 0xf7, 0x10, 0xaa, 0x1f, 0x2b, 0x2a, 0x28, 0x1b]
    + [0, 3, 0, 40, 0, 0, 0, 1, 0, 0, 0x03, 0xe8, 0, 0, 0x07, 0xd0]
    + [0, 5, 0, 24, 0xfd, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x0b, 0xb8, 0, 0, 0x0f, 0xa0]
    + [0, 23, 0, 16, 0xfd, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53]
    + [0, 24, 0, 13, 7] + Array("example".utf8) + [3] + Array("org".utf8) + [0]
    + [0, 82, 0, 4, 0, 0, 0, 120] + [0, 7, 0, 1, 255] + [0, 14, 0, 0]

  static let replyMessage = DHCPv6Message(
    .reply, transactionID: 0x123456,
    options: [
      .clientID(DUID(linkLayer: MACAddress("02:1a:7b:00:00:05")!)),
      .serverID(DUID(bytes: [0, 1, 0, 1, 0x32, 0x94, 0xf7, 0x10, 0xaa, 0x1f, 0x2b, 0x2a, 0x28, 0x1b])!),
      .association(
        DHCPv6Association(
          id: 1, renewTime: 1000, rebindTime: 2000,
          options: [
            .address(
              DHCPv6Address(IPv6Address("fd00:6::100")!, preferredLifetime: 3000, validLifetime: 4000))
          ])),
      .dnsServers([IPv6Address("fd00:6::53")!]), .domainSearch(["example.org"]), .solicitMaximum(120),
      .preference(255), .rapidCommit,
    ])

  @Test func readsWhatAServerSends() throws {
    // The length of the search list is that of the names.
    var bytes = Self.reply
    let length = try #require(bytes.firstRange(of: [0, 24, 0, 13])).lowerBound
    #expect(bytes[length + 4] == 7)
    let message = try #require(DHCPv6Message(decoding: bytes))
    #expect(message == Self.replyMessage)
    #expect(message.encode() == bytes)

    #expect(message.clientID == DUID(linkLayer: MACAddress("02:1a:7b:00:00:05")!))
    #expect(message.serverID?.description == "00:01:00:01:32:94:f7:10:aa:1f:2b:2a:28:1b")
    #expect(message.association(1)?.addresses.map(\.address) == [IPv6Address("fd00:6::100")!])
    #expect(message.association(2) == nil)
    #expect(message.dnsServers == [IPv6Address("fd00:6::53")!])
    #expect(message.domainSearch == ["example.org"])
    #expect(message.solicitMaximum == 120)
    #expect(message.preference == 255)
    #expect(message.isRapidCommit)
    #expect(message.status.isSuccess)

    // A message with nothing in it is one, too.
    bytes = [1, 0, 0, 7]
    #expect(DHCPv6Message(decoding: bytes) == DHCPv6Message(.solicit, transactionID: 7))
  }

  @Test func writesWhatAClientSends() {
    let message = DHCPv6Message(
      .solicit, transactionID: 0xff_00_1234,
      options: [
        .optionRequest([23, 24]), .elapsedTime(0x102), .status(DHCPv6Status(.noBinding, "who?")),
        .other(code: 0x1234, data: [9, 8]),
      ])
    #expect(
      message.encode()
        == [1, 0, 0x12, 0x34, 0, 6, 0, 4, 0, 23, 0, 24, 0, 8, 0, 2, 1, 2]
        + [0, 13, 0, 6, 0, 3] + Array("who?".utf8) + [0x12, 0x34, 0, 2, 9, 8])
    #expect(DHCPv6Message(decoding: message.encode()) == message)
  }

  @Test(
    arguments: [
      [], [7], [7, 0, 0], [12, 0, 0, 1], [13, 0, 0, 1], [0, 0, 0, 1], [200, 0, 0, 1],
      [7, 0, 0, 1, 0], [7, 0, 0, 1, 0, 1], [7, 0, 0, 1, 0, 1, 0], [7, 0, 0, 1, 0, 1, 0, 1],
      [7, 0, 0, 1, 0, 1, 0xff, 0xff, 1],
    ] as [[UInt8]])
  func refusesWhatIsNoMessage(_ bytes: [UInt8]) {
    #expect(DHCPv6Message(decoding: bytes) == nil)
  }

  /// Each is kept as bytes, and the message has no such option.
  @Test(
    arguments: [
      (1, [0, 3]), (1, [UInt8](repeating: 1, count: 131)), (2, []), (3, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
      (3, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 9]), (5, [UInt8](repeating: 0, count: 24)),
      (6, [0]), (7, []), (7, [1, 2]), (8, [1]), (13, [0]), (14, [1]), (23, [UInt8](repeating: 1, count: 17)),
      (24, [5, 97]), (24, [64] + [UInt8](repeating: 97, count: 64) + [0]), (24, [3, 97, 98, 99]),
      (82, [0, 0, 60]),
    ] as [(UInt16, [UInt8])])
  func keepsMalformedOptionsAsBytes(_ code: UInt16, _ data: [UInt8]) throws {
    let bytes = [7, 0, 0, 1, 0, UInt8(code), 0, UInt8(data.count)] + data
    let message = try #require(DHCPv6Message(decoding: bytes))
    #expect(message.options == [.other(code: code, data: data)])
    #expect(message.encode() == bytes)
  }

  @Test func namesThatCouldNotStandInAResolverFileAreLeftOut() throws {
    let data: [UInt8] =
      [3] + Array("a b".utf8) + [0] + [4] + Array("good".utf8) + [0] + [0] + [4] + Array("x\ny\0".utf8) + [0]
    let message = try #require(DHCPv6Message(decoding: [7, 0, 0, 1, 0, 24, 0, UInt8(data.count)] + data))
    #expect(message.domainSearch == ["good"])
  }

  @Test func statusMessagesHoldNothingThatATerminalObeys() throws {
    let text = Array("no\u{1b}[2J addresses\n\u{85}left".utf8)
    let message = try #require(
      DHCPv6Message(decoding: [7, 0, 0, 1, 0, 13, 0, UInt8(text.count + 2), 0, 2] + text))
    #expect(message.status.description == "NoAddrsAvail (no[2J addressesleft)")
    #expect(message.status.code == .noAddressesAvailable)
    let unknown = try #require(DHCPv6Message(decoding: [7, 0, 0, 1, 0, 13, 0, 2, 1, 0]))
    #expect(unknown.status.description == "status 256")
    #expect(!unknown.status.isSuccess)
  }

  @Test func optionsThatAreNestedWithoutEndAreReadThreeLevelsDeep() throws {
    var data: [UInt8] = []
    while data.count < 60000 {
      let length = data.count + 12
      data = [0, 3, UInt8(length >> 8), UInt8(length & 0xff)] + [UInt8](repeating: 0, count: 12) + data
    }
    let message = try #require(DHCPv6Message(decoding: [7, 0, 0, 1] + data))
    #expect(message.encode() == [7, 0, 0, 1] + data)
    guard case .association(let association) = message.options[0] else {
      Issue.record("not an association")
      return
    }
    #expect(association.options.count == 1)
    #expect(association.addresses.isEmpty)
  }

  @Test func everyCutAndEveryChangedByteIsReadOrRefused() {
    for length in Self.reply.indices { _ = DHCPv6Message(decoding: Array(Self.reply[..<length])) }
    var generator = SystemRandomNumberGenerator()
    for index in Self.reply.indices {
      for value: UInt8 in [0, 1, 0x7f, 0xff, .random(in: 0...255, using: &generator)] {
        var bytes = Self.reply
        bytes[index] = value
        // What is read can be written, and is the same again.
        guard let message = DHCPv6Message(decoding: bytes) else { continue }
        #expect(DHCPv6Message(decoding: message.encode()) == message)
      }
    }
  }
}

@Suite struct DUIDTests {
  @Test func isMadeOfAnAddressOrADigest() {
    #expect(DUID(linkLayer: MACAddress("02:1a:7b:00:00:05")!).bytes == [0, 3, 0, 1, 2, 0x1a, 0x7b, 0, 0, 5])
    #expect(DUID(uuid: 1).bytes == [0, 4] + [UInt8](repeating: 0, count: 15) + [1])
    let duid = DUID(digest: [UInt8](repeating: 0xff, count: 64))
    #expect(duid.description == "00:04:ff:ff:ff:ff:ff:ff:8f:ff:bf:ff:ff:ff:ff:ff:ff:ff")
    #expect(duid == DUID(digest: [UInt8](repeating: 0xff, count: 16)))
    #expect(duid != DUID(digest: [0xfe] + [UInt8](repeating: 0xff, count: 15)))
  }

  @Test func hasThreeTo130Bytes() {
    #expect(DUID(bytes: [0, 1]) == nil)
    #expect(DUID(bytes: [0, 1, 2])?.bytes == [0, 1, 2])
    #expect(DUID(bytes: [UInt8](repeating: 7, count: 130)) != nil)
    #expect(DUID(bytes: [UInt8](repeating: 7, count: 131)) == nil)
  }
}
