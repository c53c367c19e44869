import CNI
import NetworkAddresses

/// What a container has after it was set up.
public struct ContainerResult: Sendable, Hashable {
  /// The result of one network.
  public struct NetworkResult: Sendable, Hashable {
    /// The network's name.
    public var network: String
    /// The name of the container's interface.
    public var interfaceName: String
    /// What the plugins have answered, as it came.
    public var result: AddResult

    /// The result of one network.
    public init(network: String, interfaceName: String, result: AddResult) {
      self.network = network
      self.interfaceName = interfaceName
      self.result = result
    }
  }

  /// The interfaces by name: those of the container, and those that plugins have made on the host (``Interface/sandbox``
  /// tells which). The interface of each network is there even if its plugins do not speak of it.
  public var interfaces: [String: Interface]
  /// The routes of all networks, in order.
  public var routes: [RouteConfiguration]
  /// The settings for name resolution of all networks in one: each server, domain and option once, in order.
  public var dns: DNSConfiguration
  /// The networks one by one, in the order in which they were loaded.
  public var networks: [NetworkResult]

  /// An interface of the container, or of the host.
  public struct Interface: Sendable, Hashable {
    /// Its addresses.
    public var addresses: [Address]
    /// Its hardware address as text; not every kind of interface has one of six bytes.
    public var mac: String?
    /// Its MTU in bytes, if the plugin says.
    public var mtu: Int?
    /// The network namespace it is in, as a path; `nil` for one on the host.
    public var sandbox: String?
    /// The path of a vhost-user socket.
    public var socketPath: String?
    /// The PCI address of the device.
    public var pciID: String?

    /// An interface; what is not known may be left out.
    public init(
      addresses: [Address] = [], mac: String? = nil, mtu: Int? = nil, sandbox: String? = nil,
      socketPath: String? = nil, pciID: String? = nil
    ) {
      self.addresses = addresses
      self.mac = mac
      self.mtu = mtu
      self.sandbox = sandbox
      self.socketPath = socketPath
      self.pciID = pciID
    }
  }

  /// An address of an interface. As text it is `10.88.0.5/16`.
  public struct Address: Sendable, Hashable, CustomStringConvertible {
    /// The address with the length of its subnet.
    public var prefix: IPPrefix
    /// The subnet's gateway, if it has one.
    public var gateway: IPAddress?

    /// An address.
    public init(prefix: IPPrefix, gateway: IPAddress? = nil) {
      self.prefix = prefix
      self.gateway = gateway
    }

    /// The address alone.
    public var ip: IPAddress { prefix.address }
    /// `10.88.0.5/16`
    public var description: String { "\(prefix)" }
  }
}

extension ContainerResult {
  /// From the results of the networks.
  /// - Throws: `invalidResult` for an address of an interface that the result does not have.
  init(_ networks: [NetworkResult], of id: String) throws(ContainerNetworkingError) {
    interfaces = [:]
    routes = []
    dns = DNSConfiguration()
    self.networks = networks
    for network in networks {
      for interface in network.result.interfaces { note(interface) }
      // Results from before 0.3.0 have no interfaces, and plugins need not name them later either.
      if interfaces[network.interfaceName] == nil { interfaces[network.interfaceName] = Interface() }
      for ip in network.result.ips {
        var name = network.interfaceName
        if let index = ip.interface {
          guard network.result.interfaces.indices.contains(index) else {
            throw ContainerNetworkingError(
              .invalidResult, "set up container \"\(id)\"",
              "network \"\(network.network)\" gives \(ip.address) to interface number \(index), "
                + "and has only \(network.result.interfaces.count)")
          }
          name = network.result.interfaces[index].name
        }
        interfaces[name]?.addresses.append(Address(prefix: ip.address, gateway: ip.gateway))
      }
      routes += network.result.routes
      dns.merge(network.result.dns)
    }
  }

  /// Of several interfaces with the same name one in a container counts before one of the host: a bridge that several
  /// networks use comes several times.
  private mutating func note(_ interface: CNI.Interface) {
    let sandbox = interface.sandbox.flatMap { $0.isEmpty ? nil : $0 }
    var new = Interface(
      mac: interface.mac, mtu: interface.mtu, sandbox: sandbox, socketPath: interface.socketPath,
      pciID: interface.pciID)
    if let known = interfaces[interface.name] {
      if known.sandbox != nil, sandbox == nil { return }
      if known.sandbox == sandbox { new.addresses = known.addresses }
    }
    interfaces[interface.name] = new
  }
}

extension DNSConfiguration {
  fileprivate mutating func merge(_ other: DNSConfiguration) {
    func new(_ texts: [String], _ known: [String]) -> [String] { texts.filter { !known.contains($0) } }
    nameservers += new(other.nameservers, nameservers)
    if domain.isEmpty { domain = other.domain }
    search += new(other.search, search)
    options += new(other.options, options)
  }
}
