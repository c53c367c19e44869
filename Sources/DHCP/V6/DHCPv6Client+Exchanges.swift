import NetworkAddresses

extension DHCPv6Client {
  /// Codes of what the client would like to get beside addresses.
  private static let wanted = DHCPv6Option.optionRequest([
    DHCPv6Option.Code.dnsServers, DHCPv6Option.Code.domainSearch, DHCPv6Option.Code.solicitMaximum,
  ])

  func association(_ addresses: [IPv6Address]) -> DHCPv6Option {
    .association(DHCPv6Association(id: associationID, options: addresses.map { .address(DHCPv6Address($0)) }))
  }

  /// The options of a message that asks for addresses.
  func asking(for addresses: [IPv6Address]) -> [DHCPv6Option] { [association(addresses), Self.wanted] }

  /// Begins an exchange; ``advance(to:)`` sends its first message when `start` has come.
  mutating func begin(
    _ kind: DHCPv6Message.Kind, _ state: State, options: [DHCPv6Option], at start: Duration,
    limit: Duration? = nil
  ) {
    self.state = state
    var retransmission = DHCPv6Retransmission.standard(kind, limit: limit)
    if kind == .solicit {
      retransmission.initial = settings.firstPause
      retransmission.maximum = solicitMaximum
    }
    exchange = DHCPv6Exchange(
      kind: kind, transactionID: (random.next() as UInt32) & 0xff_ffff,
      options: [.clientID(clientID)] + options, retransmission: retransmission, began: start, next: start)
  }

  /// Begins to look for servers.
  ///
  /// - Parameter rest: How long to wait first, where a server has just refused: it would refuse again at once.
  mutating func solicit(at now: Duration, after rest: Duration = .zero) -> [Action] {
    offers = []
    // No random delay before the first one (section 18.2.1): that is for machines that get their power back together, and
    // would be for a container a second of waiting.
    let options = (settings.rapidCommit ? [.rapidCommit] : []) + asking(for: wishes)
    begin(.solicit, .soliciting, options: options, at: now + rest)
    selectionEnds = nil
    return advance(to: now)
  }

  /// Asks the server of the best offer, of those with the same preference the first.
  mutating func requestBest(at now: Duration) {
    guard let preference = offers.map(\.preference).max(),
      let index = offers.firstIndex(where: { $0.preference == preference })
    else { return }
    let offer = offers.remove(at: index)
    request(offer.addresses, from: offer.serverID, at: now)
  }

  mutating func request(_ addresses: [IPv6Address], from server: DUID, at now: Duration) {
    requested = DHCPv6Offer(serverID: server, preference: 0, addresses: addresses)
    begin(.request, .requesting, options: [.serverID(server)] + asking(for: addresses), at: now)
  }

  /// A message has been sent as often, or as long, as makes sense.
  mutating func giveUp(at now: Duration, _ actions: inout [Action]) {
    switch state {
    case .requesting: tryElsewhere(at: now, &actions)
    // No server has said that the addresses are wrong: their times go on. What T2 and their end ask for,
    // `advance` does.
    case .confirming, .renewing, .rebinding:
      state = .bound
      exchange = nil
    case .releasing:
      state = .finished
      exchange = nil
      actions.append(.finished)
    case .declining: afterDeclining(at: now, &actions)
    default: break
    }
  }

  /// The server that was asked gives no address: the next best offer, or all over again.
  mutating func tryElsewhere(at now: Duration, _ actions: inout [Action]) {
    if offers.isEmpty {
      actions += solicit(at: now, after: restAfterRefusal())
    } else {
      requestBest(at: now)
      actions += advance(to: now)
    }
  }

  /// How long to leave a server alone that has refused: longer each time.
  mutating func restAfterRefusal() -> Duration {
    refusals += 1
    return min(.seconds(1) * (1 << min(refusals - 1, 16)), solicitMaximum)
  }

  /// An address is declined; those that came with it are given back, then others are looked for.
  mutating func afterDeclining(at now: Duration, _ actions: inout [Action]) {
    if let others = declined {
      declined = nil
      giveBack(.release, .declining, others.addresses, to: others.serverID, at: now)
      actions += advance(to: now)
    } else {
      actions += solicit(at: now)
    }
  }

  /// Asks whether somebody has the addresses, half-way through the time again, and takes them when it is over.
  mutating func probe(at now: Duration, _ actions: inout [Action]) {
    guard let candidate else { return }
    if now >= probingEnds {
      settle(candidate, &actions)
    } else if let next = nextProbe, next <= now {
      nextProbe = nil
      actions.append(.probe(candidate.addresses.map(\.address)))
    }
  }

  /// There is a lease, new or extended.
  mutating func settle(_ lease: DHCPv6Lease, _ actions: inout [Action]) {
    self.lease = lease
    if pinned.isEmpty { pinned = lease.addresses.map(\.address) }
    candidate = nil
    requested = nil
    refusals = 0
    state = .bound
    exchange = nil
    offers = []
    wishes = []
    transcript = DHCPv6Transcript()
    actions.append(.bound(lease))
  }

  /// Takes leave of addresses whose time is over.
  mutating func expire(at now: Duration, _ actions: inout [Action]) {
    guard var lease = self.lease else { return }
    let over = lease.addresses.filter { $0.validUntil.map { $0 <= now } ?? false }
    guard !over.isEmpty else { return }
    lease.addresses.removeAll { over.contains($0) }
    actions.append(.lost(over.map(\.address), .expired))
    if lease.addresses.isEmpty {
      startOver(at: now, &actions)
    } else {
      self.lease = lease
    }
  }

  /// Without a lease, tries to get the same addresses back: others would be of no use to an interface that has these.
  mutating func startOver(after rest: Duration = .zero, at now: Duration, _ actions: inout [Action]) {
    lease = nil
    wishes = pinned
    // After NoBinding a server is being asked already.
    if state != .requesting { actions += solicit(at: now, after: rest) }
  }
}
