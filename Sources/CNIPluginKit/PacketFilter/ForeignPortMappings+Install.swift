import CNI
public import NetworkAddresses
import Netlink

/// The iptables form: made with one call of `iptables-restore` for each family, and verified without any.
extension ForeignPortMappings {
  /// Leads the mappings to those of the addresses (each with the length of its network) that they serve, the first of
  /// each family.
  ///
  /// - Parameters:
  ///   - mappings: What is led where.
  ///   - addresses: The container's addresses.
  ///   - settings: The conditions, and the chain that marks.
  ///   - forms: Which of a family's two tables is meant; where it does not say, the one that the host's own rules
  ///     are in.
  /// - Throws: what `iptables-restore` says, if a condition makes no sense to it or the external chain is not there.
  public func installIPTables(
    _ mappings: [PortMapping], to addresses: [IPPrefix], _ settings: Settings,
    forms: [AddressFamily: IPTablesTable.Form] = [:]
  ) throws {
    for word in settings.conditionsV4 + settings.conditionsV6 + [settings.externalMarkChain ?? ""]
    where word.utf8.contains(where: { $0 == 0x0a || $0 == 0 }) {
      throw CNIError(.invalidConfiguration, "a word for iptables cannot have a line's end in it")
    }
    for family in [AddressFamily.ipv4, .ipv6] {
      guard let address = addresses.first(where: { $0.family == family }) else { continue }
      let form = try forms[family] ?? IPTablesTable(.nat, family).formForNewRules()
      try install(mappings, to: address, settings, form)
    }
  }

  private func install(
    _ mappings: [PortMapping], to address: IPPrefix, _ settings: Settings, _ form: IPTablesTable.Form?
  ) throws {
    let iptables = IPTables(address.family)
    let written = iptables.writes(form)
    let needed = containerRules(mappings, to: address, settings)
    // Where the program does not tell what it works on, that is tried first which is there, and then the other.
    var variants = written.map { [$0] } ?? [.nft, .legacy]
    var seen = try look(variants[0], address.family, settings)
    for attempt in 1... {
      if seen.isLeft {
        // Of an ADD whose DEL never came. Its entries may be for other ports.
        try remove()
        seen = try look(variants[0], address.family, settings)
      }
      if written == .nft {
        try PacketFilter.ifAvailable { try IPTablesSkeleton.make(settings.callers, address.family, &$0) }
      }
      var batch = IPTablesBatch()
      for line in Self.commonRules(settings, unless: seen.common) + needed { batch.add(line, to: .nat) }
      do {
        try iptables.restore(batch, form: form)
        break
      } catch {
        // Somebody may have made, or removed, the common chains meanwhile.
        let now = try look(variants[0], address.family, settings)
        if now.common != seen.common || now.generation != seen.generation {
          guard attempt < 30 else { throw error }
          seen = now
        } else {
          guard variants.count > 1 else { throw error }
          variants.removeFirst()
          seen = try look(variants[0], address.family, settings)
        }
      }
    }
    // Only now: who comes first is decided by then, also among those who come at the same time.
    try requireFree(mappings, [address.family])
  }

  /// What is there that decides about what has to be made.
  private struct Sight {
    var common: CommonRules
    /// Whether the container's chain is there already.
    var isLeft: Bool
    /// Of nf_tables' rule set: what was made and removed again has changed it, too.
    var generation: UInt32
  }

  private func look(
    _ variant: IPTablesTable.Form, _ family: AddressFamily, _ settings: Settings
  ) throws -> Sight {
    let rules: NATRules
    var generation: UInt32 = 0
    switch variant {
    case .nft:
      try PacketFilter.ifAvailable { generation = try $0.generation() }
      rules = try nftRules(family, of: Self.common.map(\.name).filter { $0 != Self.entrance })
    case .legacy: rules = NATRules(legacy: family)
    }
    return Sight(
      common: CommonRules(rules, mark: settings.mark), isLeft: rules[chainName] != nil, generation: generation
    )
  }

  // MARK: Reading

  /// The rules of the built-in chains and of `names`. The common chains and the container's are also in it if they are
  /// there, but without their rules unless named.
  private func nftRules(_ family: AddressFamily, of names: [String]) throws -> NATRules {
    var result: NATRules = [:]
    try PacketFilter.ifAvailable { socket in
      let table = ForeignTables.nat(family)
      let builtIn = ["PREROUTING", "OUTPUT", "POSTROUTING"]
      let wanted = builtIn + Self.common.map(\.name) + [chainName]
      for chain in try socket.chains(named: wanted.map { Chain(table, $0) }) {
        guard let chain else { continue }
        guard builtIn.contains(chain.name) || names.contains(chain.name) else {
          result[chain.name] = []
          continue
        }
        result[chain.name] = try socket.rules(in: chain).map(NATRule.init)
      }
    }
    return result
  }

  // MARK: Verifying

  func isPresent(_ mappings: [PortMapping], to address: IPAddress, _ settings: Settings) throws -> Bool {
    let family = address.family
    let bytes = address.bytes
    var wanted: Set<NATRule.Translation> = []
    for mapping in mappings where mapping.serves(family) {
      wanted.insert(
        NATRule.Translation(
          transport: mapping.transport.number.rawValue, hostPort: mapping.hostPort, address: bytes,
          port: mapping.containerPort))
    }
    var isPresent = false
    try PacketFilter.ifAvailable { isPresent = try isInHostPortTable(wanted, family, &$0) }
    if isPresent { return true }
    if holds(try nftRules(family, of: Self.common.map(\.name) + [chainName]), wanted, mappings, settings) {
      return true
    }
    return holds(NATRules(legacy: family), wanted, mappings, settings)
  }

  /// Whether the iptables form is whole.
  private func holds(
    _ rules: NATRules, _ wanted: Set<NATRule.Translation>, _ mappings: [PortMapping], _ settings: Settings
  ) -> Bool {
    guard let own = rules[chainName], wanted.isSubset(of: own.compactMap(\.translation)) else { return false }
    guard rules[Self.entrance]?.filter({ $0.jump == chainName }).count ?? 0 >= Self.ports(mappings).count
    else {
      return false
    }
    return Self.commonRules(settings, unless: CommonRules(rules, mark: settings.mark)).isEmpty
  }

  /// Whether the Go plugin's nf_tables form is there.
  private func isInHostPortTable(
    _ wanted: Set<NATRule.Translation>, _ family: AddressFamily, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) -> Bool {
    let table = Self.hostPortTable(family)
    let rules = try PacketFilter.absentAsNil { () throws(NetlinkError) in try socket.rules(in: table) } ?? []
    let own = rules.filter { $0.comment == containerID }.compactMap { NATRule($0).translation }
    guard wanted.isSubset(of: own) else { return false }
    return ["prerouting", "output"].allSatisfy { caller in
      rules.contains { $0.chain.name == caller && !$0.jumpTargets.isEmpty }
    }
  }
}
