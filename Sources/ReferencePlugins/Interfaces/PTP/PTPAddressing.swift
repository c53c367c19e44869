import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// What the addresses of a result mean for the two ends of the pair.
struct PTPAddressing {
  private let ips: [(address: IPPrefix, gateway: IPAddress)]

  init(_ ips: [IPConfiguration]) {
    self.ips = ips.compactMap { ip in ip.gateway.map { (ip.address, $0) } }
  }

  /// The container's: the gateway is on the link.
  func gatewayRoutes(interface: Int32) -> [Route] {
    var routes: [Route] = []
    // Addresses may share a gateway.
    for ip in ips where !routes.contains(where: { $0.destination == .host(ip.gateway) }) {
      routes.append(
        Route(destination: .host(ip.gateway), interface: interface, preferredSource: ip.address.address))
    }
    return routes
  }

  /// The container's: the rest of each subnet is behind the gateway. They take the place of the kernel's routes to the
  /// subnets, which would have the container ask on the link for neighbours that are not there.
  func subnetRoutes(interface: Int32) -> [Route] {
    var routes: [Route] = []
    // A subnet of one address is the container itself.
    for ip in ips where ip.address.length < ip.address.family.bitWidth {
      if routes.contains(where: { $0.destination == ip.address.network }) { continue }
      routes.append(
        Route(
          destination: ip.address.network, gateway: ip.gateway, interface: interface,
          preferredSource: ip.address.address))
    }
    return routes
  }

  /// The host's addresses: those of the gateways, each on its own.
  var hostAddresses: [IPPrefix] {
    var addresses: [IPPrefix] = []
    for ip in ips where !addresses.contains(.host(ip.gateway)) { addresses.append(.host(ip.gateway)) }
    return addresses
  }

  /// The host's routes: the container's addresses are on the link.
  func hostRoutes(interface: Int32) -> [Route] {
    ips.map { ip in
      Route(
        destination: .host(ip.address.address), interface: interface,
        scope: ip.address.family == .ipv4 ? .host : .universe)
    }
  }
}

/// The host's end of the pair.
struct PTPHostEnd {
  let link: Link
  let addressing: PTPAddressing

  init(_ link: Link, _ addressing: PTPAddressing) {
    self.link = link
    self.addressing = addressing
  }

  /// Settings of the host's end, made while it has no carrier: nothing has come in yet, and no address been made.
  static func prepare(_ name: String) {
    Router.refuseAdvertisements(on: name)
    // Until its link-local address is beyond doubt, the host asks for no neighbour on behalf of those whose packets it
    // forwards: what others send to the container in its first second would be lost. A kernel without IPv6 has none.
    try? Sysctl.write("0", to: "net/ipv6/conf/\(name)/accept_dad")
  }

  /// Gives it the gateways' addresses and the routes to the container. All of it goes with the link.
  func configure(in host: inout RouteSocket) throws {
    let routes = addressing.hostRoutes(interface: link.index)
    let addresses = addressing.hostAddresses.map { prefix in
      // Nobody else is on the link who might have it.
      RouteRequest.addAddress(
        InterfaceAddress(prefix, flags: prefix.family == .ipv6 ? [.noDAD] : []), index: link.index)
    }
    if try Self.performUnlessTaken(addresses + routes.map { .addRoute($0) }, in: &host) { return }
    try claim(routes, in: &host)
  }

  /// False where the host has another route to one of the addresses; the others are there then.
  private static func performUnlessTaken(
    _ requests: [RouteRequest], in host: inout RouteSocket
  ) throws(NetlinkError) -> Bool {
    do {
      try host.perform(requests)
      return true
    } catch  where error.isExists {
      return false
    }
  }

  /// Sets the routes once the links that had them are gone, for which a namespace that has just been deleted takes a
  /// moment. One that stays is somebody's who uses the address.
  private func claim(_ routes: [Route], in host: inout RouteSocket) throws {
    var taken: Route?
    for _ in 0..<50 {
      let present = try host.routes(table: Route.mainTable)
      let missing = routes.filter { route in !present.contains(where: { route.leadsAsMeant($0) }) }
      taken = present.first { other in missing.contains { $0.destination == other.destination } }
      if taken == nil, try Self.performUnlessTaken(missing.map { .addRoute($0) }, in: &host) { return }
      Pause.milliseconds(20)
    }
    guard let taken else {
      throw CNIError(.tryAgainLater, "the host's routes to the container keep appearing and vanishing")
    }
    let other = try taken.interface.flatMap { try host.find(.index($0)) }
    let owner = other?.alias.map { " (\($0))" } ?? ""
    throw CNIError(
      .internalError,
      "the host already has a route to \(taken.destination.address), by way of \(other?.name ?? "a gateway")\(owner)",
      details: "the address is in use although IPAM does not know it: remove what uses it, or exclude it")
  }

  /// CHECK: up, with all addresses and routes.
  func verify(in host: inout RouteSocket) throws {
    guard link.isUp else { throw CNIError(.internalError, "\(link.name), the host's end, is down") }
    let addresses = try host.addresses(index: link.index).map(\.prefix)
    for address in addressing.hostAddresses where !addresses.contains(address) {
      throw CNIError(.internalError, "\(link.name) has lost the gateway's address \(address)")
    }
    let present = try host.routes(interface: link.index)
    for route in addressing.hostRoutes(interface: link.index)
    where !present.contains(where: { route.leadsAsMeant($0) }) {
      throw CNIError(
        .internalError, "the host's route to \(route.destination) by way of \(link.name) is gone")
    }
  }
}

extension Route {
  /// Whether a route that was read leads where this one was meant to, whatever else is said of it.
  ///
  /// - Parameter inAnyTable: Not only in the main table. Of a container, sbr and vrf move the routes.
  func leadsAsMeant(_ other: Route, inAnyTable: Bool = false) -> Bool {
    other.destination == destination && other.gateway == gateway && other.interface == interface
      && (inAnyTable || other.table == Route.mainTable)
  }
}
