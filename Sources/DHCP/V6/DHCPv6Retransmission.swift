/// When to send a message again, and when to give up (RFC 8415, section 15).
struct DHCPv6Retransmission: Sendable, Hashable {
  /// IRT: about the time after which the message is sent a second time.
  var initial: Duration
  /// MRT: about the longest time between two; nil: without limit.
  var maximum: Duration?
  /// MRC: how often the message is sent; nil: without limit.
  var maximumCount: Int?
  /// MRD: how long it is tried at all; nil: without limit.
  var maximumDuration: Duration?

  /// The parameters of RFC 8415, section 7.6, for messages of a type.
  ///
  /// - Parameter limit: MRD, where it depends on the lease or on an order of the server.
  static func standard(_ kind: DHCPv6Message.Kind, limit: Duration? = nil) -> DHCPv6Retransmission {
    switch kind {
    case .request: Self(initial: .seconds(1), maximum: .seconds(30), maximumCount: 10)
    case .confirm: Self(initial: .seconds(1), maximum: .seconds(4), maximumDuration: .seconds(10))
    case .renew, .rebind: Self(initial: .seconds(10), maximum: .seconds(600), maximumDuration: limit)
    case .release, .decline: Self(initial: .seconds(1), maximumCount: 4)
    default: Self(initial: .seconds(1), maximum: .seconds(3600))
    }
  }

  /// RT: how long to wait after sending.
  ///
  /// - Parameters:
  ///   - previous: The RT before; nil after the first message.
  ///   - random: RAND, from -0.1 to 0.1.
  func timeout(after previous: Duration?, random: Double) -> Duration {
    guard let previous else { return initial + initial * random }
    let next = previous * 2 + previous * random
    guard let maximum, next > maximum else { return next }
    return maximum + maximum * random
  }
}

/// One message that is sent until it is answered or it is too late.
struct DHCPv6Exchange: Sendable, Hashable {
  var kind: DHCPv6Message.Kind
  var transactionID: UInt32
  /// Everything but the elapsed time, which is another one each time.
  var options: [DHCPv6Option]
  var retransmission: DHCPv6Retransmission
  /// When it is, or was, sent for the first time.
  var began: Duration
  /// How often it has been sent.
  var count = 0
  /// The RT that is running; nil before the first message.
  var timeout: Duration?
  /// When to send again.
  var next: Duration

  /// Whether it will not be sent again, at `now`.
  func isOver(at now: Duration) -> Bool {
    if let count = retransmission.maximumCount, self.count >= count, now >= next { return true }
    return end.map { now >= $0 } ?? false
  }

  /// When it is too late, whatever happens.
  var end: Duration? { retransmission.maximumDuration.map { began + $0 } }

  /// When something is to be done: send again, or give up.
  var deadline: Duration { end.map { min($0, next) } ?? next }

  /// The message as it is now; the next one is due later.
  mutating func message(at now: Duration, random: Double) -> DHCPv6Message {
    if count == 0 { began = now }
    count += 1
    let timeout = retransmission.timeout(after: timeout, random: random)
    self.timeout = timeout
    next = now + timeout
    return DHCPv6Message(
      kind, transactionID: transactionID, options: options + [.elapsedTime(hundredths(now - began))])
  }

  private func hundredths(_ time: Duration) -> UInt16 {
    UInt16(clamping: Int64(max(time, .zero) / .milliseconds(10)))
  }
}
