import CNI
import NetworkAddresses
import Netlink

/// A port of the host that leads to one of a container: an entry of `runtimeConfig.portMappings` (CONVENTIONS.md of the
/// CNI repository, capability `portMappings`).
public struct PortMapping: Hashable, Sendable, CustomStringConvertible {
  /// The protocols that have ports to map.
  public enum Transport: String, Hashable, Sendable, CaseIterable {
    /// TCP.
    case tcp
    /// UDP.
    case udp
    /// SCTP.
    case sctp

    /// The number in the IP header.
    public var number: InternetProtocol {
      switch self {
      case .tcp: .tcp
      case .udp: .udp
      case .sctp: .sctp
      }
    }
  }

  /// The port of the host, 1 to 65535.
  public var hostPort: UInt16
  /// The port of the container, 1 to 65535.
  public var containerPort: UInt16
  /// Of both ports.
  public var transport: Transport
  /// The address as it was asked for: one of the host's own, or `0.0.0.0` or `::`, which is any of that family. `nil`
  /// is any of both.
  public var hostIP: IPAddress?

  /// A mapping.
  public init(hostPort: UInt16, containerPort: UInt16, transport: Transport = .tcp, hostIP: IPAddress? = nil)
  {
    self.hostPort = hostPort
    self.containerPort = containerPort
    self.transport = transport
    self.hostIP = hostIP
  }

  /// The one address of the host's that is mapped; `nil` if all are, of the families that it `serves`.
  public var hostAddress: IPAddress? { hostIP.flatMap { $0.isUnspecified ? nil : $0 } }

  /// Whether it leads to a container's address of that family: ports are not translated from one to the other.
  public func serves(_ family: AddressFamily) -> Bool { hostIP == nil || hostIP?.family == family }

  /// What is mapped, as people write it: `8080/tcp`, `192.0.2.1:8080/udp`, `[2001:db8::1]:8080/sctp`.
  public var hostDescription: String {
    let address =
      switch hostIP {
      case nil: ""
      case .v4(let address): address.description + ":"
      case .v6(let address): "[" + address.description + "]:"
      }
    return address + "\(hostPort)/\(transport.rawValue)"
  }

  /// `192.0.2.1:8080/tcp -> 80`.
  public var description: String { hostDescription + " -> \(containerPort)" }
}

extension PortMapping {
  /// Reads one entry. The keys come in any case, and so does the protocol, which is TCP if it is left out.
  public init(_ entry: ConfigurationObject) throws(CNIError) {
    hostPort = try Self.port("hostPort", of: entry)
    containerPort = try Self.port("containerPort", of: entry)
    let name = try entry.string("protocol")
    guard let transport = Transport(rawValue: name?.lowercased() ?? "tcp") else {
      throw entry.failure(
        "protocol", "\"\(name ?? "")\" has no ports that can be mapped", remedy: "write tcp, udp or sctp")
    }
    self.transport = transport
    hostIP = try entry.address("hostIP")
    if hostIP?.isMulticast == true {
      throw entry.failure(
        "hostIP", "\(hostIP!) is a multicast address, which no host has",
        remedy: "write an address of the host's, or leave hostIP out for all of them")
    }
  }

  /// The mapping as one of each family that it serves.
  fileprivate var parts: [PortMapping] {
    guard hostIP == nil else { return [self] }
    return [IPAddress("0.0.0.0")!, IPAddress("::")!].map { address in
      var part = self
      part.hostIP = address
      return part
    }
  }

  private static func port(_ key: String, of entry: ConfigurationObject) throws(CNIError) -> UInt16 {
    guard let port = try entry.integer(key, in: 0...65535) else {
      throw entry.failure(key, "is missing", remedy: "write a port from 1 to 65535")
    }
    // Kubernetes writes 0 for a port that is not mapped; callers leave such ports out.
    guard port != 0 else {
      throw entry.failure(
        key, "0 is not a port", remedy: "write a port from 1 to 65535, or leave the entry out")
    }
    return UInt16(port)
  }
}

extension PluginCall {
  /// `runtimeConfig.portMappings`, each port of the host once, in the order given. Empty if there are none.
  ///
  /// Of an entry for all addresses, one for `0.0.0.0` or for `::` is a part. What an earlier entry says already is left
  /// out of a later one, so that no two of them are about the same packets.
  ///
  /// - Throws: code 7 that names the entry by its index: for what is no mapping, and for two that lead the same port of
  ///   the host to different ports of the container.
  public func portMappings() throws(CNIError) -> [PortMapping] {
    guard let runtime = try configuration.object().object("runtimeConfig") else { return [] }
    var mappings: [PortMapping] = []
    var targets: [PortMapping: UInt16] = [:]
    for entry in try runtime.objects("portMappings") {
      var mapping = try PortMapping(entry)
      let parts = mapping.parts
      var added: [PortMapping] = []
      for part in parts {
        var key = part
        key.containerPort = 0
        guard let other = targets.updateValue(mapping.containerPort, forKey: key) else {
          added.append(part)
          continue
        }
        guard other == mapping.containerPort else {
          throw entry.failure(
            "hostPort", "\(part.hostDescription) leads to port \(other) of the container already",
            remedy: "leave one of the two entries out")
        }
      }
      guard let first = added.first else { continue }
      if added.count < parts.count { mapping = first }
      mappings.append(mapping)
    }
    return mappings
  }
}
