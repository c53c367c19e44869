import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

/// The container's side of a result: addresses and routes on the interface that was just made.
struct ContainerConfiguration {
  let link: CreatedLink
  let result: AddResult
  let settings: InterfaceSettings
  let linkRoutes: LinkRoutes

  /// Applies everything: settings of the interface first, then addresses, up, and routes in one message to the
  /// kernel.
  func apply(in attachment: InterfaceAttachment) throws {
    let name = attachment.call.interfaceName
    let hasIPv6 = result.ips.contains { $0.address.family == .ipv6 }
    try attachment.enteringContainer { try applySysctls(interface: name, hasIPv6: hasIPv6) }

    var requests: [RouteRequest] = []
    for ip in result.ips {
      var flags: AddressFlags = []
      // Nobody else can have the address: IPAM gave it to this container alone. The check would cost ADD a second.
      if ip.address.family == .ipv6, settings.detectsDuplicateAddresses != true { flags.insert(.noDAD) }
      requests.append(
        .addAddress(
          InterfaceAddress(ip.address, broadcast: ip.address.broadcast, flags: flags), index: link.index))
    }
    if !settings.leavesInterfaceDown {
      requests.append(.changeLink(.index(link.index), LinkChange(isUp: true)))
    }
    let waits = settings.detectsDuplicateAddresses == true && hasIPv6
    // The container may have another interface by which it reaches the same.
    let routes =
      linkRoutes.before + eachOnce(result.routes.map(route)).map { .addRoute($0, beside: true) }
      + linkRoutes.after
    // A route's gateway is reachable only once its own address is beyond doubt.
    try attachment.inContainer { socket in
      if waits {
        try socket.perform(requests)
        try DuplicateAddressDetection.wait(for: link.index, name: name, in: &socket)
        try socket.perform(routes)
      } else {
        try socket.perform(requests + routes)
      }
    }
  }

  private func applySysctls(interface name: String, hasIPv6: Bool) throws {
    let announces = link.announcement != .none
    if hasIPv6 {
      // A container may come with IPv6 switched off. Its interface gets an IPv6 address all the same.
      for interface in ["lo", name] {
        try Sysctl.ensure("net/ipv6/conf/\(interface)/disable_ipv6", is: "0")
      }
      try Sysctl.write("1", to: "net/ipv6/conf/\(name)/keep_addr_on_down")
    }
    if hasIPv6, announces { try Sysctl.write("1", to: "net/ipv6/conf/\(name)/ndisc_notify") }
    // These are refinements: a kernel without IPv6, or without one of them, still makes a working attachment.
    if let detects = settings.detectsDuplicateAddresses {
      if detects { try? Sysctl.write("1", to: "net/ipv6/conf/\(name)/enhanced_dad") }
      try? Sysctl.write(detects ? "1" : "0", to: "net/ipv6/conf/\(name)/accept_dad")
    }
    if announces { try? Sysctl.write("1", to: "net/ipv4/conf/\(name)/arp_notify") }
  }

  private func eachOnce(_ routes: [Route]) -> [Route] {
    var different: [Route] = []
    for route in routes where !different.contains(route) { different.append(route) }
    return different
  }

  /// A route of the result, with the gateway of its family's first address where it names none (spec section 5).
  private func route(_ route: RouteConfiguration) -> Route {
    var entry = Route(destination: route.destination)
    entry.interface = link.index
    let family = route.destination.family
    entry.gateway =
      route.gateway ?? result.ips.first { $0.gateway != nil && $0.address.family == family }?.gateway
    entry.mtu = route.mtu.map { UInt32(clamping: $0) }
    entry.advertisedMSS = route.advmss.map { UInt32(clamping: $0) }
    entry.priority = route.priority.map { UInt32(clamping: $0) }
    entry.table = route.table.map { UInt32(clamping: $0) }
    entry.scope = route.scope.map { RouteScope(rawValue: UInt8(truncatingIfNeeded: $0)) }
    return entry
  }
}

/// Waiting for IPv6 duplicate address detection (RFC 4862, section 5.4).
enum DuplicateAddressDetection {
  /// Waits until no address of the interface is tentative any more.
  ///
  /// - Throws: `CNIError` when an address turned out to be a duplicate, or after ten seconds.
  static func wait(for index: Int32, name: String, in socket: inout RouteSocket) throws {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(10)
    while true {
      let addresses = try socket.addresses(index: index, family: .ipv6)
      if let duplicate = addresses.first(where: { $0.flags.contains(.dadFailed) }) {
        throw CNIError(
          .internalError, "the address \(duplicate.prefix) is already in use on the link of \(name)",
          details: "duplicate address detection (enabledad) found another host that has it")
      }
      guard let tentative = addresses.first(where: { $0.flags.contains(.tentative) }) else { return }
      guard clock.now < deadline else {
        throw CNIError(
          .tryAgainLater, "duplicate address detection of \(tentative.prefix) on \(name) did not end in 10 s")
      }
      Pause.milliseconds(20)
    }
  }
}
