import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Netlink

/// What the kernel makes of our requests, as `tc` and we ourselves read it back.
@Suite(.requiresRoot) struct TrafficLiveTests {
  private let class10 = TrafficHandle(major: 1, minor: 0x10)

  /// `v0` with a peer, and `ifb0`; gives their indices.
  private func withLinks(_ body: (inout RouteSocket, Int32, Int32) throws -> Void) throws {
    try inNewNetworkNamespace {
      var socket = try RouteSocket()
      try socket.perform([
        .createLink(
          LinkSpecification(name: "v0", kind: .veth(peer: LinkSpecification(name: "v1")), isUp: true)),
        .createLink(LinkSpecification(name: "ifb0", kind: .ifb, isUp: true)),
      ])
      let (link, device) = (try socket.link(named: "v0").index, try socket.link(named: "ifb0").index)
      try body(&socket, link, device)
    }
  }

  private func lines(_ command: String) throws -> [String] {
    try shell(command).split(separator: "\n").map { $0.trimmed }.filter { !$0.isEmpty }
  }

  @Test func tokenBucketsAreWhatTCShows() throws {
    try withLinks { socket, link, _ in
      let clock = try TrafficClock.running()
      let handle = TrafficHandle(major: 1)
      let first = TokenBucket(rate: 2_500_000, burst: 102_400, latency: 25_000, clock: clock)
      try socket.perform(.traffic(.addQdisc(Qdisc(link: link, handle: handle, kind: .tokenBucket(first)))))
      #expect(
        try lines("tc qdisc show dev v0 | sed 's/refcnt [0-9]* //'")
          == ["qdisc tbf 1: root rate 20Mbit burst 100Kb lat 25ms"])
      let read = try #require(
        try socket.perform(.traffic(.getQdisc(link: link, parent: .root))).qdisc?.tokenBucket)
      #expect(read.rate == 2_500_000 && read.buffer == first.buffer && read.limit == first.limit)

      // In place, beyond 32 bits, without tables and with a peak rate.
      var large = TokenBucket(rate: 5_000_000_000, buffer: clock.ticks(microseconds: 2000), limit: 20_000_000)
      large.peakRate = 6_000_000_000
      large.peakBuffer = clock.ticks(microseconds: 20)
      try socket.perform(
        .traffic(.addQdisc(Qdisc(link: link, handle: handle, kind: .tokenBucket(large)), replace: true)))
      #expect(try socket.qdiscs(link: link).first?.tokenBucket == large)
      #expect(try shell("tc qdisc show dev v0").contains("rate 40Gbit burst 10000000b peakrate 48Gbit"))

