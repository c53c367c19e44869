public import NetworkAddresses

/// A DHCPv4 client (RFC 2131, section 4.4), without sockets and without a clock: it is told what came and what time it
/// is, and says what is to be done.
///
/// Whoever drives it calls ``advance(to:)`` when ``nextDeadline`` has come and ``receive(_:at:)`` for each message,
/// and carries out, in order, the actions that every call gives. Moments are times since the start of the machine.
public struct DHCPv4Client: Sendable {
  /// What a client is and wants.
  public struct Settings: Hashable, Sendable {
    /// The interface's address.
    public var hardwareAddress: MACAddress
    /// Option 61 with its type; empty: the server goes by the hardware address.
    public var clientIdentifier: [UInt8]
    /// Option 55: what the server should tell.
    public var requested: [DHCPv4OptionCode] = []
    /// What the client tells the server beyond that.
    public var options = DHCPv4Options()
    /// Whether answers should go to everybody on the link.
    public var wantsBroadcast = false
    /// The longest pause between two attempts to get an address.
    public var longestPause = Duration.seconds(62)
    /// For how long an address is probed for before it is used; zero: not at all.
    ///
    /// RFC 5227 would have it probed for several seconds, for which no container can wait. On the link of a container who
    /// has the address answers within less than a millisecond; the time runs from the offer, so that most of it passes
    /// while the server is asked anyway.
    public var probing = Duration.milliseconds(5)

    /// Settings of a client that asks for nothing in particular.
    public init(hardwareAddress: MACAddress, clientIdentifier: [UInt8] = []) {
      self.hardwareAddress = hardwareAddress
      self.clientIdentifier = clientIdentifier
    }
  }

  /// Where a message goes.
  public enum Destination: Hashable, Sendable {
    /// To everybody on the link, from 0.0.0.0.
    case broadcast
    /// To one server, from the client's own address.
    case unicast(server: IPv4Address, from: IPv4Address)
  }

  /// Why a lease is no longer one.
  public enum Loss: Hashable, Sendable {
    /// Nobody has renewed it in time.
    case expired
    /// A server says that the address is not this client's, with its reason.
    case refused(String?)
    /// A server gives another address instead.
    case changed(to: IPv4Address)
  }

  /// What is to be done.
  public enum Action: Hashable, Sendable {
    /// Send a message.
    case send(DHCPv4Message, to: Destination)
    /// Ask by ARP whether somebody has the address; what is heard goes to ``conflict(with:at:)``.
    case probe(IPv4Address)
    /// There is a lease, a new one or one that goes on.
    case bound(DHCPv4Lease)
    /// There is none any more. The client goes on trying to get the same address back.
    case lost(Loss)
  }

  /// RFC 2131, figure 5, and what comes before and after.
  public enum State: Hashable, Sendable {
    /// Nothing has begun, or everything is over.
    case idle
    /// Waiting a little before beginning anew.
    case pausing
    /// DISCOVER is sent until there is an offer.
    case selecting
    /// An offer was taken.
    case requesting
    /// The address of before is asked for, without an offer.
    case rebooting
    /// The address is ours unless somebody else has it.
    case probing
    /// All is well.
    case bound
    /// T1 is over.
    case renewing
    /// T2 is over.
    case rebinding
  }

  /// What it is and wants.
  public let settings: Settings
  /// Where it stands.
  public internal(set) var state = State.idle
  /// When ``advance(to:)`` is next to be called; `nil`: not before something comes.
  public internal(set) var nextDeadline: Duration?
  /// The lease there is.
  public private(set) var lease: DHCPv4Lease?
  /// The address that is being probed for.
  public var probedAddress: IPv4Address? {
    switch state {
    case .probing: candidate?.address
    case .requesting: settings.probing > .zero ? offer?.address : nil
    default: nil
    }
  }
  /// What was said since the last lease.
  public internal(set) var transcript = DHCPv4Transcript()

  /// The only address of use: that of an interface which is in use.
  var pinned: IPv4Address?
  var candidate: DHCPv4Lease?
  var offer: (address: IPv4Address, server: IPv4Address)?
  /// Who has the address that was offered, and until when that was asked.
  var contender: MACAddress?
  var probingEnds: Duration = .zero
  var transactionID: UInt32 = 0
  var began: Duration = .zero
  var sentAt: Duration = .zero
  var attempts = 0
  var setbacks = 0
  var phaseEnds: Duration = .zero
  var random: SplitMix

