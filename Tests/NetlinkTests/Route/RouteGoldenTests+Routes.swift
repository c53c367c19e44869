import NetworkAddresses
import Testing

@testable import Netlink

extension RouteGoldenTests {
  @Test func routes() throws {
    let network = IPPrefix("198.51.100.0/24")!
    let gateway = IPAddress("192.0.2.254")!
    let everything = IPPrefix("0.0.0.0/0")!
    let router = IPAddress("fe80::1")!
    let port = Self.port
    try check(
      "route",
      [
        (
          "ip route add 198.51.100.0/24 dev v0", .addRoute(Route(destination: network, interface: port))
        ),
        (
          "ip route add default via 192.0.2.254", .addRoute(Route(destination: everything, gateway: gateway))
        ),
        (
          "ip route add 198.51.100.0/24 via 192.0.2.254 metric 100 table 1000 dev v0",
          .addRoute(
            Route(destination: network, gateway: gateway, interface: port, priority: 100, table: 1000))
        ),
        (
          "ip route add 198.51.100.0/24 via 192.0.2.254 src 192.0.2.1 dev v0",
          .addRoute(
            Route(
              destination: network, gateway: gateway, interface: port, preferredSource: IPAddress("192.0.2.1")
            ))
        ),
        (
          "ip route add 198.51.100.0/24 dev v0 mtu 1400 advmss 1360",
          .addRoute(Route(destination: network, interface: port, mtu: 1400, advertisedMSS: 1360))
        ),
        (
          "ip route add 198.51.100.0/24 dev v0 scope host table 100",
          .addRoute(Route(destination: network, interface: port, table: 100, scope: .host))
        ),
        (
          "ip route add 198.51.100.1 via 203.0.113.1 dev v0 onlink",
          .addRoute(
            Route(
              destination: IPPrefix("198.51.100.1/32")!, gateway: IPAddress("203.0.113.1"), interface: port,
              isOnLink: true))
        ),
        (
          "ip route add 198.51.100.0/24 via inet6 fe80::1 dev v0",
          .addRoute(Route(destination: network, gateway: router, interface: port))
        ),
        (
          "ip route add 2001:db8:1::/48 via fe80::1 dev v0",
          .addRoute(Route(destination: IPPrefix("2001:db8:1::/48")!, gateway: router, interface: port))
        ),
        (
          "ip route add default via fe80::1 metric 50 dev v0",
          .addRoute(Route(destination: IPPrefix("::/0")!, gateway: router, interface: port, priority: 50))
        ),
        ("ip route add blackhole 198.51.100.0/24", .addRoute(Route(destination: network, type: .blackhole))),
        (
          "ip route add 198.51.100.0/24 nexthop via 192.0.2.2 dev v0 weight 2 nexthop via 192.0.2.3 dev v0",
          .addRoute(
            Route(
              destination: network,
              nextHops: [
                .init(gateway: IPAddress("192.0.2.2"), interface: port, weight: 2),
                .init(gateway: IPAddress("192.0.2.3"), interface: port),
              ]))
        ),
        (
          "ip route replace 198.51.100.0/24 dev v0",
          .addRoute(Route(destination: network, interface: port), replace: true)
        ),
        ("ip route del 198.51.100.0/24", .deleteRoute(Route(destination: network))),
        (
          "ip route del default via 192.0.2.254 table 1000",
          .deleteRoute(Route(destination: everything, gateway: gateway, table: 1000))
        ),
      ])
  }
}
