import CNI
import NetworkAddresses
import Netlink

extension InterfacePlugin {
  /// CHECK: IPAM, then the container's interface, its addresses and routes against `prevResult`, then the link.
  public func check(_ call: PluginCall) throws {
    if let ipamType = settings.ipamType { try call.delegate(to: ipamType, .check) }
    let expected = try call.requiredPrevResult()
    guard settings.hasKernelInterface else { return }
    let attachment = try InterfaceAttachment(call)
    guard
      let position = expected.interfaces.firstIndex(where: {
        $0.name == call.interfaceName && $0.sandbox == call.namespacePath
      })
    else {
      throw CNIError(
        .invalidConfiguration,
        "prevResult lists no interface \(call.interfaceName) in the namespace \(call.namespacePath)")
    }
    let link = try attachment.inContainer { socket in
      try InterfaceCheck(name: call.interfaceName, position: position, expected: expected, settings: settings)
        .verify(in: &socket)
    }
    try checkLink(link, result: expected, in: attachment)
  }
}

/// The container's side of a CHECK.
struct InterfaceCheck {
  let name: String
  let position: Int
  let expected: AddResult
  let settings: InterfaceSettings

  func verify(in socket: inout RouteSocket) throws -> Link {
    guard let link = try socket.find(.name(name)) else {
      throw CNIError(.internalError, "the container has no interface \(name) any more")
    }
    if let mac = expected.interfaces[position].mac.flatMap({ MACAddress($0) }), let actual = link.mac,
      mac != actual
    {
      throw CNIError(.internalError, "\(name) has the hardware address \(actual), ADD gave it \(mac)")
    }
    if settings.ipamType != nil, !settings.leavesInterfaceDown, !link.flags.contains(.up) {
      throw CNIError(.internalError, "\(name) is down")
    }
    try verifyAddresses(of: link, in: &socket)
    try verifyRoutes(of: link, in: &socket)
    return link
  }

  private func verifyAddresses(of link: Link, in socket: inout RouteSocket) throws {
    let addresses = Set(try socket.addresses(index: link.index).map(\.prefix))
    for ip in expected.ips where ip.interface == nil || ip.interface == position {
      guard addresses.contains(ip.address) else {
        let found = addresses.map(\.description).sorted().joined(separator: ", ")
        throw CNIError(
          .internalError, "\(name) has lost its address \(ip.address)",
          details: found.isEmpty ? "it has none" : "it has \(found)")
      }
    }
  }

  private func verifyRoutes(of link: Link, in socket: inout RouteSocket) throws {
    for family in [AddressFamily.ipv4, .ipv6] {
      let wanted = expected.routes.filter { $0.destination.family == family }
      if wanted.isEmpty { continue }
      let present = try socket.routes(family: family)
      for route in wanted {
        let found = present.contains { entry in
          entry.destination == route.destination.network
            // No gateway is also what 0.0.0.0 says, where an IPAM plugin means the link itself.
            && (route.gateway.map { gateway in
              entry.gateway ?? .unspecified(gateway.family) == gateway
                || entry.nextHops.contains { $0.gateway == gateway }
            } ?? true)
            && (route.table == nil || entry.table == route.table.map { UInt32(clamping: $0) })
        }
        guard found else {
          let via = route.gateway.map { " via \($0)" } ?? ""
          throw CNIError(.internalError, "the route to \(route.destination)\(via) is gone from the container")
        }
      }
    }
  }
}
