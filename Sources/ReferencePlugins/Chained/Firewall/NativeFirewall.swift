import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// The firewall in nf_tables: one table for all networks, in which every container has an element for each address.
///
/// ```
/// table inet cni_firewall {
///   map owners { … }                           # who has something here, and how much
///   set containers4 { type ipv4_addr
///     elements = { 10.22.0.5 comment "cni:NETWORK/CONTAINER/eth0" } }
///   set containers6 { type ipv6_addr }
///   set policed { type ifname; elements = { "cni0" } }              # bridges with an ingress policy
///   set within { type ifname . ifname; elements = { "cni0" . "cni0" } }
///   set isolated { type ifname . ifname }
///   set bridge-cni0 { type ipv6_addr                                # whose policy it is
///     elements = { ::ffff:10.22.0.5 comment "cni:NETWORK/CONTAINER/eth0" } }
///   chain admin { }                                                 # an administrator's own rules
///   chain forward { type filter hook forward priority filter
///     jump admin
///     iifname @policed oifname @policed iifname . oifname != @within drop
///     iifname . oifname @isolated drop
///     ip daddr @containers4 ct state established,related accept
///     ip saddr @containers4 accept
///     … the same for IPv6 }
/// }
/// ```
/// What is decided about a packet costs the same however many containers and bridges there are. The elements also tell
/// whose the addresses are for the other back ends, whose rules do not say.
struct NativeFirewall: Sendable {
  /// The container's addresses, each once.
  let addresses: [IPAddress]
  /// The bridge that has a policy for the container's sake; nil if there is none.
  let bridge: String?
  /// Whether the bridge's containers do not reach each other either.
  let isIsolated: Bool
  let owner: Owner

  private var entries: [OwnedTable.Entry] {
    var entries = addresses.map { OwnedTable.Entry(Element(NFTValue($0)), in: Self.set($0.family)) }
    guard let bridge else { return entries }
    for set in [Self.users(of: bridge)] + (isIsolated ? [Self.isolated(by: bridge)] : []) {
      entries += addresses.map { OwnedTable.Entry(Element(.ipv6($0.mapped)), in: set) }
    }
    return entries
  }

  /// Adds the elements, and the table if they are the first.
  func install(in socket: inout NetfilterSocket) throws {
    var layouts = [Self.filtering]
    var extra: [OwnedTable.Entry] = []
    if let bridge {
      let name = NFTValue.interface(bridge)
      layouts.append(.init(sets: [Self.users(of: bridge)], chains: []))
      extra = [.init(Element(name), in: Self.policed), .init(Element(name, name), in: Self.within)]
      if isIsolated {
        layouts.append(.init(sets: [Self.isolated(by: bridge)], chains: []))
        extra.append(.init(Element(name, name), in: Self.isolatedPairs))
      }
    }
    // What an attachment left that had the address before: the lease says that it is this one's now.
    try Self.table.install(entries, layouts: layouts, extra: extra, owner: owner, in: &socket) { _ in .replace
    }
  }

  /// Removes what the owner has, whatever `addresses` says of it.
  ///
  /// - Returns: The addresses that were the owner's.
  func remove(from socket: inout NetfilterSocket) throws -> [IPAddress] {
    let removed = try Self.table.remove(entries.map { ($0.element.key, $0.set) }, of: owner, from: &socket)
      .entries
    // Also where nothing was there any more: whoever removed it may have been killed before this.
    try Self.tidy(Set((removed + entries).map(\.set.name)), &socket)
    return removed.compactMap(Self.address)
  }

  /// The addresses of all owners whose mark is meant.
  static func addresses(
    in socket: inout NetfilterSocket, where isMeant: (_ mark: String) -> Bool
  ) throws -> [IPAddress] {
    try [AddressFamily.ipv4, .ipv6].flatMap { family in
      let elements = try PacketFilter.absentAsNil { () throws(NetlinkError) in
        try socket.elements(of: set(family))
      }
      return (elements ?? []).filter { $0.comment.map(isMeant) == true }
        .compactMap { address(OwnedTable.Entry($0, in: set(family))) }
    }
  }