  /// For how long an offer, or an address of before, is asked for before everything starts over.
  static let requestTime = Duration.seconds(10)

  /// A client at rest.
  ///
  /// - Parameters:
  ///   - settings: What it is and wants.
  ///   - seed: Where its random numbers come from: two clients need different ones.
  public init(_ settings: Settings, seed: UInt64) {
    self.settings = settings
    random = SplitMix(state: seed)
  }

  // MARK: Beginning and end

  /// INIT: starts to look for an address.
  public mutating func start(at now: Duration) -> [Action] { select(at: now) }

  /// Goes on with a lease of a former process, wherever in its time it is. One that has expired is asked for again.
  public mutating func resume(_ lease: DHCPv4Lease, at now: Duration) -> [Action] {
    pinned = lease.address
    if let end = lease.expiresAt, now >= end { return reclaim(lease.address, at: now) }
    self.lease = lease
    state = .bound
    nextDeadline = lease.renewsAt
    return advance(to: now)
  }

  /// INIT-REBOOT: asks for an address that the client had, and that only is of use to it.
  public mutating func reclaim(_ address: IPv4Address, at now: Duration) -> [Action] {
    pinned = address
    begin(.rebooting, at: now)
    phaseEnds = now + Self.requestTime
    return [transmit(at: now)]
  }

  /// Ends without a word.
  public mutating func stop() {
    state = .idle
    nextDeadline = nil
    lease = nil
    candidate = nil
  }

  // MARK: Time

  /// Does what is due.
  public mutating func advance(to now: Duration) -> [Action] {
    var actions: [Action] = []
    // Bounded: what is due leads to something that is not, or to nothing.
    for _ in 0..<8 {
      guard let deadline = nextDeadline, deadline <= now else { break }
      switch state {
      case .idle: nextDeadline = nil
      case .pausing: actions += select(at: now)
      case .selecting: actions.append(transmit(at: now))
      case .requesting, .rebooting:
        if now >= phaseEnds { actions += select(at: now) } else { actions.append(transmit(at: now)) }
      case .probing:
        if let candidate { actions.append(bind(candidate)) }
      case .bound, .renewing, .rebinding: actions += keep(lease!, at: now)
      }
    }
    return actions
  }

  /// A lease whose renewal is due.
  private mutating func keep(_ lease: DHCPv4Lease, at now: Duration) -> [Action] {
    guard let rebinding = lease.rebindsAt, let end = lease.expiresAt else {
      nextDeadline = nil
      return []
    }
    if now >= end { return lose(.expired, at: now) }
    let (phase, limit): (State, Duration) = now >= rebinding ? (.rebinding, end) : (.renewing, rebinding)
    if state != phase {
      begin(phase, at: now)
      phaseEnds = limit
    }
    return [transmit(at: now)]
  }

  // MARK: Transitions

  private mutating func begin(_ state: State, at now: Duration) {
    self.state = state
    transactionID = random.next()
    began = now
    attempts = 0
    candidate = nil
    offer = nil
  }

  private mutating func select(at now: Duration) -> [Action] {
    begin(.selecting, at: now)
    return [transmit(at: now)]
  }

  /// Begins anew, a little later each time: where the same happens again and again, nobody must suffer from it.
  mutating func pause(at now: Duration) -> [Action] {
    setbacks += 1
    state = .pausing
    nextDeadline = now + jittered(min(.milliseconds(250) * (1 << min(setbacks - 1, 8)), .seconds(10)))
    return []
  }

  mutating func bind(_ granted: DHCPv4Lease) -> Action {
    lease = granted
    candidate = nil
    pinned = granted.address
    setbacks = 0
    transcript = DHCPv4Transcript()
    state = .bound
    nextDeadline = granted.renewsAt
    return .bound(granted)
  }

  mutating func lose(_ loss: Loss, at now: Duration) -> [Action] {
    let hadLease = lease != nil
    lease = nil
    // Said once: what follows are attempts to get it back.
    return (hadLease ? [.lost(loss)] : []) + pause(at: now)
  }
}
