import CNI
import NetworkAddresses

/// A pod, as far as its networks are concerned: whose they are, where its network namespace is, and what it wants.
public struct Pod: Sendable, Hashable {
  /// The ID of the pod's sandbox: the container ID of the specification.
  public var id: String
  /// The pod's name. May be empty where only the ID is known; calls by ID and calls by name wait for each other.
  public var name: String
  /// The Kubernetes namespace of the pod; with the name it says which calls are about the same pod.
  public var namespace: String
  /// The pod's UID; may be empty.
  public var uid: String
  /// The path of the network namespace. Empty once it is gone.
  public var networkNamespace: String
  /// The networks to attach it to, in that order; empty for the default network alone.
  public var networks: [NetworkSelection]
  /// Further `CNI_ARGS` for all plugins.
  public var arguments: CNIArguments

  /// A pod; by default one for the default network.
  public init(
    id: String, name: String, namespace: String, uid: String = "", networkNamespace: String = "",
    networks: [NetworkSelection] = [], arguments: CNIArguments = CNIArguments()
  ) {
    self.id = id
    self.name = name
    self.namespace = namespace
    self.uid = uid
    self.networkNamespace = networkNamespace
    self.networks = networks
    self.arguments = arguments
  }
}

/// A network that a pod is to be attached to, and how.
public struct NetworkSelection: Sendable, Hashable {
  /// The network's name; `nil` for the default network.
  public var network: String?
  /// The interface in the pod; `nil` for the one that the network has in the pod already, or else for the first of `eth0`,
  /// `eth1`, … that nobody has or asks for.
  public var interfaceName: String?
  /// The IP address that the interface is to have; `nil` for any. Plugins get it as `IP` in `CNI_ARGS`.
  public var ipAddress: IPAddress?
  /// The MAC address that the interface is to have; `nil` for any. Plugins get it as `MAC` in `CNI_ARGS`, and as the
  /// capability `mac` if they have declared that.
  public var macAddress: MACAddress?
  /// Names by which the pod is to be found in this network.
  public var aliases: [String]
  /// What else plugins are to know, by capability: port mappings, bandwidth, ranges, cgroup path, annotations, …
  public var capabilities: [Capability]

  /// A selection; by default of the default network with nothing special.
  public init(
    _ network: String? = nil, interfaceName: String? = nil, ipAddress: IPAddress? = nil,
    macAddress: MACAddress? = nil, aliases: [String] = [], capabilities: [Capability] = []
  ) {
    self.network = network
    self.interfaceName = interfaceName
    self.ipAddress = ipAddress
    self.macAddress = macAddress
    self.aliases = aliases
    self.capabilities = capabilities
  }
}

/// What a pod has in one network.
public struct PodAttachment: Sendable, Hashable {
  /// Where the result is from.
  public enum Source: Sendable, Hashable {
    /// What the plugins have answered.
    case plugins
    /// What is in the pod's network namespace: nothing is remembered of what plugins have answered.
    case namespace
  }

  /// The network.
  public var network: String
  /// The interface in the pod.
  public var interfaceName: String
  /// Addresses, interfaces, routes and DNS.
  public var result: AddResult
  /// Where the result is from.
  public var source: Source

  /// The interface in the pod, as the result has it.
  public var interface: Interface? {
    result.interfaces.first { $0.name == interfaceName && $0.sandbox?.isEmpty == false }
  }

  /// The addresses of the pod in this network.
  public var addresses: [IPPrefix] { result.ips.map(\.address) }
}

extension Pod: CustomStringConvertible {
  /// `default/web (6a0d…)`
  public var description: String {
    let shown = id.utf8.count > 13 ? "\(id.prefix(12))…" : id
    return name.isEmpty ? "\(shown)" : "\(namespace)/\(name) (\(shown))"
  }
}
