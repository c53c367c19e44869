import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// `loopback`: brings the container's `lo` up. One of the reference plugins, in a module of its own because ContainerNetworking
/// brings it along.
package struct Loopback: Plugin {
  package static let type = "loopback"
  package static let summary = "brings the loopback interface of the container up"

  package static let changesNamespace = false

  /// The interface's name, whatever `CNI_IFNAME` says.
  private static let interface = "lo"

  package init(_ call: PluginCall) throws {}

  package func add(_ call: PluginCall) throws -> AddResult {
    let namespace = try call.containerNamespace()
    var container = try RouteSocket(namespace: namespace.descriptor)
    try container.perform(.changeLink(.name(Self.interface), LinkChange(isUp: true)))
    // A loopback in the middle of a chain hands the result on.
    if let previous = try call.configuration.prevResult() { return previous }

    let index = try container.link(named: Self.interface).index
    let addresses = try container.addresses(index: index)
    if let foreign = addresses.first(where: { !$0.prefix.address.isLoopback }) {
      throw CNIError(.internalError, "lo has the address \(foreign.prefix), which is none of loopback's")
    }
    var result = AddResult(interfaces: [
      Interface(name: Self.interface, mac: "00:00:00:00:00:00", sandbox: call.namespacePath)
    ])
    for family in [AddressFamily.ipv4, .ipv6] {
      if let address = addresses.first(where: { $0.prefix.family == family }) {
        result.ips.append(IPConfiguration(address: address.prefix, gateway: nil, interface: 0))
      }
    }
    return result
  }

  package func check(_ call: PluginCall) throws {
    let namespace = try call.containerNamespace()
    var container = try RouteSocket(namespace: namespace.descriptor)
    guard try container.link(named: Self.interface).flags.contains(.up) else {
      throw CNIError(.internalError, "the container's loopback interface is down")
    }
  }

  package func delete(_ call: PluginCall) throws {
    guard !call.namespacePath.isEmpty else { return }
    let namespace: NetworkNamespace
    do {
      namespace = try call.containerNamespace()
    } catch NamespaceError.gone {
      return
    }
    var container = try RouteSocket(namespace: namespace.descriptor)
    try container.perform(.changeLink(.name(Self.interface), LinkChange(isUp: false)))
  }

  /// Nothing outlives the container's namespace.
  package func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws {}

  package func status(_ call: PluginCall) throws {
    if let missing = Privileges.explanation(needed: [.netAdmin, .sysAdmin]) {
      throw CNIError(.notAvailable, "loopback cannot bring interfaces up", details: missing)
    }
  }
}
