import CNIPluginKit
import NetworkAddresses
import Netlink

/// The table in which all port mappings of a host are: an element each, looked up by protocol and port.
///
/// ```
/// table inet cni_portmap {
///   map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service
///     elements = { tcp . 8080 comment "cni:NETWORK/CONTAINER/eth0" : 10.22.0.5 . 80 } }
///   map addressed4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
///   chain prerouting { type nat hook prerouting priority dstnat
///     fib daddr type != local accept
///     dnat ip to ip daddr . meta l4proto . th dport map @addressed4
///     dnat ip to meta l4proto . th dport map @ports4
///     … the same for IPv6 }
///   chain output { … the same for what the host itself sends }
///   set from4-16 { type ipv4_addr . ipv4_addr . inet_proto . inet_service
///     elements = { 10.22.0.0 . 10.22.0.5 . tcp . 80 comment "cni:NETWORK/CONTAINER/eth0" } }
///   chain from4-16 { type nat hook postrouting priority srcnat
///     ct status dnat ip saddr & 255.255.0.0 . ip daddr . meta l4proto . th dport @from4-16 masquerade }
/// }
/// ```
///
/// Mappings under conditions have maps and chains of their own, with a hash of the conditions behind the names, which are
/// asked first. The maps and chains of ``waiting``, with "-next" behind the names, are asked last.
enum PortMapTable {
  static let table = Table(.inet, "cni_portmap")

  /// The elements, with all that goes with them.
  static let owned = OwnedTable(table, index: "owners", base: loopbackGuard) { name in
    if name == localRouting.name { return nil }
    if name.hasPrefix("from") { return source(named: name) }
    return layout(suffix: String(name.drop { $0 != "-" }))
  }

  // MARK: Mappings

  private static let service: [NFTType] = [.internetProtocol, .internetService]

  private static func addressType(_ family: AddressFamily) -> NFTType {
    family == .ipv4 ? .ipv4Address : .ipv6Address
  }

  /// The map for ports of every address of the host's, or of certain ones.
  static func ports(_ family: AddressFamily, addressed: Bool, suffix: String) -> NFTSet {
    let address = addressType(family)
    return .map(
      table, (addressed ? "addressed" : "ports") + (family == .ipv4 ? "4" : "6") + suffix,
      (addressed ? [address] : []) + service, to: .value([address, .internetService]))
  }

  private static func layout(suffix: String) -> OwnedTable.Layout {
    // What is mapped under conditions comes before what is mapped without, and last who waits.
    let priority: ChainPriority = suffix.isEmpty ? .destinationNAT : suffix == waitingSuffix ? -99 : -101
    var layout = OwnedTable.Layout(
      sets: [AddressFamily.ipv4, .ipv6].flatMap { family in
        [true, false].map { ports(family, addressed: $0, suffix: suffix) }
      },
      chains: [
        Chain(
          table, "prerouting" + suffix,
          base: .init(.nat, hook: .prerouting, priority: priority, policy: .accept)),
        Chain(
          table, "output" + suffix, base: .init(.nat, hook: .output, priority: priority, policy: .accept)),
      ])
    // Conditions may change, and are gone then with the last that was mapped under them.
    layout.staysWithTable = suffix.isEmpty
    return layout
  }

  /// The maps and chains of mappings under these conditions.
  static func layout(_ conditions: MappingConditions) -> OwnedTable.Layout {
    let suffix = conditions.suffix
    return suffix.isEmpty ? unconditional : layout(conditions, suffix: suffix)
  }

  private static let unconditional = layout(MappingConditions.none, suffix: "")

  private static func layout(_ conditions: MappingConditions, suffix: String) -> OwnedTable.Layout {
    var layout = layout(suffix: suffix)
    for chain in layout.chains {
      // What is only routed through is not caught.
      layout.rules.append(Rule(in: chain, [.destinationType != .addressType(.local), .accept]))
      for family in [AddressFamily.ipv4, .ipv6] {
        for condition in conditions.alternatives(family) {
          layout.rules += translations(family, suffix).map { Rule(in: chain, condition + $0) }
        }
      }
    }
    return layout
  }

  private static let waitingSuffix = "-next"

