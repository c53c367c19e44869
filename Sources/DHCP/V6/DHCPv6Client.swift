public import NetworkAddresses

/// A DHCPv6 client for one identity association: decides what to send and when, from what came and what time it is, and does
/// neither itself (RFC 8415, section 18.2).
///
/// Times are durations since a moment that the caller chooses, on a clock that does not go back. The caller
/// - calls ``start(at:wishing:)`` or, with a lease from before, ``resume(_:at:verifying:)``,
/// - gives it each message that arrives (``receive(_:at:)``), and calls ``advance(to:)`` at ``nextDeadline``,
/// - does, after each of these, what the actions say.
///
/// Messages are sent to `ff02::1:2`, port 547, whatever a server says about unicast: it saves nothing.
public struct DHCPv6Client: Sendable {
  /// What the client is to do in ways that a network may want otherwise.
  public struct Settings: Sendable, Hashable {
    /// Whether a server may give the address in answer to SOLICIT (two messages instead of four).
    public var rapidCommit = true
    /// How long offers are collected, after the first SOLICIT, before the best is taken. An offer of the highest preference
    /// (255), or one that comes later, is taken at once. nil: until SOLICIT would be repeated, about a second, as RFC 8415,
    /// section 18.2.1, has it.
    public var selectionTime: Duration?
    /// SOL_TIMEOUT: about the time after which SOLICIT is sent a second time.
    public var firstPause = Duration.seconds(1)
    /// SOL_MAX_RT: about the longest time between two SOLICITs, until a server orders another.
    public var longestPause = Duration.seconds(3600)
    /// For how long an address is probed for before it is used; zero: not at all.
    public var probing = Duration.milliseconds(100)

    /// The RFC's values.
    public init() {}
  }

  /// How to make sure of a lease from before.
  public enum Verification: Sendable, Hashable {
    /// Not at all: the link is the same, the times go on.
    case none
    /// CONFIRM: do the addresses belong on this link? No answer counts as yes.
    case confirm
    /// REBIND: does any server still know them?
    case rebind
  }

  /// What the client is at.
  public enum State: Sendable, Hashable {
    /// Not started.
    case idle
    /// Looks for servers.
    case soliciting
    /// Has asked a server for addresses. After NoBinding it still has those it had.
    case requesting
    /// The addresses are ours unless somebody else has them.
    case probing
    /// Has addresses, and time.
    case bound
    /// Has addresses, and asks their server for more time.
    case renewing
    /// Has addresses, and asks every server for more time.
    case rebinding
    /// Has addresses, and asks whether they belong on this link.
    case confirming
    /// Has given its addresses back, and waits for the answer.
    case releasing
    /// Has said that its addresses are somebody else's; asks for others after the answer.
    case declining
    /// Wants no addresses any more.
    case finished
  }

  /// What the caller is to do.
  public enum Action: Sendable, Hashable {
    /// Send to `ff02::1:2`, port 547.
    case send(DHCPv6Message)
    /// Ask by neighbour solicitation whether somebody has these addresses; what is heard goes to
    /// ``conflict(over:at:)``.
    case probe([IPv6Address])
    /// There is a lease, a new one or one that goes on.
    case bound(DHCPv6Lease)
    /// These addresses are not the client's any more. It goes on trying to get them back.
    case lost([IPv6Address], Loss)
    /// Nothing more will come of it: after release.
    case finished
  }

  /// Why addresses must not be used any more.
  public enum Loss: Sendable, Hashable {
    /// Their lifetime is over, and no server has extended it.
    case expired
    /// A server has withdrawn them.
    case withdrawn
    /// They do not belong on this link.
    case notOnLink
    /// A server gives others instead.
    case changed(to: [IPv6Address])
  }

  /// The client's identifier.
  public let clientID: DUID
  /// The number of the identity association.
  public let associationID: UInt32
  /// See ``Settings``.
  public let settings: Settings
  /// What the client is at.
  public internal(set) var state = State.idle
  /// What it has; nil when there is no address that may be used.
  public internal(set) var lease: DHCPv6Lease?
  /// What was said since the last lease.
  public internal(set) var transcript = DHCPv6Transcript()

  var exchange: DHCPv6Exchange?
  /// What servers would give, in the order in which it came.
  var offers: [DHCPv6Offer] = []
  /// Until when offers are collected; nil before the first SOLICIT.
  var selectionEnds: Duration?
  /// SOL_MAX_RT.
  var solicitMaximum: Duration
  /// What to ask for, with no claim to it.
  var wishes: [IPv6Address] = []
  /// The only addresses of use: those of an interface that is in use. Empty before the first lease.
  var pinned: [IPv6Address] = []
  /// What is probed for.
  var candidate: DHCPv6Lease?
  var probingEnds = Duration.zero
  /// What a server was asked for that has not answered yet: it may have given it.
  var requested: DHCPv6Offer?
  /// What came with an address that had to be declined.
  var declined: DHCPv6Offer?
  /// How often servers have refused since there was a lease.
  var refusals = 0
  var nextProbe: Duration?
  var random: SplitMix

  /// A client that has no lease.
  ///
  /// - Parameters:
  ///   - clientID: Who it is to servers; another one for each attachment, and the same one each time.
  ///   - associationID: IAID.
  ///   - settings: What the network wants it to do.
  ///   - seed: Of the random numbers in times and transaction IDs.
  public init(
    clientID: DUID, associationID: UInt32 = 1, settings: Settings = Settings(),
    seed: UInt64 = .random(in: .min ... .max)
  ) {
    self.clientID = clientID
    self.associationID = associationID
    self.settings = settings
    solicitMaximum = settings.longestPause
    random = SplitMix(state: seed)
  }

