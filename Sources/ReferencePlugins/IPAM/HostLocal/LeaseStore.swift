import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import NetworkAddresses

/// The leases of one network, locked: whoever has a value of this type is the only one who changes them, the Go plugin
/// included. The lock goes with the value.
///
/// Each operation costs the same number of system calls however many leases there are, as long as the leases have been
/// changed by this type only (see ``OwnerIndex``) and one of the next ``FreeAddressSearch/attempts`` addresses is free.
struct LeaseStore: ~Copyable {
  static let defaultDataDirectory = "/var/lib/cni/networks"

  private let leases: LeaseDirectory
  private let lock: FileLock
  private let index: OwnerIndex
  /// All leases by owner, if the index cannot be written; `nil` if it is there to be asked.
  private var scanned: [LeaseOwner: [String]]?
  private var isChanged = false
  /// Whether a change did not get into the index. Then it is not said to be up to date, and the next operation makes
  /// it anew.
  private var isIndexBehind = false

  /// Opens and locks the leases of a network.
  /// - Parameter creating: makes the directory if it is not there.
  /// - Returns: `nil` if there is no directory and `creating` is false.
  static func open(dataDirectory: String, network: String, creating: Bool) throws(CNIError) -> LeaseStore? {
    let data = dataDirectory.isEmpty ? defaultDataDirectory : dataDirectory
    let path = "\(data)/\(network)"
    // An administrator may remove the directory while this waits for the lock in it.
    for _ in 0..<16 {
      guard let leases = try LeaseDirectory.open(path) else {
        guard creating else { return nil }
        do throws(FileError) { try StateFile.createDirectories(path) } catch {
          throw CNIError(describing: error)
        }
        continue
      }
      let lock: FileLock
      do throws(CNIError) {
        lock = try leases.lock()
      } catch {
        if try leases.modificationTime() == nil { continue }
        throw error
      }
      guard let time = try leases.modificationTime() else { continue }
      var store = LeaseStore(
        leases: leases, lock: lock, index: OwnerIndex(dataDirectory: data, network: network))
      try store.loadIndex(leasesChanged: time)
      return store
    }
    throw CNIError(.tryAgainLater, "\(path) is being removed by someone again and again")
  }

  private init(leases: consuming LeaseDirectory, lock: consuming FileLock, index: OwnerIndex) {
    self.leases = leases
    self.lock = lock
    self.index = index
  }

  deinit {
    if isChanged, scanned == nil, !isIndexBehind { stamp() }
  }

  /// The network's directory.
  var path: String { leases.path }

  // MARK: The index

  private mutating func loadIndex(leasesChanged time: DirectoryTime) throws(CNIError) {
    if time.isStamped, time.modified.tv_nsec != 0, let other = index.modificationTime, other.isStamped,
      time.modified.tv_sec == other.modified.tv_sec, time.modified.tv_nsec == other.modified.tv_nsec
    {
      return
    }
    replaceIndex(with: try scan())
  }

  /// The leases by their owners, from the leases themselves.
  private func scan() throws(CNIError) -> [LeaseOwner: [String]] {
    var owners: [LeaseOwner: [String]] = [:]
    for lease in try leases.leases() {
      // One that cannot be read is in nobody's way but its owner's.
      if let content = try? leases.read(lease.name), let owner = LeaseOwner(leaseContent: content) {
        owners[owner, default: []].append(lease.name)
      }
    }
    return owners
  }

  private mutating func replaceIndex(with owners: [LeaseOwner: [String]]) {
    scanned = index.replaceAll(with: owners) ? nil : owners
    isChanged = true
  }

  /// The same time for both directories: what is in the index is all there is. Not a round number, so that it is not
  /// taken for that of a file system that keeps no fractions.
  private func stamp() {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    if now.tv_nsec < 1_000_000 { now.tv_nsec += 1_000_000 }
    if leases.setModificationTime(now) { _ = index.setModificationTime(now) }
  }

  private mutating func setEntry(_ names: [String], of owner: LeaseOwner) {
    isChanged = true
    if scanned != nil { return }
    let isWritten = names.isEmpty ? index.remove(owner) : index.setLeases(names, of: owner)
    if !isWritten { isIndexBehind = true }
  }

  // MARK: Leases of an owner

  /// The names of the owner's leases, as far as they are still the owner's.
  func leases(of owner: LeaseOwner) throws(CNIError) -> [String] {
    try confirmed(recordedLeases(of: owner), of: owner)
  }

  private func confirmed(_ names: [String], of owner: LeaseOwner) throws(CNIError) -> [String] {
    var confirmed: [String] = []
    for name in names {
      guard let content = try leases.read(name) else { continue }
      // An empty one that the index has under this owner lost its content in a power cut.
      if LeaseOwner(leaseContent: content) ?? owner == owner { confirmed.append(name) }
    }
    return confirmed
  }

  /// Whether the attachment has a lease; one without an interface name counts for all of the container's.
  func hasLease(_ owner: LeaseOwner) throws(CNIError) -> Bool {
    if try !leases(of: owner).isEmpty { return true }
    if owner.interfaceName.isEmpty { return false }
    return try !leases(of: owner.withoutInterface).isEmpty
  }

  /// Who has leased an address; `nil` if nobody has or nobody knows.
  func owner(of address: IPAddress) throws(CNIError) -> LeaseOwner? {
    try leases.read(address.description).flatMap(LeaseOwner.init(leaseContent:))
  }

  private func recordedLeases(of owner: LeaseOwner) throws(CNIError) -> [String] {
    if let scanned { return scanned[owner] ?? [] }
    if let names = index.leases(of: owner) { return names }
    // An entry that cannot be read says nothing about leases.
    return try scan()[owner] ?? []
  }

