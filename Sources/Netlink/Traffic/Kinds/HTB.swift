/// Settings of htb, the hierarchy of token buckets (`TCA_HTB_*` of `linux/pkt_sched.h`): classes share a link.
public struct HTBSettings: Hashable, Sendable {
  /// The minor half of the class for packets that no filter sends to another; 0: they are not held back.
  public var defaultClass: UInt32
  /// A class's rate divided by this is its quantum where it has none (`r2q`).
  public var rateToQuantum: UInt32
  /// How many packets that are not held back may wait (`TCA_HTB_DIRECT_QLEN`).
  public var directQueueLength: UInt32?

  /// Settings, with what `tc` says where nothing else is said.
  public init(defaultClass: UInt32 = 0, rateToQuantum: UInt32 = 10, directQueueLength: UInt32? = nil) {
    self.defaultClass = defaultClass
    self.rateToQuantum = rateToQuantum
    self.directQueueLength = directQueueLength
  }

  func encode(into builder: inout MessageBuilder) {
    builder.header(2, payload: 20)  // TCA_HTB_INIT: struct tc_htb_glob
    builder.append(UInt32(3))  // version
    builder.append(rateToQuantum)
    builder.append(defaultClass)
    builder.append(UInt64(0))  // debug, direct_pkts
    builder.attribute(5, ifPresent: directQueueLength)
  }

  /// Reads settings; nil if they are not there.
  public init?(_ attributes: Attributes) {
    guard let settings = attributes[2], let fields = FixedHeader(settings.value, size: 20) else { return nil }
    rateToQuantum = fields.load(4)
    defaultClass = fields.load(8)
    directQueueLength = attributes[5]?.integer()
  }
}

/// Settings of a class of htb.
public struct HTBClass: Hashable, Sendable {
  /// What it is sure of, in bytes per second.
  public var rate: UInt64
  /// What it may have if others leave something, in bytes per second.
  public var ceiling: UInt64
  /// What it may send at once at the rate, in ticks (``TrafficClock``).
  public var buffer: UInt32
  /// What it may send at once at the ceiling, in ticks.
  public var ceilingBuffer: UInt32
  /// How many bytes it sends before it is another's turn; 0: the rate divided by the qdisc's `rateToQuantum`.
  public var quantum: UInt32
  /// Of classes that want what others leave, the lowest number is asked first: 0 to 7.
  public var priority: UInt32
  /// The clock for the tables, which htb insists on where there is no rate above 32 bits; nil after reading.
  public var tables: TrafficClock?

  /// The settings that `tc class add … htb rate R ceil C burst B cburst B` sends.
  ///
  /// - Parameters:
  ///   - rate: Bytes per second.
  ///   - ceiling: Bytes per second; nil: the rate.
  ///   - burst: Bytes; nil: what passes between two of the kernel's wake-ups.
  ///   - ceilingBurst: Bytes; nil: likewise.
  ///   - quantum: How many bytes it sends before it is another's turn; 0: the rate divided by the qdisc's
  ///     `rateToQuantum`.
  ///   - priority: 0 to 7; the lowest number is asked first.
  ///   - clock: The kernel's clock for traffic control.
  public init(
    rate: UInt64, ceiling: UInt64? = nil, burst: UInt32? = nil, ceilingBurst: UInt32? = nil,
    quantum: UInt32 = 0,
    priority: UInt32 = 0, clock: TrafficClock
  ) {
    let ceiling = ceiling ?? rate
    func ticks(_ burst: UInt32?, _ rate: UInt64) -> UInt32 {
      // tc's own idea of the largest packet.
      let bytes = burst ?? UInt32(clamping: Double(rate) / clock.wakeupsPerSecond + 1600)
      return clock.ticks(bytes: UInt64(bytes), rate: rate)
    }
    self.rate = rate
    self.ceiling = ceiling
    buffer = ticks(burst, rate)
    ceilingBuffer = ticks(ceilingBurst, ceiling)
    self.quantum = quantum
    self.priority = priority
    tables = clock
  }

  func encode(into builder: inout MessageBuilder) {
    // tc's own idea of the largest packet.
    let specification = RateSpecification(rate: rate, mtu: 1600)
    let ceilingSpecification = RateSpecification(rate: ceiling, mtu: 1600)
    if specification.isLarge { builder.attribute(6, rate) }
    if ceilingSpecification.isLarge { builder.attribute(7, ceiling) }
    builder.header(1, payload: 44)  // TCA_HTB_PARMS: struct tc_htb_opt
    specification.encode(into: &builder, withTable: tables != nil)
    ceilingSpecification.encode(into: &builder, withTable: tables != nil)
    builder.append(buffer)
    builder.append(ceilingBuffer)
    builder.append(quantum)
    builder.append(UInt32(0))  // level
    builder.append(priority)
    guard let tables else { return }
    specification.encodeTable(4, clock: tables, into: &builder)
    ceilingSpecification.encodeTable(3, clock: tables, into: &builder)
  }

  /// Reads settings; nil if they are not there.
  public init?(_ attributes: Attributes) {
    guard let settings = attributes[1], let fields = FixedHeader(settings.value, size: 44) else { return nil }
    rate = attributes[6]?.integer() ?? UInt64(fields.load(8, as: UInt32.self))
    ceiling = attributes[7]?.integer() ?? UInt64(fields.load(20, as: UInt32.self))
    buffer = fields.load(24)
    ceilingBuffer = fields.load(28)
    quantum = fields.load(32)
    priority = fields.load(40)
  }
}

extension TrafficKind {
  /// A qdisc whose classes share a link.
  public static func htb(_ settings: HTBSettings) -> TrafficKind {
    TrafficKind("htb") { settings.encode(into: &$0) }
  }

  /// A class of htb.
  public static func htbClass(_ settings: HTBClass) -> TrafficKind {
    TrafficKind("htb") { settings.encode(into: &$0) }
  }
}

extension Qdisc {
  /// The settings of htb; nil for other kinds.
  public var htb: HTBSettings? { kind.name == "htb" ? HTBSettings(kind.attributes) : nil }
}

extension TrafficClass {
  /// The settings of a class of htb; nil for other kinds.
  public var htb: HTBClass? { kind.name == "htb" ? HTBClass(kind.attributes) : nil }
}
