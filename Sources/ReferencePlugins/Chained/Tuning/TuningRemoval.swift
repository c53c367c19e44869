import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import Netlink
import SystemPackage

// DEL and GC bring back what was before; STATUS says whether that could be written down.
extension Tuning {
  // MARK: DEL

  func remove(_ call: PluginCall, previous: AddResult?) throws {
    let path = recordPath(call)
    switch try TuningRecord.read(path) {
    case nil: return
    case .inaccessible(let error)?:
      return call.log("nothing is restored: \(error); the file stays: \(Self.whoIsNext)")
    case .unreadable(let reason)?:
      call.log("nothing is restored: \(path) does not say what was before: \(reason)")
    case .record(let record, let bytes)?:
      if let namespace = try call.containerNamespaceIfPresent() {
        let identity = try namespace.identity
        let refused = try namespace.run { try restore(record, identity, call) }
        if !refused.isEmpty {
          var rest = TuningRecord()
          rest.settings = refused
          rest.owner = record.owner ?? call.owner
          rest.namespace = TuningRecord.text(identity)
          rest.namespacePath = call.namespacePath
          rest.since = TuningRecord.since(call.namespacePath)
          if rest.bytes != bytes {
            try Self.logged(call) { () throws(FileError) in try rest.write(to: path) }
          }
          return call.log("\(path) keeps what was before: \(Self.whoIsNext)")
        }
      }
    }
    try Self.logged(call) { () throws(FileError) in try StateFile.remove(path) }
  }

  private static let whoIsNext = "GC, or another DEL, tries again while the container lives"

  /// What may never be possible is no reason to fail: then the attachment could not be deleted either.
  private static func logged(
    _ call: PluginCall, _ body: () throws(FileError) -> Void
  ) throws(FileError) {
    do throws(FileError) { try body() } catch {
      if error.errno.passes { throw error }
      call.log("\(error)")
    }
  }

  /// In the container's namespace. What cannot be restored must not keep the attachment from being deleted.
  ///
  /// - Returns: Settings of the namespace that the kernel does not let us restore. Those of the interface, and its
  ///   properties, go with it.
  /// - Throws: what will not be in the way for ever: then DEL is to be called again.
  private func restore(
    _ record: TuningRecord, _ identity: NamespaceIdentity, _ call: PluginCall
  ) throws -> [TuningRecord.Setting] {
    guard record.isOf(identity, at: call.namespacePath, interface: nil) else { return [] }
    let refused = try Self.restore(record.settings, call).filter { !$0.isOf(interface: call.interfaceName) }
    if record.link.isEmpty { return refused }
    do {
      var socket = try RouteSocket()
      if let index = record.interface {
        let link = try socket.find(.name(call.interfaceName))
        guard link?.index == index else { return refused }
      }
      try Self.restore(record.link, on: call.interfaceName, in: &socket) {
        if $0.errno.passes { throw $0 }
        call.log("\(call.interfaceName) is not as it was: \($0)")
      }
    } catch let error as NetlinkError where error.errno.passes {
      throw error
    } catch {
      call.log("\(call.interfaceName) is not as it was: \(CNIError(describing: error))")
    }
    return refused
  }

  /// Restores settings of the calling thread's namespace that still are what ADD has set; gives those that it cannot.
  private static func restore(
    _ settings: [TuningRecord.Setting], _ call: PluginCall
  ) throws(FileError) -> [TuningRecord.Setting] {
    var refused: [TuningRecord.Setting] = []
    for setting in settings {
      do throws(FileError) {
        guard SysctlSetting.same(try Sysctl.read(setting.path), setting.after) else { continue }
        try setting.restore()
      } catch {
        if error.errno.passes { throw error }
        // It has gone with its interface.
        if error.isNotFound { continue }
        call.log("\(setting.path) stays \(setting.after), and was \(setting.before) before: \(error)")
        refused.append(setting)
      }
    }
    return refused
  }

  /// Sets what was before; where the kernel refuses a property, the others all the same.
  static func restore(
    _ before: LinkTuning, on interface: String, in socket: inout RouteSocket,
    _ failed: (NetlinkError) throws -> Void
  ) throws {
    func set(_ tuning: LinkTuning) -> NetlinkError? {
      do {
        try socket.perform(.changeLink(.name(interface), tuning.change))
        return nil
      } catch {
        return error
      }
    }
    guard let failure = set(before), !failure.isNotFound else { return }
    var problem: NetlinkError?
    for part in before.parts { problem = set(part) ?? problem }
    if let problem { try failed(problem) }
  }

  // MARK: GC

  /// Restores kernel settings of stale attachments whose containers live, and removes their records. What else they tell of goes
  /// with the interface, which is not this plugin's to find.
  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    let directory = configuration.dataDirectory
    let valid = Set(stale.valid.map(TuningRecord.fileName))
    var steps = EveryStep()
    for name in try StateFile.names(in: directory) where name.hasSuffix(".json") && !valid.contains(name) {
      let path = directory + "/" + name
      steps.attempt {
        // A record of the Go plugin does not say of which network it is.
        guard case .record(let record, _) = try TuningRecord.read(path), let owner = record.owner,
          stale.contains(owner.description)
        else { return }
        guard try isSettled(record, call) else {
          return call.log("\(path) keeps what was before: \(Self.whoIsNext)")
        }
        try StateFile.remove(path)
      }
    }
    steps.attempt { try StateFile.removeStaleTemporaries(in: directory) }
    try steps.finish()
  }

  /// Restores what nobody else has; whether nothing is left of it.
  private func isSettled(_ record: TuningRecord, _ call: PluginCall) throws -> Bool {
    guard !record.settings.isEmpty, let path = record.namespacePath else { return true }
    do {
      let namespace = try NetworkNamespace.open(path)
      guard record.isOf(try namespace.identity, at: path, interface: nil) else { return true }
      return try namespace.run { try Self.restore(record.settings, call) }
        .allSatisfy { $0.isOf(interface: record.owner?.attachment?.interfaceName ?? "") }
    } catch NamespaceError.gone, NamespaceError.notANamespace {
      return true
    } catch let error as NamespaceError {
      if case .failed(_, _, let errno) = error, errno.passes { throw error }
      call.log("\(error)")
      return false
    }
  }

  // MARK: STATUS

  func checkRequirements(_ call: PluginCall) throws {
    if let list = try AllowList() {
      try list.validate()
      try list.require(configuration.sysctls)
    }
    var directory = configuration.dataDirectory
    while access(directory, F_OK) != 0, let slash = directory.utf8.lastIndex(of: UInt8(ascii: "/")) {
      directory = slash == directory.startIndex ? "/" : String(directory[..<slash])
    }
    guard access(directory, W_OK) == 0 else {
      throw FileError(
        path: configuration.dataDirectory, operation: "keep anything in dataDir",
        errno: .init(rawValue: errno))
    }
  }
}
