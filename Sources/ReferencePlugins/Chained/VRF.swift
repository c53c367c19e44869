import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// `vrf`: makes the container's interface a part of a routing domain (VRF) of the container.
struct VRF: ChainedPlugin {
  static let type = "vrf"
  static let summary = "puts the container's interface into a VRF, with a routing table of its own"
  // The kit's sockets are of the container's namespace; the thread stays where it is.
  static let changesNamespace = false

  /// `vrfname`; `nil` only where something is to be removed.
  private let name: String?
  /// `table`; `nil` for one that no other VRF uses.
  private let table: UInt32?

  init(_ call: PluginCall) throws {
    let keys = try call.configuration.object()
    if call.onlyRemoves {
      name = (try? keys.string("vrfname")) ?? nil
      table = nil
      return
    }
    let name = try keys.requiredString("vrfname", remedy: "name the VRF, for example \"vrfname\": \"blue\"")
    try Validation.interfaceName(name, ofKey: "vrfname")
    if name == call.interfaceName {
      throw keys.failure(
        "vrfname", "is the name of the container's interface (CNI_IFNAME)", remedy: "give the VRF another one"
      )
    }
    self.name = name
    let table = try keys.integer("table", in: 0...Int(UInt32.max)) ?? 0
    if [253, 254, 255].contains(table) {
      throw keys.failure(
        "table", "\(table) is a table that all interfaces share",
        remedy: "write another number, or leave it out")
    }
    self.table = table == 0 ? nil : UInt32(table)
  }

