import Glibc
import SystemPackage

extension NetlinkSocket {
  /// Sends `bytes` in one datagram and gathers what the kernel says to it: the primitive below everything that
  /// is not a dump.
  ///
  /// The messages in `bytes` carry the consecutive numbers from `first` on (see `reserveSequences`), and
  /// `awaiting` says for each of them when it is over. The kernel works through all of them, also after one has
  /// failed (an nfnetlink batch then takes effect as a whole or not at all). A failure of a message that was to
  /// be silent is taken as the fate of the whole datagram: what the kernel has said by then is read, and no
  /// more is waited for.
  ///
  /// An answer that the kernel had no room for counts as a failure of its message with `ENOBUFS`: whether it
  /// took effect is unknown then. It takes a great many messages, as room is made for the usual sizes
  /// beforehand.
  ///
  /// - Throws: only what goes wrong on our side of the socket; what the kernel refuses is in the result.
  public mutating func exchange(
    _ bytes: [UInt8], first: UInt32, awaiting: [NetlinkCompletion],
    operation: @autoclosure () -> NetlinkOperation
  ) throws(NetlinkError) -> NetlinkExchange {
    var result = NetlinkExchange()
    var pending = awaiting
    var waiting = 0
    var room = 0
    for completion in awaiting {
      switch completion {
      case .acknowledgement: (waiting, room) = (waiting + 1, room + 1024)
      case .answer: (waiting, room) = (waiting + 1, room + 8192)
      case .silence: room += 64
      }
    }
    reserveReceiveCapacity(room)
    try send(bytes, operation)

    var isComplete = true  // as far as we know, everything awaited will come
    while waiting > 0 {
      let count: Int
      var needed = 0
      switch try receive(wait: isComplete, operation) {
      case .nothing:
        Self.giveUp(pending, first: first, lost: !isComplete, &result)
        return result
      case .overrun:
        isComplete = false
        growReceiveCapacity()
        continue
      case .datagram(let received): count = received
      case .truncated(let length):
        // What follows the cut is lost. Whoever asks again will find a buffer that is large enough.
        (count, needed, isComplete) = (buffer.count, length, false)
      }
      defer { growBuffer(needed) }
      var datagram: [UInt8]?
      var offset = 0
      while offset < count, waiting > 0 {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        guard let header = try? MessageHeader(bytes, at: offset) else { break }
        defer { offset += header.step }
        let index = Int(header.sequence &- first)
        guard index < pending.count else { continue }
        let body = (offset + MessageHeader.size)..<(offset + header.length)
        switch header.type {
        case NetlinkControlType.noOperation: continue
        case NetlinkControlType.error, NetlinkControlType.done:
          let payload = UnsafeRawBufferPointer(rebasing: bytes[body])
          if NetlinkFailure.number(in: payload) != 0 {
            result.failures.append(
              NetlinkFailure(
                type: header.type, flags: header.flags, sequence: header.sequence, payload: payload))
            if pending[index] == .silence { isComplete = false }
          }
        case NetlinkControlType.overrun:
          isComplete = false
          continue
        default:
          if datagram == nil { datagram = Array(bytes) }
          result.answers.append(ReceivedMessage(header: header, payload: datagram![body]))
          if pending[index] == .acknowledgement || header.flags.contains(.multipart) { continue }
        }
        if pending[index] != .silence {
          pending[index] = .silence
          waiting -= 1
        }
      }
    }
    return result
  }

  /// Sends all requests in ONE datagram, waits until each is over, and returns for each what it was answered with
  /// (nothing but the acknowledgement: no messages).
  ///
  /// The kernel carries out all of them in order, also those behind one that fails.
  ///
  /// - Throws: the first failure, with the index of its request, after all answers are in.
  public mutating func perform(_ requests: [NetlinkRequest]) throws(NetlinkError) -> [[ReceivedMessage]] {
    guard !requests.isEmpty else { return [] }
    let first = reserveSequences(requests.count)
    var builder = MessageBuilder(capacity: requests.reduce(0) { $0 + $1.body.count + 20 })
    var awaiting: [NetlinkCompletion] = []
    awaiting.reserveCapacity(requests.count)
    for request in requests {
      let flags = request.flags.union(.request)
      builder.message(type: request.type, flags: flags, sequence: first + UInt32(awaiting.count)) {
        $0.append(bytes: request.body)
      }
      awaiting.append(flags.contains(.acknowledge) ? .acknowledgement : .answer)
    }
    let answers = try perform(builder, first: first, awaiting: awaiting) { requests[$0].operation }
    var replies = [[ReceivedMessage]](repeating: [], count: requests.count)
    for answer in answers { replies[Int(answer.sequence - first)].append(answer) }
    return replies
  }

