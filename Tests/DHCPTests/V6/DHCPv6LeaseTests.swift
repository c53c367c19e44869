import DHCP
import NetworkAddresses
import Testing

private typealias Fixture = DHCPv6ClientFixture

@Suite struct DHCPv6LeaseTests {
  @Test func renewsAtT1AndRebindsAtT2AndStartsOverAtTheEnd() throws {
    var fixture = Fixture()
    try fixture.obtain()
    #expect(try fixture.wait() == .seconds(100))
    #expect(fixture.client.state == .renewing)
    let renew = try fixture.theMessage(.renew)
    #expect(renew.serverID == Fixture.server)
    #expect(renew.association(1)?.addresses.map(\.address) == [Fixture.address])
    try fixture.pass(.seconds(59))
    let renewals = fixture.sent()
    #expect(renewals.allSatisfy { $0.transactionID == renew.transactionID && $0.kind == .renew })
    #expect(renewals.count == 2)  // after 10 and 30 seconds

    try fixture.pass(.seconds(1))
    #expect(fixture.client.state == .rebinding)
    let rebind = try fixture.theMessage(.rebind)
    #expect(rebind.serverID == nil)
    #expect(rebind.association(1)?.addresses.map(\.address) == [Fixture.address])
    #expect(rebind.elapsedTime == 0)

    try fixture.pass(.milliseconds(139_999))
    #expect(fixture.sent().map(\.kind) == [.rebind, .rebind, .rebind])  // after 10, 30, 70 seconds
    #expect(fixture.client.lease != nil)
    try fixture.pass(.milliseconds(1))
    #expect(fixture.now == .seconds(300))
    #expect(fixture.lost == [.lost([Fixture.address], .expired)])
    #expect(fixture.client.lease == nil)
    // The address that it had is what it would like to have.
    let solicit = try fixture.theMessage(.solicit)
    #expect(solicit.association(1)?.addresses.map(\.address) == [Fixture.address])
    #expect(
      fixture.client.transcript.description
        == "3 RENEW sent, 4 REBIND sent, SOLICIT sent, no answer")
  }

  @Test func aRenewalExtendsTheLease() throws {
    var fixture = Fixture()
    try fixture.obtain()
    for round in 1...3 {
      try fixture.wait()
      let renew = try fixture.theMessage(.renew)
      // Only the server that was asked may answer.
      fixture.receive(Fixture.answer(.reply, to: renew, from: Fixture.other))
      #expect(fixture.client.state == .renewing)
      fixture.receive(Fixture.answer(.reply, to: renew))
      let lease = try fixture.bound()
      #expect(lease.addresses[0].validUntil == .seconds(100 * round + 300))
      #expect(lease.renewAt == .seconds(100 * round + 100))
      #expect(fixture.lost.isEmpty)
      fixture.actions = []
    }
  }

  @Test func anotherServerMayTakeOverAtT2() throws {
    var fixture = Fixture()
    try fixture.obtain()
    try fixture.pass(.seconds(160))
    let rebind = try #require(fixture.sent().last)
    #expect(rebind.kind == .rebind)
    fixture.receive(Fixture.answer(.reply, to: rebind, from: Fixture.other))
    #expect(try fixture.bound().serverID == Fixture.other)
    fixture.actions = []
    try fixture.wait()
    #expect(try fixture.theMessage(.renew).serverID == Fixture.other)
  }

  @Test func aServerWithoutMemoryIsAskedForTheSameAddress() throws {
    var fixture = Fixture()
    try fixture.obtain()
    try fixture.wait()
    let renew = try fixture.theMessage(.renew)
    fixture.receive(Fixture.answer(.reply, to: renew, association: Fixture.refused(.noBinding)))
    let request = try fixture.theMessage(.request)
    #expect(request.serverID == Fixture.server)
    #expect(request.association(1)?.addresses.map(\.address) == [Fixture.address])
    #expect(fixture.client.lease != nil)
    fixture.receive(Fixture.answer(.reply, to: request))
    #expect(fixture.lost.isEmpty)
    #expect(try fixture.bound().addresses.map(\.address) == [Fixture.address])
  }

  @Test func anotherAddressIsOfNoUse() throws {
    var fixture = Fixture()
    try fixture.obtain()
    try fixture.wait()
    let renew = try fixture.theMessage(.renew)
    fixture.receive(Fixture.answer(.reply, to: renew, association: Fixture.refused(.noBinding)))
    let request = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: request, association: Fixture.given([Fixture.changed])))
    #expect(fixture.actions == [.lost([Fixture.address], .changed(to: [Fixture.changed]))])
    #expect(fixture.client.lease == nil)

    // It asks for the one that it had, and takes no other.
    #expect(try fixture.wait() == .seconds(1))
    let solicit = try fixture.theMessage(.solicit)
    #expect(solicit.association(1)?.addresses.map(\.address) == [Fixture.address])
    fixture.receive(Fixture.answer(.advertise, to: solicit, association: Fixture.given([Fixture.changed])))
    #expect(fixture.sent().isEmpty)
    #expect(fixture.client.transcript.description.hasSuffix("(fd00:6::200 is not what this interface has)"))
    fixture.receive(Fixture.answer(.advertise, to: solicit, from: Fixture.other))
    let again = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: again, from: Fixture.other))
    #expect(try fixture.bound().addresses.map(\.address) == [Fixture.address])
    #expect(fixture.lost.isEmpty)
  }

  @Test func theLeaseEndsEvenWhileAServerIsAskedAnew() throws {
    var fixture = Fixture()
    try fixture.obtain()
    try fixture.wait()
    let renew = try fixture.theMessage(.renew)
    fixture.receive(Fixture.answer(.reply, to: renew, association: Fixture.refused(.noBinding)))
    try fixture.pass(.seconds(199))
    #expect(fixture.lost.isEmpty)
    try fixture.pass(.seconds(1))
    #expect(fixture.lost == [.lost([Fixture.address], .expired)])
    #expect(fixture.client.lease == nil)
  }

  @Test func aWithdrawnAddressGoesAtOnceAndAnotherStays() throws {
    var fixture = Fixture()
    try fixture.obtain(Fixture.given([Fixture.address, Fixture.changed]))
    #expect(fixture.client.lease?.addresses.count == 2)
    try fixture.wait()
    let renew = try fixture.theMessage(.renew)
    var answer = Fixture.given([Fixture.changed])
    answer.options.append(.address(DHCPv6Address(Fixture.address, preferredLifetime: 0, validLifetime: 0)))
    fixture.receive(Fixture.answer(.reply, to: renew, association: answer))
    #expect(fixture.lost == [.lost([Fixture.address], .withdrawn)])
    #expect(try fixture.bound().addresses.map(\.address) == [Fixture.changed])
  }

  @Test func theLastAddressWithdrawnMeansToStartOver() throws {
    for replacement in [[], [Fixture.changed]] {
      var fixture = Fixture()
      try fixture.obtain()
      try fixture.wait()
      let renew = try fixture.theMessage(.renew)
      var answer = Fixture.given(replacement)
      answer.options.append(.address(DHCPv6Address(Fixture.address, preferredLifetime: 0, validLifetime: 0)))
      fixture.receive(Fixture.answer(.reply, to: renew, association: answer))
      #expect(
        fixture.actions
          == [.lost([Fixture.address], replacement.isEmpty ? .withdrawn : .changed(to: replacement))])
      #expect(fixture.client.lease == nil)
      try fixture.wait()
      _ = try fixture.theMessage(.solicit)
    }
  }

  @Test func anAddressThatAnAnswerDoesNotMentionKeepsItsTime() throws {
    var fixture = Fixture()
    try fixture.obtain(Fixture.given([Fixture.address, Fixture.changed]))
    try fixture.wait()
    let renew = try fixture.theMessage(.renew)
    // Nothing is said about any address: it is asked on.
    fixture.receive(Fixture.answer(.reply, to: renew, association: Fixture.given([])))
    #expect(fixture.client.state == .renewing)
    fixture.receive(
      Fixture.answer(
        .reply, to: renew,
        association: Fixture.given([Fixture.changed], t1: 500, t2: 600, preferred: 700, valid: 800)))
    let lease = try fixture.bound()
    #expect(lease.addresses.map(\.address) == [Fixture.changed, Fixture.address])
    #expect(lease.addresses.map(\.validUntil) == [.seconds(900), .seconds(300)])
    fixture.actions = []
    try fixture.pass(.seconds(200))
    #expect(fixture.actions == [.lost([Fixture.address], .expired)])
    #expect(fixture.client.lease?.addresses.map(\.address) == [Fixture.changed])
    #expect(fixture.client.state == .bound)
  }

  @Test func failuresWithoutEffectAreWaitedOut() throws {
    var fixture = Fixture()
    try fixture.obtain()
    try fixture.wait()
    let renew = try fixture.theMessage(.renew)
    fixture.receive(Fixture.answer(.reply, to: renew, association: nil))
    fixture.receive(Fixture.answer(.reply, to: renew, .status(DHCPv6Status(.unspecifiedFailure))))
    fixture.receive(Fixture.answer(.reply, to: renew, association: Fixture.refused(.noAddressesAvailable)))
    fixture.receive(Fixture.answer(.reply, to: renew, association: Fixture.given(t1: 9, t2: 8)))
    #expect(fixture.actions.isEmpty)
    #expect(fixture.client.state == .renewing)
    #expect(fixture.client.lease?.addresses.map(\.address) == [Fixture.address])
  }

  /// T1, T2, preferred and valid lifetime as they come; T1 and T2 as they are meant.
  @Test(
    arguments: [
      (0, 0, 1000, 2000, 500, 800), (0, 400, 1000, 2000, 250, 400), (300, 0, 1000, 2000, 300, 800),
      (900, 0, 1000, 2000, 900, 900), (0, 0, 0, 2000, 1000, 1600),
      (UInt32.max, UInt32.max, UInt32.max, UInt32.max, nil, nil), (0, 0, UInt32.max, UInt32.max, nil, nil),
      (100, UInt32.max, 1000, 2000, 100, nil), (0, 0, 1, 1, 1, 1), (0, 0, 1, 20, 1, 1),
    ] as [(UInt32, UInt32, UInt32, UInt32, Int?, Int?)])
  func timesLeftToTheClient(
    _ t1: UInt32, _ t2: UInt32, _ preferred: UInt32, _ valid: UInt32, _ renew: Int?, _ rebind: Int?
  ) throws {
    var fixture = Fixture()
    try fixture.obtain(Fixture.given(t1: t1, t2: t2, preferred: preferred, valid: valid))
    let lease = try #require(fixture.client.lease)
    #expect(lease.renewAt == renew.map { .seconds($0) })
    #expect(lease.rebindAt == rebind.map { .seconds($0) })
    #expect(lease.validUntil == (valid == .max ? nil : .seconds(Int(valid))))
    if valid == .max { #expect(fixture.client.nextDeadline == nil) }
  }

  @Test func aLongSleepIsFollowedByWhatIsDueThenAndNotBefore() throws {
    for (slept, kind) in [(170, DHCPv6Message.Kind.rebind), (110, .renew), (500, .solicit)] {
      var fixture = Fixture()
      try fixture.obtain()
      fixture.now = .seconds(slept)
      fixture.actions = fixture.client.advance(to: fixture.now)
      #expect(fixture.lost.isEmpty == (kind != .solicit))
      _ = try fixture.theMessage(kind)
    }
  }
}

