import NetworkAddresses

extension AddResult {
  /// The result as JSON of a version, with the keys that the Go library writes in that version and no others.
  ///
  /// What an older version has no place for is left out: up to 0.4.0 the MTU, socket and PCI address of interfaces;
  /// up to 0.2.0 the interfaces, every address but the first of its family, routes of a family without address, and
  /// everything of a route but destination and gateway.
  /// - Throws: code 1 if the version cannot express the result at all: up to 0.2.0 it has to have an address.
  public func encode(as version: SpecVersion) throws(CNIError) -> JSONValue {
    var object = JSONObject()
    object.append("cniVersion", .string(version.rawValue))
    if version <= .v0_2_0 {
      try addFamilies(to: &object, version)
    } else {
      object.append("interfaces", unlessEmpty: interfaces.map { $0.encode(as: version) })
      object.append("ips", unlessEmpty: ips.map { $0.encode(as: version) })
      object.append("routes", unlessEmpty: routes.map { $0.encode() })
    }
    // Up to 1.0.0 there is always an object, if only an empty one; the Go library left it out of 1.0.0 only later.
    if version <= .v1_0_0 || !dns.isEmpty { object.append("dns", dns.encode()) }
    return .object(object)
  }

  /// Throws what ``encode(as:)`` would throw.
  public func requireExpressible(in version: SpecVersion) throws(CNIError) {
    if version <= .v0_2_0, ips.isEmpty {
      throw CNIError(
        .incompatibleVersion, "a result without addresses cannot be expressed in version \(version)",
        details: "use a configuration of version 0.3.0 or later")
    }
  }

  private func addFamilies(to object: inout JSONObject, _ version: SpecVersion) throws(CNIError) {
    try requireExpressible(in: version)
    if let ip4 = encodeFamily(.ipv4) { object.append("ip4", ip4) }
    if let ip6 = encodeFamily(.ipv6) { object.append("ip6", ip6) }
  }

  private func encodeFamily(_ family: AddressFamily) -> JSONValue? {
    guard let ip = ips.first(where: { $0.address.family == family }) else { return nil }
    var object = JSONObject()
    object.append("ip", .string(ip.address.description))
    object.append("gateway", ip.gateway?.description)
    object.append(
      "routes",
      unlessEmpty: routes.filter { $0.destination.family == family }.map {
        RouteConfiguration(destination: $0.destination, gateway: $0.gateway).encode()
      })
    return .object(object)
  }
}

extension Interface {
  fileprivate func encode(as version: SpecVersion) -> JSONValue {
    var object = JSONObject()
    object.append("name", .string(name))
    object.append("mac", mac)
    if version >= .v1_0_0 { object.append("mtu", mtu == 0 ? nil : mtu) }
    object.append("sandbox", sandbox)
    if version >= .v1_0_0 {
      object.append("socketPath", socketPath)
      object.append("pciID", pciID)
    }
    return .object(object)
  }
}

extension IPConfiguration {
  fileprivate func encode(as version: SpecVersion) -> JSONValue {
    var object = JSONObject()
    if version < .v1_0_0 { object.append("version", address.family == .ipv4 ? "4" : "6") }
    object.append("interface", interface)
    object.append("address", .string(address.description))
    object.append("gateway", gateway?.description)
    return .object(object)
  }
}

extension RouteConfiguration {
  /// The route as results and IPAM configurations have it.
  public func encode() -> JSONValue {
    var object = JSONObject()
    object.append("dst", .string(destination.description))
    object.append("gw", gateway?.description)
    object.append("mtu", mtu == 0 ? nil : mtu)
    object.append("advmss", advmss == 0 ? nil : advmss)
    object.append("priority", priority == 0 ? nil : priority)
    object.append("table", table)
    object.append("scope", scope)
    return .object(object)
  }
}

extension DNSConfiguration {
  /// The settings as an object; what is not set is left out.
  public func encode() -> JSONValue {
    var object = JSONObject()
    object.append("nameservers", unlessEmpty: nameservers.map { .string($0) })
    object.append("domain", domain)
    object.append("search", unlessEmpty: search.map { .string($0) })
    object.append("options", unlessEmpty: options.map { .string($0) })
    return .object(object)
  }
}

extension JSONObject {
  /// Appends a text unless there is none or an empty one.
  fileprivate mutating func append(_ key: String, _ text: String?) {
    if let text, !text.isEmpty { append(key, .string(text)) }
  }

  fileprivate mutating func append(_ key: String, _ number: Int?) {
    if let number { append(key, .integer(number)) }
  }

  fileprivate mutating func append(_ key: String, unlessEmpty values: [JSONValue]) {
    if !values.isEmpty { append(key, .array(values)) }
  }
}
