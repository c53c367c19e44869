/// The family of a table: which packets its chains see (`NFPROTO_*`, `linux/netfilter.h`).
public enum NetfilterFamily: UInt8, Hashable, Sendable, CustomStringConvertible {
  /// IPv4 and IPv6 in one table (`NFPROTO_INET`).
  case inet = 1
  /// IPv4 (`NFPROTO_IPV4`).
  case ip = 2
  /// ARP (`NFPROTO_ARP`).
  case arp = 3
  /// Packets of one device, before anything else sees them (`NFPROTO_NETDEV`).
  case netdev = 5
  /// Frames that cross a bridge (`NFPROTO_BRIDGE`).
  case bridge = 7
  /// IPv6 (`NFPROTO_IPV6`).
  case ip6 = 10

  /// The word nft uses: `inet`.
  public var description: String {
    switch self {
    case .inet: "inet"
    case .ip: "ip"
    case .arp: "arp"
    case .netdev: "netdev"
    case .bridge: "bridge"
    case .ip6: "ip6"
    }
  }
}

/// Where a base chain is called (`NF_INET_*`; `NF_NETDEV_*` for `.ingress` and `.egress` in a `netdev` table).
public enum NetfilterHook: Hashable, Sendable {
  /// Before the routing decision.
  case prerouting
  /// To the host itself.
  case input
  /// Through the host.
  case forward
  /// From the host itself.
  case output
  /// After routing, before the device.
  case postrouting
  /// As soon as the device has it; `netdev` (and, from Linux 5.10, `inet`) tables only.
  case ingress
  /// Just before the device gets it; `netdev` tables, from Linux 5.16.
  case egress

  /// The word nft uses: `prerouting`.
  public var name: String {
    switch self {
    case .prerouting: "prerouting"
    case .input: "input"
    case .forward: "forward"
    case .output: "output"
    case .postrouting: "postrouting"
    case .ingress: "ingress"
    case .egress: "egress"
    }
  }

  func number(in family: NetfilterFamily) -> UInt32 {
    switch self {
    case .prerouting: 0
    case .input: family == .arp ? 0 : 1
    case .forward: 2
    case .output: family == .arp ? 1 : 3
    case .postrouting: 4
    case .ingress: family == .netdev ? 0 : 5
    case .egress: 1
    }
  }

  init?(number: UInt32, family: NetfilterFamily) {
    switch (family, number) {
    case (.netdev, 0), (.inet, 5): self = .ingress
    case (.netdev, 1): self = .egress
    case (.netdev, _): return nil
    case (.arp, 0): self = .input
    case (.arp, 1): self = .output
    case (.arp, _): return nil
    case (_, 0): self = .prerouting
    case (_, 1): self = .input
    case (_, 2): self = .forward
    case (_, 3): self = .output
    case (_, 4): self = .postrouting
    default: return nil
    }
  }
}

/// What a base chain may do, and when in the life of a connection it is called.
public enum ChainType: String, Hashable, Sendable {
  /// Every packet; verdicts.
  case filter
  /// The first packet of a connection; address translation.
  case nat
  /// Output only; a packet that changed is routed again.
  case route
}

/// When, among the chains of a hook, a base chain is called: lower comes first (`enum nf_ip_hook_priorities`).
public struct ChainPriority: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// The number the kernel sorts by.
  public var rawValue: Int32
  /// Any number.
  public init(rawValue: Int32) { self.rawValue = rawValue }
  /// Any number.
  public init(integerLiteral value: Int32) { rawValue = value }

  /// `raw`, before connection tracking: -300.
  public static let raw: Self = -300
  /// `mangle`: -150.
  public static let mangle: Self = -150
  /// `dstnat`: -100. In a bridge table it is `bridgeDestinationNAT`.
  public static let destinationNAT: Self = -100
  /// `filter`: 0. In a bridge table it is `bridgeFilter`.
  public static let filter: Self = 0
  /// `security`: 50.
  public static let security: Self = 50
  /// `srcnat`: 100.
  public static let sourceNAT: Self = 100
  /// `dstnat` of a bridge table: -300, before anything else sees the frame.
  public static let bridgeDestinationNAT: Self = -300
  /// `filter` of a bridge table: -200.
  public static let bridgeFilter: Self = -200

  /// As nft lists it: `srcnat`, `filter - 10`, `7`. Which names there are depends on family and hook.
  func text(family: NetfilterFamily, hook: NetfilterHook) -> String {
    var names: [(String, Int32)]
    switch family {
    case .bridge:
      names = [("filter", -200)]
      switch hook {
      case .prerouting: names.append(("dstnat", -300))
      case .output: names.append(("out", 100))
      case .postrouting: names.append(("srcnat", 300))
      default: break
      }
    case .netdev, .arp: names = [("filter", 0)]
    case .ip, .ip6, .inet:
      names = [("raw", -300), ("mangle", -150), ("filter", 0), ("security", 50)]
      switch hook {
      case .prerouting: names.append(("dstnat", -100))
      case .postrouting: names.append(("srcnat", 100))
      default: break
      }
    }
    for (name, value) in names where abs(Int(rawValue) - Int(value)) <= 10 {
      let offset = Int(rawValue) - Int(value)
      return offset == 0 ? name : "\(name) \(offset < 0 ? "-" : "+") \(abs(offset))"
    }
    return String(rawValue)
  }
}
