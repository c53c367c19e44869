import CNI
import NetworkAddresses
import Netlink

/// Masquerading as the Go plugins lay it out, so that a container can change hands in either direction.
///
/// They know two forms: iptables (a chain per container in the table `nat`) and, since v1.6, nf_tables (a rule per
/// address in `inet cni_plugins_masquerade`).
struct ForeignMasquerade {
  private let network: String
  private let attachment: Attachment

  init(_ owner: Owner) {
    network = owner.network
    attachment = owner.attachment ?? Attachment(containerID: "", interfaceName: "")
  }

  /// The iptables chain: 28 bytes, `CNI-` and the beginning of the SHA-512 of network name and container ID.
  private var chainName: String { "CNI-" + SHA512.hexadecimal(network + attachment.containerID, length: 24) }

  /// What the comment of a rule in the nf_tables form begins with.
  private var commentPrefix: String {
    SHA512.hexadecimal(network, length: 16) + "-"
      + SHA512.hexadecimal(attachment.interfaceName + ":" + attachment.containerID, length: 16)
  }

  // MARK: Installing, in the iptables form

  func installIPTables(_ prefixes: [IPPrefix]) throws {
    let comment = IPTablesBatch.quoted("name: \"\(network)\" id: \"\(attachment.containerID)\"")
    for family in [AddressFamily.ipv4, .ipv6] {
      let own = prefixes.filter { $0.family == family }
      if own.isEmpty { continue }
      let multicast = family == .ipv4 ? "224.0.0.0/4" : "ff00::/8"
      let remark = "-m comment --comment \(comment)"
      var batch = IPTablesBatch()
      batch.createOrEmpty(chainName, in: .nat)
      for prefix in own {
        batch.append("-d \(prefix.network) \(remark) -j ACCEPT", to: chainName, of: .nat)
      }
      batch.append("! -d \(multicast) \(remark) -j MASQUERADE", to: chainName, of: .nat)
      for prefix in own {
        batch.append("-s \(prefix.address) \(remark) -j \(chainName)", to: Self.postrouting, of: .nat)
      }
      let form = try IPTablesTable(.nat, family).formForNewRules()
      let iptables = IPTables(family)
      if iptables.writes(form) == .nft {
        try PacketFilter.ifAvailable { try IPTablesSkeleton.make([Self.postrouting], family, &$0) }
      }
      try iptables.restore(batch, form: form)
    }
  }

  // MARK: Looking

  func isPresent(_ family: AddressFamily, _ socket: inout NetfilterSocket) throws -> Bool {
    if try !Self.pluginRules(&socket).filter({ $0.isCommented(prefix: commentPrefix) }).isEmpty {
      return true
    }
    return try socket.chainIfPresent(chainName, in: ForeignTables.nat(family)) != nil
  }

  func isPresentInLegacyTable(_ family: AddressFamily) -> Bool {
    IPTables(family).legacyTable(.nat, contains: chainName)
  }

  private static let pluginChain = Chain(Table(.inet, "cni_plugins_masquerade"), "masq_checks")

  private static func pluginRules(_ socket: inout NetfilterSocket) throws(NetlinkError) -> [Rule] {
    try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.rules(in: pluginChain) } ?? []
  }

  // MARK: Removing

  /// Removes both forms as far as they are rules of nf_tables. Without one of theirs on the host this is one question
  /// to the kernel, and no process.
  func remove(_ socket: inout NetfilterSocket) throws {
    let tables = try ForeignTables(&socket)
    if tables.contains(Self.pluginChain.table) {
      try socket.deleteRules(in: Self.pluginChain) { $0.isCommented(prefix: commentPrefix) }
    }
    let families = tables.natFamilies
    let chains = try socket.chains(named: families.map { Chain(ForeignTables.nat($0), chainName) })
    for (family, chain) in zip(families, chains) where chain != nil { try removeChain(family, &socket) }
  }

  /// What iptables-nft made: its rules are nf_tables rules, and are removed as such.
  private func removeChain(_ family: AddressFamily, _ socket: inout NetfilterSocket) throws {
    let table = ForeignTables.nat(family)
    try socket.deleteChain(Chain(table, chainName), jumpsFrom: [Chain(table, Self.postrouting)])
    try IPTablesSkeleton.removeUnused(family, &socket)
  }

  /// Removes the chain of iptables-legacy, which works in a kernel without nf_tables, too.
  func removeLegacy() throws {
    var steps = EveryStep()
    for family in [AddressFamily.ipv4, .ipv6] where isPresentInLegacyTable(family) {
      steps.attempt { try IPTables(family).removeLegacyChain(chainName, table: .nat) }
    }
    try steps.finish()
  }

  private static let postrouting = "POSTROUTING"

  /// GC. Both forms say in a comment what they belong to: the iptables form network and container, without interface.
  static func removeAll(where stale: StaleMarks, _ socket: inout NetfilterSocket) throws {
    let ofNetwork = SHA512.hexadecimal(stale.network, length: 16) + "-"
    let valid = stale.valid.map {
      ForeignMasquerade(
        Owner(network: stale.network, containerID: $0.containerID, interfaceName: $0.interfaceName)
      ).commentPrefix
    }
    try socket.deleteRules(in: pluginChain) { rule in
      rule.isCommented(prefix: ofNetwork) && !valid.contains { rule.isCommented(prefix: $0) }
    }

    for family in try ForeignTables(&socket).natFamilies {
      let chain = Chain(ForeignTables.nat(family), postrouting)
      let rules =
        try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.rules(in: chain) } ?? []
      for mark in staleOwners(
        in: rules.flatMap { [$0.comment].compactMap { $0 } + $0.extensionComments }, stale)
      {
        try mark.removeChain(family, &socket)
      }
    }
  }

  /// The same for what iptables-legacy made; without nf_tables, too.
  static func removeAllLegacy(where stale: StaleMarks) throws {
    var steps = EveryStep()
    for family in [AddressFamily.ipv4, .ipv6] {
      let rules = LegacyTable(IPTablesTable(.nat, family))?[postrouting]?.rules ?? []
      for mark in staleOwners(in: rules.compactMap(\.comment), stale) {
        steps.attempt { try IPTables(family).removeLegacyChain(mark.chainName, table: .nat) }
      }
    }
    try steps.finish()
  }

  /// Whose masquerading these comments are of, if it is of the network and not valid any more.
  private static func staleOwners(in comments: [String], _ stale: StaleMarks) -> [ForeignMasquerade] {
    let beginning = "name: \"\(stale.network)\" id: \""
    let valid = Set(stale.valid.map(\.containerID))
    let containers = comments.compactMap { text in
      text.hasPrefix(beginning) && text.hasSuffix("\"")
        ? String(text.dropFirst(beginning.count).dropLast()) : nil
    }
    return Set(containers).subtracting(valid).sorted().map {
      ForeignMasquerade(Owner(network: stale.network, containerID: $0, interfaceName: ""))
    }
  }
}
