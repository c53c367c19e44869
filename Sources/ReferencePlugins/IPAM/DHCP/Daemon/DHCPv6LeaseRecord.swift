import CNI
import DHCP
import NetworkAddresses

/// A DHCPv6 lease as it is kept on disk.
struct DHCPv6LeaseRecord {
  /// By what the server knows the attachment.
  var clientID: DUID
  var lease: DHCPv6Lease

  init(clientID: DUID, lease: DHCPv6Lease) {
    self.clientID = clientID
    self.lease = lease
  }

  /// As JSON; a time that is absent never comes.
  func encode() -> JSONObject {
    var object: JSONObject = [
      "clientID": .string(Hexadecimal.encode(clientID.bytes)),
      "serverID": .string(Hexadecimal.encode(lease.serverID.bytes)),
      "addresses": .array(
        lease.addresses.map { address in
          var object: JSONObject = ["address": .string(address.address.description)]
          object.append("preferredUntil", address.preferredUntil)
          object.append("validUntil", address.validUntil)
          return .object(object)
        }),
      "dnsServers": .array(lease.dnsServers.map { .string($0.description) }),
      "domainSearch": .array(lease.domainSearch.map { .string($0) }),
    ]
    object.append("renewAt", lease.renewAt)
    object.append("rebindAt", lease.rebindAt)
    return object
  }

  /// Reads what ``encode()`` gives.
  ///
  /// - Parameter offset: What to add to all times: the clock may have begun anew since.
  /// - Throws: code 7 or 6 for what cannot be a lease.
  init(_ object: ConfigurationObject, offset: Duration) throws(CNIError) {
    func time(_ key: String, of object: ConfigurationObject) throws(CNIError) -> Duration? {
      try object.milliseconds(key).map { $0 + offset }
    }
    func identifier(_ key: String) throws(CNIError) -> DUID {
      guard let bytes = Hexadecimal.decode(try object.requiredString(key)), let duid = DUID(bytes: bytes)
      else {
        throw object.failure(key, "is not a DUID in hexadecimal")
      }
      return duid
    }
    var addresses: [DHCPv6Lease.Address] = []
    for entry in try object.objects("addresses") {
      guard let address = try entry.address("address")?.ipv6 else { throw entry.missing("address") }
      addresses.append(
        .init(
          address, preferredUntil: try time("preferredUntil", of: entry),
          validUntil: try time("validUntil", of: entry)))
    }
    guard !addresses.isEmpty else { throw object.missing("addresses") }
    var dnsServers: [IPv6Address] = []
    for value in try object.list("dnsServers") {
      if let address = try value.address().ipv6 { dnsServers.append(address) }
    }
    var domainSearch: [String] = []
    for value in try object.list("domainSearch") { domainSearch.append(try value.string()) }
    clientID = try identifier("clientID")
    lease = DHCPv6Lease(
      addresses: addresses, serverID: try identifier("serverID"), renewAt: try time("renewAt", of: object),
      rebindAt: try time("rebindAt", of: object), dnsServers: dnsServers, domainSearch: domainSearch)
  }
}

extension JSONObject {
  fileprivate mutating func append(_ key: String, _ time: Duration?) {
    if let time { append(key, .integer(time.milliseconds)) }
  }
}
