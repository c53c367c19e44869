import CNI
import DHCP
import NetworkAddresses

extension DHCPv4Lease {
  /// The address, routes and DNS settings of the lease.
  ///
  /// - Parameter setsMTU: whether routes get the MTU that the server names, unless it is below what every host has to
  ///   take (576, RFC 791).
  /// - Throws: code 999 if the container could do nothing with the address.
  func result(setsMTU: Bool) throws(CNIError) -> AddResult {
    guard let prefix else {
      throw CNIError(
        .internalError, "the DHCP server \(server) gave \(address) without a subnet mask (option 1)",
        details: "have the server send it; a request with skipDefault must contain subnet-mask")
    }
    guard isUsable else {
      throw CNIError(
        .internalError, "the DHCP server \(server) gave \(prefix), which no host can have",
        details:
          "the server's range or its subnet mask (option 1) is wrong: a network has a prefix of at least 8 bits, "
          + "and its first and last address are nobody's")
    }
    let mtu = setsMTU ? options.number(.interfaceMTU, as: UInt16.self).map(Int.init) : nil
    let routes = options.routes.map { route in
      // Scope 253 is that of the link: no router is on the way.
      RouteConfiguration(
        destination: route.destination, gateway: .v4(route.router), mtu: mtu.flatMap { $0 >= 576 ? $0 : nil },
        scope: route.router.isUnspecified ? 253 : nil)
    }
    return AddResult(
      ips: [IPConfiguration(address: prefix, gateway: options.gateway.map(IPAddress.v4))], routes: routes,
      dns: DNSConfiguration(
        nameservers: options.nameservers.map(\.description), domain: options.domain ?? "",
        search: options.searchDomains))
  }
}
