import DHCP
import NetworkAddresses
import Testing

/// A client with the clock in the test's hand, and what a server says to it.
struct DHCPv6ClientFixture {
  var client: DHCPv6Client
  var now = Duration.zero
  /// What the client has done since it was last asked.
  var actions: [DHCPv6Client.Action] = []

  static let duid = DUID(linkLayer: MACAddress("02:1a:7b:00:00:05")!)
  static let server = DUID(linkLayer: MACAddress("02:00:00:00:00:01")!)
  static let other = DUID(linkLayer: MACAddress("02:00:00:00:00:02")!)
  static let address = IPv6Address("fd00:6::100")!
  static let changed = IPv6Address("fd00:6::200")!

  init(
    rapidCommit: Bool = false, selectionTime: Duration? = .zero, probing: Duration = .zero, seed: UInt64 = 1
  ) {
    var settings = DHCPv6Client.Settings()
    settings.rapidCommit = rapidCommit
    settings.selectionTime = selectionTime
    settings.probing = probing
    client = DHCPv6Client(clientID: Self.duid, settings: settings, seed: seed)
  }

  /// What was to be sent since the last time.
  mutating func sent() -> [DHCPv6Message] {
    defer { actions = [] }
    return actions.compactMap { if case .send(let message) = $0 { message } else { nil } }
  }

  /// The one message that was to be sent since the last time.
  mutating func theMessage(_ kind: DHCPv6Message.Kind, sourceLocation: SourceLocation = #_sourceLocation)
    throws
    -> DHCPv6Message
  {
    let messages = sent()
    try #require(messages.map(\.kind) == [kind], sourceLocation: sourceLocation)
    return messages[0]
  }

  mutating func start() { actions += client.start(at: now) }

  /// Lets time go by until something is to be done, but not beyond `limit`; gives the time that went by.
  @discardableResult
  mutating func wait(limit: Duration = .seconds(1_000_000)) throws -> Duration {
    let deadline = try #require(client.nextDeadline)
    let before = now
    now = min(max(deadline, now), before + limit)
    if now >= deadline { actions += client.advance(to: now) }
    return now - before
  }

  /// Lets that much time go by, with all that is due on the way.
  mutating func pass(_ time: Duration) throws {
    let end = now + time
    while let deadline = client.nextDeadline, deadline <= end {
      try #require(deadline > now || client.nextDeadline != nil)
      now = max(now, deadline)
      actions += client.advance(to: now)
    }
    now = end
  }

  /// An answer to a message.
  static func answer(
    _ kind: DHCPv6Message.Kind, to message: DHCPv6Message, from server: DUID = server,
    association: DHCPv6Association? = given(), _ more: DHCPv6Option...
  ) -> DHCPv6Message {
    var options: [DHCPv6Option] = [.clientID(duid), .serverID(server)]
    if let association { options.append(.association(association)) }
    return DHCPv6Message(kind, transactionID: message.transactionID, options: options + more)
  }

  static func given(
    _ addresses: [IPv6Address] = [address], t1: UInt32 = 100, t2: UInt32 = 160, preferred: UInt32 = 200,
    valid: UInt32 = 300
  ) -> DHCPv6Association {
    DHCPv6Association(
      id: 1, renewTime: t1, rebindTime: t2,
      options: addresses.map {
        .address(DHCPv6Address($0, preferredLifetime: preferred, validLifetime: valid))
      })
  }

  static func refused(_ code: DHCPv6Status.Code, _ text: String = "") -> DHCPv6Association {
    DHCPv6Association(id: 1, options: [.status(DHCPv6Status(code, text))])
  }

  mutating func receive(_ message: DHCPv6Message) { actions += client.receive(message, at: now) }

  /// The whole way to a lease; what was sent is forgotten.
  mutating func obtain(_ association: DHCPv6Association = given()) throws {
    start()
    let solicit = try theMessage(.solicit)
    receive(Self.answer(.advertise, to: solicit))
    let request = try theMessage(.request)
    receive(Self.answer(.reply, to: request, association: association))
    try #require(client.state == .bound)
    actions = []
  }

  /// The lease of a `bound` action, which must have come once since the last time.
  func bound(sourceLocation: SourceLocation = #_sourceLocation) throws -> DHCPv6Lease {
    let leases = actions.compactMap { if case .bound(let lease) = $0 { lease } else { nil } }
    try #require(leases.count == 1, sourceLocation: sourceLocation)
    return leases[0]
  }

  /// What was lost since the last time.
  var lost: [DHCPv6Client.Action] {
    actions.filter { if case .lost = $0 { true } else { false } }
  }
}

extension DHCPv6Message {
  /// Hundredths of a second.
  var elapsedTime: UInt16? {
    for case .elapsedTime(let time) in options { return time }
    return nil
  }
}
