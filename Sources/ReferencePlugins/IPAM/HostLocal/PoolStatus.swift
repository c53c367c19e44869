import CNI
import LinuxNetworking
import NetworkAddresses

/// Whether the next ADD would get its addresses; looks without a lock, and changes nothing.
enum PoolStatus {
  /// Throws code 50 for a range set without a free address, and for a directory that cannot be written.
  static func check(sets: [RangeSet], dataDirectory: String, network: String) throws(CNIError) {
    let data = dataDirectory.isEmpty ? LeaseStore.defaultDataDirectory : dataDirectory
    let path = "\(data)/\(network)"
    do throws(FileError) { try StateFile.requireWritable(path) } catch {
      throw CNIError(.notAvailable, error.description)
    }
    guard let leases = try LeaseDirectory.open(path) else { return }
    for (number, set) in sets.enumerated() {
      let search = FreeAddressSearch(in: set, after: leases.lastReserved(set: number).address)
      let found = try search.run { () throws(CNIError) in
        try leases.leases().map(\.address)
      } claim: { address throws(CNIError) in
        !leases.exists(address.description)
      }
      if found == nil { throw .noFreeAddress(in: set, path: path, code: .notAvailable) }
    }
  }
}
