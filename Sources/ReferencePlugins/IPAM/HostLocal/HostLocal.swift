import CNI
import CNIPluginKit
import NetworkAddresses

/// The IPAM plugin `host-local`: gives out addresses of ranges, and keeps the leases in a directory of the host that
/// it shares with the Go plugin of that name.
///
/// Where an ADD finds no free address it fails with code 11, because that passes when a container ends; STATUS then
/// says code 50. The leases of containers that ended without DEL are released by GC.
public struct HostLocal: Plugin {
  /// `host-local`.
  public static let type = "host-local"
  /// What it does, in one line.
  public static let summary = "IP address management with leases in a directory of this host"
  /// It touches nothing but files: false.
  public static let changesNamespace = false

  private let configuration: HostLocalConfiguration

  /// Reads all keys for ADD, CHECK and STATUS, and only the place of the leases for DEL and GC.
  public init(_ call: PluginCall) throws(CNIError) {
    let removes = call.command == .del || call.command == .gc
    configuration = try HostLocalConfiguration(call, onlyDirectory: removes)
  }

  /// Leases one address from each range set, or none at all.
  /// - Throws: code 7 for requested addresses that no range set can give and for an attachment that already has an
  ///   address, 11 if an address is not free, 5 if the lease directory cannot be used.
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

  /// Releases all leases of the attachment; it is no error if there are none.
  /// - Throws: code 5 if one cannot be removed; the others are.
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

  /// Releases the leases of all attachments but the valid ones, and files in which no owner can be read.
  public func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws(CNIError) {
    guard var store = try store(call, creating: false) else { return }
    let owners = valid.map { LeaseOwner(containerID: $0.containerID, interfaceName: $0.interfaceName) }
    try store.releaseAll(except: Set(owners))
  }

  /// Whether each range set has a free address, and the files can be written and read.
  /// - Throws: code 50.
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
