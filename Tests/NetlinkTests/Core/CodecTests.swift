import Netlink
import Testing

@Suite struct CodecTests {
  @Test func attributesCarryLengthTypeValueAndPadding() {
    var builder = MessageBuilder()
    builder.attribute(3, string: "ab")
    builder.attribute(4, UInt32(1).littleEndian)
    builder.attribute(5, bigEndian: UInt16(0x0102))
    builder.attribute(6)
    #expect(
      builder.bytes == [7, 0, 3, 0, 97, 98, 0, 0, 8, 0, 4, 0, 1, 0, 0, 0, 6, 0, 5, 0, 1, 2, 0, 0, 4, 0, 6, 0])
  }

  @Test func nestsAreMarkedUnlessAskedOtherwise() {
    var builder = MessageBuilder()
    builder.nested(1) { $0.attribute(2, UInt8(7)) }
    builder.nested(1, flagged: false) { $0.nested(2, flagged: false) { _ in } }
    #expect(
      builder.bytes == [12, 0, 1, 0x80, 5, 0, 2, 0, 7, 0, 0, 0, 8, 0, 1, 0, 4, 0, 2, 0])
    let attributes = Array(Attributes(builder.bytes[...]))
    #expect(attributes.map(\.type) == [1, 1])
    #expect(attributes.map(\.isNested) == [true, false])
    #expect(attributes[0].nested[2]?.integer(as: UInt8.self) == 7)
    #expect(attributes[1].nested[2]?.value.isEmpty == true)
  }

  @Test func messagesFollowEachOther() throws {
    var builder = MessageBuilder()
    builder.message(type: 16, flags: [.request, .acknowledge], sequence: 7) { $0.append(bytes: [1, 2, 3]) }
    builder.message(type: 17, flags: .request, sequence: 8) { $0.append(bigEndian: UInt32(9)) }
    let messages = try ReceivedMessage.parse(builder.bytes)
    #expect(messages.map(\.type) == [16, 17])
    #expect(messages.map(\.sequence) == [7, 8])
    #expect(messages[0].flags == [.request, .acknowledge])
    #expect(Array(messages[0].payload) == [1, 2, 3])
    #expect(Array(messages[1].payload) == [0, 0, 0, 9])
  }

  @Test func valuesOfAnotherWidthAreNoIntegers() {
    let attribute = Attributes([8, 0, 1, 0, 1, 2, 3, 4])[1]
    #expect(attribute?.bigEndian(as: UInt32.self) == 0x0102_0304)
    #expect(attribute?.integer(as: UInt16.self) == nil)
    #expect(attribute?.integer(as: UInt64.self) == nil)
  }

  @Test func stringsEndAtTheirNUL() {
    #expect(Attributes([8, 0, 1, 0, 97, 98, 0, 99])[1]?.string == "ab")
    #expect(Attributes([6, 0, 1, 0, 97, 98])[1]?.string == "ab")
    #expect(Attributes([5, 0, 1, 0, 0xff])[1]?.string == nil)
  }

  @Test func theLastAttributeNeedsNoPadding() {
    #expect(Attributes([5, 0, 1, 0, 9, 0, 0, 0, 5, 0, 2, 0, 8])[2]?.integer(as: UInt8.self) == 8)
  }

  @Test(arguments: [[3, 0, 1, 0], [9, 0, 1, 0, 1, 2, 3, 4], [0, 0, 0, 0], [4, 0, 1]] as [[UInt8]])
  func brokenAttributesEndTheWalk(_ bytes: [UInt8]) {
    #expect(Array(Attributes(bytes[...])).isEmpty)
    let behindAGoodOne = [4, 0, 7, 0] + bytes
    #expect(Array(Attributes(behindAGoodOne[...])).map(\.type) == [7])
  }

  @Test func brokenMessagesAreExplained() {
    #expect(throws: NetlinkCodecError.truncatedHeader(offset: 0)) {
      try ReceivedMessage.parse([1, 2, 3])
    }
    let long = [UInt8](repeating: 32, count: 16)
    #expect(throws: NetlinkCodecError.self) { try ReceivedMessage.parse(long) }
    #expect(throws: NetlinkCodecError.invalidLength(offset: 0, length: 4, available: 16)) {
      try ReceivedMessage.parse([4] + [UInt8](repeating: 0, count: 15))
    }
  }

  @Test func anAttributeThatCannotBeSaidIsMarked() {
    var builder = MessageBuilder()
    builder.attribute(1, string: String(repeating: "x", count: 70_000))
    #expect(builder.isOversized)
    builder.removeAll()
    #expect(!builder.isOversized)
    builder.nested(1) { nest in
      for _ in 0..<2 { nest.attribute(1, bytes: [UInt8](repeating: 0, count: 40_000)) }
    }
    #expect(builder.isOversized)
  }

  @Test func everyTruncationOfAMessageIsReadWithoutATrap() {
    var builder = MessageBuilder()
    builder.message(type: 16, flags: .request) { message in
      message.append(bytes: [UInt8](repeating: 0, count: 16))
      message.nested(18) { $0.nested(2) { $0.attribute(1, string: "x") } }
    }
    func walk(_ attributes: Attributes) {
      for attribute in attributes {
        _ = (attribute.string, attribute.integer(as: UInt32.self))
        walk(attribute.nested)
      }
    }
    for count in 0...builder.bytes.count {
      _ = try? ReceivedMessage.parse(builder.bytes[..<count])
      for start in 0...count { walk(Attributes(builder.bytes[start..<count])) }
    }
  }
}
