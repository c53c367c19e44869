import NetworkAddresses
import Testing

@Suite struct IPPrefixTests {
  @Test func textKeepsHostBits() {
    let prefix = IPPrefix("10.1.2.3/24")!
    #expect(prefix.description == "10.1.2.3/24")
    #expect(prefix.network.description == "10.1.2.0/24")
    #expect(!prefix.isNetwork && prefix.network.isNetwork)
    #expect(prefix.first.description == "10.1.2.0" && prefix.last.description == "10.1.2.255")
    #expect(prefix.mask.description == "255.255.255.0")
    #expect(prefix.broadcast?.description == "10.1.2.255")
    #expect(IPPrefix("fd00::1/64")?.mask.description == "ffff:ffff:ffff:ffff::")
    #expect(IPPrefix("fd00::1/64")?.last.description == "fd00::ffff:ffff:ffff:ffff")
    #expect(IPPrefix("fd00::1/64")?.broadcast == nil)
    #expect(IPPrefix("10.0.0.0/31")?.broadcast == nil && IPPrefix("10.0.0.0/30")?.broadcast != nil)
  }

  @Test(arguments: [
    "10.0.0/8", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/+8",
    "10.0.0.0/8 ",
    "10.0.0.0/255.0.0.0", "::/129", "/8", "", "::/", "10.0.0.0//8", "10.0.0.0/8/8",
    "10.0.0.0/99999999999999999999",
  ])
  func otherTextIsNoPrefix(_ text: String) { #expect(IPPrefix(text) == nil) }

  @Test func edges() {
    #expect(
      IPPrefix("0.0.0.0/0")!.isDefault && IPPrefix("::/0")!.isDefault && !IPPrefix("0.0.0.0/1")!.isDefault)
    #expect(IPPrefix("::/0")?.last.description == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
    #expect(IPPrefix("0.0.0.0/0")?.last.description == "255.255.255.255")
    #expect(IPPrefix("10.0.0.1/32")?.first == IPPrefix("10.0.0.1/32")?.last)
    #expect(IPPrefix.host(IPAddress("fd00::1")!).description == "fd00::1/128")
    #expect(IPPrefix.everything(.ipv4).description == "0.0.0.0/0")
    #expect(IPPrefix(address: IPAddress("10.0.0.1")!, length: 33) == nil)
    #expect(IPPrefix(address: IPAddress("10.0.0.1")!, length: -1) == nil)
    #expect(IPPrefix("::ffff:10.0.0.1/120")?.unmapped.description == "10.0.0.1/24")
    #expect(IPPrefix("::ffff:10.0.0.1/90")?.unmapped.family == .ipv6)
  }

  @Test func containment() {
    let ten = IPPrefix("10.9.9.9/8")!
    #expect(ten.contains(IPAddress("10.255.0.1")!) && !ten.contains(IPAddress("11.0.0.0")!))
    #expect(!ten.contains(IPAddress("::ffff:10.0.0.1")!))
    #expect(ten.contains(IPPrefix("10.1.0.0/16")!) && !ten.contains(IPPrefix("10.0.0.0/7")!))
    #expect(ten.overlaps(IPPrefix("10.0.0.0/7")!) && IPPrefix("10.1.0.0/16")!.overlaps(ten))
    #expect(!ten.overlaps(IPPrefix("11.0.0.0/8")!) && !ten.overlaps(IPPrefix("::/0")!))
  }

  @Test func everyMaskHasItsLength() {
    for family in AddressFamily.allCases {
      for length in 0...family.bitWidth {
        let mask = IPAddress.mask(family, length: length)
        #expect(IPPrefix.length(ofMask: mask) == length)
        let prefix = IPPrefix(address: mask, length: length)!
        #expect(prefix.isNetwork)
        #expect(IPPrefix(prefix.description) == prefix)
        #expect(prefix.contains(prefix.last) && prefix.contains(prefix.first))
        #expect(prefix.last.next.map { !prefix.contains($0) } ?? true)
        #expect(prefix.first.previous.map { !prefix.contains($0) } ?? true)
      }
    }
    #expect(IPPrefix.length(ofMask: IPAddress("255.255.0.1")!) == nil)
    #expect(IPPrefix.length(ofMask: IPAddress("0.255.0.0")!) == nil)
    #expect(IPPrefix.length(ofMask: IPAddress("ffff:0:ffff::")!) == nil)
  }

  @Test func ranges() {
    func range(_ a: String, _ b: String) -> IPRange? { IPRange(IPAddress(a)!, IPAddress(b)!) }
    let some = range("10.0.0.10", "10.0.0.20")!
    #expect(some.count == 11 && some.description == "10.0.0.10-10.0.0.20")
    #expect(some.contains(IPAddress("10.0.0.10")!) && some.contains(IPAddress("10.0.0.20")!))
    #expect(!some.contains(IPAddress("10.0.0.9")!) && !some.contains(IPAddress("::a00:a")!))
    #expect(
      some.overlaps(range("10.0.0.20", "10.0.0.30")!) && !some.overlaps(range("10.0.0.21", "10.0.0.30")!))
    #expect(!some.overlaps(range("::", "ffff::")!))
    #expect(range("10.0.0.2", "10.0.0.1") == nil && range("10.0.0.1", "::1") == nil)
    #expect(IPPrefix("::/0")?.range.count == .max && IPPrefix("0.0.0.0/0")?.range.count == 1 << 32)
    #expect(IPPrefix("10.0.0.9/30")?.range == range("10.0.0.8", "10.0.0.11"))
  }
}
