/// Why bytes are not netlink messages.
public enum NetlinkCodecError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Fewer than 16 bytes are left at `offset` for a header.
  case truncatedHeader(offset: Int)
  /// The message at `offset` says it has `length` bytes, and there are `available`, or it is shorter than its header.
  case invalidLength(offset: Int, length: Int, available: Int)

  /// What is wrong, and at which byte.
  public var description: String {
    switch self {
    case .truncatedHeader(let offset): "netlink message header cut off at byte \(offset)"
    case .invalidLength(let offset, let length, let available):
      "netlink message at byte \(offset) claims \(length) bytes of \(available)"
    }
  }
}

/// One message as it came from the kernel: header fields, and the payload behind them.
public struct ReceivedMessage: Sendable {
  /// `nlmsg_type`: of the family, or one of `NetlinkControlType`.
  public let type: UInt16
  /// `nlmsg_flags`.
  public let flags: NetlinkMessageFlags
  /// `nlmsg_seq`: of the request that this answers, 0 for a notification.
  public let sequence: UInt32
  /// `nlmsg_pid`: the port of the socket that asked.
  public let portID: UInt32
  /// What follows the header, without padding. Shares memory with the other messages of its datagram.
  public let payload: ArraySlice<UInt8>

  init(header: MessageHeader, payload: ArraySlice<UInt8>) {
    type = header.type
    flags = header.flags
    sequence = header.sequence
    portID = header.portID
    self.payload = payload
  }

  /// The attributes behind the family's fixed header of `size` bytes; none if the payload is shorter.
  public func attributes(after size: Int) -> Attributes {
    Attributes(payload.dropFirst((size + 3) & ~3))
  }

  /// Splits a datagram into its messages. Never traps, whatever the bytes.
  public static func parse(_ datagram: ArraySlice<UInt8>) throws(NetlinkCodecError) -> [ReceivedMessage] {
    var messages: [ReceivedMessage] = []
    var offset = 0
    while offset < datagram.count {
      let header = try datagram.withUnsafeBufferPointer { bytes throws(NetlinkCodecError) in
        try MessageHeader(UnsafeRawBufferPointer(bytes), at: offset)
      }
      let start = datagram.startIndex + offset
      messages.append(
        ReceivedMessage(
          header: header, payload: datagram[(start + MessageHeader.size)..<(start + header.length)]))
      offset += header.step
    }
    return messages
  }

  /// Splits a datagram into its messages.
  public static func parse(_ datagram: [UInt8]) throws(NetlinkCodecError) -> [ReceivedMessage] {
    try parse(datagram[...])
  }
}

/// `struct nlmsghdr`.
struct MessageHeader {
  static let size = 16

  let length: Int
  let type: UInt16
  let flags: NetlinkMessageFlags
  let sequence: UInt32
  let portID: UInt32

  /// From the start of this message to the start of the next.
  var step: Int { (length + 3) & ~3 }

  /// Reads the header at `offset`, and checks that the message lies within `bytes`.
  init(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(NetlinkCodecError) {
    guard bytes.count - offset >= Self.size else { throw .truncatedHeader(offset: offset) }
    length = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    guard length >= Self.size, length <= bytes.count - offset else {
      throw .invalidLength(offset: offset, length: length, available: bytes.count - offset)
    }
    type = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self)
    flags = .init(rawValue: bytes.loadUnaligned(fromByteOffset: offset + 6, as: UInt16.self))
    sequence = bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self)
    portID = bytes.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self)
  }
}
