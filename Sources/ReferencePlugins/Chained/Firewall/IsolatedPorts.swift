import CNI
import CNIPluginKit
import Netlink

/// The ports by which a container is on its bridge, isolated from each other by the bridge itself.
///
/// What stays within a bridge passes no chain of iptables or nf_tables, unless the host has br_netfilter. So the ports are
/// told, too (`IFLA_BRPORT_ISOLATED`): frames do not pass from one isolated port to another.
struct IsolatedPorts {
  private let bridge: String
  private let names: [String]

  /// The interfaces of a result that are on the host, but for the bridge itself.
  init(_ result: AddResult, bridge: String) {
    self.bridge = bridge
    names = result.hostInterfaces.filter { $0 != bridge }
  }

  /// Isolates the ports, or ends that; what is no port of the bridge, or gone, is left alone.
  ///
  /// - Returns: Whether something has changed.
  @discardableResult
  func isolate(_ isIsolated: Bool) throws(NetlinkError) -> Bool {
    var requests: [RouteRequest] = []
    var host = try RouteSocket()
    for port in try ports(&host) where port.bridgePort?.isolated != isIsolated {
      var settings = BridgePortSettings()
      settings.isolated = isIsolated
      requests.append(.bridgePort(.index(port.index), settings))
    }
    if requests.isEmpty { return false }
    _ = try host.perform(requests)
    return true
  }

  /// CHECK.
  func verify() throws {
    var host = try RouteSocket()
    for port in try ports(&host) where port.bridgePort?.isolated == false {
      throw CNIError(
        .internalError, "\(port.name) is not isolated on \(bridge) any more, ingressPolicy asks for it")
    }
  }

  private func ports(_ host: inout RouteSocket) throws(NetlinkError) -> [Link] {
    if names.isEmpty { return [] }
    guard let master = try Self.link(bridge, &host), master.kind == "bridge" else { return [] }
    var ports: [Link] = []
    for name in names {
      if let port = try Self.link(name, &host), port.master == master.index { ports.append(port) }
    }
    return ports
  }

  private static func link(_ name: String, _ host: inout RouteSocket) throws(NetlinkError) -> Link? {
    try PacketFilter.absentAsNil { () throws(NetlinkError) in try host.link(named: name) }
  }
}
