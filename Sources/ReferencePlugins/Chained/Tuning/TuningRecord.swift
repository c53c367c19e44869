import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import NetworkAddresses
import SystemPackage

/// What was before `tuning` changed it: a file `CONTAINER_INTERFACE.json` in `dataDir`.
///
/// The interface's properties are in the form of the Go plugin, which ignores the rest: either restores what the other
/// has changed.
struct TuningRecord: Equatable {
  /// A kernel setting that was changed.
  struct Setting: Equatable {
    /// Below `/proc/sys`.
    var path: String
    var before: String
    /// What it was set to. If it is something else by now, that is somebody else's.
    var after: String

    /// Whether it is one of an interface, with which it goes: `net/ipv4/conf/eth0/arp_notify`.
    func isOf(interface: String) -> Bool { path.split(separator: "/").contains { $0 == interface } }

    /// In the namespace of the calling thread. An empty list is written as a line's end.
    func restore() throws(FileError) { try Sysctl.write(before.isEmpty ? "\n" : before, to: path) }
  }

  /// The interface's properties.
  var link = LinkTuning()
  var settings: [Setting] = []
  /// Whose it is; nil in a file of the Go plugin.
  var owner: Owner?
  /// `DEVICE:INODE` of the namespace; nil in a file of the Go plugin.
  var namespace: String?
  /// Where the namespace was, for GC, which is not told; nil in a file of the Go plugin.
  var namespacePath: String?
  /// When it was made, as far as that is known (``since(_:)``): the kernel uses numbers of namespaces again.
  var since: String?
  /// The interface's index in it.
  var interface: Int32?

  /// Whether this is about the interface as it is now, and not about one of its name in an earlier life.
  ///
  /// - Parameter path: By which the namespace was opened.
  func isOf(_ namespace: NamespaceIdentity, at path: String, interface: Int32?) -> Bool {
    guard self.namespace == nil || self.namespace == Self.text(namespace) else { return false }
    if let since, let now = Self.since(path), since != now { return false }
    return self.interface == nil || interface == nil || self.interface == interface
  }

  /// When the namespace that is mounted at a path was made. Of one that is only a process's the kernel does not remember that,
  /// and what leads there is a link: nil.
  static func since(_ path: String) -> String? {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFLNK else { return nil }
    return "\(status.st_ctim.tv_sec).\(status.st_ctim.tv_nsec)"
  }

  static func text(_ namespace: NamespaceIdentity) -> String { "\(namespace.device):\(namespace.inode)" }

  /// This record with what was before an earlier ADD of the same attachment, which a second `tuning` in a list is.
  func merged(with earlier: TuningRecord) -> TuningRecord {
    var merged = self
    merged.link = earlier.link.merged(with: link)
    merged.interface = interface ?? earlier.interface
    for setting in earlier.settings {
      if let index = merged.settings.firstIndex(where: { $0.path == setting.path }) {
        merged.settings[index].before = setting.before
      } else {
        merged.settings.append(setting)
      }
    }
    return merged
  }
}

// MARK: Files

extension TuningRecord {
  /// A file that is there.
  enum File {
    case record(TuningRecord, bytes: [UInt8])
    /// Empty, cut, or something else; and why.
    case unreadable(String)
    /// It may well be a record; and why nobody knows.
    case inaccessible(FileError)
  }

  static func fileName(_ attachment: Attachment) -> String {
    "\(attachment.containerID)_\(attachment.interfaceName).json"
  }

  /// The file; nil if there is none.
  ///
  /// - Throws: what passes by itself: then it is to be tried again.
  static func read(_ path: String) throws(FileError) -> File? {
    let bytes: [UInt8]
    do {
      guard let found = try StateFile.readIfPresent(path) else { return nil }
      bytes = found
    } catch {
      if error.errno.passes { throw error }
      switch error.errno.rawValue {
      // Where no file can be, ADD has made none.
      case ENOTDIR, ENAMETOOLONG: return nil
      case EPERM, EACCES, EIO: return .inaccessible(error)
      default: return .unreadable(error.description)
      }
    }
    if bytes.isEmpty { return .unreadable("it is empty") }
    do throws(JSONError) {
      let json = try JSONValue.parse(bytes)
      guard let object = json.object else { return .unreadable("it is \(json.typeDescription)") }
      return .record(TuningRecord(object), bytes: bytes)
    } catch {
      return .unreadable(error.description)
    }
  }

  func write(to path: String) throws(FileError) {
    do {
      try StateFile.write(bytes, to: path)
    } catch  where error.isNotFound {
      let directory = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? "."
      try StateFile.createDirectories(directory, mode: 0o700)
      try StateFile.write(bytes, to: path)
    }
  }

  /// As it is written.
  var bytes: [UInt8] {
    var object = JSONObject()
    if let mac = link.mac { object.append("mac", .string(mac.description)) }
    if let promisc = link.isPromiscuous { object.append("promisc", .bool(promisc)) }
    if let mtu = link.mtu { object.append("mtu", .integer(mtu)) }
    if let allmulti = link.receivesAllMulticast { object.append("allmulti", .bool(allmulti)) }
    if let length = link.transmitQueueLength { object.append("txQLen", .integer(length)) }
    if !settings.isEmpty {
      var list = JSONObject()
      for setting in settings {
        list.append(setting.path, ["before": .string(setting.before), "after": .string(setting.after)])
      }
      object.append("sysctl", .object(list))
    }
    if let owner { object.append("owner", .string(owner.description)) }
    if let namespace { object.append("namespace", .string(namespace)) }
    if let namespacePath { object.append("netns", .string(namespacePath)) }
    if let since { object.append("since", .string(since)) }
    if let interface { object.append("interface", .integer(interface)) }
    return JSONValue.object(object).serialized()
  }

  /// Takes of an object what makes sense, whoever wrote it.
  private init(_ object: JSONObject) {
    func value(_ key: String) -> JSONValue? { object.member(matching: key)?.value }
    link.mac = value("mac")?.string.flatMap { MACAddress($0) }
    link.isPromiscuous = value("promisc")?.bool
    link.mtu = value("mtu")?.integer(as: UInt32.self).flatMap { $0 == 0 ? nil : $0 }
    link.receivesAllMulticast = value("allmulti")?.bool
    link.transmitQueueLength = value("txQLen")?.integer()
    for member in value("sysctl")?.object?.members ?? [] where SysctlSetting.isOfNetwork(member.key) {
      guard let before = member.value["before"]?.string, let after = member.value["after"]?.string
      else { continue }
      settings.append(Setting(path: member.key, before: before, after: after))
    }
    owner = value("owner")?.string.flatMap { Owner($0) }
    namespace = value("namespace")?.string
    namespacePath = value("netns")?.string
    since = value("since")?.string
    interface = value("interface")?.integer()
  }
}
