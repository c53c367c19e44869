import NetworkAddresses
import Testing

@Suite struct MACAddressTests {
  @Test(arguments: ["02:42:ac:11:00:0f", "02-42-AC-11-00-0F", "0242.ac11.000f", "02:42:AC:11:00:0F"])
  func textForms(_ text: String) {
    let address = MACAddress(text)
    #expect(address?.description == "02:42:ac:11:00:0f")
    #expect(address?.bytes == [0x02, 0x42, 0xac, 0x11, 0x00, 0x0f])
  }

  @Test(arguments: [
    "", "02:42:ac:11:00", "02:42:ac:11:00:0", "2:42:ac:11:0:f", "02:42-ac:11:00:0f", "02:42:ac:11:00:0g",
    "0242ac11000f",
    "02:42:ac:11:00:0f:01", "0242:ac11:000f", "02.42.ac.11.00.0f", "02:42:ac:11:00:0f ", ":2:42:ac:11:00:0f",
    "0242.ac11-000f",
    "00:00:00:00:00:00:00:00",
  ])
  func otherTextIsNoAddress(_ text: String) { #expect(MACAddress(text) == nil) }

  @Test func randomAddressesAreLocalUnicast() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<1000 {
      let address = MACAddress.random(using: &generator)
      #expect(address.isLocallyAdministered && !address.isMulticast && !address.isZero)
      #expect(MACAddress(address.description) == address && MACAddress(bytes: address.bytes) == address)
    }
  }

  @Test func kinds() {
    #expect(MACAddress.broadcast.isMulticast && MACAddress.broadcast.description == "ff:ff:ff:ff:ff:ff")
    #expect(MACAddress(bytes: [1, 0, 0x5e, 0, 0, 1])!.isMulticast)
    #expect(MACAddress(rawValue: 0).isZero && MACAddress(bytes: [1, 2, 3]) == nil)
    #expect(MACAddress("00:00:00:00:00:ff")! < MACAddress("00:00:00:00:01:00")!)
  }
}