@Suite struct DHCPv6ResumeTests {
  private static let lease = DHCPv6Lease(
    addresses: [.init(Fixture.address, preferredUntil: .seconds(200), validUntil: .seconds(300))],
    serverID: Fixture.server, renewAt: .seconds(100), rebindAt: .seconds(160))

  /// When the client is there again, and what it says then.
  @Test(
    arguments: [(50, nil), (120, .renew), (200, .rebind), (400, .solicit)] as [(Int, DHCPv6Message.Kind?)])
  func goesOnWhereItStopped(_ seconds: Int, _ kind: DHCPv6Message.Kind?) throws {
    var fixture = Fixture()
    fixture.now = .seconds(seconds)
    fixture.actions = fixture.client.resume(Self.lease, at: fixture.now)
    #expect(fixture.lost.isEmpty == (kind != .solicit))
    #expect(fixture.sent().map(\.kind) == (kind.map { [$0] } ?? []))
    if kind == nil { #expect(fixture.client.nextDeadline == .seconds(100)) }
  }

  @Test func confirmsTheLink() throws {
    var fixture = Fixture()
    fixture.actions = fixture.client.resume(Self.lease, at: .zero, verifying: .confirm)
    let confirm = try fixture.theMessage(.confirm)
    #expect(confirm.serverID == nil)
    #expect(confirm.association(1)?.addresses.map(\.address) == [Fixture.address])
    fixture.receive(Fixture.answer(.reply, to: confirm, association: nil, .status(DHCPv6Status(.success))))
    #expect(fixture.client.state == .bound)
    #expect(fixture.client.lease == Self.lease)
    #expect(fixture.client.nextDeadline == .seconds(100))
  }

  @Test func leavesALinkThatIsAnother() throws {
    var fixture = Fixture()
    fixture.actions = fixture.client.resume(Self.lease, at: .zero, verifying: .confirm)
    let confirm = try fixture.theMessage(.confirm)
    fixture.receive(Fixture.answer(.reply, to: confirm, association: nil, .status(DHCPv6Status(.notOnLink))))
    #expect(fixture.lost == [.lost([Fixture.address], .notOnLink)])
    #expect(try fixture.theMessage(.solicit).association(1)?.addresses.map(\.address) == [Fixture.address])
  }

  @Test func noAnswerToConfirmIsNoReasonToGiveUpAnAddress() throws {
    var fixture = Fixture()
    fixture.actions = fixture.client.resume(Self.lease, at: .zero, verifying: .confirm)
    try fixture.pass(.seconds(10))
    #expect(fixture.client.state == .bound)
    #expect(fixture.sent().map(\.kind) == [.confirm, .confirm, .confirm, .confirm])  // at 0, 1, 3, 7 s
    #expect(fixture.client.lease == Self.lease)
    try fixture.pass(.seconds(90))
    #expect(fixture.client.state == .renewing)
  }

  @Test func rebindsWhenToldTo() throws {
    var fixture = Fixture()
    fixture.actions = fixture.client.resume(Self.lease, at: .zero, verifying: .rebind)
    let rebind = try fixture.theMessage(.rebind)
    fixture.receive(Fixture.answer(.reply, to: rebind, from: Fixture.other))
    #expect(try fixture.bound().serverID == Fixture.other)
  }
}

@Suite struct DHCPv6ReleaseTests {
  @Test func releasesAndIsDoneWithTheAnswer() throws {
    var fixture = Fixture()
    try fixture.obtain()
    fixture.actions = fixture.client.release(at: fixture.now)
    #expect(fixture.client.lease == nil)
    let release = try fixture.theMessage(.release)
    #expect(release.serverID == Fixture.server)
    #expect(release.association(1)?.addresses.map(\.address) == [Fixture.address])
    fixture.receive(
      Fixture.answer(
        .reply, to: release, association: nil, .status(DHCPv6Status(.noBinding, "never heard of you"))))
    #expect(fixture.actions == [.finished])
    #expect(fixture.client.state == .finished)
    #expect(fixture.client.nextDeadline == nil)
  }

