import Testing

@testable import Netlink

/// Our bytes against those that `tc` sends for the same command; see `Golden/route/capture-route.sh`.
@Suite struct TrafficGoldenTests {
  /// Interfaces of the capture.
  private let port = RouteGoldenTests.port
  private let device: Int32 = 14
  /// That of the machine of the capture, as of every other.
  private let clock = TrafficClock(ticksPerMicrosecond: 15.625, wakeupsPerSecond: 1e9)

  private func check(_ name: String, _ cases: [(command: String, request: TrafficRequest)]) throws {
    try RouteGoldenTests().check("../traffic/\(name)", cases.map { ($0.command, .traffic($0.request)) })
  }

  private func add(
    _ kind: TrafficKind, _ parent: TrafficHandle = .root, _ handle: UInt16 = 0, replace: Bool = false
  ) -> TrafficRequest {
    .addQdisc(
      Qdisc(link: port, parent: parent, handle: TrafficHandle(major: handle), kind: kind), replace: replace)
  }

  @Test func tokenBuckets() throws {
    let class10 = TrafficHandle(major: 1, minor: 0x10)
    try check(
      "tbf",
      [
        (
          "tc qdisc add dev v0 root handle 1: tbf rate 20mbit burst 100kb latency 25ms",
          add(.tokenBucket(.init(rate: 2_500_000, burst: 102_400, latency: 25_000, clock: clock)), .root, 1)
        ),
        (
          "tc qdisc add dev v0 parent 1:10 tbf rate 1mbit burst 5kb limit 3000",
          add(.tokenBucket(.init(rate: 125_000, burst: 5120, limit: 3000, clock: clock)), class10)
        ),
        (
          "tc qdisc replace dev v0 root handle 1: tbf rate 40gbit burst 64mb latency 50ms",
          add(
            .tokenBucket(.init(rate: 5_000_000_000, burst: 64 << 20, latency: 50_000, clock: clock)), .root,
            1,
            replace: true)
        ),
        (
          "tc qdisc add dev v0 root handle 2: tbf rate 1mbit burst 10kb latency 70ms peakrate 2mbit minburst 1540",
          add(
            .tokenBucket(
              .init(
                rate: 125_000, burst: 10_240, latency: 70_000, peakRate: 250_000, mtu: 1540, clock: clock)),
            .root, 2)
        ),
        (
          "tc qdisc add dev v0 root handle 2: tbf rate 35gbit burst 10mb limit 20mb peakrate 40gbit minburst 9000",
          add(
            .tokenBucket(
              .init(
                rate: 4_375_000_000, burst: 10 << 20, limit: 20 << 20, peakRate: 5_000_000_000, mtu: 9000,
                clock: clock)),
            .root, 2)
        ),
      ])
  }

  @Test func qdiscs() throws {
    let every = FQCodelSettings {
      $0.limit = 1000
      $0.flows = 512
      $0.quantum = 300
      $0.interval = 50_000
      $0.target = 2000
      $0.marksCongestion = true
      $0.congestionThreshold = 1000
      $0.memoryLimit = 4 << 20
      $0.dropBatch = 32
    }
    func delete(_ parent: TrafficHandle, _ handle: TrafficHandle = .unspecified, _ kind: String = "")
      -> TrafficRequest
    {
      .deleteQdisc(link: port, parent: parent, handle: handle, kind: kind)
    }
    try check(
      "qdisc",
      [
        ("tc qdisc add dev v0 handle ffff: ingress", .addQdisc(.ingress(link: port))),
        ("tc qdisc add dev v0 clsact", add(.clsact, .ingress, 0xffff)),
        ("tc qdisc add dev v0 root handle 1: htb default 10", add(.htb(.init(defaultClass: 0x10)), .root, 1)),
        (
          "tc qdisc add dev v0 root handle 1: htb default 10 r2q 20 direct_qlen 500",
          add(.htb(.init(defaultClass: 0x10, rateToQuantum: 20, directQueueLength: 500)), .root, 1)
        ),
        ("tc qdisc add dev v0 root fq_codel", add(.fqCodel())),
        (
          "tc qdisc add dev v0 parent 1:10 handle 10: fq_codel limit 1000 flows 512 quantum 300 target 2ms "
            + "interval 50ms ecn memory_limit 4mb ce_threshold 1ms drop_batch 32",
          add(.fqCodel(every), TrafficHandle(major: 1, minor: 0x10), 0x10)
        ),
        ("tc qdisc add dev v0 root fq_codel noecn", add(.fqCodel(.init { $0.marksCongestion = false }))),
        ("tc qdisc del dev v0 root", delete(.root)),
        ("tc qdisc del dev v0 root handle 1:", delete(.root, TrafficHandle(major: 1))),
        ("tc qdisc del dev v0 ingress", delete(.ingress, .ingressQdisc, "ingress")),
        ("tc qdisc del dev v0 clsact", delete(.ingress, .ingressQdisc, "clsact")),
      ])
    #expect(FQCodelSettings(TrafficKind.fqCodel(every).attributes) == every)
  }

