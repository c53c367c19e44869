import NetworkAddresses

/// The ranges that one address of an attachment is taken from, one after another. An attachment gets one address from
/// each set.
struct RangeSet: Hashable, Sendable {
  /// At least one; of one family; none overlaps another.
  let ranges: [AddressRange]
  /// The number of addresses in all ranges, gateways included. The addresses have positions from 0 to this: those of
  /// the first range, then those of the second, …
  let size: UInt128

  init(_ ranges: [AddressRange]) throws(RangeMistake) {
    guard let first = ranges.first else {
      throw RangeMistake(nil, "the range set is empty: give it a subnet")
    }
    for (index, range) in ranges.enumerated() {
      guard range.subnet.family == first.subnet.family else {
        throw RangeMistake(
          nil,
          "IPv4 and IPv6 are mixed (\(first.subnet), \(range.subnet)): put the ranges of each family into a set "
            + "of their own")
      }
      for other in ranges[..<index] where other.addresses.overlaps(range.addresses) {
        throw RangeMistake(nil, "\(other) and \(range) overlap")
      }
    }
    self.ranges = ranges
    size = ranges.reduce(0) { $0.addingSaturating($1.addresses.count) }
  }

  init(_ range: AddressRange) {
    ranges = [range]
    size = range.addresses.count
  }

  var family: AddressFamily { ranges[0].subnet.family }

  /// The range that an address belongs to.
  func range(containing address: IPAddress) -> AddressRange? { ranges.first { $0.contains(address) } }

  func contains(_ address: IPAddress) -> Bool { ranges.contains { $0.contains(address) } }

  func overlaps(_ other: RangeSet) -> Bool {
    ranges.contains { range in other.ranges.contains { $0.addresses.overlaps(range.addresses) } }
  }

  /// The number of addresses that can be leased: all but the gateways.
  var usable: UInt128 { size - UInt128(ranges.count { $0.contains($0.gateway) }) }

  /// The place of an address among all of the set.
  func position(of address: IPAddress) -> UInt128? {
    var base: UInt128 = 0
    for range in ranges {
      if range.contains(address) { return base + (address.numericValue - range.addresses.lower.numericValue) }
      base += range.addresses.count
    }
    return nil
  }

  /// The address at a position that is less than ``size``, and the range it is from.
  func address(at position: UInt128) -> (address: IPAddress, range: AddressRange) {
    var offset = position
    for range in ranges {
      let count = range.addresses.count
      if offset < count, let address = range.addresses.lower.advanced(by: offset) { return (address, range) }
      offset -= count
    }
    preconditionFailure("position \(position) of \(size)")
  }
}

extension RangeSet: CustomStringConvertible {
  var description: String { ranges.map(\.description).joined(separator: ", ") }
}

extension UInt128 {
  fileprivate func addingSaturating(_ other: UInt128) -> UInt128 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
