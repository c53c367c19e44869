import NetworkAddresses
import Testing

@Suite struct Smoke {
  @Test(arguments: [
    "::", "::1", "1::", "2001:db8::1", "::ffff:10.0.0.1", "1:2:3:4:5:6:7:8", "1:0:0:2::3",
    "2001:db8:0:1:1:1:1:1",
    "0:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:0", "fe80::1", "64:ff9b::a00:1",
  ])
  func same(_ text: String) { #expect(IPAddress(text)?.description == text) }

  @Test(arguments: [
    ":", ":::", "1:::2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1%eth0", "1::2::3", ":1::2", "1:", "",
    "12345::", "::1.2.3",
    "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:1", "1:2:3:4::5:6:7:8", "01.2.3.4", "1.2.3.4.", "256.1.1.1", "1.2.3",
    " 1.2.3.4",
  ])
  func bad(_ text: String) { #expect(IPAddress(text) == nil) }

  @Test func prefix() {
    let p = IPPrefix("10.1.2.3/24")!
    #expect(p.network.description == "10.1.2.0/24")
    #expect(p.last.description == "10.1.2.255")
    #expect(IPPrefix("::/0")!.last.description == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
    #expect(IPAddress("1:2:3:4:5:6:7::")?.description == "1:2:3:4:5:6:7:0")
    #expect(IPPrefix.length(ofMask: IPAddress("255.255.252.0")!) == 22)
    #expect(IPPrefix.length(ofMask: IPAddress("255.255.0.1")!) == nil)
    #expect(IPPrefix.length(ofMask: IPAddress("255.255.255.255")!) == 32)
    #expect(IPPrefix.length(ofMask: IPAddress("ffff::")!) == 16)
    #expect(MACAddress("AA-bb-cc-dd-ee-0f")?.description == "aa:bb:cc:dd:ee:0f")
    #expect(IPAddress("10.0.0.255")!.next!.description == "10.0.1.0")
  }
}
