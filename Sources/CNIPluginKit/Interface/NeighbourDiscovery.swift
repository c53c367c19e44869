import LinuxNetworking
import NetworkAddresses
import Netlink

/// Whether neighbours find an IPv6 address (RFC 4861, section 7.2).
public enum NeighbourDiscovery {
  /// Returns when those who ask for the addresses are answered.
  ///
  /// The kernel listens to who asks in work of its own that begins after the address is there, one piece of it at a time for
  /// all namespaces, under its lock of links: as a rule that is done by now, on a busy node it takes seconds. The first
  /// packet of a neighbour that asks too early waits a second for the next question.
  ///
  /// A kindness and no condition: after a second, in which such a neighbour would have asked again, it returns all the same.
  ///
  /// - Parameters:
  ///   - addresses: those of IPv4 do not count.
  ///   - index: of the interface that has them.
  public static func wait(
    for addresses: some Sequence<IPAddress>, on index: Int32, in socket: inout RouteSocket
  ) throws(NetlinkError) {
    let groups = addresses.compactMap { address -> IPv6Address? in
      if case .v6(let address) = address { address.solicitedNodeGroup } else { nil }
    }
    if groups.isEmpty { return }
    var isFirst = true
    _ = try Pause.until(within: 1000, longest: 50) { () throws(NetlinkError) in
      let joined = try socket.multicastGroups(index: index)
      if groups.allSatisfy(joined.contains) { return true }
      if !isFirst { return false }
      isFirst = false
      // Where nobody asks, nobody listens.
      return try !socket.link(index: index).flags.isDisjoint(with: [.noARP, .loopback])
    }
  }
}