  /// Sends one request; see `perform(_:)` for several.
  public mutating func perform(_ request: NetlinkRequest) throws(NetlinkError) -> [ReceivedMessage] {
    try perform([request])[0]
  }

  /// Exchanges built messages, and throws the first failure as an error of the operation with that index.
  mutating func perform(
    _ builder: borrowing MessageBuilder, first: UInt32, awaiting: [NetlinkCompletion],
    operation: (Int) -> NetlinkOperation
  ) throws(NetlinkError) -> [ReceivedMessage] {
    let result = try exchange(builder, first: first, awaiting: awaiting, operation: operation)
    // The kernel answers in order; what we found missing comes behind.
    guard let failure = result.failures.min(by: { $0.sequence < $1.sequence }) else { return result.answers }
    let index = Int(failure.sequence - first)
    throw error(
      failure, in: builder, operation: operation(index), index: awaiting.count > 1 ? index : nil)
  }

  /// Exchanges built messages, of which none is larger than it can say.
  mutating func exchange(
    _ builder: borrowing MessageBuilder, first: UInt32, awaiting: [NetlinkCompletion],
    operation: (Int) -> NetlinkOperation
  ) throws(NetlinkError) -> NetlinkExchange {
    guard !builder.isOversized else {
      throw NetlinkError(
        errno: Errno(rawValue: EMSGSIZE), message: "an attribute is larger than 65,535 bytes",
        operation: operation(0).description)
    }
    return try exchange(builder.bytes, first: first, awaiting: awaiting, operation: operation(0))
  }

  /// A failure as an error of the message that it is about.
  func error(
    _ failure: NetlinkFailure, in builder: borrowing MessageBuilder, operation: NetlinkOperation, index: Int?
  ) -> NetlinkError {
    failure.error(
      operation: operation.description, request: Self.message(failure.sequence, in: builder.bytes),
      index: index)
  }

  /// Finds a message that was sent by its number.
  private static func message(_ sequence: UInt32, in bytes: [UInt8]) -> ArraySlice<UInt8>? {
    bytes.withUnsafeBytes { raw in
      var offset = 0
      while let header = try? MessageHeader(raw, at: offset) {
        if header.sequence == sequence { return bytes[offset..<(offset + header.length)] }
        offset += header.step
      }
      return nil
    }
  }

  /// Everything still awaited has failed: nothing more will come.
  private static func giveUp(
    _ pending: [NetlinkCompletion], first: UInt32, lost: Bool, _ result: inout NetlinkExchange
  ) {
    // A datagram that was refused as a whole has said so; its members are not lost.
    guard result.failures.isEmpty else { return }
    let (errno, message) = silence(lost: lost)
    for (index, completion) in pending.enumerated() where completion != .silence {
      result.failures.append(NetlinkFailure(sequence: first &+ UInt32(index), errno: errno, message: message))
    }
  }

  /// What is said of an answer that is not there: it was too large, or never came.
  static func silence(lost: Bool) -> (errno: Errno, message: String) {
    lost
      ? (Errno(rawValue: ENOBUFS), "the kernel's answer did not fit the receive buffer")
      : (Errno(rawValue: ETIMEDOUT), "the kernel did not answer")
  }

  /// The error of a request without an answer.
  static func unanswered(_ request: NetlinkRequest, lost: Bool) -> NetlinkError {
    let (errno, message) = silence(lost: lost)
    return NetlinkError(errno: errno, message: message, operation: request.operation.description)
  }
}
