/// Settings of tbf, the token bucket filter (`TCA_TBF_*` of `linux/pkt_sched.h`): packets leave at a rate, and after a
/// pause as many at once as there are bytes in the bucket. What does not fit the queue is dropped.
public struct TokenBucket: Hashable, Sendable {
  /// Bytes per second.
  public var rate: UInt64
  /// How long a full bucket lasts at the rate, in ticks (``TrafficClock``). The kernel reckons with this unless `burst` is
  /// given, and tells only this.
  public var buffer: UInt32
  /// What the bucket holds, in bytes (`TCA_TBF_BURST`, Linux 3.14); nil: as `buffer` says. A packet that is larger is dropped.
  public var burst: UInt32?
  /// What may wait, in bytes.
  public var limit: UInt32
  /// Bytes per second at which the bucket itself can be emptied; nil: as fast as the link is.
  public var peakRate: UInt64?
  /// How long the largest packet takes at the peak rate, in ticks.
  public var peakBuffer: UInt32 = 0
  /// The largest packet at the peak rate, in bytes (`TCA_TBF_PBURST`).
  public var peakBurst: UInt32?
  /// The clock for the tables that `tc` sends and Linux 3.8 was the last to need; nil: none are sent.
  public var tables: TrafficClock?

  /// The settings that the kernel needs; without tables.
  public init(rate: UInt64, buffer: UInt32, limit: UInt32) {
    self.rate = rate
    self.buffer = buffer
    self.limit = limit
  }

  /// The settings that `tc qdisc add … tbf rate R burst B latency L` sends.
  ///
  /// - Parameters:
  ///   - rate: Bytes per second.
  ///   - burst: Bytes.
  ///   - latency: How long a packet may wait, in microseconds.
  ///   - peakRate: Bytes per second.
  ///   - mtu: The largest packet, in bytes; needed with a peak rate.
  ///   - clock: The kernel's clock for traffic control.
  public init(
    rate: UInt64, burst: UInt32, latency: UInt32, peakRate: UInt64? = nil, mtu: UInt32 = 0,
    clock: TrafficClock
  ) {
    func room(_ rate: UInt64, _ extra: UInt32) -> Double {
      Double(rate) * Double(latency) / 1e6 + Double(extra)
    }
    var limit = room(rate, burst)
    if let peakRate { limit = min(limit, room(peakRate, mtu)) }
    self.init(
      rate: rate, burst: burst, limit: UInt32(clamping: limit), peakRate: peakRate, mtu: mtu, clock: clock)
  }

  /// The settings that `tc qdisc add … tbf rate R burst B limit L` sends, all in bytes.
  public init(
    rate: UInt64, burst: UInt32, limit: UInt32, peakRate: UInt64? = nil, mtu: UInt32 = 0, clock: TrafficClock
  ) {
    // tc reckons with the rate's 32 bits; the kernel takes the burst in bytes.
    func ticks(_ bytes: UInt32, _ rate: UInt64) -> UInt32 {
      clock.ticks(bytes: UInt64(bytes), rate: UInt64(UInt32(clamping: rate)))
    }
    self.init(rate: rate, buffer: ticks(burst, rate), limit: limit)
    self.burst = burst
    self.tables = clock
    tableMTU = mtu
    guard let peakRate else { return }
    self.peakRate = peakRate
    peakBuffer = ticks(mtu, peakRate)
    peakBurst = mtu
  }

  private var tableMTU: UInt32 = 0

  func encode(into builder: inout MessageBuilder) {
    let specification = RateSpecification(rate: rate, mtu: tableMTU)
    let peak = RateSpecification(rate: peakRate ?? 0, mtu: tableMTU)
    builder.header(1, payload: 36)  // TCA_TBF_PARMS: struct tc_tbf_qopt
    specification.encode(into: &builder, withTable: tables != nil)
    peak.encode(into: &builder, withTable: tables != nil && peakRate != nil)
    builder.append(limit)
    builder.append(buffer)
    builder.append(peakBuffer)
    builder.attribute(6, ifPresent: burst)
    if specification.isLarge { builder.attribute(4, rate) }
    if let tables { specification.encodeTable(2, clock: tables, into: &builder) }
    guard peakRate != nil else { return }
    if peak.isLarge { builder.attribute(5, peak.rate) }
    builder.attribute(7, ifPresent: peakBurst)
    if let tables { peak.encodeTable(3, clock: tables, into: &builder) }
  }

  /// Reads settings; nil if they are not there. `burst`, `peakBurst` and `tables` are only ever sent.
  public init?(_ attributes: Attributes) {
    guard let settings = attributes[1], let fields = FixedHeader(settings.value, size: 36) else { return nil }
    rate = attributes[4]?.integer() ?? UInt64(fields.load(8, as: UInt32.self))
    limit = fields.load(24)
    buffer = fields.load(28)
    peakBuffer = fields.load(32)
    let peak = attributes[5]?.integer() ?? UInt64(fields.load(20, as: UInt32.self))
    peakRate = peak == 0 ? nil : peak
  }
}

extension TrafficKind {
  /// A qdisc that keeps to a rate.
  public static func tokenBucket(_ settings: TokenBucket) -> TrafficKind {
    TrafficKind("tbf") { settings.encode(into: &$0) }
  }
}

extension Qdisc {
  /// The settings of tbf; nil for other kinds.
  public var tokenBucket: TokenBucket? { kind.name == "tbf" ? TokenBucket(kind.attributes) : nil }
}