  // MARK: ADD

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    let namespace = try call.containerNamespace()
    try ContainerLock.take(namespace, for: call)
    var socket = try RouteSocket(namespace: namespace.descriptor)
    guard let link = try socket.find(.name(call.interfaceName)) else {
      throw CNIError(
        .invalidConfiguration, "the container has no interface \(call.interfaceName)",
        details: "put vrf behind the plugin that makes it")
    }
    let use = try LinkUse(link, in: &socket)
    if let master = use.masterName {
      throw CNIError(
        .internalError, "\(link.name) is already a port of \(master)",
        details: "an interface can be in one VRF or bridge only")
    }
    let (vrf, table) = try domain(call, &socket, &undo)
    undo.register("the VRF of the interface") { [call] in
      var socket = try call.containerSocket()
      guard let current = try socket.find(.index(link.index)), current.master != nil else { return }
      try socket.perform(.changeLink(.index(link.index), LinkChange(master: 0)))
      try use.restore(index: link.index, in: &socket)
    }
    // The kernel takes the interface down and up again. What IPv4 had comes back by itself, into the VRF's table.
    try socket.perform(.changeLink(.index(link.index), LinkChange(master: vrf.index)))
    let present = try socket.addresses(index: link.index)
    try socket.perform(
      use.addressRequests(index: link.index, except: present)
        + use.routeRequests(index: link.index, table: table, replace: true))
  }

  /// The VRF, which is made if there is none of the name, and its table.
  private func domain(
    _ call: PluginCall, _ socket: inout RouteSocket, _ undo: inout UndoLog
  ) throws -> (vrf: Link, table: UInt32) {
    let name = name ?? ""
    if let vrf = try socket.find(.name(name)) {
      guard let actual = vrf.vrf?.table else {
        throw CNIError(
          .invalidConfiguration, "vrfname: \(name) is a \(vrf.kind ?? "device") in the container, and no VRF",
          details: "choose another name")
      }
      guard table == nil || table == actual else {
        throw CNIError(
          .invalidConfiguration, "table: the VRF \(name) is there and has the table \(actual), not \(table!)",
          details: "write that number, leave table out, or choose another vrfname")
      }
      if !vrf.isUp { try socket.perform(.changeLink(.index(vrf.index), LinkChange(isUp: true))) }
      return (vrf, actual)
    }
    let table = try table ?? Self.freeTable(&socket)
    let kind = LinkKind.vrf(VRFSettings(table: table))
    do {
      try socket.perform(.createLink(LinkSpecification(name: name, kind: kind, isUp: true)))
    } catch {
      if error.isUnsupported { throw kind.missingInKernel }
      throw error
    }
    undo.register("creation of the VRF") { [call] in
      var socket = try call.containerSocket()
      try socket.deleteIfPresent(.name(name))
    }
    return (try socket.link(named: name), table)
  }

  /// The first table from 1 on that no VRF of the container has.
  private static func freeTable(_ socket: inout RouteSocket) throws(NetlinkError) -> UInt32 {
    var taken = Set(try socket.links(kind: "vrf").compactMap { $0.vrf?.table })
    taken.formUnion([253, Route.mainTable, Route.localTable])
    var table: UInt32 = 1
    while taken.contains(table) { table += 1 }
    return table
  }

  // MARK: CHECK

  func verify(_ call: PluginCall, against result: AddResult) throws {
    let name = name ?? ""
    var socket = try call.containerSocket()
    guard let link = try socket.find(.name(call.interfaceName)) else {
      throw CNIError(.internalError, "the container has no interface \(call.interfaceName) any more")
    }
    guard let vrf = try socket.find(.name(name)), let actual = vrf.vrf?.table else {
      throw CNIError(.internalError, "the container has no VRF \(name) any more")
    }
    guard table == nil || table == actual else {
      throw CNIError(.internalError, "the VRF \(name) has the table \(actual), it was made with \(table!)")
    }
    guard vrf.isUp else { throw CNIError(.internalError, "the VRF \(name) is down") }
    guard link.master == vrf.index else {
      let master = try link.master.flatMap { try socket.find(.index($0)) }
      throw CNIError(
        .internalError, "\(link.name) is not in the VRF \(name) any more",
        details: master.map { "it is a port of \($0.name)" } ?? "it is in none")
    }
    try verifyRoutes(result, call, table: actual, in: &socket, link)
  }

  /// What the result has for the main table is in the VRF's.
  private func verifyRoutes(
    _ result: AddResult, _ call: PluginCall, table: UInt32, in socket: inout RouteSocket, _ link: Link
  ) throws {
    let position = result.interfaces.firstIndex { $0.name == call.interfaceName }
    let addresses = Set(try socket.addresses(index: link.index).map(\.prefix))
    for ip in result.ips where ip.interface == nil || ip.interface == position {
      guard addresses.contains(ip.address) else {
        throw CNIError(.internalError, "\(link.name) has lost its address \(ip.address)")
      }
    }
    let wanted = result.routes.filter { $0.table == nil }
    if wanted.isEmpty { return }
    let routes = try socket.routes(table: table)
    for route in wanted where !routes.contains(where: { $0.destination == route.destination.network }) {
      // Those of other interfaces of the list are elsewhere.
      let families = result.ips.filter { $0.interface == nil || $0.interface == position }.map(
        \.address.family)
      guard families.contains(route.destination.family) else { continue }
      throw CNIError(
        .internalError,
        "the route to \(route.destination) is gone from table \(table), that of the VRF \(name ?? "")")
    }
  }

  // MARK: DEL

  func remove(_ call: PluginCall, previous: AddResult?) throws {
    guard let namespace = try call.containerNamespaceIfPresent() else { return }
    // Whatever holds it must not keep anything from being removed.
    _ = HostLock.tryExclusively(namespace, attempts: ContainerLock.attempts)
    var socket = try RouteSocket(namespace: namespace.descriptor)
    let link = try socket.find(.name(call.interfaceName))
    // Without a name, it is the one that the interface is in.
    let selector = name.map { LinkSelector.name($0) } ?? link?.master.map { LinkSelector.index($0) }
    guard let selector, let vrf = try socket.find(selector), vrf.kind == "vrf" else { return }
    if let link, link.master == vrf.index {
      try socket.settle(.changeLink(.index(link.index), LinkChange(master: 0)))
    }
    if try socket.links(master: vrf.index).isEmpty { try socket.deleteIfPresent(.index(vrf.index)) }
  }

  // MARK: STATUS

  func checkRequirements(_ call: PluginCall) throws {
    var socket = try RouteSocket()
    let kind = LinkKind.vrf(VRFSettings())
    guard try socket.supports(kind) else { throw kind.missingInKernel }
  }
}
