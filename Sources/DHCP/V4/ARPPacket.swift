public import NetworkAddresses

/// An ARP packet for IPv4 over Ethernet (RFC 826), for asking whether somebody has an address (RFC 5227).
public struct ARPPacket: Hashable, Sendable {
  /// Whether it answers (operation 2) or asks (1).
  public var isReply: Bool
  /// The sender's hardware address.
  public var senderHardware: MACAddress
  /// The sender's address; `0.0.0.0` in a probe.
  public var sender: IPv4Address
  /// The address that is asked for, or the one who asked.
  public var target: IPv4Address

  /// The question who has an address, asked without saying that one has it oneself (RFC 5227, section 1.1).
  public static func probe(for address: IPv4Address, from hardware: MACAddress) -> ARPPacket {
    ARPPacket(isReply: false, senderHardware: hardware, sender: .any, target: address)
  }

  init(isReply: Bool, senderHardware: MACAddress, sender: IPv4Address, target: IPv4Address) {
    self.isReply = isReply
    self.senderHardware = senderHardware
    self.sender = sender
    self.target = target
  }

  /// Reads a packet, without its Ethernet header; `nil` for what is none, or one of other kinds of network.
  public init?(decoding packet: ArraySlice<UInt8>) {
    var reader = ByteReader(packet)
    guard let head: UInt64 = reader.number(), head == 0x0001_0800_0604_0001 || head == 0x0001_0800_0604_0002,
      let hardware = reader.bytes(6), let sender: UInt32 = reader.number(), reader.bytes(6) != nil,
      let target: UInt32 = reader.number()
    else { return nil }
    self.init(
      isReply: head & 2 != 0, senderHardware: MACAddress(bytes: hardware)!,
      sender: IPv4Address(rawValue: sender), target: IPv4Address(rawValue: target))
  }

  /// The packet's 28 bytes.
  public func encode() -> [UInt8] {
    var bytes: [UInt8] = [0, 1, 8, 0, 6, 4, 0, isReply ? 2 : 1]
    bytes += senderHardware.bytes
    bytes.append(bigEndian: sender.rawValue)
    bytes += [0, 0, 0, 0, 0, 0]
    bytes.append(bigEndian: target.rawValue)
    return bytes
  }

  /// Whether the packet shows that somebody else than `hardware` has the address, or is about to take it (RFC 5227,
  /// section 2.1.1).
  public func contests(_ address: IPv4Address, of hardware: MACAddress) -> Bool {
    senderHardware != hardware && (sender == address || !isReply && sender.isUnspecified && target == address)
  }
}
