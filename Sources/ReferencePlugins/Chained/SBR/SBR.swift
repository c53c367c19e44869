import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// `sbr`: source based routing. What comes from an address of the container's interface leaves by that interface,
/// whatever the container's other interfaces are the way to.
struct SBR: ChainedPlugin {
  static let type = "sbr"
  static let summary = "lets packets leave a container by the interface whose address they come from"
  // The kit's sockets are of the container's namespace; the thread stays where it is.
  static let changesNamespace = false

  let configuration: SBRConfiguration

  init(_ call: PluginCall) throws { configuration = try SBRConfiguration(call) }

  /// The addresses of the attachment's interface. One that does not say whose it is may be.
  private static func addresses(_ result: AddResult, _ call: PluginCall) -> [IPConfiguration] {
    result.ips.filter { ip in
      guard let index = ip.interface, result.interfaces.indices.contains(index) else { return true }
      return result.interfaces[index].name == call.interfaceName
    }
  }

  // MARK: ADD

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    let addresses = Self.addresses(result, call)
    guard !addresses.isEmpty else {
      throw CNIError(
        .invalidConfiguration,
        "\(call.interfaceName) has no address to route by: prevResult lists none for it",
        details: "put sbr behind a plugin that gives the interface an address")
    }
    let namespace = try call.containerNamespace()
    try ContainerLock.take(namespace, for: call)
    var socket = try RouteSocket(namespace: namespace.descriptor)
    guard let link = try socket.find(.name(call.interfaceName)) else {
      throw CNIError(.invalidConfiguration, "the container has no interface \(call.interfaceName)")
    }
    let routing = SourceRouting(
      addresses, interface: link.index, configuration, rules: try socket.rules(),
      routes: configuration.table == nil ? try socket.routes() : [])
    let inverse = routing.inverse
    undo.register("routing by source address") { [call] in try Self.settle(inverse, call) }
    do {
      try socket.perform(routing.requests)
    } catch {
      throw explained(error)
    }
  }

  private static func settle(_ requests: [RouteRequest], _ call: PluginCall) throws {
    var socket = try call.containerSocket()
    for request in requests { try socket.settle(request) }
  }

  private func explained(_ error: NetlinkError) -> CNIError {
    var failure = CNIError(describing: error)
    switch error.errno {
    case .networkUnreachable, .noRouteToHost, .invalidArgument:
      failure.details =
        "a gateway must be an address on the link of the interface: look at gateways and at what IPAM reports"
    default: break
    }
    return failure
  }

  // MARK: CHECK

  func verify(_ call: PluginCall, against result: AddResult) throws {
    var socket = try call.containerSocket()
    guard let link = try socket.find(.name(call.interfaceName)) else {
      throw CNIError(.internalError, "the container has no interface \(call.interfaceName) any more")
    }
    let rules = try socket.rules()
    let routes = configuration.table == nil ? try socket.routes().filter { $0.interface == link.index } : []
    for ip in Self.addresses(result, call) {
      let address = ip.address.address
      let tables = rules.filter { $0.leads(from: [address]) }.compactMap(\.table)
      if let table = configuration.table {
        if tables.contains(table) { continue }
        throw CNIError(
          .internalError, "the rule that looks up table \(table) for packets from \(address) is gone")
      }
      guard !tables.isEmpty else {
        throw CNIError(.internalError, "there is no rule any more for packets from \(address)")
      }
      let found = routes.filter {
        tables.contains($0.table ?? 0) && $0.destination.family == ip.address.family
      }
      let names = tables.map(String.init).joined(separator: ", ")
      guard !found.isEmpty else {
        throw CNIError(
          .internalError,
          "table \(names), where packets from \(address) are sent, has no route by \(call.interfaceName)")
      }
      guard let gateway = configuration.gateways[ip.address.family] ?? ip.gateway else { continue }
      guard found.contains(where: { $0.destination.isDefault }) else {
        throw CNIError(
          .internalError, "the default route for packets from \(address) is gone from table \(names)",
          details: "ADD set it via \(gateway)")
      }
    }
  }

  // MARK: DEL

  func remove(_ call: PluginCall, previous: AddResult?) throws {
    guard let namespace = try call.containerNamespaceIfPresent() else { return }
    // Whatever holds it must not keep anything from being removed.
    _ = HostLock.tryExclusively(namespace, attempts: ContainerLock.attempts)
    var socket = try RouteSocket(namespace: namespace.descriptor)
    let link = try socket.find(.name(call.interfaceName))
    let listed = previous.map { Self.addresses($0, call).map(\.address.address) } ?? []
    let present = try link.map { try socket.addresses(index: $0.index).map(\.prefix.address) } ?? []
    let addresses = Set(listed + present)
    if addresses.isEmpty { return }
    let rules = try socket.rules().filter { rule in
      rule.leads(from: addresses) && (configuration.table == nil || rule.table == configuration.table)
    }
    let others = try tablesOfOthers(rules, link, in: &socket)
    for rule in rules where !(rule.table.map(others.contains) ?? false) {
      try socket.settle(.deleteRule(rule))
    }
  }

  /// The tables of interfaces that have one of the addresses, too: their rules stay.
  private func tablesOfOthers(
    _ rules: [RoutingRule], _ link: Link?, in socket: inout RouteSocket
  ) throws -> Set<UInt32> {
    guard configuration.table == nil, Set(rules.map(\.source)).count < rules.count else { return [] }
    return Set(try socket.routes().filter { $0.interface != link?.index }.compactMap(\.table))
  }

  // MARK: STATUS

  func checkRequirements(_ call: PluginCall) throws {
    var socket = try RouteSocket()
    guard try Self.hasRules(in: &socket) else {
      throw CNIError(
        .notAvailable, "this kernel has no routing rules",
        details: "it is built without CONFIG_IP_MULTIPLE_TABLES")
    }
  }

  private static func hasRules(in socket: inout RouteSocket) throws(NetlinkError) -> Bool {
    do {
      return try !socket.rules(family: .ipv4).isEmpty
    } catch  where error.isUnsupported {
      return false
    }
  }
}
