import NetworkAddresses
import Netlink

/// What a rule of iptables does, as far as port mappings need to know, wherever it was read: in nf_tables, where
/// iptables-nft puts some of it in the kernel's own instructions and some in extensions, or in a legacy table.
struct NATRule: Equatable {
  /// A port that leads to another address.
  struct Translation: Hashable {
    var transport: UInt8?
    var hostPort: UInt16?
    /// In network order.
    var address: [UInt8]
    var port: UInt16?
  }

  var jump: String?
  var translation: Translation?
  /// The bits that it sets in the packet's mark.
  var setsMark: UInt32?
  /// The bits that it asks for in the packet's mark.
  var wantsMark: UInt32?
  var masquerades = false
  /// What it says it is for.
  var comment: String?
  /// The one address that a packet must be for; nil for any.
  var destination: IPAddress?
  /// Whether there are conditions besides destination, protocol and ports.
  var isNarrowed = false

  /// The protocol that a packet must have.
  private(set) var transport: UInt8?
  private var hostPort: UInt16?
  private var hostPorts: [UInt16] = []

  /// Whether a packet to that port meets the conditions about protocol and port.
  func takes(_ port: UInt16, _ transport: UInt8) -> Bool {
    self.transport == transport && (hostPort == port || hostPorts.contains(port))
  }

  init(_ rule: Rule) {
    jump = rule.jumpTargets.first
    take(IPTablesRule(rule))
    for statement in rule.statements {
      switch statement {
      case .match(.l4Protocol, .equal, .value(.protocol(let number))),
        .match(.ipProtocol, .equal, .value(.protocol(let number))):
        transport = number.rawValue
      case .match(let field, .equal, .value(.port(let port))):
        switch field {
        case .tcpDestinationPort: (transport, hostPort) = (InternetProtocol.tcp.rawValue, port)
        case .udpDestinationPort: (transport, hostPort) = (InternetProtocol.udp.rawValue, port)
        case .sctpDestinationPort: (transport, hostPort) = (InternetProtocol.sctp.rawValue, port)
        case .destinationPort: hostPort = port
        default: isNarrowed = true
        }
      case .match(.ipSource, _, _), .match(.ip6Source, _, _), .match(.ipDestination, _, _),
        .match(.ip6Destination, _, _), .match(.inputInterface, _, _), .match(.outputInterface, _, _),
        .verdict,
        .count:
        break
      case .match(.mark, .equal, .masked(let mask, let value)) where mask == value: wantsMark = mask
      case .setMark(.mark, _, let flipping): setsMark = flipping
      case .masqueraded: masquerades = true
      case .destinationNAT(.address(let address, let port), _):
        translation = Translation(address: address.bytes, port: port)
      case .raw(.xtables(let expression)):
        read(
          expression.name, UInt8(truncatingIfNeeded: expression.revision), expression.info,
          family: rule.chain.table.family == .ip6 ? .ipv6 : .ipv4)
      default: isNarrowed = true
      }
    }
    finish()
  }

  init(_ rule: IPTablesRule, _ detail: LegacyTable.Detail, _ family: AddressFamily) {
    jump = rule.target.chain
    take(rule)
    transport = detail.transport == 0 ? nil : detail.transport
    for part in detail.extensions { read(part.name, part.revision, part.info, family: family) }
    finish()
  }

  /// What is the same in both forms.
  private mutating func take(_ rule: IPTablesRule) {
    comment = rule.comment
    if let condition = rule.destination {
      if condition.isInverted || condition.value.length < condition.value.family.bitWidth {
        isNarrowed = true
      } else {
        destination = condition.value.address
      }
    }
    if rule.source != nil || rule.inputInterface != nil || rule.outputInterface != nil { isNarrowed = true }
  }

  private mutating func finish() {
    translation?.transport = transport
    translation?.hostPort = hostPort
  }

  /// Reads an extension's structure (`linux/netfilter/xt_*.h`).
  private mutating func read(_ name: String, _ revision: UInt8, _ info: [UInt8], family: AddressFamily) {
    func half(_ offset: Int) -> UInt16? {
      offset + 2 <= info.count
        ? info.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt16.self) } : nil
    }
    func word(_ offset: Int) -> UInt32? {
      offset + 4 <= info.count
        ? info.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) } : nil
    }
    /// A range that is a single value.
    func single(_ offset: Int) -> UInt16? {
      half(offset).flatMap { half(offset + 2) == $0 ? $0 : nil }
    }
    switch name {
    // Source ports, then destination ports; of SCTP the other way around.
    case "tcp": (transport, hostPort) = (InternetProtocol.tcp.rawValue, single(4))
    case "udp": (transport, hostPort) = (InternetProtocol.udp.rawValue, single(4))
    case "sctp": (transport, hostPort) = (InternetProtocol.sctp.rawValue, single(0))
    case "multiport":
      // Flags (1: destination), a count, ports, which of them begin a range, whether it must not be so.
      guard info.count >= 48, info[0] == 1, info[1] <= 15, info[47] == 0,
        info[32..<47].allSatisfy({ $0 == 0 })
      else {
        isNarrowed = true
        return
      }
      hostPorts = (0..<Int(info[1])).compactMap { half(2 + 2 * $0) }
    case "comment", "": break
    case "MARK": setsMark = word(0)
    case "mark": if let mark = word(0), mark == word(4) { wantsMark = mark }
    case "MASQUERADE": masquerades = true
    case "DNAT":
      // Flags, the least and the greatest address, the least and the greatest port; a count comes before them, and
      // addresses are short, where the revision is 0 and the family IPv4.
      let isOld = revision == 0 && family == .ipv4
      let place = isOld ? (address: 8, port: 16) : (address: 4, port: 36)
      guard info.count >= place.port + 2 else { return }
      translation = Translation(
        address: Array(info[place.address..<(place.address + family.byteCount)]),
        port: half(place.port)?.byteSwapped)
    default: isNarrowed = true
    }
  }
}

/// Rules by chain; a chain that is not in it is not there.
typealias NATRules = [String: [NATRule]]

extension NATRules {
  /// Those of iptables-legacy; none if its table is not in use.
  init(legacy family: AddressFamily) {
    self = [:]
    guard let table = LegacyTable(IPTablesTable(.nat, family), withDetails: true) else { return }
    for chain in table.chains {
      self[chain.name] = zip(chain.rules, table.details[chain.name] ?? []).map { NATRule($0, $1, family) }
    }
  }
}

/// What there is of the chains that all containers share.
struct CommonRules: Equatable {
  var chains: Set<String> = []
  /// From where each of them is called.
  var callers: [String: Set<String>] = [:]
  var isMarking = false
  var isMasquerading = false

  init() {}

  init(_ rules: NATRules, mark: UInt32) {
    for (name, _) in ForeignPortMappings.common where rules[name] != nil { chains.insert(name) }
    for caller in ["PREROUTING", "OUTPUT", "POSTROUTING"] {
      for rule in rules[caller] ?? [] {
        if let name = rule.jump, chains.contains(name) { callers[name, default: []].insert(caller) }
      }
    }
    isMarking = rules[ForeignPortMappings.marking]?.contains { $0.setsMark == mark } ?? false
    isMasquerading =
      rules[ForeignPortMappings.masquerading]?.contains { $0.wantsMark == mark && $0.masquerades } ?? false
  }
}
