import NetworkAddresses
import Testing

@testable import DHCP

/// A client with what is around it: its clock, and what it has done.
struct ClientUnderTest {
  static let mac = MACAddress("02:00:00:00:00:01")!
  static let server = IPv4Address(10, 0, 0, 1)
  static let address = IPv4Address(10, 0, 0, 5)

  var client: DHCPv4Client
  var now = Duration.seconds(1000)
  var actions: [DHCPv4Client.Action] = []

  init(seed: UInt64 = 1, _ change: (inout DHCPv4Client.Settings) -> Void = { _ in }) {
    var settings = DHCPv4Client.Settings(hardwareAddress: Self.mac, clientIdentifier: [0, 0x63, 0x31])
    settings.requested = [.routers, .subnetMask]
    settings.probing = .zero
    change(&settings)
    client = DHCPv4Client(settings, seed: seed)
  }

  /// What was done since the last call.
  mutating func taken() -> [DHCPv4Client.Action] {
    defer { actions = [] }
    return actions
  }

  var sent: [(message: DHCPv4Message, to: DHCPv4Client.Destination)] {
    actions.compactMap { if case .send(let message, let to) = $0 { (message, to) } else { nil } }
  }

  mutating func start() { actions += client.start(at: now) }

  /// Lets time pass, calling the client when it wants to be called.
  mutating func pass(_ time: Duration) {
    let end = now + time
    while let deadline = client.nextDeadline, deadline <= end {
      now = max(now, deadline)
      actions += client.advance(to: now)
    }
    now = end
  }

  mutating func passUntilDeadline() { pass(client.nextDeadline! - now) }

  /// A server's answer to the last message that was sent.
  mutating func answer(
    _ kind: DHCPv4Message.Kind, address: IPv4Address = Self.address, server: IPv4Address = Self.server,
    lease: UInt32? = 3600, _ change: (inout DHCPv4Message) -> Void = { _ in }
  ) {
    var message = DHCPv4Message(
      kind, transactionID: lastTransaction, hardwareAddress: Self.mac)
    message.isReply = true
    if kind != .refusal { message.yourAddress = address }
    message.options.set(.serverIdentifier, to: server.rawValue)
    if let lease, kind != .refusal { message.options.set(.leaseTime, to: lease) }
    change(&message)
    actions += client.receive(message, at: now)
  }

  private(set) var transactions: [UInt32] = []
  private var lastTransaction: UInt32 {
    sent.last?.message.transactionID ?? transactions.last ?? 0
  }

  /// Forgets what was done, but not by what number it is to be answered.
  mutating func forget() {
    transactions += sent.map(\.message.transactionID)
    actions = []
  }

  /// A client with a lease of an hour.
  static func bound(lease: UInt32? = 3600, _ change: (inout DHCPv4Message) -> Void = { _ in }) -> Self {
    var test = ClientUnderTest()
    test.start()
    test.answer(.offer)
    test.answer(.acknowledgement, lease: lease, change)
    test.forget()
    return test
  }
}

@Suite struct DHCPv4AcquisitionTests {
  @Test func fourMessagesMakeALease() throws {
    var test = ClientUnderTest()
    test.start()
    let discover = try #require(test.sent.first)
    #expect(discover.to == .broadcast)
    #expect(discover.message.kind == .discover)
    #expect(discover.message.options[.parameterRequestList] == [3, 1])
    #expect(discover.message.options[.clientIdentifier] == [0, 0x63, 0x31])
    #expect(discover.message.options[.requestedAddress] == nil)
    #expect(discover.message.hardwareAddress == ClientUnderTest.mac)
    #expect(!discover.message.wantsBroadcast)
    test.now += .milliseconds(30)
    test.answer(.offer)
    #expect(test.client.state == .requesting)
    let request = try #require(test.sent.last)
    #expect(request.to == .broadcast)
    #expect(request.message.kind == .request)
    #expect(request.message.transactionID == discover.message.transactionID)
    #expect(request.message.options.address(.requestedAddress) == ClientUnderTest.address)
    #expect(request.message.options.address(.serverIdentifier) == ClientUnderTest.server)
    #expect(request.message.clientAddress.isUnspecified)
    test.now += .milliseconds(30)
    test.answer(.acknowledgement)
    let lease = try #require(test.client.lease)
    #expect(test.actions.last == .bound(lease))
    #expect(test.client.state == .bound)
    #expect(lease.address == ClientUnderTest.address)
    #expect(lease.server == ClientUnderTest.server)
    #expect(lease.start == .seconds(1000) + .milliseconds(30), "it counts from the REQUEST")
    #expect(lease.length == .seconds(3600))
    #expect(lease.rebinding == .seconds(3150))
    #expect(lease.renewal <= .seconds(1800))
    #expect(lease.renewal >= .seconds(1755))
    #expect(test.client.nextDeadline == lease.renewsAt)
  }

