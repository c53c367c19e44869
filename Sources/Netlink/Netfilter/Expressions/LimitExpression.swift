/// `limit`: the rule goes on only so often, or with `isInverted` only when it was more often
/// (`enum nft_limit_attributes`, packets).
public struct LimitExpression: Hashable, Sendable {
  /// How often per unit.
  public var rate: UInt64
  /// The unit, in seconds.
  public var unit: UInt64
  /// How many at once beyond the rate.
  public var burst: UInt32
  /// Whether it is what exceeds the rate that goes on.
  public var isInverted: Bool

  /// Limits.
  public init(rate: UInt64, unit: UInt64 = 1, burst: UInt32 = 5, isInverted: Bool = false) {
    self.rate = rate
    self.unit = unit
    self.burst = burst
    self.isInverted = isInverted
  }

  /// Nil also for limits of bytes.
  init?(_ fields: Attributes) {
    guard let rate: UInt64 = fields[1]?.bigEndian(), let unit: UInt64 = fields[2]?.bigEndian() else {
      return nil
    }
    let type: UInt32 = fields[4]?.bigEndian() ?? 0
    guard type == 0 else { return nil }
    let flags: UInt32 = fields[5]?.bigEndian() ?? 0
    self.init(rate: rate, unit: unit, burst: fields[3]?.bigEndian() ?? 0, isInverted: flags & 1 != 0)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(1, bigEndian: rate)
    builder.attribute(2, bigEndian: unit)
    builder.attribute(3, bigEndian: burst)
    builder.attribute(4, bigEndian: UInt32(0))
    builder.attribute(5, bigEndian: UInt32(isInverted ? 1 : 0))
  }

  /// As nft writes it: `limit rate over 5/minute burst 7 packets`.
  var text: String {
    let name =
      switch unit {
      case 1: "second"
      case 60: "minute"
      case 3600: "hour"
      case 86_400: "day"
      case 604_800: "week"
      default: "\(unit)s"
      }
    let burst = burst == 0 || burst == 5 ? "" : " burst \(burst) packets"
    return "limit rate \(isInverted ? "over " : "")\(rate)/\(name)\(burst)"
  }
}
