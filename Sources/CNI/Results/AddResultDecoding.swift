import NetworkAddresses

extension AddResult {
  /// Reads a result of any version.
  /// - Parameters:
  ///   - json: the result.
  ///   - version: its version, if it does not say so itself; `nil` means 0.1.0. Results before 1.0.0 often do not.
  ///   - name: what it is, for messages.
  /// - Throws: code 6 if it is not a result, code 1 if it is of an unknown version.
  public static func decode(
    _ json: JSONValue, version: SpecVersion? = nil, name: String? = nil
  ) throws(CNIError) -> AddResult {
    let object = try ConfigurationObject(json, name: name, code: .decodingFailure)
    return try decode(object, version: version)
  }

  static func decode(_ object: ConfigurationObject, version: SpecVersion?) throws(CNIError) -> AddResult {
    var own = version ?? .v0_1_0
    if let text = try object.string("cniVersion") {
      guard let known = SpecVersion(rawValue: text) else {
        throw object.failure(
          "cniVersion", "\(quoted(text)) is not a version of the specification",
          remedy: "known are \(SpecVersion.allCases.map(\.rawValue).joined(separator: ", "))",
          code: .incompatibleVersion)
      }
      own = known
    }
    var result = AddResult()
    // Go's loopback gives the newest shape whatever the version.
    if own <= .v0_2_0, object.value("ip4") != nil || object.value("ip6") != nil || object.value("ips") == nil
    {
      try result.readFamily(object.object("ip4"))
      try result.readFamily(object.object("ip6"))
    } else {
      for interface in try object.objects("interfaces") {
        result.interfaces.append(try Interface(interface, version: own))
      }
      for ip in try object.objects("ips") { result.ips.append(try IPConfiguration(ip)) }
      for route in try object.objects("routes") { result.routes.append(try RouteConfiguration(route)) }
    }
    if let dns = try object.object("dns") { result.dns = try DNSConfiguration(dns) }
    return result
  }

  /// Up to 0.2.0 there is one address per family, and routes stand beside the address.
  private mutating func readFamily(_ object: ConfigurationObject?) throws(CNIError) {
    guard let object else { return }
    guard let address = try object.prefix("ip") else { throw object.missing("ip") }
    ips.append(IPConfiguration(address: address, gateway: try object.address("gateway")))
    for route in try object.objects("routes") { routes.append(try RouteConfiguration(route)) }
  }
}

extension Interface {
  fileprivate init(_ object: ConfigurationObject, version: SpecVersion) throws(CNIError) {
    name = try object.text("name") ?? ""
    mac = try object.string("mac")
    sandbox = try object.string("sandbox")
    // The Go library knows no more members before 1.0.0, and all of them from there on.
    if version >= .v1_0_0 {
      mtu = try object.nonZero("mtu")
      socketPath = try object.string("socketPath")
      pciID = try object.string("pciID")
    }
  }
}

extension IPConfiguration {
  fileprivate init(_ object: ConfigurationObject) throws(CNIError) {
    guard let address = try object.prefix("address") else { throw object.missing("address") }
    self.address = address
    gateway = try object.address("gateway")
    interface = try object.integer("interface")
  }
}

extension RouteConfiguration {
  /// What the kernel has room for. A number beyond would become another one on the way there.
  private static let word = 0...Int(UInt32.max)

  /// Reads a route as results and IPAM configurations have it.
  public init(_ object: ConfigurationObject) throws(CNIError) {
    guard let destination = try object.prefix("dst") else {
      throw object.missing("dst", remedy: "write the destination as address/length, for example 0.0.0.0/0")
    }
    self.destination = destination
    gateway = try object.address("gw")
    mtu = try object.nonZero("mtu", in: Self.word)
    advmss = try object.nonZero("advmss", in: Self.word)
    priority = try object.nonZero("priority", in: Self.word)
    table = try object.integer("table", in: Self.word)
    scope = try object.integer("scope", in: 0...255)
  }
}

extension DNSConfiguration {
  /// Reads the settings as results and configurations have them.
  public init(_ object: ConfigurationObject) throws(CNIError) {
    nameservers = try object.strings("nameservers")
    domain = try object.string("domain") ?? ""
    search = try object.strings("search")
    options = try object.strings("options")
  }
}

extension ConfigurationObject {
  /// A number of which 0 means that it is not set.
  fileprivate func nonZero(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(CNIError) -> Int?
  {
    let value = try integer(key, in: range)
    return value == 0 ? nil : value
  }
}
