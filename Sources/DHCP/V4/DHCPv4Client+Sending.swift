import NetworkAddresses

extension DHCPv4Client {
  /// Gives the address back, and ends. One that was only asked for is given back as well: the server may have granted it,
  /// and its word be on the way.
  public mutating func release(at now: Duration) -> [Action] {
    defer { stop() }
    let held = (lease ?? candidate).map { (address: $0.address, server: $0.server) }
    guard let held = held ?? (state == .requesting ? offer : nil), !held.server.isUnspecified else {
      return []
    }
    transactionID = random.next()
    var message = message(.release, at: now)
    message.clientAddress = held.address
    message.options.set(.serverIdentifier, to: held.server.rawValue)
    return [.send(message, to: .unicast(server: held.server, from: held.address))]
  }

  /// The message of the state, and when it is due again.
  mutating func transmit(at now: Duration) -> Action {
    attempts += 1
    sentAt = now
    nextDeadline = min(
      now + pauseAfterAttempt(at: now), state == .selecting ? .seconds(Int64.max / 2) : phaseEnds)
    var message = message(state == .selecting ? .discover : .request, at: now)
    var destination = Destination.broadcast
    switch state {
    case .selecting, .rebooting:
      if let pinned { message.options.set(.requestedAddress, to: pinned.rawValue) }
    case .requesting:
      if let offer {
        message.options.set(.requestedAddress, to: offer.address.rawValue)
        message.options.set(.serverIdentifier, to: offer.server.rawValue)
      }
    case .renewing:
      if let lease { destination = .unicast(server: lease.server, from: lease.address) }
      message.wantsBroadcast = false
    default: break
    }
    if state == .renewing || state == .rebinding, let lease { message.clientAddress = lease.address }
    transcript.note(.sent(message.kind!))
    return .send(message, to: destination)
  }

  /// RFC 2131, section 4.1, wants pauses that double, up to 64 seconds; ours begin shorter, because the first message
  /// often comes before the link's other end passes anything on, and a container waits. Renewals have time: after a
  /// few attempts they wait for half of what is left, but at least a minute (section 4.4.5).
  private mutating func pauseAfterAttempt(at now: Duration) -> Duration {
    if state == .renewing || state == .rebinding, attempts > 5 {
      return max((phaseEnds - now) / 2, .seconds(60))
    }
    if attempts == 1 && state != .renewing { return jittered(.milliseconds(250)) }
    let exponent = state == .renewing ? attempts - 1 : attempts - 2
    return jittered(min(.seconds(1) * (1 << min(max(exponent, 0), 16)), settings.longestPause))
  }

  mutating func jittered(_ pause: Duration) -> Duration { pause * (0.8 + 0.4 * random.fraction()) }

  func message(_ kind: DHCPv4Message.Kind, at now: Duration) -> DHCPv4Message {
    var message = DHCPv4Message(
      kind, transactionID: transactionID, hardwareAddress: settings.hardwareAddress)
    if kind == .discover || kind == .request {
      message.wantsBroadcast = settings.wantsBroadcast
      message.seconds = UInt16(clamping: (now - began).components.seconds)
      message.options.set(.maximumMessageSize, to: UInt16(1500))
      if !settings.requested.isEmpty {
        message.options[.parameterRequestList] = settings.requested.map(\.rawValue)
      }
      for option in settings.options.all { message.options[option.code] = option.value }
    }
    // In every message, the last one included: by another name the server would not know the client (RFC 6842).
    if !settings.clientIdentifier.isEmpty {
      message.options[.clientIdentifier] = settings.clientIdentifier
    }
    return message
  }
}