  /// GC: removes what stale attachments have.
  static func removeAll(where stale: StaleMarks, from socket: inout NetfilterSocket) throws {
    let removed = try table.removeAll(from: &socket, where: stale.contains).entries
    var names = Set(removed.map(\.set.name))
    // What a process left that was killed between two steps.
    for (set, prefix) in [(policed, userPrefix), (isolatedPairs, isolatedPrefix)] {
      let elements = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.elements(of: set) }
      for element in elements ?? [] {
        if case .interface(let bridge)? = element.key.first { names.insert(prefix + escaped(bridge)) }
      }
    }
    try tidy(names, &socket)
  }

  /// Of these addresses, those that are another attachment's by now.
  func addressesOfOthers(_ socket: inout NetfilterSocket) throws(NetlinkError) -> [IPAddress] {
    var others: [IPAddress] = []
    for address in addresses {
      guard let element = try socket.element([NFTValue(address)], of: Self.set(address.family)) else {
        continue
      }
      if !owner.owns(element.comment ?? "", limit: Owner.commentLimit) { others.append(address) }
    }
    return others
  }

  /// CHECK: throws unless every address is let through, and the bridge policed.
  func verify(_ socket: inout NetfilterSocket) throws {
    for entry in entries {
      let element = try socket.element(entry.element.key, of: entry.set)
      guard let element, owner.owns(element.comment ?? "", limit: Owner.commentLimit) else {
        throw CNIError(
          .internalError, "\(Self.address(of: entry.element)) is not in \(entry.set.reference) any more",
          details: "somebody has changed the firewall's rules; delete and add the attachment again")
      }
    }
    guard let chain = try socket.chainIfPresent(Self.forward.name, in: Self.table.table),
      Int(chain.useCount ?? 0) >= Self.filtering.rules.count
    else {
      throw CNIError(
        .internalError, "rules are missing from chain \(Self.forward.reference)",
        details: "somebody has changed the firewall's rules; delete and add the attachment again")
    }
    guard let bridge else { return }
    let name = NFTValue.interface(bridge)
    var needed: [([NFTValue], NFTSet)] = [([name], Self.policed), ([name, name], Self.within)]
    if isIsolated { needed.append(([name, name], Self.isolatedPairs)) }
    for (key, set) in needed where try socket.element(key, of: set) == nil {
      throw CNIError(
        .internalError, "\(bridge) is not in \(set.reference) any more, ingressPolicy asks for it")
    }
  }

  private static func address(of element: Element) -> String {
    switch element.key.first {
    case .ipv4(let address): address.description
    case .ipv6(let address): IPAddress.v6(address).unmapped.description
    default: ""
    }
  }

  private static func address(_ entry: OwnedTable.Entry) -> IPAddress? {
    guard entry.set.name == set(.ipv4).name || entry.set.name == set(.ipv6).name else { return nil }
    switch entry.element.key.first {
    case .ipv4(let address): return .v4(address)
    case .ipv6(let address): return .v6(address)
    default: return nil
    }
  }
}

// MARK: - Layout

extension NativeFirewall {
  private static let place = Table(.inet, "cni_firewall")

  private static func set(_ family: AddressFamily) -> NFTSet {
    family == .ipv4
      ? NFTSet(place, "containers4", key: [.ipv4Address]) : NFTSet(place, "containers6", key: [.ipv6Address])
  }

  private static let policed = NFTSet(place, "policed", key: [.interfaceName])
  private static let within = NFTSet(place, "within", key: [.interfaceName, .interfaceName])
  private static let isolatedPairs = NFTSet(place, "isolated", key: [.interfaceName, .interfaceName])

  /// Who has the bridge policed. Both families are in one set: IPv4 addresses as IPv6 has them.
  private static func users(of bridge: String) -> NFTSet {
    NFTSet(place, userPrefix + escaped(bridge), key: [.ipv6Address])
  }
  private static func isolated(by bridge: String) -> NFTSet {
    NFTSet(place, isolatedPrefix + escaped(bridge), key: [.ipv6Address])
  }
  private static let userPrefix = "bridge-"
  private static let isolatedPrefix = "isolated-"