  @Test func discoverIsRepeatedAtGrowingDistances() {
    var test = ClientUnderTest { $0.longestPause = .seconds(10) }
    test.start()
    var pauses: [Double] = []
    for _ in 0..<8 {
      let before = test.now
      test.passUntilDeadline()
      pauses.append((test.now - before) / .seconds(1))
    }
    for (pause, base) in zip(pauses, [0.25, 1, 2, 4, 8, 10, 10, 10]) {
      #expect(pause >= base * 0.8 && pause <= base * 1.2)
    }
    #expect(test.sent.count == 9)
    #expect(Set(test.sent.map(\.message.transactionID)).count == 1)
    #expect(test.sent.last!.message.seconds > 20)
    #expect(test.client.transcript.description == "9 DISCOVER sent, no answer")
  }

  @Test func twoClientsDoNotKeepStep() {
    var (one, other) = (ClientUnderTest(seed: 1), ClientUnderTest(seed: 2))
    one.start()
    other.start()
    #expect(one.client.nextDeadline != other.client.nextDeadline)
    #expect(one.sent[0].message.transactionID != other.sent[0].message.transactionID)
  }

  @Test func requestIsRepeatedAndThenAllStartsOver() {
    var test = ClientUnderTest()
    test.start()
    test.answer(.offer)
    test.pass(.seconds(9))
    #expect(test.sent.dropFirst().allSatisfy { $0.message.kind == .request })
    #expect(test.sent.count >= 5)
    test.pass(.seconds(2))
    #expect(test.client.state == .selecting)
    let last = test.sent.last!.message
    #expect(last.kind == .discover)
    #expect(last.transactionID != test.sent[0].message.transactionID)
    #expect(test.client.transcript.description.contains("OFFER 10.0.0.5 from 10.0.0.1, "))
  }

  @Test func aRefusedRequestStartsOverAfterAPause() {
    var test = ClientUnderTest()
    test.start()
    for round in 0..<8 {
      test.answer(.offer)
      test.answer(.refusal) { $0.options[.message] = Array("no".utf8) }
      #expect(test.client.state == .pausing)
      let pause = test.client.nextDeadline! - test.now
      #expect(pause <= .seconds(12))
      if round > 6 { #expect(pause >= .seconds(8)) }
      test.passUntilDeadline()
      #expect(test.client.state == .selecting)
    }
    #expect(
      test.client.transcript.description.hasSuffix(
        "OFFER 10.0.0.5 from 10.0.0.1, REQUEST sent, NAK from 10.0.0.1: no, DISCOVER sent, no answer"))
    #expect(test.client.transcript.description.hasPrefix("…, "))
  }

