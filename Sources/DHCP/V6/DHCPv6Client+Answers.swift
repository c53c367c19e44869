import NetworkAddresses

extension DHCPv6Client {
  /// Takes a message that came to port 546 of the interface. One that answers nothing that was asked, or is
  /// somebody else's, changes nothing.
  public mutating func receive(_ message: DHCPv6Message, at now: Duration) -> [Action] {
    // RECONFIGURE is among those that are ignored: the client has not said that it would accept it.
    guard let exchange, message.transactionID == exchange.transactionID, exchange.count > 0,
      message.kind == .advertise || message.kind == .reply,
      message.clientID == clientID, let server = message.serverID
    else { return [] }
    if let seconds = message.solicitMaximum, 60...86400 ~= seconds {
      solicitMaximum = .seconds(Int64(seconds))
      if state == .soliciting { self.exchange?.retransmission.maximum = solicitMaximum }
    }
    var actions: [Action] = []
    switch (state, message.kind) {
    case (.soliciting, .advertise): take(offer: message, from: server, at: now)
    case (.soliciting, .reply) where message.isRapidCommit && settings.rapidCommit:
      bind(message, from: server, at: now, &actions)
    case (.requesting, .reply): takeAnswerToRequest(message, from: server, at: now, &actions)
    case (.renewing, .reply), (.rebinding, .reply): takeExtension(message, from: server, at: now, &actions)
    case (.confirming, .reply):
      transcript.note(.received(message.kind, from: server, outcome: message.status))
      if message.status.code == .notOnLink {
        actions.append(.lost(lease?.addresses.map(\.address) ?? [], .notOnLink))
        startOver(at: now, &actions)
      } else if message.status.isSuccess {
        state = .bound
        self.exchange = nil
      }
    case (.releasing, .reply):
      state = .finished
      self.exchange = nil
      actions.append(.finished)
    case (.declining, .reply): afterDeclining(at: now, &actions)
    default: return []
    }
    return actions + advance(to: now)
  }

  private mutating func take(offer message: DHCPv6Message, from server: DUID, at now: Duration) {
    var outcome = self.outcome(message)
    // What the interface does not have would help nobody, and be wasted.
    if !pinned.isEmpty, let first = outcome.addresses.first,
      !outcome.addresses.contains(where: { pinned.contains($0.address) })
    {
      outcome.status = DHCPv6Status(.noAddressesAvailable, "\(first.address) is not what this interface has")
    }
    transcript.note(.received(message.kind, from: server, outcome: outcome.status))
    guard outcome.status.isSuccess else { return }
    let offer = DHCPv6Offer(
      serverID: server, preference: message.preference, addresses: outcome.addresses.map(\.address))
    if let index = offers.firstIndex(where: { $0.serverID == server }) {
      offers[index] = offer
    } else {
      offers.append(offer)
    }
    // The best there can be, or later than one would have waited for a better.
    if offer.preference == 255 || selectionEnds.map({ $0 <= now }) ?? true {
      requestBest(at: now)
    }
  }

  private mutating func takeAnswerToRequest(
    _ message: DHCPv6Message, from server: DUID, at now: Duration, _ actions: inout [Action]
  ) {
    guard exchange?.options.contains(.serverID(server)) == true else { return }
    switch message.status.code {
    case .success: bind(message, from: server, at: now, &actions)
    case .notOnLink:
      // What it offered is not what it gives: what belongs on the link, the next offer says.
      transcript.note(.received(message.kind, from: server, outcome: message.status))
      wishes = []
      tryElsewhere(at: now, &actions)
    // It is asked again when its time has come, not at once: otherwise both would do nothing else.
    default: transcript.note(.received(message.kind, from: server, outcome: message.status))
    }
  }

