import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// `ptp`: a veth pair between container and host, and nothing else on the link. The host's end is the container's
/// gateway, and routes whatever it sends, also to containers of the same subnet.
struct PTP: InterfacePlugin {
  static let type = "ptp"
  static let summary =
    "connects a container to the host by a pair of interfaces, the host routes for it"

  let settings: InterfaceSettings
  /// `ipMasq` and `ipMasqBackend`.
  let masquerade: Masquerade.Backend?
  /// `mtu`; `nil` for the kernel's default.
  let mtu: UInt32?

  init(_ call: PluginCall) throws {
    let keys = try call.configuration.object()
    settings = try InterfaceSettings(call)
    masquerade = try Masquerade.Backend(keys)
    mtu = call.onlyRemoves ? nil : try keys.mtu()
    if !call.onlyRemoves { _ = try call.requiredIPAMType() }
  }

  // MARK: ADD

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    let call = attachment.call
    let pair = try VethPair.create(in: attachment, mtu: mtu, mac: nil)
    PTPHostEnd.prepare(pair.host.name)
    return CreatedLink(
      interfaces: [
        Interface(name: pair.host.name, mac: pair.host.mac?.description),
        Interface(name: call.interfaceName, mac: pair.mac.description, sandbox: call.namespacePath),
      ],
      position: 1, index: pair.containerIndex, mac: pair.mac, hostLinks: [pair.host], announcement: .none)
  }

  func complete(_ result: inout AddResult, link: CreatedLink) throws {
    for ip in result.ips {
      guard let gateway = ip.gateway else {
        throw CNIError(
          .invalidConfiguration, "the IPAM plugin gave \(ip.address) without a gateway",
          details: "the host's end has the gateway's address: with static, for example, give each address one"
        )
      }
      guard gateway.family == ip.address.family, gateway != ip.address.address else {
        throw CNIError(
          .invalidConfiguration, "\(gateway) cannot be the gateway of \(ip.address)",
          details: "it has to be another address of the same family")
      }
    }
  }

  func linkRoutes(_ link: CreatedLink, result: AddResult) -> LinkRoutes {
    let addressing = PTPAddressing(result.ips)
    var routes = LinkRoutes()
    routes.before = addressing.gatewayRoutes(interface: link.index).map { .addRoute($0) }
    for route in addressing.subnetRoutes(interface: link.index) {
      routes.after += [
        .deleteRoute(Route(destination: route.destination, interface: link.index)), .addRoute(route),
      ]
    }
    return routes
  }

  func connect(_ link: CreatedLink, result: inout AddResult, in attachment: InterfaceAttachment) throws {
    try Router.enableForwarding(for: result.ips)
    try PTPHostEnd(link.hostLinks[0], PTPAddressing(result.ips)).configure(in: &attachment.host)
    if let masquerade { try Masquerade.install(masquerade, for: result, in: attachment) }
    try NeighbourDiscovery.wait(
      for: result.ips.compactMap(\.gateway), on: link.hostLinks[0].index, in: &attachment.host)
  }

  // MARK: CHECK

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    let hostEnd = try VethPair.hostEnd(of: link, in: result, attachment)
    // Other plugins of the chain may have added addresses of other interfaces.
    let own = result.ips.filter { ip in
      guard let position = ip.interface else { return true }
      return result.interfaces.indices.contains(position)
        && result.interfaces[position].sandbox == attachment.call.namespacePath
        && result.interfaces[position].name == link.name
    }
    let addressing = PTPAddressing(own)
    try attachment.inContainer { socket in
      let present = try socket.routes(interface: link.index)
      for route in addressing.gatewayRoutes(interface: link.index)
        + addressing.subnetRoutes(interface: link.index)
      where !present.contains(where: { route.leadsAsMeant($0, inAnyTable: true) }) {
        let via = route.gateway.map { " via \($0)" } ?? ""
        throw CNIError(.internalError, "the route to \(route.destination)\(via) is gone from the container")
      }
    }
    try PTPHostEnd(hostEnd, addressing).verify(in: &attachment.host)
    try Router.verifyForwarding(for: own)
    if masquerade != nil { try Masquerade.verify(result, in: attachment) }
  }

  // MARK: DEL, GC, STATUS

  func disconnect(_ call: PluginCall, previous: AddResult?) throws {
    try Masquerade.remove(masquerade, of: call, previous: previous)
  }

  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    try Masquerade.removeAll(where: stale)
  }

  func checkRequirements(_ call: PluginCall) throws {
    if let masquerade { try Masquerade.checkRequirements(masquerade) }
  }
}
