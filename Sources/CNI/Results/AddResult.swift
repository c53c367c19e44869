import NetworkAddresses

/// What ADD has made: interfaces, addresses, routes and DNS settings. Always in the newest shape; the shapes of the
/// other versions exist only as JSON.
public struct AddResult: Sendable, Hashable {
  /// The interfaces that were made, in the container and on the host.
  public var interfaces: [Interface]
  /// The addresses that were given.
  public var ips: [IPConfiguration]
  /// The routes that were made in the container.
  public var routes: [RouteConfiguration]
  /// Settings for name resolution, for the runtime to apply.
  public var dns: DNSConfiguration

  /// A result.
  public init(
    interfaces: [Interface] = [], ips: [IPConfiguration] = [], routes: [RouteConfiguration] = [],
    dns: DNSConfiguration = DNSConfiguration()
  ) {
    self.interfaces = interfaces
    self.ips = ips
    self.routes = routes
    self.dns = dns
  }
}

/// An interface of a result.
public struct Interface: Sendable, Hashable {
  /// Its name.
  public var name: String
  /// Its hardware address as text; not every kind of interface has one of six bytes.
  public var mac: String?
  /// Its MTU in bytes; `nil` if the plugin does not say. Since 1.0.0.
  public var mtu: Int?
  /// The network namespace it is in, as a path; `nil` for one on the host.
  public var sandbox: String?
  /// The path of a vhost-user socket. Since 1.1.0.
  public var socketPath: String?
  /// The PCI address of the device. Since 1.1.0.
  public var pciID: String?

  /// An interface.
  public init(
    name: String, mac: String? = nil, mtu: Int? = nil, sandbox: String? = nil, socketPath: String? = nil,
    pciID: String? = nil
  ) {
    self.name = name
    self.mac = mac
    self.mtu = mtu
    self.sandbox = sandbox
    self.socketPath = socketPath
    self.pciID = pciID
  }
}

/// An address of a result.
public struct IPConfiguration: Sendable, Hashable {
  /// The address with the length of its subnet.
  public var address: IPPrefix
  /// The subnet's gateway, if it has one.
  public var gateway: IPAddress?
  /// The index of the interface in ``AddResult/interfaces`` that has the address; `nil` if the plugin that gave it
  /// does not know. It comes from outside, and may be no index of that list.
  public var interface: Int?

  /// An address.
  public init(address: IPPrefix, gateway: IPAddress? = nil, interface: Int? = nil) {
    self.address = address
    self.gateway = gateway
    self.interface = interface
  }
}

/// A route of a result or of a configuration.
public struct RouteConfiguration: Sendable, Hashable {
  /// Where it leads.
  public var destination: IPPrefix
  /// The next hop; `nil` means the gateway of the address that the route comes with.
  public var gateway: IPAddress?
  /// The MTU along the path, in bytes.
  public var mtu: Int?
  /// The maximal segment size to announce to TCP peers, in bytes.
  public var advmss: Int?
  /// The priority: of routes to the same destination the lowest number is used.
  public var priority: Int?
  /// The number of the routing table; `nil` is the main table.
  public var table: Int?
  /// The scope as the kernel numbers it: 0 global, 253 link, 254 host.
  public var scope: Int?

  /// A route.
  public init(
    destination: IPPrefix, gateway: IPAddress? = nil, mtu: Int? = nil, advmss: Int? = nil,
    priority: Int? = nil, table: Int? = nil, scope: Int? = nil
  ) {
    self.destination = destination
    self.gateway = gateway
    self.mtu = mtu
    self.advmss = advmss
    self.priority = priority
    self.table = table
    self.scope = scope
  }
}

/// Settings for name resolution.
public struct DNSConfiguration: Sendable, Hashable {
  /// The name servers, the preferred one first.
  public var nameservers: [String]
  /// The local domain; may be empty.
  public var domain: String
  /// The domains to search.
  public var search: [String]
  /// Options of the resolver.
  public var options: [String]

  /// Settings.
  public init(
    nameservers: [String] = [], domain: String = "", search: [String] = [], options: [String] = []
  ) {
    self.nameservers = nameservers
    self.domain = domain
    self.search = search
    self.options = options
  }

  /// Whether nothing is set.
  public var isEmpty: Bool { nameservers.isEmpty && domain.isEmpty && search.isEmpty && options.isEmpty }
}