  /// The answer that gives addresses, to REQUEST or to SOLICIT with rapid commit.
  private mutating func bind(
    _ message: DHCPv6Message, from server: DUID, at now: Duration, _ actions: inout [Action]
  ) {
    let outcome = self.outcome(message)
    transcript.note(.received(message.kind, from: server, outcome: outcome.status))
    guard outcome.status.isSuccess, let association = message.association(associationID),
      let lease = DHCPv6Lease(message, association: association, at: now)
    else {
      if state == .requesting { tryElsewhere(at: now, &actions) }
      return
    }
    take(lease, at: now, &actions)
  }

  /// A new lease: to be probed for or, where the interface has its addresses already, to be used.
  private mutating func take(_ lease: DHCPv6Lease, at now: Duration, _ actions: inout [Action]) {
    var lease = lease
    if !pinned.isEmpty {
      let others = lease.addresses.map(\.address)
      lease.addresses.removeAll { !pinned.contains($0.address) }
      guard !lease.addresses.isEmpty else {
        if let old = self.lease { actions.append(.lost(old.addresses.map(\.address), .changed(to: others))) }
        state = .soliciting
        startOver(after: restAfterRefusal(), at: now, &actions)
        return
      }
      settle(lease, &actions)
    } else if settings.probing > .zero {
      candidate = lease
      state = .probing
      exchange = nil
      nextProbe = now + settings.probing / 2
      probingEnds = now + settings.probing
      actions.append(.probe(lease.addresses.map(\.address)))
    } else {
      settle(lease, &actions)
    }
  }

  /// The answer to RENEW and REBIND.
  private mutating func takeExtension(
    _ message: DHCPv6Message, from server: DUID, at now: Duration, _ actions: inout [Action]
  ) {
    // RENEW names the server that is to answer.
    guard state == .rebinding || server == lease?.serverID else { return }
    guard let old = lease, let association = message.association(associationID), message.status.isSuccess
    else {
      transcript.note(.received(message.kind, from: server, outcome: message.status))
      return
    }
    transcript.note(.received(message.kind, from: server, outcome: association.status))
    if association.status.code == .noBinding {
      // It has lost its memory, perhaps, and gives the same address again to who asks for it.
      offers = []
      request(old.addresses.map(\.address), from: server, at: now)
      return
    }
    guard association.status.isSuccess, association.hasPlausibleTimes else { return }
    let withdrawn = association.addresses.filter { $0.validLifetime == 0 }.map(\.address)
    let gone = old.addresses.map(\.address).filter { withdrawn.contains($0) }
    lease?.addresses.removeAll { gone.contains($0.address) }
    let given = association.usableAddresses.map(\.address)
    let kept = given.filter { pinned.contains($0) }
    if !gone.isEmpty {
      let isReplaced = kept.isEmpty && !given.isEmpty
      actions.append(.lost(gone, isReplaced ? .changed(to: given) : .withdrawn))
    }
    if !kept.isEmpty,
      var new = DHCPv6Lease(message, association: association, at: now, previous: lease)
    {
      new.addresses.removeAll { !pinned.contains($0.address) }
      settle(new, &actions)
    } else if lease?.addresses.isEmpty == true {
      startOver(after: restAfterRefusal(), at: now, &actions)
    }
    // Otherwise nothing was extended: it is asked on.
  }

  /// What a message says about our association, in one status, and the addresses that it gives.
  private func outcome(_ message: DHCPv6Message) -> (status: DHCPv6Status, addresses: [DHCPv6Address]) {
    guard message.status.isSuccess else { return (message.status, []) }
    guard let association = message.association(associationID) else {
      return (DHCPv6Status(.noAddressesAvailable, "the answer has no IA_NA of ours"), [])
    }
    guard association.status.isSuccess else { return (association.status, []) }
    guard association.hasPlausibleTimes else {
      return (DHCPv6Status(.unspecifiedFailure, "T1 is later than T2"), [])
    }
    let usable = association.usableAddresses
    if usable.isEmpty {
      let status = association.addresses.first { !$0.status.isSuccess }?.status
      return (status ?? DHCPv6Status(.noAddressesAvailable, "the answer has no usable address"), [])
    }
    return (association.status, usable)
  }
}
