import NetworkAddresses

extension Route {
  /// The body of an `RTM_NEWROUTE`, or with `deleting` of an `RTM_DELROUTE`, which matches what is said only.
  func encode(deleting: Bool, into builder: inout MessageBuilder) {
    let table = table ?? Route.mainTable
    builder.append(destination.family.number)
    builder.append(UInt8(destination.length))
    builder.append(UInt8(0))
    builder.append(typeOfService)
    builder.append(UInt8(exactly: table) ?? 0)
    builder.append(`protocol`?.rawValue ?? (deleting ? 0 : RouteProtocol.boot.rawValue))
    builder.append(scope?.rawValue ?? defaultScope(deleting: deleting).rawValue)
    builder.append(type?.rawValue ?? (deleting ? 0 : RouteType.unicast.rawValue))
    builder.append(isOnLink ? RouteAttribute.onLinkFlag : 0)

    if !destination.isDefault { builder.attribute(RouteAttribute.destination, destination.network.address) }
    if let gateway { Self.encode(gateway, for: destination.family, into: &builder) }
    if let preferredSource { builder.attribute(RouteAttribute.preferredSource, preferredSource) }
    builder.attribute(RouteAttribute.priority, ifPresent: priority)
    if table > 255 { builder.attribute(RouteAttribute.table, table) }
    builder.attribute(RouteAttribute.outputInterface, ifPresent: interface)
    if mtu != nil || advertisedMSS != nil {
      builder.nested(RouteAttribute.metrics, flagged: false) { metrics in
        metrics.attribute(RouteAttribute.mtu, ifPresent: mtu)
        metrics.attribute(RouteAttribute.advertisedMSS, ifPresent: advertisedMSS)
      }
    }
    if !nextHops.isEmpty {
      builder.nested(RouteAttribute.multipath, flagged: false) { list in
        for hop in nextHops { hop.encode(for: destination.family, into: &list) }
      }
    }
  }

  private func defaultScope(deleting: Bool) -> RouteScope {
    guard destination.family == .ipv4 else { return .universe }
    switch type ?? .unicast {
    case .local: return .host
    case .broadcast, .multicast, .anycast: return .link
    case .unicast:
      if deleting { return .nowhere }
      return gateway == nil && nextHops.isEmpty ? .link : .universe
    default: return .universe
    }
  }

  /// A gateway of the other family goes into an attribute that names the family (`struct rtvia`).
  fileprivate static func encode(
    _ gateway: IPAddress, for family: AddressFamily, into builder: inout MessageBuilder
  ) {
    guard gateway.family != family else { return builder.attribute(RouteAttribute.gateway, gateway) }
    builder.nested(RouteAttribute.via, flagged: false) { via in
      via.append(UInt16(gateway.family.number))
      via.append(bytes: gateway.bytes)
    }
  }

  fileprivate static func gateway(via attribute: Attribute) -> IPAddress? {
    guard let header = FixedHeader(attribute.value, size: 2),
      let family = AddressFamily(number: UInt8(truncatingIfNeeded: header.load(0, as: UInt16.self))),
      let address = IPAddress(bytes: attribute.value.dropFirst(2)), address.family == family
    else { return nil }
    return address
  }

  /// Reads an `RTM_NEWROUTE` or `RTM_DELROUTE` of IPv4 or IPv6; nil for anything else.
  public init?(_ message: ReceivedMessage) {
    guard message.type == RouteMessageType.newRoute || message.type == RouteMessageType.deleteRoute,
      let header = FixedHeader(message.payload, size: 12), let family = AddressFamily(number: header.byte(0)),
      let everything = IPPrefix(address: .unspecified(family), length: 0)
    else { return nil }
    self.init(destination: everything)
    typeOfService = header.byte(3)
    table = UInt32(header.byte(4))
    `protocol` = RouteProtocol(rawValue: header.byte(5))
    scope = RouteScope(rawValue: header.byte(6))
    type = RouteType(rawValue: header.byte(7))
    isOnLink = header.load(8, as: UInt32.self) & RouteAttribute.onLinkFlag != 0
    var address = IPAddress.unspecified(family)
    for attribute in message.attributes(after: 12) {
      switch attribute.type {
      case RouteAttribute.destination: address = attribute.ipAddress ?? address
      case RouteAttribute.gateway: gateway = attribute.ipAddress
      case RouteAttribute.via: gateway = Self.gateway(via: attribute)
      case RouteAttribute.outputInterface: interface = attribute.integer()
      case RouteAttribute.preferredSource: preferredSource = attribute.ipAddress
      case RouteAttribute.priority: priority = attribute.integer()
      case RouteAttribute.table: table = attribute.integer() ?? table
      case RouteAttribute.metrics:
        for metric in attribute.nested {
          switch metric.type {
          case RouteAttribute.mtu: mtu = metric.integer()
          case RouteAttribute.advertisedMSS: advertisedMSS = metric.integer()
          default: break
          }
        }
      case RouteAttribute.multipath: nextHops = NextHop.decode(attribute.value)
      default: break
      }
    }
    guard address.family == family, let prefix = IPPrefix(address: address, length: Int(header.byte(1)))
    else { return nil }
    destination = prefix
  }
}

extension Route.NextHop {
  // struct rtnexthop: u16 length, u8 flags, u8 weight - 1, i32 interface; attributes.
  private static let headerSize = 8

  fileprivate func encode(for family: AddressFamily, into builder: inout MessageBuilder) {
    var attributes = MessageBuilder(capacity: 24)
    if let gateway { Route.encode(gateway, for: family, into: &attributes) }
    builder.append(UInt16(Self.headerSize + attributes.bytes.count))
    builder.append(isOnLink ? UInt8(RouteAttribute.onLinkFlag) : 0)
    builder.append(UInt8(clamping: weight - 1))
    builder.append(interface ?? 0)
    builder.append(attributes)
  }

  /// As many as there are; a broken one ends the list.
  fileprivate static func decode(_ bytes: ArraySlice<UInt8>) -> [Self] {
    var hops: [Self] = []
    var rest = bytes
    while let header = FixedHeader(rest, size: headerSize) {
      let length = Int(header.load(0, as: UInt16.self))
      guard length >= headerSize, length <= rest.count else { break }
      let index: Int32 = header.load(4)
      var hop = Self(
        gateway: nil, interface: index == 0 ? nil : index, weight: Int(header.byte(3)) + 1,
        isOnLink: UInt32(header.byte(2)) & RouteAttribute.onLinkFlag != 0)
      for attribute in Attributes(rest.prefix(length).dropFirst(headerSize)) {
        switch attribute.type {
        case RouteAttribute.gateway: hop.gateway = attribute.ipAddress
        case RouteAttribute.via: hop.gateway = Route.gateway(via: attribute)
        default: break
        }
      }
      hops.append(hop)
      rest = rest.dropFirst((length + 3) & ~3)
    }
    return hops
  }
}
