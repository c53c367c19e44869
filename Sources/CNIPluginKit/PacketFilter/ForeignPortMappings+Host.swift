public import NetworkAddresses
import Netlink

extension ForeignPortMappings {
  /// What there is of iptables' address translation on a host, as far as it decides about the form of new port mappings.
  public struct Surroundings: Sendable {
    /// The form in which the host keeps rules of its own in the table `nat`; of families that have none there, or no
    /// program to change them, nothing.
    public fileprivate(set) var forms: [AddressFamily: IPTablesTable.Form] = [:]
    /// Whether the kernel has nf_tables.
    public fileprivate(set) var hasNFTables = false
    /// The families in which containers have port mappings in iptables.
    public fileprivate(set) var mapped: Set<AddressFamily> = []
    /// Whether the container has port mappings in iptables already.
    public fileprivate(set) var hasOwn = false
  }

  /// Looks for the rules of iptables in the table `nat`.
  ///
  /// What leads to chains of the CNI plugins does not count, whoever made it, nor do tables and base chains without a
  /// rule: it goes with the containers. Would it count, a host that was in iptables once would stay there, each new
  /// container because of those before it.
  ///
  /// Without iptables this is a question to the kernel for each family, and a look at two files. Where the table is there its
  /// chains are asked for by their names; where they have rules, the beginning is read.
  ///
  /// - Parameter families: Of the container's addresses.
  /// - Throws: `NetlinkError` if nf_tables refuses to tell.
  public func surroundings(_ families: [AddressFamily]) throws -> Surroundings {
    var result = Surroundings()
    let tables = families.map { IPTablesTable(.nat, $0) }
    try PacketFilter.ifAvailable { socket in
      for table in tables {
        let isThere = try PacketFilter.absentAsNil { () throws(NetlinkError) in
          try socket.table(table.nftTable.family, table.nftTable.name)
        }
        result.hasNFTables = true
        guard isThere != nil else { continue }
        let own = [Self.entrance, chainName].map { Chain(table.nftTable, $0) }
        let found = try socket.chains(named: own + table.nftChains())
        if let entrance = found[0], entrance.useCount ?? 1 > 0 { result.mapped.insert(table.family) }
        if found[1] != nil { result.hasOwn = true }
        if try table.isInUse(Array(found.dropFirst(2)), &socket), IPTables(table.family).canWrite(.nft) {
          result.forms[table.family] = .nft
        }
      }
    }
    for table in tables {
      if let legacy = LegacyTable(table) {
        if legacy[chainName] != nil { result.hasOwn = true }
        if legacy[Self.entrance]?.rules.isEmpty == false { result.mapped.insert(table.family) }
        if result.forms[table.family] == nil, legacy.isInUse(table.name.baseChains),
          IPTables(table.family).canWrite(.legacy)
        {
          result.forms[table.family] = .legacy
        }
      }
      // There is no other way.
      if !result.hasNFTables, IPTables(table.family).canWrite(.legacy) {
        result.forms[table.family] = .legacy
      }
    }
    return result
  }
}