  /// Where a further network of a container has the ports that its first network has: they are its own when that one goes.
  /// There are none for ports under conditions.
  static let waiting: OwnedTable.Spare = {
    var layout = PortMapTable.layout(MappingConditions.none, suffix: waitingSuffix)
    layout.staysWithTable = false
    return .init(layout) { set in
      guard set.name.hasPrefix("ports") || set.name.hasPrefix("addressed"), !set.name.contains("-") else {
        return nil
      }
      let family: AddressFamily = set.name.hasSuffix("4") ? .ipv4 : .ipv6
      return ports(family, addressed: set.name.hasPrefix("addressed"), suffix: waitingSuffix)
    }
  }()

  /// A given address comes before all addresses.
  private static func translations(_ family: AddressFamily, _ suffix: String) -> [[Statement]] {
    let destination: Selector = family == .ipv4 ? .ipDestination : .ip6Destination
    func translate(_ fields: [Selector], _ map: NFTSet) -> Statement {
      .destinationNAT(
        to: .map(fields + [.l4Protocol, .destinationPort], .init(map), family: family, hasPort: true))
    }
    let toAll = translate([], ports(family, addressed: false, suffix: suffix))
    return [
      [translate([destination], ports(family, addressed: true, suffix: suffix))],
      // The kernel lets nothing with ::1 in it leave the loopback device. Left alone, a connection to it is refused at
      // once, and whoever asked for "localhost" goes on to 127.0.0.1.
      family == .ipv4 ? [toAll] : [.ip6Destination != IPAddress("::1")!, toAll],
    ]
  }

  // MARK: Sources

  /// The set of containers to which sources in a prefix of that length must not show themselves.
  static func source(_ family: AddressFamily, length: Int) -> NFTSet {
    let address = addressType(family)
    return NFTSet(
      table, "from\(family == .ipv4 ? "4" : "6")-\(length)",
      key: (length == 0 ? [address] : [address, address]) + service)
  }

  /// A set and its chain are found by their common name, too.
  private static func source(named name: String) -> OwnedTable.Layout? {
    let family: AddressFamily = name.hasPrefix("from4") ? .ipv4 : .ipv6
    guard let length = Int(name.drop { $0 != "-" }.dropFirst()) else { return nil }
    return source(family, length: length)
  }

  /// A set with the chain that gives such connections another source: those that lead to the container because of a port
  /// mapping, or for another reason that has translated their destination.
  static func source(_ family: AddressFamily, length: Int) -> OwnedTable.Layout {
    let set: NFTSet = source(family, length: length)
    let chain = Chain(
      table, set.name, base: .init(.nat, hook: .postrouting, priority: .sourceNAT, policy: .accept))
    let target: [Selector] = [
      family == .ipv4 ? .ipDestination : .ip6Destination, .l4Protocol, .destinationPort,
    ]
    let from: Selector = family == .ipv4 ? .ipSource : .ip6Source
    let lookup: Statement =
      switch length {
      case 0: .lookup(target, .equal, .init(set))
      case family.bitWidth: .lookup([from] + target, .equal, .init(set))
      default: .prefixLookup([from] + target, length: length, .init(set))
      }
    return OwnedTable.Layout(
      sets: [set], chains: [chain],
      rules: [Rule(in: chain, [.connection(status: .destinationNAT), lookup, .masquerade])],
      staysWithTable: true)
  }

  // MARK: The loopback address

  /// The interfaces behind which packets from 127.0.0.1 are let through to containers.
  static let localRouting = NFTSet(table, "localnet", key: [.interfaceName])

  /// `route_localnet` lets loopback addresses in as well as out: nothing of the kind may come in from such an interface.
  private static let loopbackGuard: OwnedTable.Layout = {
    let chain = Chain(
      table, "loopback", base: .init(.filter, hook: .prerouting, priority: .raw, policy: .accept))
    let loopback = IPPrefix("127.0.0.0/8")!
    return OwnedTable.Layout(
      sets: [localRouting], chains: [chain],
      rules: [Selector.ipDestination, .ipSource].map {
        Rule(in: chain, [.inputInterface(in: localRouting), $0 == loopback, .drop])
      })
  }()
}
