import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// The bridge as the containers' gateway: its addresses, and forwarding.
struct BridgeGateway {
  let configuration: BridgeConfiguration
  let owner: Owner

  init(_ configuration: BridgeConfiguration, network: String) {
    self.configuration = configuration
    owner = Owner(network: network)
  }

  /// Gives the bridge, or the gateway interface of the VLAN, the gateway addresses of `result`, and lets the host
  /// forward their families.
  func connect(_ bridge: Link, _ result: inout AddResult, in attachment: InterfaceAttachment) throws {
    var (name, index) = (bridge.name, bridge.index)
    if let vlans = configuration.vlans, let vlanName = configuration.gatewayName {
      let gateway = try vlanGateway(vlanName, vlans, on: bridge, in: attachment)
      (name, index) = (gateway.name, gateway.index)
      result.interfaces.append(Interface(name: gateway.name, mac: gateway.mac?.description))
    }
    for ip in result.ips {
      guard let gateway = ip.gateway, let prefix = IPPrefix(address: gateway, length: ip.address.length)
      else {
        continue
      }
      try ensure(prefix, on: name, index: index, in: attachment)
    }
    try Router.enableForwarding(for: result.ips)
  }

  /// CHECK: the VLAN's gateway interface is there, and has the gateway addresses of `result`.
  func verify(against result: AddResult, in attachment: InterfaceAttachment) throws {
    guard configuration.isGateway, !result.ips.isEmpty, let name = configuration.gatewayName else { return }
    guard let gateway = try attachment.host.find(.name(name)) else {
      throw CNIError(.internalError, "\(name), the gateway's interface, is gone")
    }
    let own = result.interfaces.firstIndex { $0.name == attachment.call.interfaceName && $0.sandbox != nil }
    for ip in result.ips where ip.interface == nil || ip.interface == own {
      guard let address = ip.gateway, let prefix = IPPrefix(address: address, length: ip.address.length),
        try !attachment.host.addresses(index: gateway.index, family: prefix.family).contains(where: {
          $0.prefix == prefix
        })
      else { continue }
      throw CNIError(.internalError, "\(name) does not have the gateway's address \(prefix) any more")
    }
  }

  private func ensure(
    _ prefix: IPPrefix, on name: String, index: Int32, in attachment: InterfaceAttachment
  ) throws {
    let present = try attachment.host.addresses(index: index, family: prefix.family)
    if present.contains(where: { $0.prefix == prefix }) { return }
    for other in present where prefix.family == .ipv4 || other.prefix.overlaps(prefix) {
      guard configuration.forceAddress else {
        throw CNIError(
          .invalidConfiguration,
          "\(name) already has the address \(other.prefix), the network's gateway is \(prefix)",
          details: "use another bridge for this network, or set forceAddress to replace the address")
      }
      try attachment.host.perform(.deleteAddress(other, index: index))
      attachment.undo.register("replacement of the bridge's address") { [unowned attachment] in
        try attachment.host.perform(.addAddress(other, index: index))
      }
    }
    // The gateway is configured, not negotiated: no duplicate address detection, no second of waiting.
    let address = InterfaceAddress(
      prefix, broadcast: prefix.broadcast, flags: prefix.family == .ipv6 ? [.noDAD] : [])
    // Where it is there after all, another ADD of the same network was faster.
    guard try attachment.host.addIfAbsent(address, index: index) else { return }
    attachment.undo.register("the bridge's address") { [unowned attachment] in
      try removeIfUnused(address, index: index, in: attachment)
    }
    try NeighbourDiscovery.wait(for: [prefix.address], on: index, in: &attachment.host)
  }

  /// Takes back an address that this ADD gave to the bridge, unless another attachment uses the bridge by now.
  private func removeIfUnused(
    _ address: InterfaceAddress, index: Int32, in attachment: InterfaceAttachment
  ) throws {
    guard try !isUsedByOthers(index, in: attachment) else { return }
    try attachment.host.deleteIfPresent(address, index: index)
  }

  /// Whether another attachment than the one at hand, whose port is still there, has a port on the bridge.
  private func isUsedByOthers(_ bridge: Int32, in attachment: InterfaceAttachment) throws -> Bool {
    let own = attachment.call.owner.mark(limit: OwnedLinks.aliasLimit)
    return try attachment.host.links(master: bridge).contains { port in
      port.alias != own && port.alias.flatMap { Owner($0) }?.attachment != nil
    }
  }

  /// The host's own interface in a VLAN of the bridge: a veth pair, one end a port, the other named `BRIDGE.VLAN`.
  private func vlanGateway(
    _ name: String, _ vlans: BridgePortVLANs, on bridge: Link, in attachment: InterfaceAttachment
  ) throws -> Link {
    if let link = try attachment.host.find(.name(name)) {
      if owner.isUnfinished(link) {
        // Its maker did not even get to its VLAN.
        try attachment.host.deleteIfPresent(.index(link.index))
        return try vlanGateway(name, vlans, on: bridge, in: attachment)
      }
      if !link.flags.contains(.up) {
        try attachment.host.perform(.changeLink(.index(link.index), LinkChange(isUp: true)))
      }
      return link
    }
    let port = Owner(network: owner.network + "." + name).linkName()
    // What the host sends has to fit through the bridge.
    var gateway = LinkSpecification(name: name)
    gateway.mtu = bridge.mtu
    gateway.group = owner.unfinishedGroup
    gateway.setQueues(1)
    var pair = LinkSpecification(name: port, kind: .veth(VethSettings(peer: gateway)))
    pair.mtu = bridge.mtu
    pair.master = bridge.index
    pair.setQueues(1)
    pair.group = owner.unfinishedGroup
    guard try attachment.host.createIfAbsent(pair) else { return try attachment.host.link(named: name) }
    attachment.undo.register("the VLAN's gateway interface") { [unowned attachment] in
      guard try !isUsedByOthers(bridge.index, in: attachment) else { return }
      try attachment.host.deleteIfPresent(.name(port))
    }
    let portIndex = try attachment.host.link(named: port).index
    var vlans = vlans
    vlans.trunk = []
    try attachment.host.perform(
      [
        .changeLink(.name(port), owner.marking(isUp: true)),
        .changeLink(.name(name), owner.marking(isUp: true)),
      ] + BridgePort.requests(for: vlans, port: portIndex, of: bridge))
    return try attachment.host.link(named: name)
  }
}
