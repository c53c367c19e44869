import CNI
import NetworkAddresses

extension PluginCall {
  /// The hardware address the caller asks for: `runtimeConfig.mac`, else `args.cni.mac`, else `MAC` of `CNI_ARGS`.
  public func requestedMAC() throws(CNIError) -> MACAddress? {
    let keys = try configuration.object()
    if let mac = try keys.object("runtimeConfig")?.macAddress("mac") { return mac }
    if let mac = try keys.object("args")?.object("cni")?.macAddress("mac") { return mac }
    try arguments.validate(known: Self.conventionalArguments)
    guard let text = arguments["MAC"] ?? arguments["mac"], !text.isEmpty else { return nil }
    guard let mac = MACAddress(text) else {
      throw CNIError(
        .invalidEnvironment, "CNI_ARGS: MAC=\(text) is not a hardware address",
        details: "write it as six pairs of hexadecimal digits, for example 02:00:5e:10:00:01")
    }
    return mac
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
