import CNI
import Glibc
import NetworkAddresses

/// Whether the next ADD would get its addresses; looks without a lock, and changes nothing.
enum PoolStatus {
  /// Throws code 50 for a range set without a free address, and for a directory that cannot be written.
  static func check(sets: [RangeSet], dataDirectory: String, network: String) throws(CNIError) {
    let data = dataDirectory.isEmpty ? LeaseStore.defaultDataDirectory : dataDirectory
    let path = "\(data)/\(network)"
    try checkWritable(path)
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

  /// Asks of the directory, or of the next one above that is there and in which ADD would make it.
  private static func checkWritable(_ path: String) throws(CNIError) {
    if access(path, W_OK | X_OK) == 0 { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      return try checkWritable(String(path[..<slash]))
    }
    throw CNIError(
      .notAvailable, "cannot write \(path): \(String(cString: strerror(errno)))")
  }
}
