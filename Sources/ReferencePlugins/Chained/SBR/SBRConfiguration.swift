import CNI
import CNIPluginKit
import NetworkAddresses

/// The keys of the `sbr` plugin's configuration.
struct SBRConfiguration: Sendable {
  /// `table`: the one that the rules lead to; somebody else fills it. `nil`: tables of the plugin's own.
  var table: UInt32?
  /// `gateways`: at most one of each family, in place of those of the result.
  var gateways: [AddressFamily: IPAddress] = [:]
  /// `addSourceHints`: routes to the subnets stay in the main table, with the address as their source.
  var addsSourceHints = false

  init(_ call: PluginCall) throws(CNIError) {
    let keys = try call.configuration.object()
    if call.onlyRemoves {
      table = ((try? keys.integer("table", in: 1...Int(UInt32.max))) ?? nil).map { UInt32($0) }
      return
    }
    table = try keys.integer("table", in: 1...Int(UInt32.max)).map { UInt32($0) }
    addsSourceHints = try keys.flag("addSourceHints")
    for value in try keys.list("gateways") {
      let gateway = try value.address()
      if gateway.isUnspecified || gateway.isMulticast || gateway.isLoopback {
        throw value.failure(
          "\(gateway) cannot be a gateway", remedy: "write the address of a router on the container's link")
      }
      guard gateways.updateValue(gateway, forKey: gateway.family) == nil else {
        throw keys.failure(
          "gateways", "has two gateways of \(gateway.family)", remedy: "write at most one of each family")
      }
    }
    if table != nil, addsSourceHints || !gateways.isEmpty {
      call.log("with table, routes are left alone: gateways and addSourceHints have no effect")
    }
  }
}
