public import NetworkAddresses

extension DHCPv4Client {
  /// Takes a message that came. One that is not meant for this client, or not now, is ignored.
  public mutating func receive(_ message: DHCPv4Message, at now: Duration) -> [Action] {
    guard message.isReply, message.transactionID == transactionID,
      message.hardwareAddress == settings.hardwareAddress, let kind = message.kind
    else { return [] }
    // Only the server that was chosen has a say now, unless it does not say which one it is.
    if state == .requesting, kind != .offer, let server = message.options.address(.serverIdentifier),
      server != offer?.server
    {
      transcript.note(.ignored(kind, why: "it is from \(server), which was not asked"))
      return []
    }
    switch (kind, state) {
    case (.offer, .selecting): return consider(message, at: now)
    case (.acknowledgement, .requesting), (.acknowledgement, .rebooting), (.acknowledgement, .renewing),
      (.acknowledgement, .rebinding):
      return acknowledged(message, at: now)
    case (.refusal, .requesting), (.refusal, .rebooting), (.refusal, .renewing), (.refusal, .rebinding):
      return refused(message, at: now)
    default: return []
    }
  }

  private mutating func consider(_ message: DHCPv4Message, at now: Duration) -> [Action] {
    let address = message.yourAddress
    guard let server = message.options.address(.serverIdentifier), !server.isUnspecified else {
      transcript.note(.ignored(.offer, why: "it does not say which server it is from (option 54)"))
      return []
    }
    guard !address.isUnspecified else {
      transcript.note(.ignored(.offer, why: "it has no address in it"))
      return []
    }
    transcript.note(.received(.offer, address: address, server: server, text: nil))
    // To take another address would help nobody, and waste it.
    if let pinned, address != pinned { return [] }
    offer = (address, server)
    // The same transaction goes on (RFC 2131, section 4.4.1).
    state = .requesting
    attempts = 0
    phaseEnds = now + Self.requestTime
    // An address that is in use here needs no probing.
    guard settings.probing > .zero, pinned == nil else { return [transmit(at: now)] }
    contender = nil
    probingEnds = now + settings.probing
    return [transmit(at: now), .probe(address)]
  }

  private mutating func acknowledged(_ message: DHCPv4Message, at now: Duration) -> [Action] {
    guard
      var granted = DHCPv4Lease(acknowledgement: message, requestedAt: sentAt, fuzz: random.fraction())
    else {
      transcript.note(.ignored(.acknowledgement, why: "it has no address in it"))
      return []
    }
    if granted.server.isUnspecified { granted.server = offer?.server ?? lease?.server ?? .any }
    transcript.note(
      .received(.acknowledgement, address: granted.address, server: granted.server, text: nil))
    if let pinned, granted.address != pinned { return lose(.changed(to: granted.address), at: now) }
    guard settings.probing > .zero, pinned == nil else { return [bind(granted)] }
    candidate = granted
    state = .probing
    guard granted.address == offer?.address else {
      phaseEnds = now + settings.probing
      nextDeadline = phaseEnds
      return [.probe(granted.address)]
    }
    if let contender { return conflict(with: contender, at: now) }
    if now >= probingEnds { return [bind(granted)] }
    phaseEnds = probingEnds
    nextDeadline = probingEnds
    return []
  }

  private mutating func refused(_ message: DHCPv4Message, at now: Duration) -> [Action] {
    let text = message.options.text(.message)
    transcript.note(
      .received(.refusal, address: nil, server: message.options.address(.serverIdentifier), text: text))
    if lease != nil { return lose(.refused(text), at: now) }
    return pause(at: now)
  }

  /// Somebody else turned out to have the address that is being probed for. It is declined once it has been given: an
  /// address that was only offered is nobody's.
  public mutating func conflict(with other: MACAddress, at now: Duration) -> [Action] {
    if state == .requesting { contender = other }
    guard state == .probing, let candidate else { return [] }
    transcript.note(.inUse(candidate.address, by: other))
    transactionID = random.next()
    var message = message(.decline, at: now)
    message.options.set(.requestedAddress, to: candidate.address.rawValue)
    message.options.set(.serverIdentifier, to: candidate.server.rawValue)
    transcript.note(.sent(.decline))
    self.candidate = nil
    return [.send(message, to: .broadcast)] + pause(at: now)
  }
}