  @Test func classes() throws {
    let parent = TrafficHandle(major: 1)
    let class10 = TrafficHandle(major: 1, minor: 0x10)
    func add(
      _ handle: TrafficHandle, below parent: TrafficHandle, _ settings: HTBClass, replace: Bool = false
    ) -> TrafficRequest {
      .addClass(
        TrafficClass(link: port, parent: parent, handle: handle, kind: .htbClass(settings)), replace: replace)
    }
    try check(
      "class",
      [
        (
          "tc class add dev v0 parent 1: classid 1:10 htb rate 10mbit",
          add(class10, below: parent, HTBClass(rate: 1_250_000, clock: clock))
        ),
        (
          "tc class add dev v0 parent 1:10 classid 1:11 htb rate 10mbit ceil 20mbit burst 15k cburst 30k quantum 6000 prio 3",
          add(
            TrafficHandle(major: 1, minor: 0x11), below: class10,
            HTBClass(
              rate: 1_250_000, ceiling: 2_500_000, burst: 15 << 10, ceilingBurst: 30 << 10, quantum: 6000,
              priority: 3, clock: clock))
        ),
        (
          "tc class replace dev v0 parent 1: classid 1:10 htb rate 40gbit burst 10mb cburst 10mb",
          add(
            class10, below: parent,
            HTBClass(rate: 5_000_000_000, burst: 10 << 20, ceilingBurst: 10 << 20, clock: clock),
            replace: true)
        ),
        ("tc class del dev v0 classid 1:10", .deleteClass(link: port, handle: class10)),
      ])
  }

  @Test func filters() throws {
    let class1 = TrafficHandle(major: 1, minor: 1)
    let class10 = TrafficHandle(major: 1, minor: 0x10)
    func add(
      _ parent: TrafficHandle, _ priority: UInt16, _ kind: TrafficKind, handle: UInt32 = 0,
      protocol: UInt16 = TrafficFilter.allProtocols
    ) -> TrafficRequest {
      .addFilter(
        TrafficFilter(
          link: port, parent: parent, priority: priority, protocol: `protocol`, handle: handle, kind: kind))
    }
    func delete(
      _ parent: TrafficHandle, _ priority: UInt16 = 0, _ protocol: UInt16 = 0, _ handle: UInt32 = 0,
      _ kind: String = ""
    ) -> TrafficRequest {
      .deleteFilter(
        TrafficFilterSelector(
          link: port, parent: parent, priority: priority, protocol: `protocol`, handle: handle, kind: kind))
    }
    let redirect: [TrafficAction] = [.redirect(to: device)]
    let mirror: [TrafficAction] = [.mirror(to: device)]
    let start = "tc filter add dev v0"
    try check(
      "filter",
      [
        (
          "\(start) parent ffff: protocol all prio 1 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev ifb0",
          add(.ingressQdisc, 1, .u32(matchingAllInto: class1, actions: redirect))
        ),
        (
          "\(start) parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev ifb0",
          add(.ingressQdisc, 1, .u32(actions: redirect))
        ),
        (
          "\(start) ingress protocol all prio 50000 u32 match u32 0 0 flowid 1:1 action mirred egress mirror dev ifb0",
          add(.received, 50_000, .u32(matchingAllInto: class1, actions: mirror))
        ),
        (
          "\(start) ingress protocol all prio 7 matchall action mirred egress redirect dev ifb0",
          add(.received, 7, .matchAll(actions: redirect))
        ),
        (
          "\(start) egress protocol ip prio 8 handle 5 matchall classid 1:10 action mirred egress mirror dev ifb0",
          add(.sent, 8, .matchAll(classID: class10, actions: mirror), handle: 5, protocol: 0x0800)
        ),
        (
          "\(start) parent 1: protocol all prio 3 matchall classid 1:10",
          add(TrafficHandle(major: 1), 3, .matchAll(classID: class10))
        ),
        (
          "tc filter del dev v0 parent ffff: protocol all prio 1 handle 800::800 u32",
          delete(.ingressQdisc, 1, TrafficFilter.allProtocols, 0x8000_0800, "u32")
        ),
        (
          "tc filter del dev v0 parent ffff: protocol all prio 1",
          delete(.ingressQdisc, 1, TrafficFilter.allProtocols)
        ),
        ("tc filter del dev v0 ingress", delete(.received)),
      ])
  }

