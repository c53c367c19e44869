import DHCP
import NetworkAddresses
import Testing

private typealias Fixture = DHCPv6ClientFixture

@Suite struct DHCPv6SolicitTests {
  @Test func obtainsALeaseInFourMessages() throws {
    var fixture = Fixture()
    #expect(fixture.client.nextDeadline == nil)
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    #expect(solicit.clientID == Fixture.duid)
    #expect(solicit.serverID == nil)
    #expect(solicit.association(1) == DHCPv6Association(id: 1))
    #expect(solicit.options.contains(.optionRequest([23, 24, 82])))
    #expect(solicit.elapsedTime == 0)
    #expect(!solicit.isRapidCommit)

    fixture.now += .milliseconds(20)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    let request = try fixture.theMessage(.request)
    #expect(request.transactionID != solicit.transactionID)
    #expect(request.serverID == Fixture.server)
    #expect(request.association(1)?.addresses.map(\.address) == [Fixture.address])
    #expect(request.elapsedTime == 0)

    #expect(
      fixture.client.transcript.description
        == "SOLICIT sent, ADVERTISE from 00:03:00:01:02:00:00:00:00:01, REQUEST sent, no answer")

    fixture.now += .milliseconds(20)
    fixture.receive(
      Fixture.answer(
        .reply, to: request, .dnsServers([IPv6Address("fd00::53")!]), .domainSearch(["example.org"])))
    let lease = try fixture.bound()
    let obtained = Duration.milliseconds(40)
    #expect(
      lease
        == DHCPv6Lease(
          addresses: [
            .init(
              Fixture.address, preferredUntil: obtained + .seconds(200), validUntil: obtained + .seconds(300))
          ],
          serverID: Fixture.server, renewAt: obtained + .seconds(100), rebindAt: obtained + .seconds(160),
          dnsServers: [IPv6Address("fd00::53")!], domainSearch: ["example.org"]))
    #expect(fixture.client.lease == lease)
    #expect(fixture.client.nextDeadline == obtained + .seconds(100))
    #expect(fixture.client.transcript.description == "nothing was sent")
  }

  @Test func takesARapidCommit() throws {
    var fixture = Fixture(rapidCommit: true)
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    #expect(solicit.isRapidCommit)
    // Without the option it is no answer to SOLICIT.
    fixture.receive(Fixture.answer(.reply, to: solicit))
    #expect(fixture.client.state == .soliciting)
    fixture.receive(Fixture.answer(.reply, to: solicit, .rapidCommit))
    #expect(try fixture.bound().addresses.map(\.address) == [Fixture.address])

    var unwilling = Fixture()
    unwilling.start()
    let message = try unwilling.theMessage(.solicit)
    unwilling.receive(Fixture.answer(.reply, to: message, .rapidCommit))
    #expect(unwilling.client.state == .soliciting)
  }

  @Test func repeatsSolicitEverMoreSeldom() throws {
    for seed: UInt64 in 1...50 {
      var fixture = Fixture(seed: seed)
      fixture.start()
      let first = try fixture.theMessage(.solicit)
      var expected = 1.0
      for round in 0..<16 {
        let waited = try fixture.wait() / .seconds(1)
        // Each is twice the one before and at most a tenth off; the first is not shorter than a second.
        #expect(waited >= expected * (round == 0 ? 1 : 0.9) - 1e-6 && waited <= expected * 1.1 + 1e-6)
        expected = min(waited * 2, 3600)
        let message = try fixture.theMessage(.solicit)
        #expect(message.transactionID == first.transactionID)
        #expect(message.elapsedTime == UInt16(clamping: Int(fixture.now / .milliseconds(10))))
      }
      #expect(fixture.client.transcript.description == "17 SOLICIT sent, no answer")
    }
  }

  @Test func aServerMayOrderMorePatienceOrLess() throws {
    var fixture = Fixture()
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    // The order counts although the server has no address; one outside of what is allowed does not.
    for seconds: UInt32 in [60, 59, 86401] {
      fixture.receive(
        Fixture.answer(
          .advertise, to: solicit, association: Fixture.refused(.noAddressesAvailable),
          .solicitMaximum(seconds)))
    }
    #expect(fixture.client.state == .soliciting)
    try fixture.pass(.seconds(600))
    try fixture.wait()
    _ = fixture.sent()
    for _ in 0..<5 {
      let waited = try fixture.wait() / .seconds(1)
      #expect(waited > 53 && waited < 67)
    }
  }

  @Test func collectsOffersAndTakesTheBest() throws {
    var fixture = Fixture(selectionTime: .milliseconds(100))
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    #expect(fixture.sent().isEmpty)
    fixture.now += .milliseconds(50)
    fixture.receive(Fixture.answer(.advertise, to: solicit, from: Fixture.other, .preference(7)))
    #expect(fixture.sent().isEmpty)
    #expect(try fixture.wait() == .milliseconds(50))
    #expect(try fixture.theMessage(.request).serverID == Fixture.other)
  }

  @Test func collectsForTheTimeOfTheRFCUnlessToldOtherwise() throws {
    var fixture = Fixture(selectionTime: nil)
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    let waited = try fixture.wait()
    #expect(waited >= .seconds(1) && waited <= .milliseconds(1101))
    #expect(try fixture.theMessage(.request).serverID == Fixture.server)
  }

  @Test func takesTheHighestPreferenceAtOnceAndALateOfferToo() throws {
    var fixture = Fixture(selectionTime: .milliseconds(100))
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit, .preference(255)))
    #expect(try fixture.theMessage(.request).serverID == Fixture.server)

    var slow = Fixture(selectionTime: .milliseconds(100))
    slow.start()
    try slow.pass(.milliseconds(2500))
    let last = try #require(slow.sent().last)
    slow.receive(Fixture.answer(.advertise, to: last))
    _ = try slow.theMessage(.request)
  }

  @Test func passesOverWhoHasNothing() throws {
    var fixture = Fixture(selectionTime: .milliseconds(100))
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    let refusals: [DHCPv6Association?] = [
      Fixture.refused(.noAddressesAvailable, "pool is full"), nil, Fixture.given([]), Fixture.given(valid: 0),
      Fixture.given(preferred: 400), Fixture.given(t1: 9, t2: 8),
      Fixture.given([.any]), Fixture.given([.loopback]), Fixture.given([.allNodes]),
      Fixture.given([IPv6Address("fe80::1")!]),
    ]
    for refusal in refusals {
      fixture.receive(Fixture.answer(.advertise, to: solicit, association: refusal, .preference(255)))
    }
    fixture.receive(
      Fixture.answer(.advertise, to: solicit, .status(DHCPv6Status(.noAddressesAvailable)), .preference(255)))
    #expect(fixture.sent().isEmpty)
    #expect(
      fixture.client.transcript.description.hasPrefix(
        "SOLICIT sent, ADVERTISE from 00:03:00:01:02:00:00:00:00:01: NoAddrsAvail (pool is full), ADVERTISE"))
    fixture.receive(Fixture.answer(.advertise, to: solicit, from: Fixture.other, .preference(255)))
    #expect(try fixture.theMessage(.request).serverID == Fixture.other)
  }

  @Test func itsOwnTimesAreSettings() throws {
    var settings = DHCPv6Client.Settings()
    settings.firstPause = .milliseconds(250)
    settings.longestPause = .seconds(4)
    var client = DHCPv6Client(clientID: Fixture.duid, settings: settings, seed: 7)
    var now = Duration.zero
    _ = client.start(at: now)
    var last = 0.125
    for _ in 0..<8 {
      let next = try #require(client.nextDeadline)
      let waited = (next - now) / .seconds(1)
      #expect(waited >= min(last * 1.9, 3.6) - 1e-6 && waited <= min(last * 2.2, 4.4) + 1e-6)
      last = waited
      now = next
      #expect(client.advance(to: now).count == 1)
    }
    #expect(last > 3.6)
  }

  @Test func ignoresWhatIsNotForIt() throws {
    var fixture = Fixture()
    fixture.receive(Fixture.answer(.advertise, to: DHCPv6Message(.solicit, transactionID: 0)))
    #expect(fixture.client.state == .idle)
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    let good = Fixture.answer(.advertise, to: solicit)
    func expectNothing(
      _ change: (inout DHCPv6Message) -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) {
      var message = good
      change(&message)
      fixture.receive(message)
      #expect(fixture.actions.isEmpty, sourceLocation: sourceLocation)
    }
    expectNothing { $0.transactionID ^= 1 }
    expectNothing { $0.kind = .reply }
    expectNothing { $0.kind = .reconfigure }
    expectNothing { $0.kind = .request }
    expectNothing { $0.options[0] = .clientID(Fixture.other) }
    expectNothing { $0.options.removeFirst() }
    expectNothing { $0.options.remove(at: 1) }
    #expect(fixture.client.transcript.description == "SOLICIT sent, no answer")
    fixture.receive(good)
    _ = try fixture.theMessage(.request)
  }
}

