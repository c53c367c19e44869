import CNI
import CNIPluginKit
import NetworkAddresses

/// The IPAM plugin `host-local`: gives out addresses of ranges, and keeps the leases in a directory of the host that
/// it shares with the Go plugin of that name.
///
/// Where an ADD finds no free address it fails with code 11, because that passes when a container ends; STATUS then
/// says code 50. The leases of containers that ended without DEL are released by GC.
public struct HostLocal: Plugin {
  public static let type = "host-local"
  public static let summary = "IP address management with leases in a directory of this host"
  public static let changesNamespace = false

  private let configuration: HostLocalConfiguration

  /// Reads all keys for ADD, CHECK and STATUS, and only the place of the leases for DEL and GC.
  public init(_ call: PluginCall) throws(CNIError) {
    let removes = call.command == .del || call.command == .gc
    configuration = try HostLocalConfiguration(call, onlyDirectory: removes)
  }

  public func add(_ call: PluginCall) throws(CNIError) -> AddResult {
    let dns = try configuration.resolverFile.map { path throws(CNIError) in try ResolverFile.read(path) }
    let requests = try configuration.requests()
    guard var store = try store(call, creating: true) else {
      preconditionFailure("a store that is made is there")
    }
    let leases = try store.lease(requests, to: owner(call))
    return AddResult(
      ips: leases.map { IPConfiguration(address: $0.address, gateway: $0.gateway) },
      routes: configuration.routes, dns: dns ?? DNSConfiguration())
  }

  public func delete(_ call: PluginCall) throws(CNIError) {
    guard var store = try store(call, creating: false) else { return }
    try store.release(owner(call))
  }

  /// There must be a lease, and the addresses of the previous result that are from these ranges must not be leased to
  /// somebody else.
  public func check(_ call: PluginCall) throws(CNIError) {
    let owner = owner(call)
    guard let store = try store(call, creating: false), try store.hasLease(owner) else {
      throw CNIError(.internalError, "\(owner) has no address of network \(call.network)")
    }
    for address in try call.configuration.prevResult()?.ips.map(\.address.address) ?? [] {
      guard configuration.sets.contains(where: { $0.contains(address) }),
        let holder = try store.owner(of: address), holder != owner, holder != owner.withoutInterface
      else { continue }
      throw CNIError(
        .internalError, "the address \(address) of \(owner) is leased to \(holder)",
        details: "the lease is \(store.path)/\(address)")
    }
  }

  public func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws(CNIError) {
    guard var store = try store(call, creating: false) else { return }
    let owners = valid.map { LeaseOwner(containerID: $0.containerID, interfaceName: $0.interfaceName) }
    try store.releaseAll(except: Set(owners))
  }

  public func status(_ call: PluginCall) throws(CNIError) {
    if let path = configuration.resolverFile {
      do throws(CNIError) { _ = try ResolverFile.read(path) } catch {
        throw CNIError(.notAvailable, error.message, details: error.details)
      }
    }
    try PoolStatus.check(
      sets: configuration.sets, dataDirectory: configuration.dataDirectory, network: call.network)
  }

  private func store(_ call: PluginCall, creating: Bool) throws(CNIError) -> LeaseStore? {
    try LeaseStore.open(
      dataDirectory: configuration.dataDirectory, network: call.network, creating: creating)
  }

  private func owner(_ call: PluginCall) -> LeaseOwner {
    LeaseOwner(containerID: call.containerID, interfaceName: call.interfaceName)
  }
}
