import NetworkAddresses
import Netlink

/// Which tables of nf_tables there are: the one question that, on most hosts, answers all others about what the Go
/// plugins may have left.
struct ForeignTables {
  private let present: [Table]

  init(_ socket: inout NetfilterSocket) throws(NetlinkError) { present = try socket.tables() }

  func contains(_ table: Table) -> Bool {
    present.contains { $0.family == table.family && $0.name == table.name }
  }

  /// The families in which iptables-nft's table `nat` is there.
  var natFamilies: [AddressFamily] { [AddressFamily.ipv4, .ipv6].filter { contains(Self.nat($0)) } }

  /// The table `nat` of iptables-nft.
  static func nat(_ family: AddressFamily) -> Table { Table(NetfilterFamily(family), "nat") }
}

extension NetfilterFamily {
  /// `ip` or `ip6`.
  init(_ family: AddressFamily) { self = family == .ipv4 ? .ip : .ip6 }
}