@Suite struct DHCPv6RequestTests {
  @Test func goesToTheNextServerAfterTenRequests() throws {
    var fixture = Fixture(selectionTime: .milliseconds(100))
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit, .preference(9)))
    fixture.receive(Fixture.answer(.advertise, to: solicit, from: Fixture.other))
    try fixture.wait()
    var requests = fixture.sent()
    while let last = requests.last, last.serverID == Fixture.server {
      try fixture.wait()
      requests += fixture.sent()
    }
    #expect(requests.count == 11)
    #expect(requests.last?.serverID == Fixture.other)
    #expect(Set(requests.dropLast().map(\.transactionID)).count == 1)
    // 1 + 2 + 4 + 8 + 16 + 5 times 30 seconds, each a tenth more or less.
    #expect(fixture.now > .seconds(160) && fixture.now < .seconds(205))
    // And when that one does not answer, either, all over again.
    try fixture.pass(.seconds(210))
    #expect(fixture.client.state == .soliciting)
  }

  @Test(arguments: [DHCPv6Status.Code.noAddressesAvailable, .notOnLink])
  func looksForAnotherServerWhenItIsRefused(_ code: DHCPv6Status.Code) throws {
    var fixture = Fixture()
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    let request = try fixture.theMessage(.request)
    fixture.receive(
      code == .notOnLink
        ? Fixture.answer(.reply, to: request, .status(DHCPv6Status(code)))
        : Fixture.answer(.reply, to: request, association: Fixture.refused(code)))
    // Not at once: the same server would offer and refuse as fast as the two can talk.
    #expect(fixture.sent().isEmpty)
    #expect(try fixture.wait() == .seconds(1))
    let again = try fixture.theMessage(.solicit)
    #expect(again.transactionID != solicit.transactionID)
    #expect(again.elapsedTime == 0)
    let record = fixture.client.transcript.description
    #expect(record.contains(code == .notOnLink ? "NotOnLink" : "NoAddrsAvail"))
  }

  @Test func aServerThatGoesOnRefusingIsAskedLessAndLess() throws {
    var fixture = Fixture()
    fixture.start()
    func refuse(_ expected: Int) throws {
      let solicit = try fixture.theMessage(.solicit)
      fixture.receive(Fixture.answer(.advertise, to: solicit))
      let request = try fixture.theMessage(.request)
      fixture.receive(
        Fixture.answer(.reply, to: request, association: Fixture.refused(.noAddressesAvailable)))
      #expect(try fixture.wait() == .seconds(expected))
    }
    for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600] { try refuse(pause) }
    // A lease ends that.
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    fixture.receive(Fixture.answer(.reply, to: try fixture.theMessage(.request)))
    try #require(fixture.client.state == .bound)
    fixture.actions = fixture.client.start(at: fixture.now)
    try refuse(1)
  }

  @Test func givesBackWhatAServerMayHaveGivenWhenItEnds() throws {
    var fixture = Fixture()
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit, from: Fixture.other))
    _ = try fixture.theMessage(.request)
    fixture.actions = fixture.client.release(at: fixture.now)
    let release = try fixture.theMessage(.release)
    #expect(release.serverID == Fixture.other)
    #expect(release.association(1)?.addresses.map(\.address) == [Fixture.address])
    fixture.receive(Fixture.answer(.reply, to: release, from: Fixture.other, association: nil))
    #expect(fixture.actions == [.finished])
  }

  @Test func hasNothingToGiveBackOfWhatWasRefused() throws {
    var fixture = Fixture()
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    let request = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: request, association: Fixture.refused(.noAddressesAvailable)))
    #expect(fixture.client.release(at: fixture.now) == [.finished])
  }

  @Test func asksTheNextServerAtOnceWhenThereIsOne() throws {
    var fixture = Fixture(selectionTime: .milliseconds(100))
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    fixture.receive(Fixture.answer(.advertise, to: solicit, from: Fixture.other))
    try fixture.wait()
    let request = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: request, association: Fixture.refused(.noAddressesAvailable)))
    #expect(try fixture.theMessage(.request).serverID == Fixture.other)
  }

  @Test func asksAgainInItsOwnTimeAfterAnUnspecifiedFailure() throws {
    var fixture = Fixture()
    fixture.start()
    let solicit = try fixture.theMessage(.solicit)
    fixture.receive(Fixture.answer(.advertise, to: solicit))
    let request = try fixture.theMessage(.request)
    fixture.receive(Fixture.answer(.reply, to: request, .status(DHCPv6Status(.unspecifiedFailure, "busy"))))
    #expect(fixture.sent().isEmpty)
    #expect(try fixture.wait() >= .milliseconds(899))
    let again = try fixture.theMessage(.request)
    // Another server's answer is not what was asked for.
    fixture.receive(Fixture.answer(.reply, to: again, from: Fixture.other))
    #expect(fixture.client.state == .requesting)
    fixture.receive(Fixture.answer(.reply, to: again))
    #expect(fixture.client.state == .bound)
  }
}
