import CNI
import DHCP
import NetworkAddresses

/// A DHCPv4 lease as it is kept on disk.
struct DHCPv4LeaseRecord {
  var lease: DHCPv4Lease
  /// Where to send what goes to the server alone.
  var serverHardware: MACAddress?
  /// Why it is a lease no longer; `nil` if it is one.
  var lost: String?

  init(lease: DHCPv4Lease, serverHardware: MACAddress?, lost: String?) {
    self.lease = lease
    self.serverHardware = serverHardware
    self.lost = lost
  }

  /// As JSON; `start` is left to ``LeaseFile``, which knows about clocks.
  func encode() -> JSONObject {
    var object: JSONObject = [
      "address": .string(lease.address.description), "server": .string(lease.server.description),
      "start": .integer(lease.start.milliseconds), "renewal": .integer(lease.renewal.milliseconds),
      "rebinding": .integer(lease.rebinding.milliseconds),
    ]
    if let length = lease.length { object.append("length", .integer(length.milliseconds)) }
    if let lost { object.append("lost", .string(lost)) }
    if let serverHardware { object.append("serverHardware", .string(serverHardware.description)) }
    object.append(
      "options",
      .array(
        lease.options.all.map {
          ["option": .integer($0.code.rawValue), "bytes": .string(Hexadecimal.encode($0.value))]
        }))
    return object
  }

  /// Reads what ``encode()`` gives.
  ///
  /// - Parameter offset: What to add to the start: the clock may have begun anew since.
  /// - Throws: code 7 or 6 for what cannot be a lease.
  init(_ object: ConfigurationObject, offset: Duration) throws(CNIError) {
    guard let address = try object.address("address")?.ipv4 else { throw object.missing("address") }
    guard let server = try object.address("server")?.ipv4 else { throw object.missing("server") }
    let times = try object.milliseconds("start") ?? .zero
    lease = DHCPv4Lease(
      address: address, server: server, start: times + offset, length: try object.milliseconds("length"),
      renewal: try object.milliseconds("renewal") ?? .zero,
      rebinding: try object.milliseconds("rebinding") ?? .zero,
      options: try DHCPv4Options(reading: object.objects("options")))
    serverHardware = try object.macAddress("serverHardware")
    lost = try object.string("lost")
  }
}

extension Duration {
  /// Whole milliseconds.
  var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}

extension ConfigurationObject {
  /// A duration that is written in milliseconds, up to some hundred years either way; `nil` if it is absent.
  func milliseconds(_ key: String) throws(CNIError) -> Duration? {
    try integer(key, in: -10_000_000_000_000...10_000_000_000_000).map { .milliseconds($0) }
  }
}
