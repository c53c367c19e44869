import Glibc
import NetworkAddresses
import Testing

/// What the C library makes of a text; `nil` if it is no address of the family.
private func libraryParse(_ text: String, _ family: AddressFamily) -> [UInt8]? {
  var bytes = [UInt8](repeating: 0, count: family.byteCount)
  return inet_pton(family == .ipv4 ? AF_INET : AF_INET6, text, &bytes) == 1 ? bytes : nil
}

/// How the C library prints an address.
private func libraryPrint(_ bytes: [UInt8]) -> String {
  var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
  inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
  return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}

@Suite struct IPAddressTests {
  @Test(arguments: [
    "0.0.0.0", "255.255.255.255", "10.0.0.1", "1.20.255.100", "::", "::1", "1::", "2001:db8::1",
    "::ffff:10.0.0.1",
    "1:2:3:4:5:6:7:8", "1:0:0:2::3", "2001:db8:0:1:1:1:1:1", "0:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:0", "fe80::1",
    "64:ff9b::a00:1", "2001:db8::1:0:0:1", "2001:0:0:1::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  ])
  func canonicalTextStaysTheSame(_ text: String) { #expect(IPAddress(text)?.description == text) }

  // RFC 5952, sections 1, 2, 4 and 5.
  @Test(arguments: [
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8::0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:0db8::1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8:0:0:1::1", "2001:db8::1:0:0:1"),
    ("2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"),
    ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
    ("2001:db8:0:0:0:0:0:0001", "2001:db8::1"), ("2001:db8::0:1", "2001:db8::1"),
    ("2001:db8:aaaa:bbbb:cccc:dddd::1", "2001:db8:aaaa:bbbb:cccc:dddd:0:1"),
    ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
    ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
    ("0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::ffff:c000:201", "::ffff:192.0.2.1"),
    ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("::1.2.3.4", "::102:304"),
  ])
  func printedCanonically(_ text: String, _ canonical: String) {
    #expect(IPAddress(text)?.description == canonical)
  }

  @Test(arguments: [
    ":", ":::", "1:::2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1%eth0", "1::2::3", ":1::2", "1:", "1::2:",
    "", " ",
    "12345::", "::1.2.3", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:1", "1:2:3:4::5:6:7:8", "[::1]", "::g",
    "1.2.3.4::",
    "01.2.3.4", "1.2.3.4.", ".1.2.3.4", "256.1.1.1", "1.2.3", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1..2.3",
    "+1.2.3.4",
    "-1.2.3.4", "0x1.2.3.4", "1.2.3.00", "1.2.3.4/24", "1.2.3.999999999999999999999", "١.2.3.4", "::\u{0}",
    "1.2.3.4\u{0}",
  ])
  func otherTextIsNoAddress(_ text: String) { #expect(IPAddress(text) == nil) }

  @Test func printsAndParsesAsTheLibraryDoes() {
    var generator = SystemRandomNumberGenerator()
    for round in 0..<20_000 {
      let address: IPAddress
      if round % 4 == 0 {
        address = .v4(IPv4Address(rawValue: generator.next()))
      } else {
        // Groups of zeros are what the text forms are about.
        let groups = (0..<8).map { _ in
          Bool.random() ? 0 : UInt16.random(in: 0...UInt16.max) >> UInt16.random(in: 0..<16)
        }
        address = .v6(IPv6Address(bytes: groups.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] })!)
      }
      #expect(IPAddress(bytes: address.bytes) == address)
      #expect(IPAddress(address.description) == address)
      #expect(libraryParse(address.description, address.family) == address.bytes)
      // The library still prints the deprecated "IPv4-compatible" addresses with dots.
      if address.numericValue >> 32 != 0 || address.family == .ipv4 {
        #expect(libraryPrint(address.bytes) == address.description)
      }
    }
  }

  @Test func refusesWhatTheLibraryRefuses() {
    let alphabet = Array("0123456789abcdefF::::....:ffff")
    for _ in 0..<50_000 {
      let text = String((0..<Int.random(in: 0...18)).map { _ in alphabet.randomElement()! })
      #expect(IPv4Address(text)?.bytes == libraryParse(text, .ipv4), "\(text)")
      #expect(IPv6Address(text)?.bytes == libraryParse(text, .ipv6), "\(text)")
      let either = libraryParse(text, .ipv4) ?? libraryParse(text, .ipv6)
      #expect(IPAddress(text)?.bytes == either, "\(text)")
    }
  }

  @Test func mutilatedAddressesAreJudgedAsTheLibraryDoes() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let high = UInt128(generator.next() as UInt64) << 64
      let address = IPv6Address(
        rawValue: (high | UInt128(generator.next() as UInt64)) >> UInt128.random(in: 0..<128))
      var characters = Array(address.description)
      let place = Int.random(in: 0..<characters.count)
      switch Int.random(in: 0..<3) {
      case 0: characters.remove(at: place)
      case 1: characters.insert(":", at: place)
      default: characters[place] = "."
      }
      let text = String(characters)
      #expect(IPv6Address(text)?.bytes == libraryParse(text, .ipv6), "\(text)")
    }
  }

  @Test func neighbours() {
    #expect(IPAddress("10.0.0.255")?.next?.description == "10.0.1.0")
    #expect(IPAddress("10.0.1.0")?.previous?.description == "10.0.0.255")
    #expect(IPAddress("255.255.255.255")?.next == nil)
    #expect(IPAddress("0.0.0.0")?.previous == nil)
    #expect(IPAddress("::")?.previous == nil)
    #expect(IPv6Address(rawValue: .max).next == nil)
    #expect(IPAddress("::ffff:ffff:ffff:ffff")?.next?.description == "0:0:0:1::")
    #expect(IPAddress("10.0.0.0")?.advanced(by: 256)?.description == "10.0.1.0")
    #expect(IPAddress("10.0.0.0")?.advanced(by: -1)?.description == "9.255.255.255")
    #expect(IPAddress("10.0.0.0")?.advanced(by: UInt64(1) << 40) == nil)
    #expect(IPAddress("::1")?.advanced(by: -2) == nil)
    #expect(IPAddress("fd00::")?.advanced(by: UInt128(1) << 64)?.description == "fd00:0:0:1::")
  }

  @Test func kinds() {
    #expect(
      IPAddress("127.8.9.1")!.isLoopback && !IPAddress("126.0.0.1")!.isLoopback
        && IPAddress("::1")!.isLoopback)
    #expect(
      IPAddress("224.0.0.1")!.isMulticast && IPAddress("ff02::1")!.isMulticast
        && !IPAddress("240.0.0.1")!.isMulticast)
    #expect(
      IPAddress("169.254.1.1")!.isLinkLocal && IPAddress("febf::1")!.isLinkLocal
        && !IPAddress("fec0::1")!.isLinkLocal)
    #expect(IPAddress("0.0.0.0")!.isUnspecified && IPAddress("::")!.isUnspecified)
    #expect(IPAddress("::ffff:10.1.2.3")?.unmapped == IPAddress("10.1.2.3"))
    #expect(IPAddress("::10.1.2.3")?.unmapped.family == .ipv6)
    #expect(IPv6Address(mapping: IPv4Address(10, 1, 2, 3)).description == "::ffff:10.1.2.3")
    #expect(IPAddress("10.0.0.2")! < IPAddress("10.0.0.10")! && IPAddress("255.0.0.0")! < IPAddress("::")!)
    #expect(IPAddress(bytes: [1, 2, 3]) == nil)
  }
}
