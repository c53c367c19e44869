import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// The bridge that all attachments of a network share: made by the first ADD, removed after the last DEL.
///
/// Only a bridge with our mark is removed, and only while no attachment is being made: every ADD holds the host
/// namespace's lock shared until it has ended, removal takes it exclusively.
struct BridgeLink {
  let configuration: BridgeConfiguration
  let owner: Owner

  init(_ configuration: BridgeConfiguration, network: String) {
    self.configuration = configuration
    owner = Owner(network: network)
  }

  /// Finds the bridge, or makes it, whoever comes first of any number of ADDs at the same time.
  func ensure(in attachment: InterfaceAttachment) throws -> Link {
    try HostLock.share(attachment.hostNamespace)
    for _ in 0..<10 {
      if let link = try attachment.host.find(.name(configuration.bridge)) {
        try Self.requireBridge(link)
        if owner.isUnfinished(link) {
          try attachment.host.perform(.changeLink(.index(link.index), owner.marking()))
          continue
        }
        if Self.isOurs(link) {
          // Who made it may be gone by the time this ADD fails, and has left it to this ADD.
          registerRemoval(in: attachment)
        } else {
          refuseAdvertisements(of: link.name, in: attachment)
        }
        if configuration.vlans != nil { try BridgeFiltering.ensure(link, in: &attachment.host) }
        try bringUp(link, in: attachment)
        return link
      }
      if let link = try create(in: attachment) { return link }
    }
    throw CNIError(
      .tryAgainLater, "the bridge \(configuration.bridge) keeps appearing and vanishing",
      details: "something else on the host removes it while it is being used")
  }

  /// Makes the bridge; `nil` if somebody else was faster.
  private func create(in attachment: InterfaceAttachment) throws -> Link? {
    let name = configuration.bridge
    var generator = SystemRandomNumberGenerator()
    var settings = BridgeSettings()
    if configuration.vlans != nil { settings.vlanFiltering = true }
    // An address of its own keeps the bridge from taking over, and changing with, its ports' addresses.
    var bridge = LinkSpecification(name: name, kind: .bridge(settings))
    bridge.mtu = configuration.mtu
    bridge.mac = MACAddress.random(using: &generator)
    bridge.group = owner.unfinishedGroup
    // Before it is there: what becomes of a request whose answer is lost, nobody knows.
    registerRemoval(in: attachment)
    do throws(NetlinkError) {
      guard try attachment.host.createIfAbsent(bridge) else {
        attachment.undo.forget()
        return nil
      }
    } catch {
      throw configuration.vlans == nil ? error : BridgeFiltering.explain(error)
    }
    try attachment.host.perform(.changeLink(.name(name), owner.marking()))
    refuseAdvertisements(of: name, in: attachment)
    let link = try attachment.host.link(named: name)
    try bringUp(link, in: attachment)
    return link
  }

  private func registerRemoval(in attachment: InterfaceAttachment) {
    attachment.undo.register("creation of the bridge") { [configuration, owner, unowned attachment] in
      HostLock.release(attachment.hostNamespace)
      var link = BridgeLink(configuration, network: owner.network)
      link.lockAttempts = 200
      try link.removeIfUnused()
    }
  }

  /// Brings the bridge up as configured. Of a bridge that is not ours, what is changed is taken back if ADD fails.
  private func bringUp(_ link: Link, in attachment: InterfaceAttachment) throws {
    let needsPromiscuity = configuration.promiscuous && !link.flags.contains(.promiscuous)
    if link.flags.contains(.up), !needsPromiscuity { return }
    let wasUp = link.flags.contains(.up)
    try attachment.host.perform(
      .changeLink(
        .index(link.index), LinkChange(isUp: true, isPromiscuous: needsPromiscuity ? true : nil)))
    guard !Self.isOurs(link) else { return }
    attachment.undo.register("bringing the bridge up") { [unowned attachment] in
      try attachment.host.perform(
        .changeLink(
          .index(link.index),
          LinkChange(isUp: wasUp ? nil : false, isPromiscuous: needsPromiscuity ? false : nil)))
    }
  }

  /// The bridge does not take routes from what a container announces.
  private func refuseAdvertisements(of name: String, in attachment: InterfaceAttachment) {
    guard let before = Router.refuseAdvertisements(on: name) else { return }
    attachment.undo.register("the bridge's accept_ra") {
      Router.restoreAdvertisements(on: name, before)
    }
  }

  /// How often the exclusive lock is tried, 10 ms apart. Whoever holds it may be at work on another bridge, and not
  /// see to this one.
  var lockAttempts = 50

