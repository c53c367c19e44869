public import NetworkAddresses

extension DHCPv4Options {
  /// A route that a server hands out.
  public struct Route: Hashable, Sendable {
    /// The network, host bits cleared.
    public let destination: IPPrefix
    /// The router; `0.0.0.0` if the network is on the link itself.
    public let router: IPv4Address

    init(_ destination: IPv4Address, _ length: Int, _ router: IPv4Address) {
      self.destination = IPPrefix(address: .v4(destination), length: length)!.network
      self.router = router
    }
  }

  /// The routes that count (RFC 3442): those of option 121, or else of 249, which replace all others; or else those of
  /// option 33 and behind them the default route by the first router of option 3.
  ///
  /// What cannot be read is left out, of more than `mostRoutes` the end as well, and a classless option without a single route is as good as absent.
  public var routes: [Route] { Array(allRoutes.prefix(Self.mostRoutes)) }

  /// How many routes of a server are believed.
  static let mostRoutes = 256

  private var allRoutes: [Route] {
    for code in [DHCPv4OptionCode.classlessStaticRoutes, .microsoftClasslessStaticRoutes] {
      let routes = classlessRoutes(code)
      if !routes.isEmpty { return routes }
    }
    var routes = classfulRoutes
    if let router = gateway { routes.append(Route(.any, 0, router)) }
    return routes
  }

  /// The first router of option 3 that can be one; `nil` if it names none.
  public var gateway: IPv4Address? { addresses(.routers).first(where: \.isUnicast) }

  /// The prefix length of option 1; `nil` if it is not there or no mask.
  public var prefixLength: Int? { address(.subnetMask).flatMap { IPPrefix.length(ofMask: .v4($0)) } }

  private func classlessRoutes(_ code: DHCPv4OptionCode) -> [Route] {
    var reader = ByteReader(self[code] ?? [])
    var routes: [Route] = []
    while let length = reader.byte(), length <= 32 {
      // Only as many bytes as the length has ones in.
      guard let significant = reader.bytes((Int(length) + 7) / 8), let router: UInt32 = reader.number() else {
        break
      }
      let address = IPv4Address(bytes: significant + [UInt8](repeating: 0, count: 4 - significant.count))!
      routes.append(Route(address, Int(length), IPv4Address(rawValue: router)))
    }
    return routes
  }

  /// Option 33: the class of an address says how long its network is. The default route may not stand here (RFC 2132,
  /// section 5.8), and a multicast network has no class.
  private var classfulRoutes: [Route] {
    var reader = ByteReader(self[.staticRoutes] ?? [])
    var routes: [Route] = []
    while let destination: UInt32 = reader.number(), let router: UInt32 = reader.number() {
      let length: Int
      switch destination >> 24 {
      case 1...127: length = 8
      case 128...191: length = 16
      case 192...223: length = 24
      default: continue
      }
      routes.append(Route(IPv4Address(rawValue: destination), length, IPv4Address(rawValue: router)))
    }
    return routes
  }
}