  /// Removes all leases of an attachment; those without an interface name only if there are no others, as the Go
  /// plugin does it. Goes on after a failure, and reports the first.
  mutating func release(_ owner: LeaseOwner) throws(CNIError) {
    if try release(exactly: owner) == 0, !owner.interfaceName.isEmpty {
      _ = try release(exactly: owner.withoutInterface)
    }
  }

  private mutating func release(exactly owner: LeaseOwner) throws(CNIError) -> Int {
    let recorded = try recordedLeases(of: owner)
    if recorded.isEmpty { return 0 }
    let names = try confirmed(recorded, of: owner)
    var failure: CNIError?
    for name in names {
      isChanged = true
      do throws(CNIError) { _ = try leases.remove(name) } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
    setEntry([], of: owner)
    return names.count
  }

  /// Removes every lease but those of the given owners, and those of their containers that name no interface. A file
  /// that names no owner (empty after a power cut) goes, too.
  mutating func releaseAll(except valid: Set<LeaseOwner>) throws(CNIError) {
    let containers = Set(valid.map(\.containerID))
    var kept: [LeaseOwner: [String]] = [:]
    var failure: CNIError?
    for lease in try leases.leases() {
      do throws(CNIError) {
        guard let content = try leases.read(lease.name) else { continue }
        if let owner = LeaseOwner(leaseContent: content),
          valid.contains(owner) || owner.interfaceName.isEmpty && containers.contains(owner.containerID)
        {
          kept[owner, default: []].append(lease.name)
        } else {
          isChanged = true
          _ = try leases.remove(lease.name)
        }
      } catch { failure = failure ?? error }
    }
    if isChanged || scanned != nil { replaceIndex(with: kept) }
    if let failure { throw failure }
  }

  // MARK: New leases

  /// What one range set is to give.
  struct Request {
    let set: RangeSet
    /// The number of the range set, counted from 0.
    let number: Int
    /// A certain address of the set; `nil` for any.
    var address: IPAddress?
  }

  /// What a range set gave.
  struct Lease: Equatable {
    /// The address with the length of its subnet.
    let address: IPPrefix
    let gateway: IPAddress
  }

  /// Leases one address for each request, or none at all.
  mutating func lease(_ requests: [Request], to owner: LeaseOwner) throws(CNIError) -> [Lease] {
    let own = try leases(of: owner)
    try refuseSecondLease(requests, owner, own + leases(of: owner.withoutInterface))
    let content = owner.leaseContent
    var taken: [String] = []
    var result: [Lease] = []
    isChanged = true
    do throws(CNIError) {
      for request in requests {
        let found =
          if let address = request.address {
            try take(address, request, owner, content)
          } else {
            try takeNext(request, content)
          }
        taken.append(found.address.description)
        guard let prefix = IPPrefix(address: found.address, length: found.range.subnet.length) else {
          preconditionFailure("an address of the range's family")
        }
        result.append(Lease(address: prefix, gateway: found.range.gateway))
      }
    } catch {
      for name in taken { _ = try? leases.remove(name) }
      throw error
    }
    setEntry(own + taken, of: owner)
    return result
  }

  /// A runtime may not add the same attachment twice. As with the Go plugin, asking for a certain address is no
  /// mistake as long as that address is free.
  private func refuseSecondLease(
    _ requests: [Request], _ owner: LeaseOwner, _ present: [String]
  ) throws(CNIError) {
    if present.isEmpty { return }
    for request in requests where request.address == nil {
      for name in present {
        guard let address = IPAddress(name)?.unmapped, request.set.contains(address) else { continue }
        throw CNIError(
          .invalidConfiguration,
          "\(owner) already has \(address) from \(request.set): DEL it before the next ADD",
          details: "the lease is \(path)/\(name)")
      }
    }
  }

  private func take(
    _ address: IPAddress, _ request: Request, _ owner: LeaseOwner, _ content: [UInt8]
  ) throws(CNIError) -> (address: IPAddress, range: AddressRange) {
    guard let range = request.set.range(containing: address) else {
      throw CNIError(
        .invalidConfiguration, "the requested address \(address) is not in \(request.set)")
    }
    if address == range.gateway {
      throw CNIError(
        .invalidConfiguration,
        "the requested address \(address) is the gateway of \(range.subnet): request another one")
    }
    let last = leases.lastReserved(set: request.number)
    guard try leases.create(address.description, content: content) else {
      let holder = try self.owner(of: address).map { $0 == owner ? "this attachment" : $0.description }
      throw CNIError(
        .tryAgainLater,
        "the requested address \(address) is not free: it is leased to \(holder ?? "an unknown owner")",
        details: "the lease is \(path)/\(address)")
    }
    leases.setLastReserved(last, to: address.description, set: request.number)
    return (address, range)
  }

  private func takeNext(
    _ request: Request, _ content: [UInt8]
  ) throws(CNIError) -> (address: IPAddress, range: AddressRange) {
    let last = leases.lastReserved(set: request.number)
    let search = FreeAddressSearch(in: request.set, after: last.address)
    let found = try search.run { () throws(CNIError) in
      try leases.leases().map(\.address)
    } claim: { address throws(CNIError) in
      try leases.create(address.description, content: content)
    }
    guard let found else { throw .noFreeAddress(in: request.set, path: path, code: .tryAgainLater) }
    leases.setLastReserved(last, to: found.address.description, set: request.number)
    return found
  }
}

extension CNIError {
  static func noFreeAddress(in set: RangeSet, path: String, code: Code) -> CNIError {
    CNIError(
      code,
      "no free address in \(set) (\(set.usable) usable, all leased; leases in \(path)): "
        + "run GC or widen the range")
  }
}
