/// The number of a queueing discipline, a class, or the place that one is attached to (`TC_H_*` of
/// `linux/pkt_sched.h`): two halves, `major:minor`. Within a link, a qdisc is `major:0` and its classes have its major.
public struct TrafficHandle: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// Both halves, the major one above.
  public var rawValue: UInt32

  /// Takes both halves.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `major:minor`.
  public init(major: UInt16, minor: UInt16 = 0) {
    rawValue = UInt32(major) << 16 | UInt32(minor)
  }

  /// The half that a qdisc and its classes share.
  public var major: UInt16 { UInt16(rawValue >> 16) }
  /// The half that tells classes apart; 0: the qdisc itself.
  public var minor: UInt16 { UInt16(truncatingIfNeeded: rawValue) }

  /// `TC_H_UNSPEC`: whichever; the kernel chooses one. A qdisc that has this handle came with the link.
  public static let unspecified = Self(rawValue: 0)
  /// `TC_H_ROOT`, as a parent: what the link sends.
  public static let root = Self(rawValue: 0xffff_ffff)
  /// `TC_H_INGRESS`, as a parent: what the link receives. Only the qdiscs ingress and clsact go there.
  public static let ingress = Self(rawValue: 0xffff_fff1)
  /// The handle that the kernel gives to a qdisc at ``ingress``, whatever was asked for: `ffff:`. As the parent of a
  /// filter: for what the link receives.
  public static let ingressQdisc = Self(major: 0xffff)
  /// `TC_H_MIN_INGRESS`, as the parent of a filter of ingress or clsact: for what the link receives.
  public static let received = Self(rawValue: 0xffff_fff2)
  /// `TC_H_MIN_EGRESS`, as the parent of a filter of clsact: for what the link sends.
  public static let sent = Self(rawValue: 0xffff_fff3)

  /// As `tc` writes it: `root`, `1:`, `1:10`, in hexadecimal digits.
  public var description: String {
    if self == .root { return "root" }
    let minor = minor == 0 ? "" : String(minor, radix: 16)
    return String(major, radix: 16) + ":" + minor
  }
}
