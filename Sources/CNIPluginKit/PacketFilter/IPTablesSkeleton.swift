import NetworkAddresses
import Netlink

/// The table `nat` and the base chains in it that iptables-nft makes when a first rule comes, and never removes.
///
/// So that a host is afterwards as it was before, those that are missing are made here, with a comment that says so;
/// iptables takes them for its own. What has that comment and holds no rule any more is removed. Kernels before 5.10
/// keep no comment: there they stay, as they do after iptables itself.
enum IPTablesSkeleton {
  private static let comment = "made for CNI"

  private static func baseChain(_ name: String, _ family: AddressFamily) -> Chain? {
    let place: (NetfilterHook, ChainPriority)? =
      switch name {
      case "PREROUTING": (.prerouting, .destinationNAT)
      case "OUTPUT": (.output, .destinationNAT)
      case "POSTROUTING": (.postrouting, .sourceNAT)
      default: nil
      }
    return place.map {
      Chain(
        ForeignTables.nat(family), name, base: .init(.nat, hook: $0.0, priority: $0.1, policy: .accept),
        comment: comment)
    }
  }

  /// Makes those of the chains that are not there.
  static func make(
    _ names: [String], _ family: AddressFamily, _ socket: inout NetfilterSocket
  ) throws(NetlinkError) {
    let wanted = names.compactMap { baseChain($0, family) }
    for attempt in 0..<20 {
      let present = try socket.chains(named: wanted)
      let missing = zip(wanted, present).filter { $0.1 == nil }.map(\.0)
      if missing.isEmpty { return }
      var transaction = NFTransaction()
      let table = ForeignTables.nat(family)
      transaction.add(Table(table.family, table.name, comment: comment))
      for chain in missing { transaction.create(chain) }
      // iptables, or another ADD, may make them at the same time; whoever removes them, too.
      if try socket.commit(transaction, unless: { ($0.isExists || $0.isNotFound) && attempt < 19 }) { return }
    }
  }

  /// Removes what `make` has made and nobody uses.
  static func removeUnused(_ family: AddressFamily, _ socket: inout NetfilterSocket) throws(NetlinkError) {
    let name = ForeignTables.nat(family)
    try socket.commitUnlessBusy { (socket: inout NetfilterSocket) throws(NetlinkError) in
      guard
        let table = try PacketFilter.absentAsNil({ () throws(NetlinkError) in
          try socket.table(name.family, name.name)
        })
      else { return nil }
      let unused = try socket.chains(in: table).filter {
        $0.comment == comment && $0.base != nil && $0.useCount == 0
      }
      var transaction = NFTransaction()
      for chain in unused { transaction.delete(chain, ifEmpty: true) }
      if table.comment == comment, table.useCount == UInt32(unused.count) {
        transaction.delete(table, ifEmpty: true)
      }
      return transaction
    }
  }
}

extension NetfilterSocket {
  /// Tidies up: as `commitPrepared`, but where the rule set does not come to rest, what was meant to go may stay.
  mutating func commitUnlessBusy(
    _ prepare: (inout NetfilterSocket) throws(NetlinkError) -> NFTransaction?
  ) throws(NetlinkError) {
    // ERESTART
    do { try commitPrepared(prepare) } catch  where error.errno.rawValue == 85 { return }
  }
}