  @Test func whatIsNotMeantForItIsIgnored() {
    var test = ClientUnderTest()
    test.start()
    test.answer(.offer) { $0.transactionID &+= 1 }
    test.answer(.offer) { $0.hardwareAddress = MACAddress(rawValue: 9) }
    test.answer(.offer) { $0.isReply = false }
    test.answer(.acknowledgement)
    test.answer(.refusal)
    test.answer(.offer, address: .any)
    test.answer(.offer) { $0.options[.serverIdentifier] = nil }
    test.answer(.offer) { $0.kind = nil }
    #expect(test.client.state == .selecting)
    #expect(test.sent.count == 1)
    #expect(
      test.client.transcript.description
        == "DISCOVER sent, OFFER ignored: it has no address in it, OFFER ignored: it does not say which server it is from (option 54)"
    )
    test.answer(.offer)
    test.answer(.offer, server: IPv4Address(10, 0, 0, 2))
    #expect(test.sent.count == 2, "the second offer comes too late")
    test.answer(.acknowledgement, address: .broadcast)
    #expect(test.client.state == .requesting, "nobody can have that address")
  }

  @Test(arguments: [DHCPv4Message.Kind.acknowledgement, .refusal])
  func onlyTheChosenServerHasASay(kind: DHCPv4Message.Kind) {
    var test = ClientUnderTest()
    test.start()
    test.answer(.offer)
    test.answer(kind, server: IPv4Address(10, 0, 0, 2))
    #expect(test.client.state == .requesting)
    #expect(test.client.transcript.description.contains("it is from 10.0.0.2, which was not asked"))
    test.answer(.acknowledgement) { $0.options[.serverIdentifier] = nil }
    #expect(test.client.lease?.server == ClientUnderTest.server)
  }

  @Test func whatWasAskedForIsGivenBack() throws {
    var test = ClientUnderTest()
    test.start()
    test.answer(.offer)
    test.forget()
    test.actions += test.client.release(at: test.now)
    let release = try #require(test.sent.first)
    #expect(release.to == .unicast(server: ClientUnderTest.server, from: ClientUnderTest.address))
    #expect(release.message.kind == .release)
    #expect(release.message.clientAddress == ClientUnderTest.address)
    var other = ClientUnderTest()
    other.start()
    #expect(other.client.release(at: other.now).isEmpty, "nothing was asked for")
  }

  @Test func whatItIsToTellItTells() {
    var test = ClientUnderTest {
      $0.options[.hostName] = Array("web".utf8)
      $0.options.set(.leaseTime, to: UInt32(600))
      $0.wantsBroadcast = true
    }
    test.start()
    test.answer(.offer)
    for message in test.sent.map(\.message) {
      #expect(message.options.text(.hostName) == "web")
      #expect(message.options.number(.leaseTime) == UInt32(600))
      #expect(message.wantsBroadcast)
    }
  }

  /// Whoever has the address may say so before the server has confirmed it, or afterwards.
  @Test(arguments: [true, false]) func anAddressThatIsInUseIsDeclined(early: Bool) throws {
    var test = ClientUnderTest { $0.probing = .milliseconds(100) }
    test.start()
    test.answer(.offer)
    #expect(test.actions.last == .probe(ClientUnderTest.address))
    #expect(test.client.probedAddress == ClientUnderTest.address)
    let other = MACAddress("02:00:00:00:00:99")!
    test.pass(.milliseconds(60))
    if early {
      test.actions += test.client.conflict(with: other, at: test.now)
      test.answer(.acknowledgement)
    } else {
      test.answer(.acknowledgement)
      #expect(test.client.state == .probing)
      #expect(test.client.lease == nil)
      test.pass(.milliseconds(39))
      test.actions += test.client.conflict(with: other, at: test.now)
    }
    let decline = try #require(test.sent.last)
    #expect(decline.message.kind == .decline)
    #expect(decline.to == .broadcast)
    #expect(decline.message.options.address(.requestedAddress) == ClientUnderTest.address)
    #expect(decline.message.options.address(.serverIdentifier) == ClientUnderTest.server)
    #expect(decline.message.options[.clientIdentifier] == [0, 0x63, 0x31])
    #expect(decline.message.clientAddress.isUnspecified)
    #expect(decline.message.options[.parameterRequestList] == nil)
    #expect(
      test.client.transcript.description.hasSuffix("10.0.0.5 is in use by 02:00:00:00:00:99, DECLINE sent"))
    test.pass(.milliseconds(400))
    #expect(test.client.state == .selecting)
    let free = IPv4Address(10, 0, 0, 6)
    test.answer(.offer, address: free)
    test.answer(.acknowledgement, address: free)
    test.pass(.milliseconds(99))
    #expect(test.client.lease == nil)
    test.pass(.milliseconds(1))
    #expect(test.client.lease?.address == free)
  }

  @Test func releaseWhileAnAddressIsProbedForGivesItBack() throws {
    var test = ClientUnderTest { $0.probing = .milliseconds(100) }
    test.start()
    test.answer(.offer)
    test.answer(.acknowledgement)
    test.forget()
    test.actions += test.client.release(at: test.now)
    #expect(try #require(test.sent.first).message.clientAddress == ClientUnderTest.address)
    #expect(test.client.nextDeadline == nil)
  }
}

