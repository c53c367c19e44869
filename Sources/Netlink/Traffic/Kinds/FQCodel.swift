/// Settings of fq_codel, fair queueing with controlled delay (`TCA_FQ_CODEL_*` of `linux/pkt_sched.h`, RFC 8290). What is
/// nil is not touched.
public struct FQCodelSettings: Hashable, Sendable {
  /// How many packets may wait.
  public var limit: UInt32?
  /// Among how many queues flows are spread; cannot be changed later.
  public var flows: UInt32?
  /// How many bytes a flow sends before it is another's turn.
  public var quantum: UInt32?
  /// How long packets may wait longer than `target` before some are dropped, in microseconds.
  public var interval: UInt32?
  /// How long a packet should wait at most, in microseconds.
  public var target: UInt32?
  /// Whether packets are marked instead of dropped, where both ends know what that means.
  public var marksCongestion: Bool?
  /// From how long a wait on packets are marked at once, in microseconds.
  public var congestionThreshold: UInt32?
  /// Bytes.
  public var memoryLimit: UInt32?
  /// How many packets are dropped at once when there is no room.
  public var dropBatch: UInt32?

  /// The kernel's settings, but for what `change` says.
  public init(_ change: (inout FQCodelSettings) -> Void = { _ in }) { change(&self) }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(2, ifPresent: limit)
    builder.attribute(5, ifPresent: flows)
    builder.attribute(6, ifPresent: quantum)
    builder.attribute(3, ifPresent: interval)
    builder.attribute(1, ifPresent: target)
    builder.attribute(4, ifPresent: marksCongestion.map { UInt32($0 ? 1 : 0) })
    builder.attribute(7, ifPresent: congestionThreshold)
    builder.attribute(9, ifPresent: memoryLimit)
    builder.attribute(8, ifPresent: dropBatch)
  }

  /// Reads settings; those that are not there, or not as wide as they should be, stay nil.
  public init(_ attributes: Attributes) {
    for attribute in attributes {
      switch attribute.type {
      case 1: target = attribute.integer()
      case 2: limit = attribute.integer()
      case 3: interval = attribute.integer()
      case 4: marksCongestion = attribute.integer(as: UInt32.self).map { $0 != 0 }
      case 5: flows = attribute.integer()
      case 6: quantum = attribute.integer()
      case 7: congestionThreshold = attribute.integer()
      case 8: dropBatch = attribute.integer()
      case 9: memoryLimit = attribute.integer()
      default: break
      }
    }
  }
}

extension TrafficKind {
  /// A qdisc that keeps queues short and flows apart.
  public static func fqCodel(_ settings: FQCodelSettings = .init()) -> TrafficKind {
    TrafficKind("fq_codel") { settings.encode(into: &$0) }
  }
}

extension Qdisc {
  /// The settings of fq_codel; nil for other kinds.
  public var fqCodel: FQCodelSettings? { kind.name == "fq_codel" ? FQCodelSettings(kind.attributes) : nil }
}
