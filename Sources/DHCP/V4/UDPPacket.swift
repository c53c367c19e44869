public import NetworkAddresses

/// An IPv4 packet with a UDP datagram in it, as a packet socket gives and takes it (RFC 791, RFC 768).
public struct UDPPacket: Hashable, Sendable {
  /// The sender's address.
  public var source: IPv4Address
  /// The receiver's address.
  public var destination: IPv4Address
  /// The sender's port.
  public var sourcePort: UInt16
  /// The receiver's port.
  public var destinationPort: UInt16
  /// What is in the datagram.
  public var payload: [UInt8]

  /// A packet.
  public init(
    source: IPv4Address, destination: IPv4Address, sourcePort: UInt16, destinationPort: UInt16,
    payload: [UInt8]
  ) {
    self.source = source
    self.destination = destination
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.payload = payload
  }

  /// Reads a packet; `nil` for what is not IPv4, not UDP, a fragment, cut off, or was damaged on its way.
  ///
  /// - Parameters:
  ///   - packet: What was received, from the IP header on.
  ///   - checksumIsComplete: false if the kernel says that the sender left the datagram's checksum to hardware which
  ///     the packet has not met (`TP_STATUS_CSUMNOTREADY`): then it is not looked at. A packet that never leaves the
  ///     machine is mostly like that.
  public init?(decoding packet: ArraySlice<UInt8>, checksumIsComplete: Bool = true) {
    var reader = ByteReader(packet)
    guard let first = reader.byte(), first >> 4 == 4, first & 0xf >= 5, reader.byte() != nil,
      let length: UInt16 = reader.number(), reader.number(UInt16.self) != nil,
      let fragment: UInt16 = reader.number(), fragment & 0x3fff == 0,  // more fragments, or an offset
      reader.byte() != nil, reader.byte() == 17, reader.number(UInt16.self) != nil,
      let source: UInt32 = reader.number(), let destination: UInt32 = reader.number()
    else { return nil }
    let headerSize = Int(first & 0xf) * 4
    // A frame may be padded: the packet says how long it is.
    guard Int(length) <= packet.count, Int(length) >= headerSize + 8,
      Self.checksum(packet.prefix(headerSize), 0) == 0
    else { return nil }
    let datagram = packet.prefix(Int(length)).dropFirst(headerSize)
    var udp = ByteReader(datagram)
    guard let sourcePort: UInt16 = udp.number(), let destinationPort: UInt16 = udp.number(),
      let size: UInt16 = udp.number(), size >= 8, Int(size) <= datagram.count,
      let checksum: UInt16 = udp.number(), let payload = udp.bytes(Int(size) - 8)
    else { return nil }
    self.init(
      source: IPv4Address(rawValue: source), destination: IPv4Address(rawValue: destination),
      sourcePort: sourcePort, destinationPort: destinationPort, payload: Array(payload))
    // Zero: the sender made none.
    if checksumIsComplete, checksum != 0,
      Self.checksum(datagram.prefix(Int(size)), pseudoHeader(size: size)) != 0
    {
      return nil
    }
  }

  /// The packet's bytes. The payload has to fit: 65,507 bytes at most, which no message of ours comes near.
  public func encode() -> [UInt8] {
    let size = UInt16(truncatingIfNeeded: payload.count + 8)
    // Priority of network control, may not be fragmented, 64 hops at most: what BOOTP relays expect, and no more.
    var packet: [UInt8] = [0x45, 0xc0]
    packet.reserveCapacity(28 + payload.count)
    packet.append(bigEndian: size &+ 20)
    packet += [0, 0, 0x40, 0, 64, 17, 0, 0]
    packet.append(bigEndian: source.rawValue)
    packet.append(bigEndian: destination.rawValue)
    let header = Self.checksum(packet[...], 0)
    packet[10] = UInt8(header >> 8)
    packet[11] = UInt8(header & 0xff)

    packet.append(bigEndian: sourcePort)
    packet.append(bigEndian: destinationPort)
    packet.append(bigEndian: size)
    packet += [0, 0]
    packet += payload
    let checksum = Self.checksum(packet[20...], pseudoHeader(size: size))
    // A sum of zero is sent as its other form: zero means that there is none.
    packet[26] = UInt8((checksum == 0 ? 0xffff : checksum) >> 8)
    packet[27] = UInt8((checksum == 0 ? 0xffff : checksum) & 0xff)
    return packet
  }

  private func pseudoHeader(size: UInt16) -> UInt32 {
    var sum: UInt32 = 17 + UInt32(size)
    for address in [source.rawValue, destination.rawValue] { sum += address >> 16 + address & 0xffff }
    return sum
  }

  /// The Internet checksum (RFC 1071); 0 over bytes that contain a right one.
  private static func checksum(_ bytes: ArraySlice<UInt8>, _ start: UInt32) -> UInt16 {
    var sum = start
    var index = bytes.startIndex
    while index + 1 < bytes.endIndex {
      sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
      index += 2
    }
    if index < bytes.endIndex { sum += UInt32(bytes[index]) << 8 }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(sum)
  }
}