@Suite struct DHCPv4LeaseTimeTests {
  private func lease(_ change: (inout DHCPv4Message) -> Void) -> DHCPv4Lease? {
    ClientUnderTest.bound(lease: nil, change).client.lease
  }

  @Test func theServersTimesCount() {
    let lease = lease {
      $0.options.set(.leaseTime, to: UInt32(120))
      $0.options.set(.renewalTime, to: UInt32(50))
      $0.options.set(.rebindingTime, to: UInt32(100))
    }
    #expect(lease?.renewal == .seconds(50))
    #expect(lease?.rebinding == .seconds(100))
    #expect(lease?.expiresAt == .seconds(1120))
  }

  @Test func timesThatCannotBeAreReplaced() {
    let lease = lease {
      $0.options.set(.leaseTime, to: UInt32(80))
      $0.options.set(.renewalTime, to: UInt32(100))
      $0.options.set(.rebindingTime, to: UInt32(80))
    }
    #expect(lease?.rebinding == .seconds(70))
    #expect(lease!.renewal <= .seconds(40) && lease!.renewal >= .seconds(39))
  }

  @Test(arguments: [
    ("10.0.0.5", 24, true), ("10.0.0.5", 8, true), ("10.0.0.5", 7, false), ("10.0.0.5", 0, false),
    ("10.0.0.0", 24, false), ("10.0.0.255", 24, false), ("10.0.0.4", 31, true), ("10.0.0.255", 32, true),
  ]) func notEveryAddressCanBeAHosts(address: String, length: Int, isUsable: Bool) throws {
    var lease = ClientUnderTest.bound().client.lease!
    lease.address = try #require(IPv4Address(address))
    #expect(!lease.isUsable, "without a mask")
    lease.options.set(.subnetMask, to: IPAddress.mask(.ipv4, length: length).ipv4!.rawValue)
    #expect(lease.isUsable == isUsable)
  }

  @Test func aLeaseOfNoTimeLastsALittle() {
    #expect(lease { $0.options.set(.leaseTime, to: UInt32(0)) }?.length == .seconds(2))
    #expect(lease { _ in }?.length == .seconds(3600), "none is said")
  }

  @Test func aLeaseForEverIsNotRenewed() {
    var test = ClientUnderTest.bound(lease: .max)
    #expect(test.client.lease?.length == nil)
    #expect(test.client.nextDeadline == nil)
    test.pass(.seconds(100_000_000))
    #expect(test.actions.isEmpty)
  }
}

@Suite struct DHCPv4RenewalTests {
  @Test func renewsAtT1WithItsServer() throws {
    var test = ClientUnderTest.bound()
    let first = test.client.lease!
    test.pass(first.renewal - .seconds(1))
    #expect(test.actions.isEmpty)
    test.pass(.seconds(1))
    let request = try #require(test.sent.last)
    #expect(test.client.state == .renewing)
    #expect(request.to == .unicast(server: ClientUnderTest.server, from: ClientUnderTest.address))
    #expect(request.message.kind == .request)
    #expect(request.message.clientAddress == ClientUnderTest.address)
    #expect(request.message.options[.requestedAddress] == nil, "RFC 2131, table 4")
    #expect(request.message.options[.serverIdentifier] == nil)
    #expect(request.message.options[.parameterRequestList] == [3, 1])
    test.answer(.acknowledgement)
    #expect(test.client.state == .bound)
    #expect(test.client.lease!.start == first.start + first.renewal)
    #expect(test.client.nextDeadline == test.client.lease!.renewsAt)
  }

  @Test func renewalIsRepeatedAndThenAnyServerIsAsked() throws {
    var test = ClientUnderTest.bound()
    let lease = test.client.lease!
    test.pass(lease.rebinding - .seconds(1))
    #expect(test.sent.allSatisfy { $0.to != .broadcast })
    // Five quick ones within half a minute, then at half of what is left, a minute at least.
    #expect(test.sent.count > 6 && test.sent.count < 14)
    #expect(test.client.state == .renewing)
    test.forget()
    test.pass(.seconds(1))
    #expect(test.client.state == .rebinding)
    let request = try #require(test.sent.last)
    #expect(request.to == .broadcast)
    #expect(request.message.clientAddress == ClientUnderTest.address)
    #expect(request.message.options[.serverIdentifier] == nil)
    let other = IPv4Address(10, 0, 0, 2)
    test.answer(.acknowledgement, server: other)
    #expect(test.client.lease?.server == other)
    #expect(test.client.state == .bound)
  }

