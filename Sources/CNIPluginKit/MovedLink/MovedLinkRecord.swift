import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

/// What a device of the host's was like before it was moved into a container; a file in `/run/cni/TYPE`.
///
/// The device itself carries what it takes to bring it back: its name in its alias, its attachment in an alternative
/// name. The record adds what has no room there, says who has a device that is looked for in vain, and knows it again
/// should the container have removed both. Where it is lost, a device comes back without alias, and all else is as ever.
public struct MovedLinkRecord: Hashable, Sendable {
  /// The attachment that has the device.
  public var owner: Owner
  /// `CNI_NETNS` of its ADD.
  public var namespace: String
  /// The device's name on the host.
  public var name: String
  /// Its alias there.
  public var alias: String?
  /// Its hardware address there.
  public var mac: MACAddress?
  /// The one the hardware came with.
  public var permanentMAC: MACAddress?
  /// Bytes.
  public var mtu: UInt32
  /// `Link.kind`; nil for hardware.
  public var kind: String?
  /// `Link.parentBus`.
  public var parentBus: String?
  /// `Link.parentDevice`.
  public var parentDevice: String?

  init(_ link: Link, owner: Owner, namespace: String) {
    self.owner = owner
    self.namespace = namespace
    name = link.name
    alias = link.alias
    mac = link.mac
    permanentMAC = link.permanentMAC
    mtu = link.mtu
    kind = link.kind
    parentBus = link.parentBus
    parentDevice = link.parentDevice
  }

  /// Whether a link is this device, whatever name it has now, going by what nobody can change in a container, or, of one
  /// that has nothing of the kind, by what nobody has reason to.
  func describes(_ link: Link) -> Bool {
    guard kind == link.kind, !link.hasMark(otherThan: owner) else { return false }
    if let permanentMAC, let other = link.permanentMAC, permanentMAC != other { return false }
    if parentDevice != nil, link.parentDevice != nil {
      return parentDevice == link.parentDevice && parentBus == link.parentBus
    }
    return permanentMAC != nil && permanentMAC == link.permanentMAC || link.alias == name && link.mac == mac
  }
}

// MARK: Files

extension MovedLinkRecord {
  /// One file an attachment. None of the three names can have a colon in it.
  static func path(of owner: Owner, in directory: String) -> String {
    directory + "/" + String(owner.mark(limit: 240).dropFirst(4).map { $0 == "/" ? ":" : $0 })
  }

  func write(in directory: String) throws {
    try StateFile.createDirectories(directory, mode: 0o700)
    try StateFile.write(json.serialized(), to: Self.path(of: owner, in: directory))
  }

  /// The record of an attachment; nil if there is none, or none that can be read.
  static func read(_ owner: Owner, in directory: String) -> MovedLinkRecord? {
    let record = read(path(of: owner, in: directory))
    return record?.owner == owner ? record : nil
  }

  private static func read(_ path: String) -> MovedLinkRecord? {
    guard let bytes = try? StateFile.readIfPresent(path, limit: 1 << 16),
      let json = try? JSONValue.parse(bytes)
    else { return nil }
    return MovedLinkRecord(json)
  }

  static func all(in directory: String) -> [MovedLinkRecord] {
    ((try? StateFile.names(in: directory)) ?? []).sorted().compactMap { read(directory + "/" + $0) }
  }

  static func remove(_ owner: Owner, in directory: String) throws {
    try StateFile.remove(path(of: owner, in: directory))
  }

  private var json: JSONValue {
    var object = JSONObject()
    func set(_ key: String, _ value: String?) { if let value { object.append(key, .string(value)) } }
    set("owner", owner.description)
    set("namespace", namespace)
    set("name", name)
    set("alias", alias)
    set("mac", mac?.description)
    set("permanentMAC", permanentMAC?.description)
    object.append("mtu", .integer(mtu))
    set("kind", kind)
    set("parentBus", parentBus)
    set("parentDevice", parentDevice)
    return .object(object)
  }

  private init?(_ json: JSONValue) {
    func text(_ key: String) -> String? { json[key]?.string }
    guard let owner = text("owner").flatMap(Owner.init), owner.attachment != nil,
      let name = text("name"), (try? Validation.interfaceName(name)) != nil
    else { return nil }
    self.owner = owner
    self.name = name
    namespace = text("namespace") ?? ""
    alias = text("alias")
    mac = text("mac").flatMap { MACAddress($0) }
    permanentMAC = text("permanentMAC").flatMap { MACAddress($0) }
    mtu = json["mtu"]?.integer() ?? 0
    kind = text("kind")
    parentBus = text("parentBus")
    parentDevice = text("parentDevice")
  }
}
