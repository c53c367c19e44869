import NetworkAddresses

/// Looks for a free address, round-robin: beginning after the address that was given out last, so that an address
/// that has just been released rests as long as possible.
///
/// Most of the time one of the next addresses is free, and finding it costs as many system calls as there are taken
/// ones before it. When many in a row are taken, all leases are listed once instead; then the search costs a step per
/// lease in memory and no system call per candidate. The list is not sorted: with n leases, the first free position
/// is at most n steps away, so n bits tell which.
struct FreeAddressSearch {
  /// How many candidates are tried before the leases are listed. Listing a directory of some thousand files takes
  /// about as long as this many attempts.
  static let attempts = 64

  let set: RangeSet
  /// The position to begin with.
  let start: UInt128

  init(in set: RangeSet, after last: IPAddress?) {
    self.set = set
    let position = last.flatMap(set.position(of:))
    start = position.map { $0 + 1 == set.size ? 0 : $0 + 1 } ?? 0
  }

  /// The first address that `claim` answers with true, and its range; `nil` if there is none.
  ///
  /// - Parameters:
  ///   - leased: lists the addresses for which `claim` would answer false. Called at most once.
  ///   - claim: takes an address, or says that it is taken.
  func run<Failure: Error>(
    leased: () throws(Failure) -> [IPAddress], claim: (IPAddress) throws(Failure) -> Bool
  ) throws(Failure) -> (address: IPAddress, range: AddressRange)? {
    var attempts = 0
    var offset: UInt128 = 0
    while offset < set.size, attempts < Self.attempts {
      let candidate = set.address(at: position(offset))
      if candidate.address != candidate.range.gateway {
        if try claim(candidate.address) { return candidate }
        attempts += 1
      }
      offset += 1
    }
    guard offset < set.size else { return nil }

    let taken = OffsetSet(try leased().lazy.compactMap(set.position(of:)).map(self.offset))
    while offset < set.size {
      if !taken.contains(offset) {
        let candidate = set.address(at: position(offset))
        if candidate.address != candidate.range.gateway, try claim(candidate.address) { return candidate }
      }
      offset += 1
    }
    return nil
  }

  /// From steps after the start to a position.
  private func position(_ offset: UInt128) -> UInt128 {
    let toEnd = set.size - start
    return offset < toEnd ? start + offset : offset - toEnd
  }

  /// From a position to steps after the start.
  private func offset(_ position: UInt128) -> UInt128 {
    position >= start ? position - start : set.size - start + position
  }
}

/// Those of n numbers that are less than n, a bit each: enough to find the smallest number that is not among them.
private struct OffsetSet {
  private var words: [UInt64]

  init(_ offsets: some Sequence<UInt128>) {
    let offsets = Array(offsets)
    words = [UInt64](repeating: 0, count: offsets.count / 64 + 1)
    for offset in offsets where offset < UInt128(words.count * 64) {
      words[Int(offset / 64)] |= 1 << UInt64(offset % 64)
    }
  }

  func contains(_ offset: UInt128) -> Bool {
    offset < UInt128(words.count * 64) && words[Int(offset / 64)] & 1 << UInt64(offset % 64) != 0
  }
}
