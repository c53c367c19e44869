import CNI
import NetworkAddresses
import Netlink

/// What it takes for packets from the addresses of an interface to leave by that interface: for each address a routing
/// table of its own, a rule that leads there, and the interface's routes moved into it.
struct SourceRouting {
  /// An address and what belongs to it.
  struct Source: Equatable {
    let address: IPPrefix
    let table: UInt32
    let routes: [Route]
  }

  /// The table that is tried first.
  static let firstTable: UInt32 = 100

  let sources: [Source]
  /// Rules that are not there yet.
  let rules: [RoutingRule]
  /// Routes of the main table that are not needed any more.
  let moved: [Route]
  /// Routes of the main table that say which address to begin with.
  let hints: [Route]

  /// All of it, the new before the old goes, and gateways after the routes to them.
  var requests: [RouteRequest] {
    sources.flatMap { $0.routes.map { .addRoute($0) } } + rules.map { .addRule($0) }
      + hints.map { .addRoute($0, replace: true) } + moved.map { .deleteRoute($0) }
  }

  /// What takes it back, however much of it has been done. Each may find that there is nothing to do.
  var inverse: [RouteRequest] {
    rules.map { .deleteRule($0) } + sources.flatMap { $0.routes.reversed().map { .deleteRoute($0) } }
      + hints.map { .deleteRoute($0) }
      + Self.nearFirst(moved + replaced).map { .addRoute($0, replace: true) }
  }

  /// Routes of the main table that a hint takes the place of.
  private let replaced: [Route]

  /// - Parameters:
  ///   - addresses: Those of the interface, with the gateways that the result has for them.
  ///   - rules: All that there are, of both families.
  ///   - routes: All that there are, of both families, in all tables.
  init(
    _ addresses: [IPConfiguration], interface: Int32, _ configuration: SBRConfiguration,
    rules: [RoutingRule], routes: [Route]
  ) {
    func missing(_ rule: RoutingRule) -> Bool { !rules.contains { $0.leads(as: rule) } }
    if let table = configuration.table {
      sources = addresses.map { Source(address: $0.address, table: table, routes: []) }
      self.rules = addresses.map { RoutingRule(from: $0.address.address, table: table) }.filter(missing)
      (moved, hints, replaced) = ([], [], [])
      return
    }

    var taken = Set(rules.compactMap(\.table)).union(routes.compactMap(\.table))
    taken.formUnion([253, Route.mainTable, Route.localTable])
    let own = routes.filter {
      $0.table == Route.mainTable && $0.interface == interface && ($0.type ?? .unicast) == .unicast
        // What neighbours on the link say to each other is nobody else's.
        && !($0.destination.address.isLinkLocal && $0.destination.family == .ipv6)
    }
    var sources: [Source] = []
    for ip in addresses {
      var table = Self.firstTable
      while taken.contains(table) { table += 1 }
      taken.insert(table)
      sources.append(
        Source(
          address: ip.address, table: table,
          routes: Self.routes(
            for: ip, of: own, among: addresses, interface: interface, table: table,
            gateway: configuration.gateways[ip.address.family])))
    }
    self.sources = sources
    self.rules = sources.map { RoutingRule(from: $0.address.address, table: $0.table) }.filter(missing)

    guard configuration.addsSourceHints else {
      (moved, hints, replaced) = (Self.nearFirst(own).reversed(), [], [])
      return
    }
    let hints = addresses.filter { $0.address.length < $0.address.family.bitWidth }.map { ip in
      Route(
        destination: ip.address.network, interface: interface, preferredSource: ip.address.address,
        scope: ip.address.family == .ipv4 ? .link : nil)
    }
    self.hints = hints
    replaced = own.filter { route in hints.contains { $0.key == route.key } }
    moved = Self.nearFirst(own).reversed().filter { route in
      // On the link, IPv4 says so by the scope; of IPv6, the hints are those.
      !hints.contains { $0.key == route.key } && (route.destination.family == .ipv6 || route.scope != .link)
    }
  }

  /// The routes of an address: the default one, and those of the interface that are not another address's.
  private static func routes(
    for ip: IPConfiguration, of own: [Route], among addresses: [IPConfiguration], interface: Int32,
    table: UInt32, gateway: IPAddress?
  ) -> [Route] {
    let family = ip.address.family
    func concerns(_ route: Route, _ ip: IPConfiguration) -> Bool {
      ip.address.family == family
        && [route.preferredSource, route.gateway].contains { $0.map(ip.address.network.contains) ?? false }
    }
    var routes: [Route] = []
    for var route in own where route.destination.family == family {
      let isElsewhere = !concerns(route, ip) && addresses.contains { concerns(route, $0) }
      if isElsewhere || (gateway != nil && route.destination.isDefault) { continue }
      route.table = table
      if !routes.contains(where: { $0.key == route.key }) { routes.append(route) }
    }
    if let gateway = gateway ?? ip.gateway {
      let route = Route(
        destination: .everything(family), gateway: gateway, interface: interface, table: table)
      if !routes.contains(where: { $0.key == route.key }) { routes.append(route) }
    }
    return nearFirst(routes)
  }

  /// Routes without a gateway first: gateways are reached by way of them.
  static func nearFirst(_ routes: [Route]) -> [Route] {
    routes.filter { $0.gateway == nil } + routes.filter { $0.gateway != nil }
  }
}

extension RoutingRule {
  /// Packets from one address.
  init(from address: IPAddress, table: UInt32) {
    self.init(family: address.family, source: .host(address), table: table)
  }

  /// Whether it does the same for the same packets, and nothing else, whenever and by whomever it was made.
  func leads(as other: RoutingRule) -> Bool {
    var one = self
    one.priority = other.priority
    one.protocol = other.protocol
    return one == other
  }

  /// Whether it is a rule as this plugin makes them, for one of these addresses.
  func leads(from addresses: Set<IPAddress>) -> Bool {
    guard let source, source.length == family.bitWidth, addresses.contains(source.address), let table else {
      return false
    }
    return leads(as: RoutingRule(from: source.address, table: table))
  }
}

extension Route {
  /// What there can be one of in a table.
  struct Key: Hashable {
    let destination: IPPrefix
    let priority: UInt32
    let typeOfService: UInt8
  }

  var key: Key {
    Key(
      destination: destination.network,
      priority: priority ?? (destination.family == .ipv4 ? 0 : 1024), typeOfService: typeOfService)
  }
}