  /// The name of an interface in that of a set, which takes letters, digits, dots and dashes; others become `_` and two
  /// hexadecimal digits.
  static func escaped(_ name: String) -> String {
    var result = ""
    for byte in name.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default: result += "_" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
    }
    return result
  }

  /// The contrary; nil for what `escaped` does not make.
  static func unescaped(_ name: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = name.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "_") else {
        bytes.append(byte)
        continue
      }
      guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
      rest = rest.dropFirst(2)
      bytes.append(value)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  private static let admin = Chain(place, "admin")
  private static let forward = Chain(
    place, "forward", base: .init(.filter, hook: .forward, priority: .filter, policy: .accept))

  private static let rules: [Rule] = {
    let (four, six) = (set(.ipv4), set(.ipv6))
    return [
      Rule(in: forward, [.jump(admin.name)]),
      Rule(
        in: forward,
        [
          .inputInterface(in: policed), .fields(.outputInterface, in: policed),
          .fields(.inputInterface, .outputInterface, notIn: within), .drop,
        ]),
      Rule(in: forward, [.fields(.inputInterface, .outputInterface, in: isolatedPairs), .drop]),
      Rule(
        in: forward, [.fields(.ipDestination, in: four), .connection([.established, .related]), .accept]),
      Rule(in: forward, [.ipSource(in: four), .accept]),
      Rule(
        in: forward, [.fields(.ip6Destination, in: six), .connection([.established, .related]), .accept]),
      Rule(in: forward, [.ip6Source(in: six), .accept]),
    ]
  }()

  /// What is made with the first container. The chain `admin` is not what goes with the last one.
  private static let filtering = OwnedTable.Layout(
    sets: [set(.ipv4), set(.ipv6)], chains: [admin, forward], rules: rules)

  private static let table = OwnedTable(
    place, index: "owners", base: .init(sets: [policed, within, isolatedPairs], chains: []), isShared: true
  ) { name in
    if name == set(.ipv4).name || name == set(.ipv6).name {
      return .init(sets: [set(.ipv4), set(.ipv6)], chains: [forward])
    }
    guard name.hasPrefix(userPrefix) || name.hasPrefix(isolatedPrefix) else { return nil }
    return .init(sets: [NFTSet(place, name, key: [.ipv6Address])], chains: [])
  }

  /// What is in the table without containers: the sets of the base, the index and the administrator's chain.
  private static let ownObjects: UInt32 = 5

  /// Removes what has no owner and is of no more use: a bridge's policy when the last container has gone that wanted
  /// it, and the table when the last of all has gone and an administrator has put nothing into it.
  ///
  /// - Parameter sets: The names of the sets that something has been removed from.
  private static func tidy(_ sets: Set<String>, _ socket: inout NetfilterSocket) throws {
    try socket.commitPrepared { (socket) throws(NetlinkError) in
      var transaction = NFTransaction()
      for name in sets {
        let isUsers = name.hasPrefix(userPrefix)
        let prefix = isUsers ? userPrefix : isolatedPrefix
        guard name.hasPrefix(prefix), let bridge = unescaped(name.dropFirst(prefix.utf8.count)) else {
          continue
        }
        let users = NFTSet(place, name, key: [.ipv6Address])
        let isEmpty = try PacketFilter.absentAsNil { () throws(NetlinkError) in
          try NetfilterSocket().isEmpty(users)
        }
        if isEmpty == false { continue }
        if isEmpty == true { transaction.delete(users) }
        let own = NFTValue.interface(bridge)
        for (key, set) in isUsers
          ? [([own], policed), ([own, own], within)] : [([own, own], isolatedPairs)]
        where try socket.element(key, of: set) != nil {
          transaction.delete(Element(key: key), from: set)
        }
      }
      if try socket.chainIfPresent(forward.name, in: place) == nil,
        let chain = try socket.chainIfPresent(admin.name, in: place), chain.useCount == 0,
        // Another DEL may have been faster.
        let table = try PacketFilter.absentAsNil({ () throws(NetlinkError) in
          try socket.table(place.family, place.name)
        }), table.useCount == ownObjects
      {
        return NFTransaction([.init(.delete, .table(place))])
      }
      return transaction
    }
  }
}

extension IPAddress {
  /// As an IPv6 address, in which IPv4 addresses are mapped (RFC 4291, section 2.5.5.2).
  fileprivate var mapped: IPv6Address {
    switch self {
    case .v6(let address): address
    case .v4(let address):
      IPv6Address(bytes: [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + address.bytes)!
    }
  }

  /// The contrary.
  fileprivate var unmapped: IPAddress { IPPrefix.host(self).unmapped.address }
}
