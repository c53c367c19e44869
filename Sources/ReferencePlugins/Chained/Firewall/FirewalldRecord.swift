import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses

/// Which addresses an attachment has in a zone of firewalld: a file of `/var/lib/cni/firewall`.
///
/// firewalld's permanent configuration outlives a restart of the machine, which ends all containers, and does not say
/// whose its sources are. With the file, DEL and GC know them also then.
struct FirewalldRecord: Hashable, Sendable {
  var owner: Owner
  var zone: String
  var addresses: [IPAddress]

  /// Whether the attachment is gone, and firewalld did not run to be told so.
  var isGone = false

  private static let directory = "/var/lib/cni/firewall"

  /// One file an attachment. None of the three names can have a colon in it.
  private static func path(_ owner: Owner) -> String {
    directory + "/" + String(owner.mark(limit: 240).dropFirst(4).map { $0 == "/" ? ":" : $0 })
  }

  /// Keeps it. A power cut ends the containers, too: it need not survive that at once.
  func write() throws(FileError) {
    try StateFile.createDirectories(Self.directory, mode: 0o700)
    try StateFile.write(encoded, to: Self.path(owner))
  }

  static func remove(_ owner: Owner) throws(FileError) { try StateFile.remove(path(owner)) }

  /// What is known of an attachment; nil if nothing is. A file that cannot be read is as good as none.
  static func of(_ owner: Owner) -> FirewalldRecord? {
    let record = read(path(owner))
    return record?.owner == owner ? record : nil
  }

  /// All of them.
  static func all() -> [FirewalldRecord] {
    ((try? StateFile.names(in: directory)) ?? []).sorted().compactMap { read(directory + "/" + $0) }
  }

  private static func read(_ path: String) -> FirewalldRecord? {
    guard let bytes = try? StateFile.readIfPresent(path, limit: 1 << 16) else { return nil }
    return FirewalldRecord(bytes)
  }

  private var encoded: [UInt8] {
    var object = JSONObject()
    object.append("owner", .string(owner.description))
    object.append("zone", .string(zone))
    object.append("addresses", .array(addresses.map { .string($0.description) }))
    if isGone { object.append("gone", .bool(true)) }
    return JSONValue.object(object).serialized()
  }

  private init?(_ bytes: [UInt8]) {
    guard let json = try? JSONValue.parse(bytes), let owner = (json["owner"]?.string).flatMap({ Owner($0) }),
      owner.attachment != nil, let zone = json["zone"]?.string, let list = json["addresses"]?.array
    else { return nil }
    self.owner = owner
    self.zone = zone
    addresses = list.compactMap { $0.string.flatMap { IPAddress($0) } }
    isGone = json["gone"]?.bool ?? false
  }

  init(owner: Owner, zone: String, addresses: [IPAddress]) {
    self.owner = owner
    self.zone = zone
    self.addresses = addresses
  }
}
