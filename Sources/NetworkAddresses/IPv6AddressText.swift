extension IPv6Address: LosslessStringConvertible {
  /// An address from one of the text forms of RFC 4291, section 2.2: eight groups of one to four hexadecimal
  /// digits, `::` once for one or more groups of zeros, the last two groups possibly as an IPv4 address. A zone
  /// (`%eth0`), brackets and white space are not part of an address.
  public init?(_ text: String) {
    var text = text
    guard let address = text.withUTF8({ IPv6Address(utf8: $0) }) else { return nil }
    self = address
  }

  init?(utf8 bytes: UnsafeBufferPointer<UInt8>) {
    var scanner = AddressScanner(bytes)
    guard let address = IPv6Address(from: &scanner), scanner.isAtEnd else { return nil }
    self = address
  }

  /// Reads as far as the text is an address; what follows is the caller's business.
  init?(from scanner: inout AddressScanner) {
    let colon = UInt8(ascii: ":")
    var groups = 0  // read so far
    var gap: Int?  // the number of groups before "::"
    var value: UInt128 = 0

    if scanner.skip(colon) {
      guard scanner.skip(colon) else { return nil }
      gap = 0
    }
    while groups < 8 {
      let start = scanner.position
      guard let group = scanner.readHexadecimal(digits: 4) else {
        // Nothing may follow "::", but something has to follow ":".
        guard gap == groups else { return nil }
        break
      }
      if !scanner.isAtEnd, scanner.bytes[scanner.position] == UInt8(ascii: ".") {
        scanner.position = start
        guard groups <= 6, let address = IPv4Address(from: &scanner) else { return nil }
        value = value << 32 | UInt128(address.rawValue)
        groups += 2
        break
      }
      value = value << 16 | UInt128(group)
      groups += 1
      if groups == 8 { break }
      guard scanner.skip(colon) else { break }
      if scanner.skip(colon) {
        guard gap == nil else { return nil }
        gap = groups
      }
    }
    if let gap {
      guard groups < 8 else { return nil }
      let after = UInt128(16 * (groups - gap))
      // Shifts by the whole width give zero, as they should: nothing is before, or nothing after the gap.
      let low = value & ((1 << after) - 1)
      let high = (value >> after) << UInt128(16 * (8 - gap))
      value = high | low
    } else {
      guard groups == 8 else { return nil }
    }
    rawValue = value
  }

  /// The canonical form of RFC 5952: lower case, no leading zeros, `::` for the longest run (the first of equals)
  /// of at least two groups of zeros, and dots for the last 32 bits of an IPv4-mapped address.
  public var description: String {
    String(unsafeUninitializedCapacity: longestAddressText) {
      var writer = AddressWriter($0)
      write(to: &writer)
      return writer.count
    }
  }

  func write(to writer: inout AddressWriter) {
    let colon = UInt8(ascii: ":")
    if let mapped {
      writer.write(colon)
      writer.write(colon)
      for _ in 0..<4 { writer.write(UInt8(ascii: "f")) }
      writer.write(colon)
      mapped.write(to: &writer)
      return
    }
    let run = longestRunOfZeros
    var index = 0
    while index < 8 {
      if index == run.lowerBound && !run.isEmpty {
        writer.write(colon)
        writer.write(colon)
        index = run.upperBound
        continue
      }
      if index > 0 && index != run.upperBound { writer.write(colon) }
      writer.writeHexadecimal(group(index))
      index += 1
    }
  }

  /// The groups that `::` stands for; empty if there are no two zeros in a row.
  private var longestRunOfZeros: Range<Int> {
    var longest = 0..<0
    var index = 0
    while index < 8 {
      guard group(index) == 0 else {
        index += 1
        continue
      }
      let start = index
      while index < 8, group(index) == 0 { index += 1 }
      if index - start > max(longest.count, 1) { longest = start..<index }
    }
    return longest
  }
}
