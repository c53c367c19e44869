import NetworkAddresses
import Testing

@testable import ReferencePlugins

/// Literals that are known to be good.
func address(_ text: String) -> IPAddress { IPAddress(text)! }
func prefix(_ text: String) -> IPPrefix { IPPrefix(text)! }

func range(
  _ subnet: String, first: String? = nil, last: String? = nil, gateway: String? = nil
) throws -> AddressRange {
  try AddressRange(
    subnet: prefix(subnet), first: first.map(address), last: last.map(address), gateway: gateway.map(address))
}

@Suite struct AddressRangeTests {
  @Test(arguments: [
    ("192.0.2.0/24", "192.0.2.1", "192.0.2.254"), ("192.0.2.0/25", "192.0.2.1", "192.0.2.126"),
    ("192.0.2.0/30", "192.0.2.1", "192.0.2.2"),
    ("2001:db8:1::/64", "2001:db8:1::1", "2001:db8:1:0:ffff:ffff:ffff:ffff"),
    ("fd00::/126", "fd00::1", "fd00::3"),
  ])
  func fillsInWhatIsLeftOut(subnet: String, first: String, last: String) throws {
    let range = try range(subnet)
    #expect(range.addresses == IPRange(address(first), address(last)))
    #expect(range.gateway == address(first))
    #expect(range.description == subnet)
  }

  @Test func keepsWhatIsGiven() throws {
    let range = try range("192.0.2.0/24", first: "192.0.2.40", last: "192.0.2.50", gateway: "192.0.2.254")
    #expect(range.addresses.description == "192.0.2.40-192.0.2.50")
    #expect(range.gateway == address("192.0.2.254"))
    #expect(range.description == "192.0.2.0/24 (192.0.2.40-192.0.2.50)")
  }

  @Test func takesMappedAddressesForIPv4() throws {
    let range = try range("192.0.2.0/24", first: "::ffff:192.0.2.9", gateway: "::ffff:192.0.2.1")
    #expect(range.addresses.lower == address("192.0.2.9"))
    #expect(range.gateway == address("192.0.2.1"))
  }

  @Test func givesOutNetworkAndBroadcastAddressOnlyIfTold() throws {
    let range = try range("192.0.2.0/29", first: "192.0.2.0", last: "192.0.2.7", gateway: "192.0.2.9")
    #expect(try RangeSet([range]).usable == 8)
  }

  @Test(arguments: [
    ("192.0.2.12/24", nil, nil, "subnet", "the subnet is 192.0.2.0/24"),
    ("2001:db8:24:19ff::/63", nil, nil, "subnet", "the subnet is 2001:db8:24:19fe::/63"),
    ("192.0.2.0/31", nil, nil, "subnet", "too small"), ("fd00::/127", nil, nil, "subnet", "too small"),
    ("::ffff:192.0.2.0/120", nil, nil, "subnet", "IPv4-mapped"),
    ("192.0.2.0/24", "192.0.3.0", nil, "rangeStart", "192.0.3.0 is not in 192.0.2.0/24"),
    ("192.0.2.0/24", nil, "192.0.4.0", "rangeEnd", "192.0.4.0 is not in 192.0.2.0/24"),
    ("192.0.2.0/24", "fd00::1", nil, "rangeStart", "not in"),
    ("192.0.2.0/24", "192.0.2.50", "192.0.2.40", "rangeEnd", "comes before"),
  ])
  func refuses(subnet: String, first: String?, last: String?, key: String, message: String) {
    let mistake = #expect(throws: RangeMistake.self) { try range(subnet, first: first, last: last) }
    #expect(mistake?.key == key)
    #expect(mistake?.message.contains(message) == true, "\(mistake?.message ?? "")")
  }
}

@Suite struct RangeSetTests {
  @Test func refusesWhatDoesNotGoTogether() throws {
    #expect(throws: RangeMistake(nil, "the range set is empty: give it a subnet")) { try RangeSet([]) }
    #expect(throws: RangeMistake.self) { try RangeSet([range("10.1.0.0/24"), range("fd00::/64")]) }
    let overlap = #expect(throws: RangeMistake.self) {
      try RangeSet([range("10.1.0.0/22"), range("10.1.2.0/24")])
    }
    #expect(overlap?.message == "10.1.0.0/22 and 10.1.2.0/24 overlap")
    let shared = "10.1.0.0/24"
    #expect(throws: Never.self) {
      try RangeSet([range(shared, last: "10.1.0.9"), range(shared, first: "10.1.0.10")])
    }
  }

  @Test func knowsOverlapOfSets() throws {
    let set = try RangeSet([range("10.1.0.0/24"), range("10.2.0.0/24")])
    #expect(try set.overlaps(RangeSet([range("10.0.0.0/8")])))
    #expect(try !set.overlaps(RangeSet([range("10.3.0.0/24")])))
    #expect(try !set.overlaps(RangeSet([range("fd00::/64")])))
  }

  @Test func numbersItsAddresses() throws {
    let set = try RangeSet([range("10.1.0.0/29"), range("10.2.0.0/30")])
    #expect(set.size == 8)
    #expect(set.usable == 6)
    #expect(set.position(of: address("10.1.0.6")) == 5)
    #expect(set.position(of: address("10.2.0.1")) == 6)
    #expect(set.position(of: address("10.1.0.7")) == nil)
    for position in 0..<set.size { #expect(set.position(of: set.address(at: position).address) == position) }
  }

  @Test func isNotAfraidOfAllOfIPv6() throws {
    let set = try RangeSet([range("::/0", first: "::", gateway: "fe80::1")])
    #expect(set.size == .max)
    #expect(set.address(at: 1 << 64).address == address("0:0:0:1::"))
  }
}