  @Test func givesUpAfterFourReleases() throws {
    var fixture = Fixture()
    try fixture.obtain()
    fixture.actions = fixture.client.release(at: fixture.now)
    try fixture.pass(.seconds(20))
    #expect(fixture.actions.last == .finished)
    #expect(fixture.sent().map(\.kind) == [.release, .release, .release, .release])
    #expect(fixture.client.state == .finished)
  }

  @Test func withoutALeaseThereIsNothingToSay() {
    var fixture = Fixture()
    #expect(fixture.client.release(at: .zero) == [.finished])
    fixture.start()
    fixture.actions = fixture.client.release(at: .zero)
    #expect(fixture.actions == [.finished])
    #expect(fixture.client.nextDeadline == nil)
  }

  @Test func endsWithoutAWordWhenToldTo() throws {
    var fixture = Fixture()
    try fixture.obtain()
    fixture.client.stop()
    #expect(fixture.client.nextDeadline == nil)
    #expect(fixture.client.lease == nil)
    #expect(fixture.client.advance(to: .seconds(1000)).isEmpty)
  }
}

@Suite struct DHCPv6ProbingTests {
  private func probing(_ association: DHCPv6Association = Fixture.given()) throws -> Fixture {
    var fixture = Fixture(probing: .milliseconds(100))
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    let request = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: request, association: association))
    #expect(fixture.actions == [.probe(association.addresses.map(\.address))])
    #expect(fixture.client.state == .probing)
    fixture.actions = []
    return fixture
  }

  @Test func usesAnAddressThatNobodyClaims() throws {
    var fixture = try probing()
    #expect(fixture.client.conflict(over: Fixture.changed, at: fixture.now).isEmpty)
    #expect(try fixture.wait() == .milliseconds(50))
    #expect(fixture.actions == [.probe([Fixture.address])])
    fixture.actions = []
    #expect(try fixture.wait() == .milliseconds(50))
    let lease = try fixture.bound()
    // The time that it took to probe is none that the server has added.
    #expect(lease.renewAt == .seconds(100))
    // Afterwards the kernel defends it.
    #expect(fixture.client.conflict(over: Fixture.address, at: fixture.now).isEmpty)
  }

  @Test func declinesOneThatSomebodyHasAndLooksForAnother() throws {
    var fixture = try probing()
    fixture.actions = fixture.client.conflict(over: Fixture.address, at: fixture.now)
    let decline = try fixture.theMessage(.decline)
    #expect(decline.serverID == Fixture.server)
    #expect(decline.association(1)?.addresses.map(\.address) == [Fixture.address])
    #expect(
      fixture.client.transcript.description.hasSuffix(
        "fd00:6::100 is in use by another host, DECLINE sent, no answer"))
    fixture.receive(
      Fixture.answer(.reply, to: decline, association: nil, .status(DHCPv6Status(.success))))
    let solicit = try fixture.theMessage(.solicit)
    #expect(solicit.association(1)?.addresses.isEmpty == true)
    fixture.receive(
      Fixture.answer(.advertise, to: solicit, association: Fixture.given([Fixture.changed])))
    let request = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: request, association: Fixture.given([Fixture.changed])))
    try fixture.pass(.milliseconds(100))
    #expect(try fixture.bound().addresses.map(\.address) == [Fixture.changed])
  }

  @Test func givesBackWhatCameWithADeclinedAddress() throws {
    var fixture = try probing(Fixture.given([Fixture.address, Fixture.changed]))
    fixture.actions = fixture.client.conflict(over: Fixture.address, at: fixture.now)
    let decline = try fixture.theMessage(.decline)
    #expect(decline.association(1)?.addresses.map(\.address) == [Fixture.address])
    var ended = fixture.client
    fixture.receive(Fixture.answer(.reply, to: decline, association: nil))
    let release = try fixture.theMessage(.release)
    #expect(release.serverID == Fixture.server)
    #expect(release.association(1)?.addresses.map(\.address) == [Fixture.changed])
    fixture.receive(Fixture.answer(.reply, to: release, association: nil))
    _ = try fixture.theMessage(.solicit)
    #expect(fixture.client.state == .soliciting)

    // Also when that is the end, before the server has answered.
    fixture.actions = ended.release(at: fixture.now)
    #expect(
      try fixture.theMessage(.release).association(1)?.addresses.map(\.address) == [Fixture.changed])
  }

  @Test func givesBackWhatItWasAboutToUse() throws {
    var fixture = try probing()
    fixture.actions = fixture.client.release(at: fixture.now)
    #expect(try fixture.theMessage(.release).association(1)?.addresses.map(\.address) == [Fixture.address])
  }

  @Test func aLeaseFromBeforeIsNotProbedFor() throws {
    var fixture = Fixture(probing: .milliseconds(100))
    let lease = DHCPv6Lease(
      addresses: [.init(Fixture.address, preferredUntil: nil, validUntil: .seconds(300))],
      serverID: Fixture.server, renewAt: .seconds(100), rebindAt: .seconds(160))
    fixture.now = .seconds(400)
    fixture.actions = fixture.client.resume(lease, at: fixture.now)
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    let request = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: request))
    #expect(fixture.client.state == .bound)
  }
}
