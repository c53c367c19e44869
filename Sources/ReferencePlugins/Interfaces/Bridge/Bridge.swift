import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// `bridge`: a veth pair, one end in the container, the other a port of a bridge on the host.
struct Bridge: InterfacePlugin {
  static let type = "bridge"
  static let summary =
    "connects containers to a bridge on the host, with gateway, masquerading and VLANs"

  let settings: InterfaceSettings
  let configuration: BridgeConfiguration

  init(_ call: PluginCall) throws {
    configuration = try BridgeConfiguration(call)
    settings = try InterfaceSettings(
      call, detectsDuplicateAddresses: configuration.detectsDuplicateAddresses,
      leavesInterfaceDown: configuration.leavesInterfaceDown)
  }

  // MARK: ADD

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    let bridge = try BridgeLink(configuration, network: attachment.call.network).ensure(in: attachment)
    let pair = try VethPair.create(
      in: attachment, mtu: configuration.mtu, mac: configuration.mac, master: bridge.index)
    try BridgePort(configuration).apply(to: pair.host.index, of: bridge, in: &attachment.host)
    return CreatedLink(
      interfaces: [
        Interface(name: bridge.name, mac: bridge.mac?.description),
        Interface(name: pair.host.name, mac: pair.host.mac?.description),
        Interface(
          name: attachment.call.interfaceName, mac: pair.mac.description,
          sandbox: attachment.call.namespacePath),
      ],
      position: 2, index: pair.containerIndex, mac: pair.mac, hostLinks: [bridge, pair.host])
  }

  func complete(_ result: inout AddResult, link: CreatedLink) throws {
    guard configuration.isGateway else { return }
    for position in result.ips.indices {
      let address = result.ips[position].address
      if result.ips[position].gateway == nil { result.ips[position].gateway = address.first.next }
      if configuration.isDefaultGateway,
        !result.routes.contains(where: { $0.destination.isDefault && $0.destination.family == address.family }
        )
      {
        result.routes.append(
          RouteConfiguration(
            destination: IPPrefix(address: .unspecified(address.family), length: 0)!,
            gateway: result.ips[position].gateway))
      }
    }
  }

  func connect(
    _ link: CreatedLink, result: inout AddResult, in attachment: InterfaceAttachment
  ) throws {
    let call = attachment.call
    if configuration.isGateway, !result.ips.isEmpty {
      try BridgeGateway(configuration, network: call.network).connect(
        link.hostLinks[0], &result, in: attachment)
    }
    if configuration.checksSourceMAC, let mac = link.mac {
      let guardian = SpoofCheck(port: link.interfaces[1].name, mac: mac, owner: call.owner)
      attachment.undo.register("the check of source addresses") { try SpoofCheck.remove(call.owner) }
      try guardian.install()
    }
    if let backend = configuration.masquerade { try Masquerade.install(backend, for: result, in: attachment) }
    if !configuration.leavesInterfaceDown {
      try BridgePort.waitUntilUp(link.hostLinks[1], in: &attachment.host)
    }
    // A bridge whose address nobody has set may have taken over another one with the port.
    if !BridgeLink.isOurs(link.hostLinks[0]) {
      let bridge = try attachment.host.link(index: link.hostLinks[0].index)
      result.interfaces[0].mac = bridge.mac?.description
    }
  }

  // MARK: CHECK

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    let call = attachment.call
    let bridge = try BridgeLink(configuration, network: call.network).verify(against: result, in: attachment)
    let port = try VethPair.hostEnd(of: link, in: result, attachment)
    try BridgePort(configuration).verify(port, on: bridge, in: attachment)
    try BridgeGateway(configuration, network: call.network).verify(against: result, in: attachment)
    if configuration.checksSourceMAC { try SpoofCheck.verify(port: port.name, owner: call.owner) }
    if configuration.masquerade != nil { try Masquerade.verify(result, in: attachment) }
  }

  // MARK: DEL, GC, STATUS

  func linksUnused(without port: Link, network: String) throws -> [Int32] {
    try BridgeLink(configuration, network: network).unused(without: port)
  }

  func disconnect(_ call: PluginCall, previous: AddResult?) throws {
    var steps = EveryStep()
    if settings.ipamType != nil {
      steps.attempt { try Masquerade.remove(configuration.masquerade, of: call, previous: previous) }
    }
    if configuration.checksSourceMAC { steps.attempt { try SpoofCheck.remove(call.owner) } }
    steps.attempt { try BridgeLink(configuration, network: call.network).removeIfUnused() }
    // ADD may have been told of another one than DEL is.
    if let made = previous?.interfaces.first, (made.sandbox ?? "").isEmpty, made.name != configuration.bridge
    {
      var earlier = configuration
      earlier.bridge = made.name
      steps.attempt { try BridgeLink(earlier, network: call.network).removeIfUnused() }
    }
    try steps.finish()
  }

  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    var steps = EveryStep()
    steps.attempt { try Masquerade.removeAll(where: stale) }
    steps.attempt { try SpoofCheck.removeAll(where: stale) }
    steps.attempt { try BridgeLink(configuration, network: call.network).removeIfUnused() }
    try steps.finish()
  }

  func checkRequirements(_ call: PluginCall) throws {
    var host = try RouteSocket()
    // Where there is none, the first ADD makes it.
    let link = try host.find(.name(configuration.bridge))
    if let link { try BridgeLink.requireBridge(link) }
    if configuration.vlans != nil { try BridgeFiltering.checkRequirements(link) }
    if let backend = configuration.masquerade { try Masquerade.checkRequirements(backend) }
    if configuration.checksSourceMAC { try Masquerade.checkRequirements() }
  }
}