@Suite struct FreeAddressSearchTests {
  /// What a search finds in a pool with some addresses taken, and how it went about it.
  private func search(
    _ set: RangeSet, after last: String?, taken: Set<IPAddress>
  ) -> (found: String?, claims: Int, listings: Int) {
    var claims = 0
    var listings = 0
    let found = FreeAddressSearch(in: set, after: last.map(address)).run {
      listings += 1
      return Array(taken)
    } claim: {
      claims += 1
      return !taken.contains($0)
    }
    return (found?.address.description, claims, listings)
  }

  @Test(arguments: [
    (nil, "10.0.0.2"), ("10.0.0.2", "10.0.0.3"), ("10.0.0.5", "10.0.0.6"), ("10.0.0.6", "10.0.0.2"),
    ("10.0.0.1", "10.0.0.2"), ("192.0.2.7", "10.0.0.2"), ("fd00::1", "10.0.0.2"),
  ])
  func goesRound(last: String?, expected: String) throws {
    #expect(try search(RangeSet([range("10.0.0.0/29")]), after: last, taken: []).found == expected)
  }

  @Test func goesThroughAllRanges() throws {
    let set = try RangeSet([range("10.0.0.0/30"), range("10.1.0.0/29", last: "10.1.0.3")])
    var last: String?
    var seen: [String] = []
    for _ in 0..<4 {
      last = search(set, after: last, taken: []).found
      seen.append(last ?? "")
    }
    #expect(seen == ["10.0.0.2", "10.1.0.2", "10.1.0.3", "10.0.0.2"])
  }

  @Test func skipsEachRangesOwnGatewayOnly() throws {
    let set = try RangeSet([
      range("10.0.0.0/30", gateway: "10.1.0.2"), range("10.1.0.0/29", last: "10.1.0.2", gateway: "10.0.0.1"),
    ])
    #expect(set.usable == 4)
    #expect(search(set, after: "10.0.0.2", taken: []).found == "10.1.0.1")
  }

  @Test func listsADensePoolOnce() throws {
    let set = try RangeSet([range("10.0.0.0/16")])
    let all = Set((0..<set.size).map { set.address(at: $0).address })
    let free = address("10.0.99.99")
    let result = search(set, after: "10.0.200.0", taken: all.subtracting([free]))
    #expect(result.found == "10.0.99.99")
    #expect(result.claims == FreeAddressSearch.attempts + 1)
    #expect(result.listings == 1)
  }

  @Test func knowsThatAPoolIsExhausted() throws {
    let set = try RangeSet([range("10.0.0.0/20")])
    let all = Set((0..<set.size).map { set.address(at: $0).address })
    let result = search(set, after: "10.0.3.0", taken: all)
    #expect(result.found == nil)
    #expect(result.claims == FreeAddressSearch.attempts)
    #expect(search(try RangeSet([range("10.0.0.0/28")]), after: nil, taken: all).listings == 0)
  }

  @Test func findsTheNextInAnEndlessPool() throws {
    let set = try RangeSet([range("fd00::/64")])
    let taken = Set((0..<5000).map { set.address(at: $0).address })
    #expect(search(set, after: "fd00::5", taken: taken).found == set.address(at: 5000).address.description)
  }

  /// What is taken without being in the list, such as a directory of that name, is passed over.
  @Test func goesOnWhenTheListMissesOne() throws {
    let set = try RangeSet([range("10.0.0.0/24")])
    let taken = Set((0..<100).map { set.address(at: $0).address })
    let found = FreeAddressSearch(in: set, after: nil).run {
      Array(taken.subtracting([address("10.0.0.80")]))
    } claim: {
      !taken.contains($0)
    }
    #expect(found?.address == address("10.0.0.101"))
  }
}
