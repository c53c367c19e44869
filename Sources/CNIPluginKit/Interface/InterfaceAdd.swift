import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

extension InterfacePlugin {
  /// ADD: link, addresses, connection, result. A step that fails undoes the ones before.
  public func add(_ call: PluginCall) throws -> AddResult {
    let attachment = try InterfaceAttachment(call)
    do {
      let result = try attach(attachment)
      // A result that the caller's version has no words for is a failure like any other.
      try result.requireExpressible(in: call.configuration.version)
      return result
    } catch {
      throw attachment.undo.rollBack(after: error)
    }
  }

  private func attach(_ attachment: InterfaceAttachment) throws -> AddResult {
    let link = try createLink(in: attachment)
    var result = AddResult(interfaces: link.interfaces)

    if let leased = try addresses(for: attachment) {
      result.ips = leased.ips
      result.routes = leased.routes
      result.dns = leased.dns
      for position in result.ips.indices { result.ips[position].interface = link.position }
      try complete(&result, link: link)
      if settings.hasKernelInterface {
        try explainingRefusal(of: link) {
          try ContainerConfiguration(
            link: link, result: result, settings: settings, linkRoutes: linkRoutes(link, result: result)
          ).apply(in: attachment)
        }
      }
    } else if settings.hasKernelInterface, !settings.leavesInterfaceDown {
      try explainingRefusal(of: link) {
        _ = try attachment.inContainer {
          try $0.perform(.changeLink(.index(link.index), LinkChange(isUp: true)))
        }
      }
    }
    try connect(link, result: &result, in: attachment)
    if settings.hasKernelInterface, !settings.leavesInterfaceDown {
      try attachment.inContainer { socket in
        try NeighbourDiscovery.wait(for: result.ips.map(\.address.address), on: link.index, in: &socket)
      }
    }
    if !result.ips.isEmpty { announce(result, link, in: attachment) }
    if !settings.dns.isEmpty { result.dns = settings.dns }
    return result
  }

  /// What IPAM gives, or the plugin before has left; `nil` for an interface without addresses.
  private func addresses(for attachment: InterfaceAttachment) throws -> AddResult? {
    let call = attachment.call
    if settings.ipamType == nil, settings.inheritsAddresses {
      if let previous = try call.configuration.prevResult(), !previous.ips.isEmpty { return previous }
      _ = try call.requiredIPAMType()
    }
    guard let ipamType = settings.ipamType else { return nil }
    // Registered first: a delegate that was killed half-way may have leased an address all the same.
    attachment.undo.register("the address lease") { try call.delegate(to: ipamType, .del) }
    guard let leased = try call.delegate(to: ipamType, .add), !leased.ips.isEmpty else {
      throw CNIError(
        .invalidConfiguration, "the IPAM plugin \(ipamType) gave no address",
        details: "ipam of network \(call.network) needs a subnet, a range or addresses")
    }
    return leased
  }

  /// Says what `EADDRINUSE` means. An IP address that is taken comes with the kernel's words; without, it is the hardware
  /// address, which interfaces on one link cannot share.
  private func explainingRefusal(of link: CreatedLink, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch let error as NetlinkError where error.errno == .addressInUse && error.message == nil {
      throw CNIError(
        .internalError, error.description,
        details: "another interface on the same link has the hardware address "
          + (link.mac.map(\.description) ?? ""))
    }
  }

  /// Tells the neighbours who has the addresses now: another container may have had them a moment ago.
  ///
  /// With `arp_notify` and `ndisc_notify` on, setting the hardware address (to what it is) makes the kernel send the
  /// gratuitous ARP and the unsolicited neighbour advertisement. A packet socket of our own would do too, but closing
  /// one waits for a grace period of the kernel's, as long as the rest of an ADD together.
  ///
  /// Best effort: neighbours that miss it find out by themselves, only later.
  private func announce(_ result: AddResult, _ link: CreatedLink, in attachment: InterfaceAttachment) {
    guard let mac = link.mac else { return }
    switch link.announcement {
    case .byKernel, .none: break
    case .bySettingMAC:
      _ = try? attachment.inContainer {
        try $0.perform(.changeLink(.index(link.index), LinkChange(mac: mac)))
      }
    case .bySending:
      let addresses = result.ips.compactMap { ip -> IPv6Address? in
        if case .v6(let address) = ip.address.address { address } else { nil }
      }
      if addresses.isEmpty { return }
      try? attachment.enteringContainer {
        try AddressAnnouncement.advertise(addresses, interfaceIndex: link.index, mac: mac)
      }
    }
  }
}
