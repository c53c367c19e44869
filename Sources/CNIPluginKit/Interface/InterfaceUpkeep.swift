import CNI
import LinuxNetworking
import Netlink

extension InterfacePlugin {
  /// GC: stale links, then stale leases (before, if links are needed for that), then the plugin's own.
  public func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws {
    let stale = StaleMarks(network: call.network, valid: valid)
    var steps = EveryStep()
    func releaseStale() {
      if let ipamType = settings.ipamType { steps.attempt { try call.delegate(to: ipamType, .gc) } }
    }
    if settings.releasesThroughInterface { releaseStale() }
    steps.attempt {
      var host = try RouteSocket()
      try OwnedLinks.deleteStale(stale, in: &host)
    }
    if !settings.releasesThroughInterface { releaseStale() }
    steps.attempt { try collectGarbage(call, stale: stale) }
    try steps.finish()
  }

  /// STATUS: privileges, the plugin's own needs, IPAM.
  public func status(_ call: PluginCall) throws {
    try Self.requirePrivileges([.netAdmin, .sysAdmin], for: "make interfaces")
    try reportingUnavailability { try checkRequirements(call) }
    if let ipamType = settings.ipamType { try call.delegate(to: ipamType, .status) }
  }
}