      let again = socket.refusal(
        .traffic(.addQdisc(Qdisc(link: link, handle: handle, kind: .tokenBucket(first)))))
      #expect(again?.isExists == true)
      try socket.perform(.traffic(.deleteQdisc(link: link, parent: .root, handle: handle)))
      #expect(try socket.perform(.traffic(.getQdisc(link: link, parent: .root))).qdisc == nil)
      #expect(
        socket.refusal(.traffic(.deleteQdisc(link: link, parent: .root, handle: handle)))?.errno
          == .invalidArgument)
    }
  }

  @Test func classesShareALink() throws {
    try withLinks { socket, link, _ in
      let clock = try TrafficClock.running()
      let settings = HTBClass(rate: 1_250_000, ceiling: 2_500_000, quantum: 6000, priority: 3, clock: clock)
      try socket.perform([
        .traffic(
          .addQdisc(Qdisc(link: link, handle: TrafficHandle(major: 1), kind: .htb(.init(defaultClass: 0x10))))
        ),
        .traffic(
          .addClass(
            TrafficClass(
              link: link, parent: TrafficHandle(major: 1), handle: class10, kind: .htbClass(settings)))),
        .traffic(
          .addQdisc(
            Qdisc(
              link: link, parent: class10, handle: TrafficHandle(major: 0x20),
              kind: .tokenBucket(.init(rate: 125_000, burst: 5120, limit: 3000, clock: clock))))),
      ])
      #expect(
        try shell("tc class show dev v0").contains(
          "class htb 1:10 root leaf 20: prio 3 rate 10Mbit ceil 20Mbit"))
      #expect(try shell("tc qdisc show dev v0").contains(" r2q 10 default 0x10"))
      #expect(try shell("tc qdisc show dev v0").contains("qdisc tbf 20: parent 1:10 rate 1Mbit burst 5Kb"))
      let classes = try socket.trafficClasses(link: link)
      // The qdisc below has a class of its own.
      let read = try #require(classes.first { $0.handle == class10 }?.htb)
      #expect(
        read.rate == 1_250_000 && read.ceiling == 2_500_000 && read.quantum == 6000 && read.priority == 3)
      #expect(read.buffer == settings.buffer)
      let root = try #require(try socket.perform(.traffic(.getQdisc(link: link, parent: .root))).qdisc)
      #expect(root.htb?.defaultClass == 0x10)

      try socket.perform([
        .traffic(.deleteQdisc(link: link, parent: class10, handle: TrafficHandle(major: 0x20))),
        .traffic(.deleteClass(link: link, handle: class10)),
      ])
      #expect(try socket.trafficClasses(link: link).isEmpty)
    }
  }

  @Test(arguments: ["ingress", "clsact"])
  func filtersLeadToAnotherLink(qdisc: String) throws {
    try withLinks { socket, link, device in
      try socket.perform([
        .traffic(.addQdisc(Qdisc(link: link, parent: .ingress, kind: TrafficKind(qdisc)))),
        .traffic(
          .addFilter(
            TrafficFilter(
              link: link, parent: .received, priority: 1,
              kind: .u32(matchingAllInto: TrafficHandle(major: 1, minor: 1), actions: [.redirect(to: device)])
            ))),
        .traffic(
          .addFilter(
            TrafficFilter(
              link: link, parent: .received, priority: 50_000, kind: .u32(actions: [.mirror(to: device)])))),
      ])
      let text = try shell("tc filter show dev v0 ingress")
      #expect(text.contains("filter protocol all pref 1 u32") && text.contains("flowid 1:1"))
      #expect(text.contains("match 00000000/00000000 at 0"))
      #expect(text.contains("mirred (Egress Redirect to device ifb0) stolen"))
      #expect(text.contains("mirred (Egress Mirror to device ifb0) pipe"))
      for parent in [TrafficHandle.received, .ingressQdisc] where parent == .received || qdisc == "ingress" {
        let acting = try socket.filters(link: link, parent: parent).filter { !$0.actions.isEmpty }
        #expect(acting.map(\.priority) == [1, 50_000])
        #expect(acting.map(\.actions) == [[.redirect(to: device)], [.mirror(to: device)]])
      }
      #expect(try socket.perform(.traffic(.getQdisc(link: link, parent: .ingress))).qdisc?.kind.name == qdisc)

      var selector = try #require(
        try socket.filters(link: link, parent: .received).first { !$0.isStructure }
      ).selector
      #expect(selector.priority == 1)
      try socket.perform(.traffic(.deleteFilter(selector)))
      #expect(!(try shell("tc filter show dev v0 ingress").contains("Redirect")))
      // Of u32 the hash table remains, until its priority goes.
      #expect(
        try socket.filters(link: link, parent: .received).filter { !$0.isStructure }.map(\.priority) == [
          50_000
        ])
      selector.handle = 0
      selector.kind = ""
      try socket.perform(.traffic(.deleteFilter(selector)))
      #expect(!(try shell("tc filter show dev v0 ingress").contains("pref 1 ")))
      // A link that is gone shows as none.
      try socket.perform(.deleteLink(.index(device)))
      #expect(try socket.filters(link: link, parent: .received).last?.actions == [.mirror(to: 0)])
      try socket.perform(
        .traffic(.deleteQdisc(link: link, parent: .ingress, handle: .ingressQdisc, kind: qdisc)))
      #expect(try socket.filters(link: link, parent: .received).isEmpty)
      #expect(try socket.qdiscs().allSatisfy(\.isDefault))
    }
  }

  @Test(.requiresKernel(.matchall)) func matchallDoesTheSame() throws {
    try withLinks { socket, link, device in
      try socket.perform([
        .traffic(.addQdisc(Qdisc(link: link, parent: .ingress, kind: .clsact))),
        .traffic(
          .addFilter(
            TrafficFilter(
              link: link, parent: .sent, priority: 7, handle: 5,
              kind: .matchAll(actions: [.redirect(to: device)])))),
      ])
      let text = try shell("tc filter show dev v0 egress")
      #expect(text.contains("matchall") && text.contains("Egress Redirect to device ifb0"))
      let acting = try socket.filters(link: link, parent: .sent).filter { !$0.actions.isEmpty }
      #expect(acting.map(\.actions) == [[.redirect(to: device)]])
      #expect(acting.first?.handle == 5)
    }
  }

  @Test(.requiresKernel(.fqCodel)) func fairQueueingHasItsSettings() throws {
    try withLinks { socket, link, _ in
      let settings = FQCodelSettings {
        $0.limit = 1000
        $0.flows = 512
        $0.quantum = 300
        $0.marksCongestion = true
        $0.memoryLimit = 4 << 20
      }
      try socket.perform(.traffic(.addQdisc(Qdisc(link: link, kind: .fqCodel(settings)))))
      #expect(try shell("tc qdisc show dev v0").contains("limit 1000p flows 512 quantum 300"))
      let read = try #require(
        try socket.perform(.traffic(.getQdisc(link: link, parent: .root))).qdisc?.fqCodel)
      #expect(read.limit == 1000 && read.flows == 512 && read.quantum == 300 && read.marksCongestion == true)
      #expect(read.memoryLimit == 4 << 20)
    }
  }

  @Test func askingMakesNothing() throws {
    try inNewNetworkNamespace {
      try shell("ip link set lo up")
      var socket = try RouteSocket()
      let before = try shell("tc qdisc show")
      let answers = try socket.results(of: [
        .traffic(.probeQdisc(link: 1, parent: .root, kind: "tbf")),
        .traffic(.probeQdisc(link: 1, parent: .ingress, kind: "ingress")),
        .traffic(.probeAction(kind: "mirred")),
        .traffic(.probeQdisc(link: 1, parent: .root, kind: "no_such_qdisc")),
        .traffic(.probeAction(kind: "no_such_action")),
      ])
      let codes = answers.map { answer -> Int32 in
        if case .failure(let error) = answer { error.errno.rawValue } else { 0 }
      }
      #expect(codes == [EINVAL, EINVAL, EINVAL, ENOENT, ENOENT])
      #expect(try shell("tc qdisc show") == before)
      #expect(try shell("tc actions list action mirred").split(separator: "\n").count <= 1)
    }
  }

  /// Requests behind one that fails are carried out, and each has its own answer.
  @Test func eachOfABatchHasItsOutcome() throws {
    try withLinks { socket, link, device in
      let outcomes = try socket.results(of: [
        .traffic(.getQdisc(link: link, parent: .ingress)), .getLink(.index(device)),
        .traffic(.addQdisc(.ingress(link: link))), .getLink(.name("absent")),
        .traffic(.getQdisc(link: link, parent: .ingress)),
      ])
      #expect(outcomes.map { (try? $0.get()) != nil } == [false, true, true, false, true])
      #expect(try outcomes[1].get().link?.name == "ifb0")
      #expect(try outcomes[4].get().qdisc?.kind.name == "ingress")
      guard case .failure(let error) = outcomes[3] else { return }
      #expect(error.requestIndex == 3 && error.operation == #"look up link "absent""#)
    }
  }
}

extension RouteSocket {
  /// The error that a request must fail with.
  fileprivate mutating func refusal(_ request: RouteRequest) -> NetlinkError? {
    do {
      try perform(request)
      return nil
    } catch { return error }
  }
}

extension Substring {
  fileprivate var trimmed: String {
    var text = self
    while text.last == " " { text.removeLast() }
    while text.first == " " || text.first == "\t" { text.removeFirst() }
    return String(text)
  }
}
