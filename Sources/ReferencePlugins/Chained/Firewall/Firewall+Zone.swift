import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses

/// firewalld: what has to happen in which order, so that nothing is left there of which nobody knows.
extension Firewall {
  func putIntoZone(_ call: PluginCall, _ addresses: [IPAddress], _ undo: inout UndoLog) throws {
    let record = FirewalldRecord(owner: call.owner, zone: configuration.zone, addresses: addresses)
    var zone = try FirewalldZone(configuration.zone)
    finishRemovals(call, sparing: addresses)
    // Written before: what is in the permanent configuration must not be without an owner.
    try record.write()
    let name = configuration.zone
    undo.register("sources of a zone of firewalld") { try Self.remove(record) }
    for address in addresses {
      // What is permanent comes first: a reload in between takes it over, and would undo the other.
      var problem: DBusError?
      do throws(DBusError) { try zone.addPermanently(address) } catch { problem = error }
      try zone.add(address)
      if let problem {
        call.log(
          "\(address) is in zone \(name) of firewalld for now only, and will not be after a reload: \(problem)"
        )
      }
    }
  }

  /// DEL: takes the addresses out of the zone they were put into.
  func takeOutOfZone(_ call: PluginCall, _ addresses: [IPAddress], _ record: FirewalldRecord?) throws {
    if let record { return try removeFromZone(call, record, addresses) }
    // The Go plugins keep no record; they take whatever zone the configuration names.
    if addresses.isEmpty { return }
    var mayHaveThem = configuration.backend == .firewalld
    if configuration.backend == nil {
      try PacketFilter.ifAvailable { socket in mayHaveThem = try FirewallPlan.hasTableOfFirewalld(&socket) }
    }
    guard mayHaveThem, FirewalldZone.isRunning else { return }
    var zone = try FirewalldZone(configuration.zone)
    for address in addresses { try Self.remove(address, from: &zone) }
  }

  /// Removes what a record says, and further addresses. Where firewalld does not run, nothing is let through by it; what
  /// it has written down is removed by a later call.
  func removeFromZone(_ call: PluginCall, _ record: FirewalldRecord, _ further: [IPAddress]) throws {
    var record = record
    record.addresses += further.filter { !record.addresses.contains($0) }
    guard FirewalldZone.isRunning else {
      record.isGone = true
      try record.write()
      call.log(
        "firewalld does not run; zone \(record.zone) loses \(record.addresses.count) addresses when it does")
      return
    }
    try Self.remove(record)
    finishRemovals(call, sparing: [])
  }

  /// Removes what could not be removed when it was to be.
  private func finishRemovals(_ call: PluginCall, sparing addresses: [IPAddress]) {
    for record in FirewalldRecord.all() where record.isGone {
      var record = record
      record.addresses.removeAll(where: addresses.contains)
      do { try Self.remove(record) } catch { call.log("\(CNIError(describing: error))") }
    }
  }

  private static func remove(_ record: FirewalldRecord) throws {
    var zone = try FirewalldZone(record.zone)
    // Who has got an address since then keeps it.
    let taken = FirewalldRecord.all().filter { $0.owner != record.owner && !$0.isGone }.flatMap(\.addresses)
    for address in record.addresses where !taken.contains(address) { try remove(address, from: &zone) }
    try FirewalldRecord.remove(record.owner)
  }

  private static func remove(_ address: IPAddress, from zone: inout FirewalldZone) throws(CNIError) {
    do throws(DBusError) { try zone.remove(address) } catch {
      throw CNIError(
        .internalError, "firewalld does not take \(address) out of zone \(zone.name): \(error)")
    }
  }
}
