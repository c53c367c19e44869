import NetworkAddresses
import Netlink

/// What a link is used for in its namespace, which the kernel forgets when the link is moved to another one, goes down, or
/// changes its master.
public struct LinkUse: Sendable {
  /// The link as it was.
  public let link: Link
  /// All of its addresses.
  public let addresses: [InterfaceAddress]
  /// Its routes, in all tables, without those that the kernel makes of addresses.
  public let routes: [Route]
  /// The name of the link that it is a port of.
  public let masterName: String?

  /// Takes down what there is.
  public init(_ link: Link, in socket: inout RouteSocket) throws {
    self.link = link
    addresses = try socket.addresses(index: link.index)
    // What the kernel makes of the addresses it makes again.
    routes =
      link.isUp
      ? try socket.routes(interface: link.index).filter {
        $0.protocol != .kernel && $0.interface == link.index && $0.type == .unicast
      } : []
    masterName = try link.master.flatMap { try socket.find(.index($0)) }?.name
  }

  /// What whoever runs the host may not have meant.
  var warnings: [String] {
    var warnings: [String] = []
    let lost = addresses.filter { $0.scope != .link }
    if !lost.isEmpty {
      let list = lost.map(\.prefix.description).joined(separator: ", ")
      warnings.append("\(link.name) loses its addresses on the host: \(list)")
    }
    if routes.contains(where: { $0.destination.isDefault }) {
      warnings.append("\(link.name) was the host's way to everywhere: its default route is gone")
    }
    if let masterName {
      warnings.append("\(link.name) leaves \(masterName), and DEL does not put it back there")
    }
    return warnings
  }

  /// Gives it all back to the link, which may have got another index. What the kernel refuses, it refuses for another
  /// reason than this one: the rest is given back all the same.
  public func restore(index: Int32, in socket: inout RouteSocket) throws(NetlinkError) {
    var requests: [RouteRequest] = []
    if let master = link.master { requests.append(.changeLink(.index(index), LinkChange(master: master))) }
    if link.isUp { requests.append(.changeLink(.index(index), LinkChange(isUp: true))) }
    requests += addressRequests(index: index)
    requests += routeRequests(index: index)
    // The kernel goes on behind one that it refuses.
    do { try socket.perform(requests) } catch  where error.isExists {}
  }

  /// Gives the link those of its addresses that it does not have in `present`.
  public func addressRequests(index: Int32, except present: [InterfaceAddress] = []) -> [RouteRequest] {
    let there = Set(present.map(\.prefix))
    return addresses.filter { !Self.comesByItself($0) && !there.contains($0.prefix) }.map { address in
      var address = address
      address.flags.formIntersection([.noPrefixRoute, .manageTemporary, .homeAddress, .multicastAutoJoin])
      if address.prefix.family == .ipv6 { address.flags.insert(.noDAD) }
      return .addAddress(address, index: index)
    }
  }

  /// Gives the link its routes.
  ///
  /// - Parameters:
  ///   - index: The link's index.
  ///   - table: Where those of the main table go; nil: there.
  ///   - replace: In place of routes to the same destination, such as the kernel's.
  public func routeRequests(index: Int32, table: UInt32? = nil, replace: Bool = false) -> [RouteRequest] {
    // Gateways are reached by way of the routes that have none.
    (routes.filter { $0.gateway == nil } + routes.filter { $0.gateway != nil }).map { route in
      var route = route
      route.interface = index
      if let table, route.table == Route.mainTable { route.table = table }
      return .addRoute(route, replace: replace)
    }
  }

  /// Link-local addresses come with the link, temporary ones with the others.
  private static func comesByItself(_ address: InterfaceAddress) -> Bool {
    address.prefix.family == .ipv6 && (address.scope == .link || address.flags.contains(.temporary))
  }
}
