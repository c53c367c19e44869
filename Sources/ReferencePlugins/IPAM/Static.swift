import CNI
import CNIPluginKit
import NetworkAddresses

/// The IPAM plugin `static`: reports the addresses that its configuration or the caller names. It keeps nothing.
///
/// The addresses are, the first of these that there are:
///
/// 1. `runtimeConfig.ips`,
/// 2. `args.cni.ips`,
/// 3. `ipam.addresses`, and after them those of `IP` in `CNI_ARGS`. `GATEWAY` there goes to the addresses of `IP` in
///    whose subnet it is.
public struct Static: Plugin {
  /// `static`.
  public static let type = "static"
  /// What it does, in one line.
  public static let summary = "IP address management with addresses from the configuration"
  /// It touches nothing at all: false.
  public static let changesNamespace = false

  private var addresses: [IPConfiguration] = []
  private var routes: [RouteConfiguration] = []
  private var dns = DNSConfiguration()

  /// Reads nothing for DEL and GC, which have nothing to do.
  public init(_ call: PluginCall) throws(CNIError) {
    if call.command == .del || call.command == .gc { return }
    let configuration = try call.configuration.object()
    guard let ipam = try configuration.object("ipam") else {
      throw configuration.missing("ipam", remedy: "static reads its addresses from ipam.addresses")
    }
    for route in try ipam.objects("routes") { routes.append(try RouteConfiguration(route)) }
    if let settings = try ipam.object("dns") { dns = try DNSConfiguration(settings) }
    addresses = try Self.addresses(call, configuration, ipam)

    let perFamily = max(
      addresses.count { $0.address.family == .ipv4 }, addresses.count { $0.address.family == .ipv6 })
    guard perFamily <= 1 || call.configuration.version >= .v0_3_0 else {
      throw ipam.failure(
        "addresses",
        "cniVersion \(call.configuration.version.rawValue) has room for one address per family only",
        remedy: "raise cniVersion to 0.3.0 or later, or leave one address per family")
    }
  }

  private static func addresses(
    _ call: PluginCall, _ configuration: ConfigurationObject, _ ipam: ConfigurationObject
  ) throws(CNIError) -> [IPConfiguration] {
    // Read even if others replace them: a mistake in them is one in any case.
    let fromArguments = try addresses(call.arguments)
    let ofCaller = try configuration.object("args")?.object("cni")?.list("ips") ?? []
    let ofRuntime = try configuration.object("runtimeConfig")?.list("ips") ?? []
    var addresses: [IPConfiguration] = []
    if !ofRuntime.isEmpty || !ofCaller.isEmpty {
      for value in ofCaller {
        let address = IPConfiguration(address: try value.prefix())
        if ofRuntime.isEmpty { addresses.append(address) }
      }
      for value in ofRuntime { addresses.append(IPConfiguration(address: try value.prefix())) }
      return addresses
    }
    for object in try ipam.objects("addresses") {
      guard let address = try object.prefix("address") else {
        throw object.missing(
          "address", remedy: "write it with the length of its subnet, for example 10.10.0.5/24")
      }
      addresses.append(IPConfiguration(address: address, gateway: try object.address("gateway")))
    }
    return addresses + fromArguments
  }

  /// `IP` and `GATEWAY` of `CNI_ARGS`, each a list with commas.
  private static func addresses(_ arguments: CNIArguments) throws(CNIError) -> [IPConfiguration] {
    try arguments.validate(known: PluginCall.conventionalArguments)
    var addresses: [IPConfiguration] = []
    for text in items(arguments["IP"]) {
      guard let address = IPPrefix(text)?.unmapped else {
        throw CNIError(
          .invalidEnvironment, "CNI_ARGS: \"\(text)\" in IP is not an address with the length of its subnet",
          details: "write it as in IP=10.10.0.5/24,fd00::5/64")
      }
      addresses.append(IPConfiguration(address: address))
    }
    for text in items(arguments["GATEWAY"]) {
      guard let gateway = IPAddress(text)?.unmapped else {
        throw CNIError(
          .invalidEnvironment, "CNI_ARGS: \"\(text)\" in GATEWAY is not an IP address",
          details: "write it as in GATEWAY=10.10.0.1,fd00::1")
      }
      for index in addresses.indices where addresses[index].address.contains(gateway) {
        addresses[index].gateway = gateway
      }
    }
    return addresses
  }

  private static func items(_ list: String?) -> [String] {
    guard let list, !list.isEmpty else { return [] }
    return list.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map { item in
      let start = item.firstIndex { $0 != 0x20 && $0 != 0x09 } ?? item.endIndex
      let end = item.lastIndex { $0 != 0x20 && $0 != 0x09 } ?? item.startIndex
      return start <= end && start < item.endIndex ? String(Substring(item[start...end])) : ""
    }
  }

  /// Reports the addresses, with routes and DNS settings as they were configured.
  public func add(_ call: PluginCall) throws(CNIError) -> AddResult {
    AddResult(ips: addresses, routes: routes, dns: dns)
  }

  /// Nothing was kept, so there is nothing to release.
  public func delete(_ call: PluginCall) throws(CNIError) {}

  /// An address that is in the previous result must be there with the gateway that the configuration gives it. One that
  /// is not there at all is no error: the caller may have passed other addresses to ADD than to CHECK.
  public func check(_ call: PluginCall) throws(CNIError) {
    let result = try call.requiredPrevResult()
    for wanted in addresses {
      guard let gateway = wanted.gateway,
        let found = result.ips.first(where: { $0.address.address == wanted.address.address }),
        found.gateway != gateway
      else { continue }
      throw CNIError(
        .internalError,
        "the gateway of \(wanted.address.address) on \(call.interfaceName) is "
          + "\(found.gateway?.description ?? "not set"), and should be \(gateway)")
    }
  }

  /// As for DEL, there is nothing.
  public func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws(CNIError) {}

  /// That the configuration could be read is all that ADD needs.
  public func status(_ call: PluginCall) throws(CNIError) {}
}