  @Test func whatNobodyRenewsIsLostToTheSecond() throws {
    var test = ClientUnderTest.bound()
    let lease = test.client.lease!
    test.pass(lease.length! - .seconds(1))
    #expect(test.client.lease != nil)
    test.pass(.seconds(1))
    #expect(test.client.lease == nil)
    #expect(test.actions.contains(.lost(.expired)))
    test.forget()
    test.pass(.seconds(300))
    // It goes on asking, for that address.
    #expect(!test.sent.isEmpty)
    for message in test.sent.map(\.message) {
      #expect(message.kind == .discover)
      #expect(message.options.address(.requestedAddress) == ClientUnderTest.address)
    }
    #expect(!test.actions.contains(.lost(.expired)), "said once")
    test.answer(.offer, address: IPv4Address(10, 0, 0, 77))
    #expect(test.client.state == .selecting, "another address helps nobody")
    test.answer(.offer)
    test.answer(.acknowledgement)
    #expect(test.actions.last == .bound(test.client.lease!))
  }

  @Test func aRefusedRenewalIsALoss() {
    var test = ClientUnderTest.bound()
    test.pass(test.client.lease!.renewal)
    test.answer(.refusal) { $0.options[.message] = Array("moved".utf8) }
    #expect(test.actions.last == .lost(.refused("moved")))
    #expect(test.client.lease == nil)
    test.pass(.seconds(1))
    #expect(test.client.state == .selecting)
  }

  @Test func anotherAddressIsALoss() {
    var test = ClientUnderTest.bound()
    test.pass(test.client.lease!.renewal)
    let other = IPv4Address(10, 0, 0, 9)
    test.answer(.acknowledgement, address: other)
    #expect(test.actions.last == .lost(.changed(to: other)))
  }

  @Test func releaseGoesToTheServer() throws {
    var test = ClientUnderTest.bound()
    test.actions += test.client.release(at: test.now)
    let release = try #require(test.sent.first)
    #expect(release.to == .unicast(server: ClientUnderTest.server, from: ClientUnderTest.address))
    #expect(release.message.kind == .release)
    #expect(release.message.clientAddress == ClientUnderTest.address)
    #expect(release.message.options.address(.serverIdentifier) == ClientUnderTest.server)
    #expect(release.message.options[.clientIdentifier] == [0, 0x63, 0x31])
    #expect(test.client.state == .idle)
    #expect(test.client.release(at: test.now).isEmpty)
  }

  @Test(arguments: [0, 1799, 1801, 3149, 3151, 3599]) func resumesWhereItStood(seconds: Int) throws {
    var lease = ClientUnderTest.bound().client.lease!
    lease.renewal = .seconds(1800)
    var test = ClientUnderTest(seed: 9)
    test.now += .seconds(seconds)
    test.actions += test.client.resume(lease, at: test.now)
    #expect(test.client.lease == lease)
    let expected: DHCPv4Client.State = seconds < 1800 ? .bound : seconds < 3150 ? .renewing : .rebinding
    #expect(test.client.state == expected)
    #expect(test.sent.count == (expected == .bound ? 0 : 1))
    #expect(test.sent.allSatisfy { $0.message.kind == .request })
    if expected == .bound { #expect(test.client.nextDeadline == .seconds(2800)) }
  }

  @Test func whatRanOutMeanwhileIsAskedForAgain() throws {
    let lease = ClientUnderTest.bound().client.lease!
    var test = ClientUnderTest(seed: 9)
    test.now += .seconds(4000)
    test.actions += test.client.resume(lease, at: test.now)
    #expect(test.client.state == .rebooting)
    #expect(test.client.lease == nil)
    let request = try #require(test.sent.first)
    #expect(request.to == .broadcast)
    #expect(request.message.kind == .request)
    #expect(request.message.options.address(.requestedAddress) == ClientUnderTest.address)
    #expect(request.message.options[.serverIdentifier] == nil)
    #expect(request.message.clientAddress.isUnspecified)
    test.pass(.seconds(11))
    #expect(test.client.state == .selecting, "nobody answers")
    test.answer(.offer)
    test.answer(.acknowledgement)
    #expect(test.client.lease?.address == ClientUnderTest.address)
  }
}