  /// The bridge and the gateways on it, by index, if it is ours and no container but the one behind `port` is on it. Of
  /// a bridge that is not ours, the VLAN's gateway, if that is. The bridge is the one that `port` is on, which the
  /// configuration may call something else by now; without `port`, the one that it names.
  func unused(without port: Link?) throws -> [Int32] {
    var host = try RouteSocket()
    guard let bridge = try bridge(of: port, in: &host) else { return [] }
    if !Self.isOurs(bridge), !owner.isUnfinished(bridge) {
      return try unusedGateway(on: bridge, without: port, in: &host)
    }
    guard
      let ports = try allPorts(of: bridge, in: &host, unless: { $0.index != port?.index && !Self.isOurs($0) })
    else { return [] }
    return ports.filter(Self.isOurs).map(\.index) + [bridge.index]
  }

  private func bridge(of port: Link?, in host: inout RouteSocket) throws -> Link? {
    guard let port else { return try host.find(.name(configuration.bridge)) }
    guard let master = port.master, let bridge = try host.find(.index(master)), bridge.kind == "bridge" else {
      return nil
    }
    return bridge
  }

  /// A gateway of ours on somebody else's bridge, on which no container of ours is, of whatever network.
  private func unusedGateway(
    on bridge: Link, without port: Link?, in host: inout RouteSocket
  ) throws -> [Int32] {
    guard let name = configuration.gatewayName, let gateway = try host.find(.name(name)), Self.isOurs(gateway)
    else { return [] }
    let ports = try allPorts(
      of: bridge, in: &host,
      unless: { other in
        other.index != port?.index && other.alias.flatMap { Owner($0) }?.attachment != nil
      })
    guard let ports, ports.contains(where: { $0.index == gateway.vethPeer }) else { return [] }
    return [gateway.index]
  }

  /// The bridge's ports; `nil` if one is in the way. A bridge with many ports is not asked for all of them.
  private func allPorts(
    of bridge: Link, in host: inout RouteSocket, unless isInTheWay: (Link) -> Bool
  ) throws -> [Link]? {
    var (ports, areAll) = try RouteSocket().somePorts(of: bridge.index)
    if !areAll, !ports.contains(where: isInTheWay) { ports = try host.links(master: bridge.index) }
    return ports.contains(where: isInTheWay) ? nil : ports
  }

  /// Removes what ``unused(without:)`` names, while no attachment is being made.
  func removeIfUnused() throws {
    for attempt in 0..<lockAttempts {
      if attempt > 0 { Pause.milliseconds(10) }
      // Asked again each time: an attachment that was being made may be there now.
      guard try !unused(without: nil).isEmpty else { return }
      let lock = try NetworkNamespace.current()
      guard HostLock.tryExclusively(lock, attempts: 1) else { continue }
      var host = try RouteSocket()
      for index in try unused(without: nil) { try host.deleteIfPresent(.index(index)) }
      return
    }
  }

  /// Whether this product made the link for a network: a mark without an attachment.
  static func isOurs(_ link: Link) -> Bool {
    guard let owner = link.alias.flatMap({ Owner($0) }) else { return false }
    return owner.attachment == nil
  }

  /// CHECK: the bridge is there, is one, and is the one of `result`.
  func verify(against result: AddResult, in attachment: InterfaceAttachment) throws -> Link {
    guard let bridge = try attachment.host.find(.name(configuration.bridge)) else {
      throw CNIError(.internalError, "the bridge \(configuration.bridge) is gone")
    }
    try Self.requireBridge(bridge)
    let listed = result.interfaces.first { $0.name == bridge.name && ($0.sandbox ?? "").isEmpty }
    if let mac = listed?.mac.flatMap({ MACAddress($0) }), mac != bridge.mac {
      throw CNIError(
        .internalError,
        "the bridge \(bridge.name) has the address \(bridge.mac?.description ?? "none"), at ADD it had \(mac)"
      )
    }
    if configuration.vlans != nil, bridge.bridge?.vlanFiltering != true {
      throw CNIError(
        .internalError, "the bridge \(bridge.name) does not filter VLANs, vlan and vlanTrunk ask for it")
    }
    if configuration.promiscuous, !bridge.flags.contains(.promiscuous) {
      throw CNIError(.internalError, "the bridge \(bridge.name) is not promiscuous, promiscMode asks for it")
    }
    return bridge
  }

  /// - Throws: `CNIError` with code 7 when the name of the bridge is another kind of link's.
  static func requireBridge(_ link: Link) throws(CNIError) {
    guard link.kind != "bridge" else { return }
    throw CNIError(
      .invalidConfiguration, "\(link.name) is not a bridge but a \(link.kind ?? "network device")",
      details: "set \"bridge\" to a name that is free or a bridge's")
  }
}
