import Testing

@testable import DHCP

@Suite struct ByteReaderTests {
  @Test func readsNumbersInNetworkOrder() {
    var reader = ByteReader([1, 2, 3, 4, 5, 6, 7])
    #expect(reader.number(UInt16.self) == 0x0102)
    #expect(reader.number(UInt32.self) == 0x0304_0506)
    #expect(reader.byte() == 7)
    #expect(reader.isAtEnd)
    #expect(reader.byte() == nil)
  }

  @Test func whatIsTooShortIsNotRead() {
    var reader = ByteReader([1, 2, 3][1...])
    #expect(reader.number(UInt32.self) == nil)
    #expect(reader.bytes(3) == nil)
    #expect(reader.bytes(-1) == nil)
    #expect(reader.bytes(2) == [2, 3])
  }

  @Test func writesWhatItReads() {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: UInt32(0xdead_beef))
    bytes.append(bigEndian: UInt16(0x1234))
    #expect(bytes == [0xde, 0xad, 0xbe, 0xef, 0x12, 0x34])
  }
}
