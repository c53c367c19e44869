import NetworkAddresses
import Netlink

/// What the host has a device for, which the kernel forgets when the device is moved.
struct HostUse {
  let link: Link
  private let addresses: [InterfaceAddress]
  private let routes: [Route]
  private let masterName: String?

  init(_ link: Link, in host: inout RouteSocket) throws {
    self.link = link
    addresses = try host.addresses(index: link.index)
    // What the kernel makes of the addresses it makes again.
    routes =
      link.isUp
      ? try host.routes(interface: link.index).filter {
        $0.protocol != .kernel && $0.interface == link.index && $0.type == .unicast
      } : []
    masterName = try link.master.flatMap { try host.find(.index($0)) }?.name
  }

  /// What whoever runs the host may not have meant.
  var warnings: [String] {
    var warnings: [String] = []
    let lost = addresses.filter { $0.scope != .link }
    if !lost.isEmpty {
      let list = lost.map(\.prefix.description).joined(separator: ", ")
      warnings.append("\(link.name) loses its addresses on the host: \(list)")
    }
    if routes.contains(where: { $0.destination.isDefault }) {
      warnings.append("\(link.name) was the host's way to everywhere: its default route is gone")
    }
    if let masterName {
      warnings.append("\(link.name) leaves \(masterName), and DEL does not put it back there")
    }
    return warnings
  }

  /// Gives it all back to the device, which may have got another index. What the kernel refuses, it refuses for another
  /// reason than this one: the rest is given back all the same.
  func restore(index: Int32, in host: inout RouteSocket) throws(NetlinkError) {
    var requests: [RouteRequest] = []
    if let master = link.master { requests.append(.changeLink(.index(index), LinkChange(master: master))) }
    if link.isUp { requests.append(.changeLink(.index(index), LinkChange(isUp: true))) }
    for var address in addresses where !Self.comesByItself(address) {
      address.flags.formIntersection([.noPrefixRoute, .manageTemporary, .homeAddress, .multicastAutoJoin])
      if address.prefix.family == .ipv6 { address.flags.insert(.noDAD) }
      requests.append(.addAddress(address, index: index))
    }
    // Gateways are reached by way of the routes that have none.
    for var route in routes.filter({ $0.gateway == nil }) + routes.filter({ $0.gateway != nil }) {
      route.interface = index
      requests.append(.addRoute(route))
    }
    // The kernel goes on behind one that it refuses.
    do { try host.perform(requests) } catch  where error.isExists {}
  }

  /// Link-local addresses come with the link, temporary ones with the others.
  private static func comesByItself(_ address: InterfaceAddress) -> Bool {
    address.prefix.family == .ipv6 && (address.scope == .link || address.flags.contains(.temporary))
  }
}