  /// When ``advance(to:)`` is to be called, if nothing arrives before; nil: no need.
  public var nextDeadline: Duration? {
    var deadline = exchange?.deadline
    func consider(_ time: Duration?) {
      if let time { deadline = min(deadline ?? time, time) }
    }
    switch state {
    case .soliciting: if !offers.isEmpty { consider(selectionEnds) }
    case .probing: consider(nextProbe ?? probingEnds)
    case .bound:
      consider(lease?.renewAt)
      consider(lease?.rebindAt)
    case .renewing: consider(lease?.rebindAt)
    default: break
    }
    consider(lease?.nextExpiry)
    return deadline
  }

  /// Begins to look for an address.
  ///
  /// - Parameters:
  ///   - now: The time.
  ///   - wishes: Addresses to ask for; a server need not care.
  public mutating func start(at now: Duration, wishing wishes: [IPv6Address] = []) -> [Action] {
    self.wishes = wishes
    lease = nil
    refusals = 0
    return solicit(at: now)
  }

  /// Goes on with a lease from before.
  public mutating func resume(
    _ lease: DHCPv6Lease, at now: Duration, verifying verification: Verification = .none
  ) -> [Action] {
    self.lease = lease
    pinned = lease.addresses.map(\.address)
    state = .bound
    exchange = nil
    switch verification {
    case .none: break
    case .confirm:
      begin(.confirm, .confirming, options: [association(lease.addresses.map(\.address))], at: now)
    case .rebind:
      begin(.rebind, .rebinding, options: asking(for: lease.addresses.map(\.address)), at: now)
    }
    return advance(to: now)
  }

  /// Does what is due at `now`.
  public mutating func advance(to now: Duration) -> [Action] {
    var actions: [Action] = []
    expire(at: now, &actions)
    if state == .soliciting, let ends = selectionEnds, ends <= now { requestBest(at: now) }
    if state == .probing { probe(at: now, &actions) }
    if let exchange, exchange.isOver(at: now) { giveUp(at: now, &actions) }
    if let lease {
      if [.bound, .renewing].contains(state), let time = lease.rebindAt, time <= now {
        begin(.rebind, .rebinding, options: asking(for: lease.addresses.map(\.address)), at: now)
      } else if state == .bound, let time = lease.renewAt, time <= now {
        let server = DHCPv6Option.serverID(lease.serverID)
        begin(
          .renew, .renewing, options: [server] + asking(for: lease.addresses.map(\.address)), at: now,
          limit: lease.rebindAt.map { $0 - now })
      }
    }
    sendWhatIsDue(at: now, &actions)
    return actions
  }

  private mutating func sendWhatIsDue(at now: Duration, _ actions: inout [Action]) {
    guard var exchange, exchange.next <= now else { return }
    var jitter = Double.random(in: -0.1...0.1, using: &random)
    let isFirstSolicit = exchange.kind == .solicit && exchange.count == 0
    // Who collects offers does it for a second at least (section 18.2.1).
    if isFirstSolicit { jitter = jitter.magnitude }
    let message = exchange.message(at: now, random: jitter)
    self.exchange = exchange
    if isFirstSolicit { selectionEnds = settings.selectionTime.map { now + $0 } ?? exchange.next }
    transcript.note(.sent(message.kind))
    actions.append(.send(message))
  }

  /// Gives the addresses back. The caller takes them from the interface before it sends.
  public mutating func release(at now: Duration) -> [Action] {
    var given = declined ?? (state == .requesting ? requested : nil)
    if let lease = lease ?? candidate {
      given = DHCPv6Offer(
        serverID: lease.serverID, preference: 0, addresses: lease.addresses.map(\.address))
    }
    stop()
    guard let given else { return [.finished] }
    giveBack(.release, .releasing, given.addresses, to: given.serverID, at: now)
    return advance(to: now)
  }

  /// Somebody else turned out to have an address that is being probed for: the client declines it, and looks for others.
  public mutating func conflict(over address: IPv6Address, at now: Duration) -> [Action] {
    guard state == .probing, let candidate, candidate.addresses.contains(where: { $0.address == address })
    else {
      return []
    }
    transcript.note(.inUse(address))
    self.candidate = nil
    wishes = []
    // They are of no use: the next answer brings others together with them, or the same again.
    let others = candidate.addresses.map(\.address).filter { $0 != address }
    if !others.isEmpty {
      declined = DHCPv6Offer(serverID: candidate.serverID, preference: 0, addresses: others)
    }
    giveBack(.decline, .declining, [address], to: candidate.serverID, at: now)
    return advance(to: now)
  }

  /// Ends without a word.
  public mutating func stop() {
    state = .finished
    exchange = nil
    lease = nil
    candidate = nil
    offers = []
    requested = nil
    declined = nil
  }

  mutating func giveBack(
    _ kind: DHCPv6Message.Kind, _ state: State, _ addresses: [IPv6Address], to server: DUID, at now: Duration
  ) {
    begin(kind, state, options: [.serverID(server), association(addresses)], at: now)
  }
}

/// What a server would give.
struct DHCPv6Offer: Sendable, Hashable {
  var serverID: DUID
  var preference: UInt8
  var addresses: [IPv6Address]
}
