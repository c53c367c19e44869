import NetworkAddresses

/// The addresses of one subnet that host-local may give out.
struct AddressRange: Hashable, Sendable {
  /// Its length becomes that of every address from the range.
  let subnet: IPPrefix
  /// First and last address to give out, both included.
  let addresses: IPRange
  /// Reported with every address, and itself never given out. It may lie outside of the subnet.
  let gateway: IPAddress

  /// A range, with what is left out filled in: all addresses of the subnet but the network address and, in IPv4,
  /// the broadcast address; the first one is the gateway's.
  ///
  /// An explicit `first` or `last` may name the network or broadcast address: where every address is routed by
  /// itself, they are addresses like any other.
  init(
    subnet: IPPrefix, first: IPAddress? = nil, last: IPAddress? = nil, gateway: IPAddress? = nil
  ) throws(RangeMistake) {
    if subnet.family == .ipv6, subnet.address.unmapped != subnet.address {
      throw RangeMistake("subnet", "\"\(subnet)\" is an IPv4-mapped IPv6 subnet; write it as an IPv4 subnet")
    }
    guard subnet.length <= subnet.family.bitWidth - 2 else {
      throw RangeMistake(
        "subnet",
        "\(subnet) is too small to allocate from: the longest prefix that leaves addresses for containers is "
          + "/\(subnet.family.bitWidth - 2)")
    }
    guard subnet.isNetwork else {
      throw RangeMistake(
        "subnet",
        "\(subnet) has bits set after its \(subnet.length) network bits; the subnet is \(subnet.network)")
    }
    guard let firstHost = subnet.first.next,
      let lastHost = subnet.family == .ipv4 ? subnet.last.previous : subnet.last
    else { preconditionFailure("a subnet with two or more host bits has such addresses") }
    let first = first?.unmapped ?? firstHost
    let last = last?.unmapped ?? lastHost
    guard subnet.contains(first) else { throw RangeMistake("rangeStart", "\(first) is not in \(subnet)") }
    guard subnet.contains(last) else { throw RangeMistake("rangeEnd", "\(last) is not in \(subnet)") }
    guard let addresses = IPRange(first, last) else {
      throw RangeMistake("rangeEnd", "\(last) comes before the first address of the range, \(first)")
    }
    self.subnet = subnet
    self.addresses = addresses
    self.gateway = gateway?.unmapped ?? firstHost
  }

  /// Whether the address may be in a lease from this range; true of the gateway's, too.
  func contains(_ address: IPAddress) -> Bool { addresses.contains(address) }
}

extension AddressRange: CustomStringConvertible {
  /// The subnet, and the range if it is not all of it.
  var description: String {
    let whole = try? AddressRange(subnet: subnet)
    return addresses == whole?.addresses ? subnet.description : "\(subnet) (\(addresses))"
  }
}

/// What is wrong with a range or a range set, and the key of the configuration that it is about (`nil`: all of it).
struct RangeMistake: Error, Equatable {
  let key: String?
  let message: String

  init(_ key: String?, _ message: String) {
    self.key = key
    self.message = message
  }
}
