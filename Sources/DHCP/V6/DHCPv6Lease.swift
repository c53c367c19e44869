public import NetworkAddresses

/// What a server has given to a client, with the times at which something is due. All times are on the client's clock
/// (``DHCPv6Client``).
public struct DHCPv6Lease: Hashable, Sendable {
  /// An address and how long it may be used.
  public struct Address: Hashable, Sendable {
    /// The address. Which others are on the link it does not say: that is for router advertisements.
    public var address: IPv6Address
    /// Until when new connections may use it; nil: without end.
    public var preferredUntil: Duration?
    /// Until when it may be used at all; nil: without end.
    public var validUntil: Duration?

    /// An address.
    public init(_ address: IPv6Address, preferredUntil: Duration?, validUntil: Duration?) {
      self.address = address
      self.preferredUntil = preferredUntil
      self.validUntil = validUntil
    }
  }

  /// At least one.
  public var addresses: [Address]
  /// Who gave them last.
  public var serverID: DUID
  /// T1: when to ask that server to extend them; nil: never.
  public var renewAt: Duration?
  /// T2: when to ask any server; nil: never.
  public var rebindAt: Duration?
  /// Recursive name servers.
  public var dnsServers: [IPv6Address]
  /// Domain search list.
  public var domainSearch: [String]

  /// A lease, for example one that was kept on disk.
  public init(
    addresses: [Address], serverID: DUID, renewAt: Duration?, rebindAt: Duration?,
    dnsServers: [IPv6Address] = [],
    domainSearch: [String] = []
  ) {
    self.addresses = addresses
    self.serverID = serverID
    self.renewAt = renewAt
    self.rebindAt = rebindAt
    self.dnsServers = dnsServers
    self.domainSearch = domainSearch
  }

  /// When the last address ends; nil: never.
  public var validUntil: Duration? {
    var latest = Duration.zero
    for address in addresses {
      guard let until = address.validUntil else { return nil }
      latest = max(latest, until)
    }
    return latest
  }

  /// The least that T1 and T2 are, whatever a server says.
  static let shortestTime = Duration.seconds(1)

  /// The earliest end of an address; nil if none ends.
  var nextExpiry: Duration? { addresses.compactMap(\.validUntil).min() }

  /// What a server's answer gives at `now`; nil if it gives no usable address. Addresses of `previous` that the
  /// answer does not mention stay as they were (RFC 8415, section 18.2.10.1).
  init?(
    _ answer: DHCPv6Message, association: DHCPv6Association, at now: Duration, previous: DHCPv6Lease? = nil
  ) {
    guard association.status.isSuccess, let serverID = answer.serverID, association.hasPlausibleTimes else {
      return nil
    }
    let given = association.usableAddresses
    let mentioned = Set(association.addresses.map(\.address))
    func end(_ seconds: UInt32) -> Duration? {
      seconds == DHCPv6Address.infinity ? nil : now + .seconds(Int64(seconds))
    }
    addresses =
      given.map {
        Address($0.address, preferredUntil: end($0.preferredLifetime), validUntil: end($0.validLifetime))
      } + (previous?.addresses.filter { !mentioned.contains($0.address) } ?? [])
    guard !addresses.isEmpty else { return nil }
    self.serverID = serverID
    dnsServers = answer.dnsServers
    domainSearch = answer.domainSearch

    let (renew, rebind) = association.times(shortest: given.map(\.lifetimeForTimes).min())
    // However short its times are, a server is not asked all the time.
    renewAt = renew.map { now + max($0, Self.shortestTime) }
    rebindAt = rebind.map { now + max($0, Self.shortestTime) }
  }
}

extension DHCPv6Association {
  /// T1 after T2 is an association to be ignored (RFC 8415, section 21.4).
  var hasPlausibleTimes: Bool { rebindTime == 0 || renewTime <= rebindTime }

  /// The addresses that may be used: not withdrawn, with lifetimes that are possible, and such that a host can have them.
  var usableAddresses: [DHCPv6Address] {
    addresses.filter { given in
      given.validLifetime > 0 && given.preferredLifetime <= given.validLifetime && given.status.isSuccess
        && !given.address.isUnspecified && !given.address.isLoopback && !given.address.isMulticast
        && !given.address.isLinkLocal
    }
  }

  /// T1 and T2 as the server says or, where it leaves them to the client, half and four fifths of the shortest lifetime.
  fileprivate func times(shortest: UInt32?) -> (renew: Duration?, rebind: Duration?) {
    let infinity = DHCPv6Address.infinity
    func part(_ tenths: Int64) -> Duration? {
      shortest.flatMap { $0 == infinity ? nil : .milliseconds(Int64($0) * 100 * tenths) }
    }
    func given(_ seconds: UInt32) -> Duration? { seconds == infinity ? nil : .seconds(Int64(seconds)) }
    var rebind = rebindTime == 0 ? part(8) : given(rebindTime)
    let renew =
      renewTime == 0 ? (rebindTime == 0 ? part(5) : given(rebindTime).map { $0 * 5 / 8 }) : given(renewTime)
    if let renew, let earlier = rebind, earlier < renew { rebind = renew }
    return (renew, rebind)
  }
}

extension DHCPv6Address {
  /// The preferred lifetime; of an address that is no longer preferred, the valid one.
  fileprivate var lifetimeForTimes: UInt32 { preferredLifetime == 0 ? validLifetime : preferredLifetime }
}
