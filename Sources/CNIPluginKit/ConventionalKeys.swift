import CNI
import NetworkAddresses

extension PluginCall {
  /// The hardware address the caller asks for: `runtimeConfig.mac`, else `args.cni.mac`, else `MAC` of `CNI_ARGS`, else
  /// the value of the plugin's own `key`.
  ///
  /// - Parameters:
  ///   - key: The plugin's own key; nil: it has none.
  ///   - argumentsFirst: `args.cni.mac` comes before `runtimeConfig.mac`.
  /// - Throws: code 7 or, for `CNI_ARGS`, 4: for what is not an address, or not one that an interface can have.
  public func requestedMAC(
    elseKey key: String? = nil, argumentsFirst: Bool = false
  ) throws(CNIError) -> MACAddress? {
    try arguments.validate(known: Self.conventionalArguments)
    let keys = try configuration.object()
    let holders = [try keys.object("runtimeConfig"), try keys.object("args")?.object("cni")]
    for holder in argumentsFirst ? holders.reversed() : holders {
      if let holder, let mac = try Self.usableMAC("mac", of: holder) { return mac }
    }
    guard let text = arguments["MAC"] ?? arguments["mac"], !text.isEmpty else {
      guard let key else { return nil }
      return try Self.usableMAC(key, of: keys)
    }
    guard let mac = MACAddress(text) else {
      throw CNIError(
        .invalidEnvironment, "CNI_ARGS: MAC=\(text) is not a hardware address",
        details: "write it as six pairs of hexadecimal digits, for example 02:00:5e:10:00:01")
    }
    if let reason = Self.unusable(mac) { throw CNIError(.invalidEnvironment, "CNI_ARGS: MAC: " + reason) }
    return mac
  }

  private static func usableMAC(_ key: String, of keys: ConfigurationObject) throws(CNIError) -> MACAddress? {
    guard let mac = try keys.macAddress(key) else { return nil }
    if let reason = unusable(mac) {
      throw keys.failure(key, reason, remedy: "use an address of a single host, such as 02:00:5e:10:00:01")
    }
    return mac
  }

  /// Why the kernel would refuse the address, in more words than its EADDRNOTAVAIL has.
  private static func unusable(_ mac: MACAddress) -> String? {
    if mac.isMulticast { return "\(mac) is a multicast address, which no interface can have" }
    return mac.isZero ? "\(mac) is the address of nobody" : nil
  }

  /// The keys of `CNI_ARGS` that interface plugins and their IPAM plugins read. One of them is known to all, so that
  /// an address for IPAM does not upset the plugin that delegates to it.
  public static let conventionalArguments: Set<String> = ["IP", "GATEWAY", "MAC", "mac"]
}

extension ConfigurationObject {
  /// `mtu`: 0 and absent mean the kernel's default, `nil`.
  public func mtu() throws(CNIError) -> UInt32? {
    guard let mtu = try integer("mtu", in: 0...65535), mtu != 0 else { return nil }
    return UInt32(mtu)
  }
}

extension PluginCall {
  /// The type of the IPAM plugin, for a plugin whose interface is of no use without an address.
  ///
  /// - Throws: code 7 when the configuration names none.
  public func requiredIPAMType() throws(CNIError) -> String {
    if let type = configuration.ipamType { return type }
    let remedy =
      "\(configuration.type) needs an IPAM plugin, for example \"ipam\": {\"type\": \"host-local\", …}"
    let keys = try configuration.object()
    guard let ipam = try keys.object("ipam") else { throw keys.missing("ipam", remedy: remedy) }
    throw ipam.missing("type", remedy: remedy)
  }
}