  @Test func theClockIsThatOfTheKernel() throws {
    #expect(TrafficClock("000003e8 00000040 000f4240 3b9aca00\n") == clock)
    // A clock that counts nanoseconds: tick and unit are one.
    #expect(TrafficClock("000003e8 00000040 3b9aca00 3b9aca00")?.ticksPerMicrosecond == 1000)
    for text in ["", "1 2 3", "0 0 0 0", "x y z w"] { #expect(TrafficClock(text) == nil) }
    #expect(try TrafficClock.running().ticksPerMicrosecond > 0)
    #expect(clock.ticks(microseconds: .max) == .max)
    #expect(clock.ticks(bytes: 1000, rate: 0) == .max)
    #expect(clock.ticks(bytes: 102_400, rate: 2_500_000) == 640_000)
  }

  @Test func handlesReadLikeThoseOfTC() {
    #expect(TrafficHandle.root.description == "root")
    #expect(TrafficHandle(major: 0x10, minor: 0xab).description == "10:ab")
    #expect(TrafficHandle.ingressQdisc.description == "ffff:")
    #expect(TrafficHandle.received.major == 0xffff && TrafficHandle.received.minor == 0xfff2)
  }

  @Test func whatIsCutOffOrForeignIsNothing() {
    #expect(TokenBucket(Attributes([8, 0, 1, 0, 1, 2, 3, 4])) == nil)
    #expect(HTBSettings(Attributes([])) == nil)
    #expect(HTBClass(Attributes([8, 0, 1, 0, 1, 2, 3, 4])) == nil)
    // An action without a kind, and mirred without its settings.
    #expect(TrafficAction(Attributes([])) == nil)
    #expect(
      TrafficAction(Attributes([11, 0, 1, 0] + Array("mirred".utf8) + [0])) == .other("mirred"))
    let request = RouteRequest.traffic(
      .addFilter(
        TrafficFilter(
          link: 1, parent: .received, priority: 9, kind: .u32(actions: [.redirect(to: 7), .mirror(to: 8)]))))
    let message = try? ReceivedMessage.parse(request.encoded()).first
    let filter = message.flatMap { TrafficFilter($0) }
    #expect(filter?.actions == [.redirect(to: 7), .mirror(to: 8)])
    #expect(filter?.priority == 9 && filter?.protocol == 3 && filter?.parent == .received)
    #expect(message.flatMap { Qdisc($0) } == nil)
    // Cut anywhere, it does not trap.
    let bytes = request.encoded()
    for length in 16..<bytes.count {
      var cut = Array(bytes[..<length])
      cut[0] = UInt8(truncatingIfNeeded: length)
      cut[1] = UInt8(length >> 8)
      _ = (try? ReceivedMessage.parse(cut).first).flatMap { TrafficFilter($0) }?.actions
    }
  }
}
