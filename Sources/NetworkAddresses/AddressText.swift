// Text forms are read from and written to plain bytes: addresses are parsed and printed on the start-up path of
// every plugin, where splitting strings would cost more than everything else that is done with the address.

/// Reads a text from its first byte on; every `read` function leaves the position alone if it fails.
struct AddressScanner {
  let bytes: UnsafeBufferPointer<UInt8>
  var position: Int
  let end: Int

  init(_ bytes: UnsafeBufferPointer<UInt8>) {
    self.bytes = bytes
    position = 0
    end = bytes.count
  }

  var isAtEnd: Bool { position == end }

  mutating func skip(_ byte: UInt8) -> Bool {
    guard position < end, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  /// A decimal number without sign or leading zeros, at most `limit`.
  mutating func readDecimal(upTo limit: UInt32) -> UInt32? {
    var value: UInt32 = 0
    var index = position
    while index < end {
      let digit = bytes[index] &- UInt8(ascii: "0")
      guard digit <= 9 else { break }
      if index > position && value == 0 { return nil }
      value = value * 10 + UInt32(digit)
      guard value <= limit else { return nil }
      index += 1
    }
    guard index > position else { return nil }
    position = index
    return value
  }

  /// One to `maximum` (at most four) hexadecimal digits.
  mutating func readHexadecimal(digits maximum: Int) -> UInt16? {
    var value: UInt16 = 0
    var index = position
    while index < end, index - position < maximum, let digit = hexadecimalDigit(bytes[index]) {
      value = value << 4 | UInt16(digit)
      index += 1
    }
    guard index > position else { return nil }
    position = index
    return value
  }
}

/// The value of a hexadecimal digit in either case.
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}

/// Writes text into a buffer that its user made large enough.
struct AddressWriter {
  let buffer: UnsafeMutableBufferPointer<UInt8>
  var count = 0

  init(_ buffer: UnsafeMutableBufferPointer<UInt8>) { self.buffer = buffer }

  mutating func write(_ byte: UInt8) {
    buffer[count] = byte
    count += 1
  }

  mutating func writeDecimal(_ value: UInt8) {
    if value >= 100 { write(UInt8(ascii: "0") + value / 100) }
    if value >= 10 { write(UInt8(ascii: "0") + value / 10 % 10) }
    write(UInt8(ascii: "0") + value % 10)
  }

  mutating func writeHexadecimalDigit(_ value: UInt8) {
    write(value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10)
  }

  /// One to four digits, without leading zeros.
  mutating func writeHexadecimal(_ value: UInt16) {
    if value >= 0x1000 { writeHexadecimalDigit(UInt8(value >> 12)) }
    if value >= 0x100 { writeHexadecimalDigit(UInt8(value >> 8 & 0xf)) }
    if value >= 0x10 { writeHexadecimalDigit(UInt8(value >> 4 & 0xf)) }
    writeHexadecimalDigit(UInt8(value & 0xf))
  }
}

/// The longest text of an address with prefix length: eight groups of four digits, seven colons, `/128`.
let longestAddressText = 43
