import NetworkAddresses

extension AddressAnnouncement {
  /// 33:33 and the last four bytes of ff02::1 (RFC 2464, section 7).
  static let allNodes = MACAddress(rawValue: 0x3333_0000_0001)

  /// What follows the Ethernet header (RFC 826). Sender and target are the same address; the target's MAC
  /// address says nothing in a request and is zero.
  static func arpAnnouncement(_ mac: MACAddress, _ address: IPv4Address) -> [UInt8] {
    var frame: [UInt8] = [
      0, 1,  // Ethernet
      0x08, 0x00,  // IPv4
      6, 4,  // lengths of the two addresses
      0, 1,  // request
    ]
    frame.reserveCapacity(28)
    frame += mac.bytes
    frame += address.bytes
    frame += [0, 0, 0, 0, 0, 0]
    frame += address.bytes
    return frame
  }

  /// What follows the Ethernet header: IPv6 header, ICMPv6 message (RFC 4861, section 4.4), target link-layer
  /// address option (section 4.6.1).
  static func neighbourAdvertisement(_ mac: MACAddress, _ address: IPv6Address, isRouter: Bool) -> [UInt8] {
    let length: UInt8 = 32
    var frame: [UInt8] = [
      0x60, 0, 0, 0,  // version 6
      0, length, 58,  // ICMPv6
      255,  // receivers drop it with any other hop limit: nobody beyond the link can have sent it
    ]
    frame.reserveCapacity(72)
    frame += address.bytes
    frame += IPv6Address.allNodes.bytes
    frame += [136, 0, 0, 0]  // type, code, checksum (below)
    frame += [isRouter ? 0xa0 : 0x20, 0, 0, 0]  // override; nobody solicited it
    frame += address.bytes
    frame += [2, 1]  // target link-layer address, in units of 8 bytes
    frame += mac.bytes

    // The pseudo-header (RFC 8200, section 8.1) adds length and next header to both addresses and the message.
    var sum = UInt32(length) + 58
    for index in stride(from: 8, to: frame.count, by: 2) {
      sum += UInt32(frame[index]) << 8 | UInt32(frame[index + 1])
    }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    frame[42] = UInt8(~sum >> 8 & 0xff)
    frame[43] = UInt8(~sum & 0xff)
    return frame
  }
}
