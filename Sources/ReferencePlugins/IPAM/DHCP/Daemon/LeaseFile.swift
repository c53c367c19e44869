import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses

/// Whose lease it is.
struct LeaseKey: Hashable, Sendable, CustomStringConvertible {
  let network: String
  let attachment: Attachment

  var description: String { "\(network)/\(attachment.containerID)/\(attachment.interfaceName)" }

  var owner: Owner {
    Owner(network: network, containerID: attachment.containerID, interfaceName: attachment.interfaceName)
  }

  /// The name of its file: that of the owner, which has no comma in it, with commas where slashes are; cut, with a hash
  /// in place of the end, if a file's name could not be as long.
  var fileName: String {
    let mark = owner.mark(limit: 200).utf8.dropFirst(4).map {
      $0 == UInt8(ascii: "/") ? UInt8(ascii: ",") : $0
    }
    return String(decoding: mark, as: UTF8.self) + LeaseFile.suffix
  }
}

/// What is kept on disk of one attachment: all that it takes to go on with its leases.
struct LeaseFile {
  static let suffix = ".lease.json"
  static let format = 1

  var key: LeaseKey
  var interface: AttachedInterface
  var clientIdentifier: [UInt8]
  var wishes: LeaseWishes
  /// Whether it was written since the machine has started. Namespaces do not outlive that.
  var isOfThisBoot = true
  /// The sessions' records, by the family's name.
  var records: [(family: AddressFamily, record: JSONObject)]

  init(
    key: LeaseKey, interface: AttachedInterface, clientIdentifier: [UInt8], wishes: LeaseWishes,
    records: [(family: AddressFamily, record: JSONObject)]
  ) {
    self.key = key
    self.interface = interface
    self.clientIdentifier = clientIdentifier
    self.wishes = wishes
    self.records = records
  }

  /// The file's bytes. Both clocks are in it: that of the machine's run, by which leases are counted, and the wall's,
  /// which goes on when the machine starts again.
  ///
  /// - Parameter prefix: what the namespace's path begins with for this daemon, but not for another one.
  func encode(clocks: LeaseClocks, prefix: String) -> [UInt8] {
    var object: JSONObject = [
      "swiftCNIDHCPLease": .integer(Self.format), "network": .string(key.network),
      "container": .string(key.attachment.containerID), "interface": .string(interface.name),
      "namespace": .string(String(interface.path.dropFirst(prefix.count))),
      "namespaceDevice": .string(String(interface.namespace.device)),
      "namespaceInode": .string(String(interface.namespace.inode)), "index": .integer(interface.index),
      "mac": .string(interface.mac.description),
      "clientIdentifier": .string(Hexadecimal.encode(clientIdentifier)), "wishes": wishes.encode(),
      "boot": .string(clocks.boot), "bootTime": .integer(clocks.bootTime.milliseconds),
      "wallClock": .integer(clocks.wallClock.milliseconds),
    ]
    for (family, record) in records { object.append(family == .ipv4 ? "ipv4" : "ipv6", .object(record)) }
    return JSONValue.object(object).serialized(pretty: true)
  }

  /// Reads a file.
  ///
  /// - Parameter visit: reads the record of a family; gets the offset of its times.
  /// - Throws: code 6 or 7, saying what is wrong with it.
  init(
    reading bytes: [UInt8], name: String, clocks: LeaseClocks, prefix: String,
    visit: (AddressFamily, ConfigurationObject, Duration) throws(CNIError) -> Void
  ) throws(CNIError) {
    guard !bytes.isEmpty else { throw CNIError(.decodingFailure, "\(name) is empty") }
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue.parse(bytes) } catch {
      throw CNIError(.decodingFailure, "\(name) is not whole: \(error)")
    }
    let object = try ConfigurationObject(json, name: name, code: .decodingFailure)
    guard let format = try object.integer("swiftCNIDHCPLease") else {
      throw CNIError(.decodingFailure, "\(name) is not a lease of this daemon")
    }
    guard format == Self.format else {
      throw CNIError(.decodingFailure, "\(name) is of format \(format), this daemon knows \(Self.format)")
    }
    key = LeaseKey(
      network: try object.requiredString("network"),
      attachment: Attachment(
        containerID: try object.requiredString("container"),
        interfaceName: try object.requiredString("interface")))
    guard let device = UInt64(try object.requiredString("namespaceDevice")),
      let inode = UInt64(try object.requiredString("namespaceInode"))
    else { throw object.failure("namespaceInode", "is not a number") }
    guard let index = try object.integer("index", in: 1...Int(Int32.max)) else {
      throw object.missing("index")
    }
    guard let mac = try object.macAddress("mac") else { throw object.missing("mac") }
    interface = AttachedInterface(
      path: prefix + (try object.requiredString("namespace")),
      namespace: NamespaceIdentity(device: device, inode: inode), name: key.attachment.interfaceName,
      index: Int32(index), mac: mac)
    guard let identifier = Hexadecimal.decode(try object.text("clientIdentifier") ?? "") else {
      throw object.failure("clientIdentifier", "is not hexadecimal")
    }
    clientIdentifier = identifier
    guard let wishes = try object.object("wishes") else { throw object.missing("wishes") }
    self.wishes = try LeaseWishes(wishes)
    records = []

    // Within one run of the machine its own clock counts, which nobody can set.
    var offset = Duration.zero
    isOfThisBoot = try object.requiredString("boot") == clocks.boot
    if !isOfThisBoot {
      guard let bootTime = try object.milliseconds("bootTime"),
        let wallClock = try object.milliseconds("wallClock")
      else { throw object.missing("wallClock") }
      offset = clocks.bootTime - bootTime - (clocks.wallClock - wallClock)
    }
    for family in self.wishes.families {
      guard let record = try object.object(family == .ipv4 ? "ipv4" : "ipv6") else { continue }
      records.append((family, record.members))
      try visit(family, record, offset)
    }
  }
}

/// What time it is, and since when.
struct LeaseClocks: Sendable {
  /// The machine's run: the kernel's random name for it.
  var boot: String
  var bootTime: Duration
  var wallClock: Duration

  static func now(boot: String) -> LeaseClocks {
    LeaseClocks(boot: boot, bootTime: EventLoop.now, wallClock: EventLoop.wallClock)
  }

  /// The name of this run of the machine.
  static func currentBoot() -> String {
    let bytes = (try? StateFile.read("/proc/sys/kernel/random/boot_id", limit: 64)) ?? []
    return String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self)
  }
}
