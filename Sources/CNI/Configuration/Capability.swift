import NetworkAddresses

/// Something that a runtime wants of the plugins of one attachment, by the name of a capability. A plugin that has declared
/// the capability in its configuration finds the value under `runtimeConfig`; others do not see it.
///
/// The well-known ones have a function each (CNI conventions, "Well-known Capabilities").
public struct Capability: Sendable, Hashable {
  /// The capability's name: `portMappings`, say.
  public var name: String
  /// What is wanted.
  public var value: JSONValue

  /// A capability of any name.
  public init(_ name: String, _ value: JSONValue) {
    self.name = name
    self.value = value
  }
}

extension Capability {
  /// `portMappings`: ports of the host that lead to the container.
  public static func portMappings(_ mappings: [PortMapping]) -> Capability {
    Capability("portMappings", .array(mappings.map(\.json)))
  }

  /// `bandwidth`: limits to what the container sends and receives.
  public static func bandwidth(_ limits: Bandwidth) -> Capability {
    Capability("bandwidth", limits.json)
  }

  /// `ipRanges`: what to choose addresses from. The container gets one address of each pool, and a pool is made of one or
  /// more ranges.
  public static func ipRanges(_ pools: [[AddressRange]]) -> Capability {
    Capability("ipRanges", .array(pools.map { .array($0.map(\.json)) }))
  }

  /// `ips`: the addresses that the container is to get, where the configuration knows the subnets.
  public static func ips(_ addresses: [IPAddress]) -> Capability {
    Capability("ips", .array(addresses.map { .string("\($0)") }))
  }

  /// `ips`: the addresses that the container is to get, with the lengths of their subnets.
  public static func ips(_ addresses: [IPPrefix]) -> Capability {
    Capability("ips", .array(addresses.map { .string("\($0)") }))
  }

  /// `mac`: the hardware address that the container's interface is to have.
  public static func mac(_ address: MACAddress) -> Capability {
    Capability("mac", .string("\(address)"))
  }

  /// `infinibandGUID`: the GUID that the container's InfiniBand interface is to have.
  public static func infinibandGUID(_ guid: String) -> Capability {
    Capability("infinibandGUID", .string(guid))
  }

  /// `deviceID`: the device that is to become the container's interface, such as `0000:04:00.5`.
  public static func deviceID(_ id: String) -> Capability {
    Capability("deviceID", .string(id))
  }

  /// `dns`: settings for name resolution, which the plugin is to use for the container. The local domain, which the
  /// convention does not have, is left out.
  public static func dns(_ settings: DNSConfiguration) -> Capability {
    var object = JSONObject()
    if !settings.nameservers.isEmpty { object["servers"] = .strings(settings.nameservers) }
    if !settings.search.isEmpty { object["searches"] = .strings(settings.search) }
    if !settings.options.isEmpty { object["options"] = .strings(settings.options) }
    return Capability("dns", .object(object))
  }

  /// `aliases`: more names under which the container is to be found on the network.
  public static func aliases(_ names: [String]) -> Capability {
    Capability("aliases", .strings(names))
  }

  /// `cgroupPath`: the container's control group, from the root of its hierarchy.
  public static func cgroupPath(_ path: String) -> Capability {
    Capability("cgroupPath", .string(path))
  }

  /// `io.kubernetes.cri.pod-annotations`: the annotations of a pod, as containerd and CRI-O hand them on.
  public static func podAnnotations(_ annotations: [String: String]) -> Capability {
    let pairs = annotations.sorted { $0.key < $1.key }
    return Capability(
      "io.kubernetes.cri.pod-annotations", .object(JSONObject(pairs.map { ($0.key, .string($0.value)) })))
  }
}

extension JSONObject {
  /// The capabilities by name, in order; of those with the same name the last counts.
  public init(_ capabilities: [Capability]) {
    self.init(capabilities.map { ($0.name, $0.value) })
  }
}

extension Capability {
  /// A port of the host that leads to a port of the container.
  public struct PortMapping: Sendable, Hashable {
    /// What is spoken at a port.
    public enum TransportProtocol: String, Sendable, Hashable, CaseIterable {
      case tcp, udp, sctp
    }

    /// The port of the host.
    public var hostPort: UInt16
    /// The port of the container.
    public var containerPort: UInt16
    /// What is spoken there.
    public var transport: TransportProtocol
    /// The address of the host at which the port is open; `nil` is all.
    public var hostAddress: IPAddress?

    /// A port mapping.
    public init(
      hostPort: UInt16, containerPort: UInt16, transport: TransportProtocol = .tcp,
      hostAddress: IPAddress? = nil
    ) {
      self.hostPort = hostPort
      self.containerPort = containerPort
      self.transport = transport
      self.hostAddress = hostAddress
    }

    fileprivate var json: JSONValue {
      var object: JSONObject = [
        "hostPort": .integer(hostPort), "containerPort": .integer(containerPort),
        "protocol": .string(transport.rawValue),
      ]
      if let hostAddress { object["hostIP"] = .string("\(hostAddress)") }
      return .object(object)
    }
  }

  /// Limits to what a container sends and receives, as seen from the container. A limit has a rate and a burst; what is `nil` is
  /// not limited.
  public struct Bandwidth: Sendable, Hashable {
    /// A limit.
    public struct Limit: Sendable, Hashable {
      /// Bits per second.
      public var rate: UInt64
      /// How many bits may come at once.
      public var burst: UInt64

      /// - Parameters:
      ///   - rate: Bits per second.
      ///   - burst: How many bits may come at once.
      public init(rate: UInt64, burst: UInt64) {
        self.rate = rate
        self.burst = burst
      }
    }

    /// What the container receives.
    public var ingress: Limit?
    /// What it sends.
    public var egress: Limit?

    /// Limits in both directions, or in one.
    public init(ingress: Limit? = nil, egress: Limit? = nil) {
      self.ingress = ingress
      self.egress = egress
    }

    fileprivate var json: JSONValue {
      var object = JSONObject()
      if let ingress {
        object["ingressRate"] = .integer(ingress.rate)
        object["ingressBurst"] = .integer(ingress.burst)
      }
      if let egress {
        object["egressRate"] = .integer(egress.rate)
        object["egressBurst"] = .integer(egress.burst)
      }
      return .object(object)
    }
  }

  /// Addresses of a subnet, to choose from.
  public struct AddressRange: Sendable, Hashable {
    /// The subnet.
    public var subnet: IPPrefix
    /// The first address to give; `nil` is the first of the subnet.
    public var first: IPAddress?
    /// The last address to give; `nil` is the last of the subnet.
    public var last: IPAddress?
    /// The subnet's gateway; `nil` is its first address.
    public var gateway: IPAddress?

    /// A range of a subnet; all of it by default.
    public init(
      subnet: IPPrefix, first: IPAddress? = nil, last: IPAddress? = nil, gateway: IPAddress? = nil
    ) {
      self.subnet = subnet
      self.first = first
      self.last = last
      self.gateway = gateway
    }

    fileprivate var json: JSONValue {
      var object: JSONObject = ["subnet": .string("\(subnet)")]
      if let first { object["rangeStart"] = .string("\(first)") }
      if let last { object["rangeEnd"] = .string("\(last)") }
      if let gateway { object["gateway"] = .string("\(gateway)") }
      return .object(object)
    }
  }
}

extension JSONValue {
  fileprivate static func strings(_ texts: [String]) -> JSONValue { .array(texts.map { .string($0) }) }
}
