import Glibc
import SystemPackage

extension NetlinkSocket {
  /// How often a dump is repeated that the kernel marks as interrupted or overrun.
  private static var dumpAttempts: Int { 40 }

  /// Reads a table (`NLM_F_DUMP` is added to the flags): all messages of the answer, whole and consistent.
  ///
  /// A dump of more than one datagram in which the table changes between two of them is marked by the kernel
  /// (`NLM_F_DUMP_INTR`) and may lack or repeat entries: it is thrown away and asked for again, as is one that
  /// did not fit a buffer, with a larger buffer.
  ///
  /// - Throws: what the kernel said; `EINTR` if the table changed during each of 40 attempts.
  public mutating func dump(_ request: NetlinkRequest) throws(NetlinkError) -> [ReceivedMessage] {
    var builder = MessageBuilder(capacity: 64 + request.body.count)
    for attempt in 1...Self.dumpAttempts {
      let sequence = reserveSequences(1)
      builder.removeAll()
      builder.message(type: request.type, flags: request.flags.union([.request, .dump]), sequence: sequence) {
        $0.append(bytes: request.body)
      }
      try send(builder.bytes, { request.operation })
      if let messages = try gatherDump(sequence, request) { return messages }
      repeatedDumps += 1
      // Whoever changes the table may need a moment to be done with it.
      if attempt > 4 { usleep(UInt32(attempt) * 100) }
    }
    throw NetlinkError(
      errno: Errno(rawValue: EINTR),
      message: "the table changed during each of \(Self.dumpAttempts) attempts",
      operation: request.operation.description)
  }

  /// Reads the beginning of a table: the messages of the answer's first datagram, however long the table is, and
  /// whether that is the whole of it.
  ///
  /// What remains unread would be taken for the answer to the next request; so the socket ends with this.
  ///
  /// - Throws: what the kernel said.
  public consuming func beginningOfDump(
    _ request: NetlinkRequest
  ) throws(NetlinkError) -> (messages: [ReceivedMessage], isWhole: Bool) {
    let sequence = reserveSequences(1)
    var builder = MessageBuilder(capacity: 64 + request.body.count)
    builder.message(type: request.type, flags: request.flags.union([.request, .dump]), sequence: sequence) {
      $0.append(bytes: request.body)
    }
    try send(builder.bytes, { request.operation })
    let count: Int
    switch try receive(wait: true, { request.operation }) {
    case .datagram(let received): count = received
    case .nothing: throw Self.unanswered(request, lost: false)
    case .overrun, .truncated: throw Self.unanswered(request, lost: true)
    }
    let bytes = Array(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    let messages = (try? ReceivedMessage.parse(bytes)) ?? []
    for message in messages where message.type == NetlinkControlType.error {
      let failure = message.payload.withUnsafeBytes {
        NetlinkFailure(type: message.type, flags: message.flags, sequence: sequence, payload: $0)
      }
      throw failure.error(operation: request.operation.description)
    }
    let isWhole = messages.contains { $0.type == NetlinkControlType.done }
    return (messages.filter { $0.type > NetlinkControlType.overrun }, isWhole)
  }

  /// The messages up to `NLMSG_DONE`; nil if they are not to be relied on.
  private mutating func gatherDump(
    _ sequence: UInt32, _ request: NetlinkRequest
  ) throws(NetlinkError) -> [ReceivedMessage]? {
    var messages: [ReceivedMessage] = []
    var isSound = true
    while true {
      let count: Int
      var needed = 0
      switch try receive(wait: isSound, { request.operation }) {
      case .nothing:
        guard isSound else { return nil }
        throw Self.unanswered(request, lost: false)
      case .overrun:
        growReceiveCapacity()
        isSound = false
        continue
      case .datagram(let received): count = received
      case .truncated(let length): (count, needed, isSound) = (buffer.count, length, false)
      }
      defer { growBuffer(needed) }

      let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      var datagram: [UInt8]?
      var offset = 0
      while offset < count, let header = try? MessageHeader(bytes, at: offset) {
        defer { offset += header.step }
        guard header.sequence == sequence else { continue }
        if header.flags.contains(.dumpInterrupted) { isSound = false }
        let body = (offset + MessageHeader.size)..<(offset + header.length)
        switch header.type {
        case NetlinkControlType.noOperation: continue
        case NetlinkControlType.overrun: isSound = false
        case NetlinkControlType.error, NetlinkControlType.done:
          let payload = UnsafeRawBufferPointer(rebasing: bytes[body])
          switch NetlinkFailure.number(in: payload) {
          case 0: return isSound ? messages : nil
          case EINTR, ENOBUFS, EAGAIN: return nil
          default:
            let failure = NetlinkFailure(
              type: header.type, flags: header.flags, sequence: sequence, payload: payload)
            throw failure.error(operation: request.operation.description)
          }
        default:
          guard isSound else { continue }
          if datagram == nil { datagram = Array(bytes) }
          messages.append(ReceivedMessage(header: header, payload: datagram![body]))
          // A request that is answered with one message after all.
          if !header.flags.contains(.multipart) { return messages }
        }
      }
    }
  }
}
