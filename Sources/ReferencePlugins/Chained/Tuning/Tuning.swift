import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking
import NetworkAddresses
import Netlink
import SystemPackage

/// `tuning`: kernel settings of the container's network, and properties of its interface.
struct Tuning: ChainedPlugin {
  static let type = "tuning"
  static let summary =
    "sets kernel settings of the container's network, and MAC address, MTU and modes of its interface"
  // Where it enters the container's namespace, it always comes back.
  static let changesNamespace = false

  let configuration: TuningConfiguration

  init(_ call: PluginCall) throws { configuration = try TuningConfiguration(call) }

  func recordPath(_ call: PluginCall) -> String {
    let attachment = Attachment(containerID: call.containerID, interfaceName: call.interfaceName)
    return configuration.dataDirectory + "/" + TuningRecord.fileName(attachment)
  }

  // MARK: ADD

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    guard !configuration.isEmpty else { return }
    if !configuration.sysctls.isEmpty { try AllowList()?.require(configuration.sysctls) }
    try requireRoomForIPv6(result)
    let namespace = try call.containerNamespace()
    let identity = try namespace.identity
    try namespace.run { try tune(call, identity, undo: &undo) }
    describe(in: &result, call)
  }

  /// The kernel takes IPv6 from an interface whose MTU is below what IPv6 needs (RFC 8200), addresses and all.
  private func requireRoomForIPv6(_ result: AddResult) throws(CNIError) {
    guard let mtu = configuration.link.mtu, mtu < 1280,
      let address = result.ips.first(where: { $0.address.family == .ipv6 })?.address
    else { return }
    throw CNIError(
      .invalidConfiguration,
      "mtu: \(mtu) is too small for IPv6, and the container has the address \(address)",
      details: "IPv6 needs at least 1280")
  }

  /// In the container's namespace.
  private func tune(_ call: PluginCall, _ identity: NamespaceIdentity, undo: inout UndoLog) throws {
    var record = TuningRecord()
    var writes: [SysctlSetting] = []
    for setting in configuration.sysctls {
      let before = try Self.value(of: setting)
      if let before {
        if SysctlSetting.same(before, setting.value) { continue }
        record.settings.append(.init(path: setting.path, before: before, after: setting.value))
      }
      writes.append(setting)
    }

    var change = LinkTuning()
    var socket: RouteSocket?
    if !configuration.link.isEmpty {
      var opened = try RouteSocket()
      guard let link = try opened.find(.name(call.interfaceName)) else {
        throw CNIError(
          .invalidConfiguration, "the container has no interface \(call.interfaceName) to be tuned",
          details: "put tuning behind the plugin that makes it")
      }
      change = configuration.link.missing(on: link)
      record.link = change.present(on: link)
      record.interface = link.index
      socket = consume opened
    }

    try keep(record, call, identity, undo: &undo)
    try write(writes, record, call, undo: &undo)
    if !change.isEmpty {
      let before = record.link
      // The kernel sets one property after the other, and keeps those before one that it refuses.
      undo.register("the change of the interface") { [call] in
        var socket = try call.containerSocket()
        try Self.restore(before, on: call.interfaceName, in: &socket) { throw $0 }
      }
      do {
        try socket!.perform(.changeLink(.name(call.interfaceName), change.change))
      } catch {
        throw explained(error, change)
      }
    }
  }

  /// The value that a setting has; nil if it can only be written.
  private static func value(of setting: SysctlSetting) throws -> String? {
    do {
      return try Sysctl.read(setting.path)
    } catch {
      switch error.errno.rawValue {
      // A secret that nobody has set.
      case EIO: return nil
      // One that should be readable could not be restored either, where it is only kept from us.
      case EACCES, EPERM:
        if Self.isReadable(error.path) { throw error }
        return nil
      case ENOENT, ENOTDIR:
        throw CNIError(
          .invalidConfiguration, "sysctl: the container has no kernel setting \(setting.key)",
          details: "there is no /proc/sys/\(setting.path); the kernel may lack the module that brings it")
      case EISDIR:
        throw CNIError(
          .invalidConfiguration, "sysctl: \(setting.key) is a group of kernel settings, and not one of them")
      default: throw error
      }
    }
  }

  /// Whether a setting is one that can be read at all.
  private static func isReadable(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & 0o444 != 0
  }

  /// Writes down what is going to be changed, before it is.
  private func keep(
    _ record: TuningRecord, _ call: PluginCall, _ identity: NamespaceIdentity, undo: inout UndoLog
  ) throws {
    if record.link.isEmpty, record.settings.isEmpty { return }
    var record = record
    record.owner = call.owner
    record.namespace = TuningRecord.text(identity)
    record.namespacePath = call.namespacePath
    record.since = TuningRecord.since(call.namespacePath)
    let path = recordPath(call)
    var replaced: [UInt8]?
    // A second `tuning` in a list. What was there before the first one is what DEL has to bring back.
    switch try TuningRecord.read(path) {
    case .record(let earlier, let bytes)?
    where earlier.namespace != nil
      && earlier.isOf(identity, at: call.namespacePath, interface: record.interface):
      record = record.merged(with: earlier)
      replaced = bytes
    case .inaccessible(let error)?: throw error
    default: break
    }
    try record.write(to: path)
    undo.register("the record in dataDir") { [replaced] in
      if let replaced { try StateFile.write(replaced, to: path) } else { try StateFile.remove(path) }
    }
  }

  private func write(
    _ settings: [SysctlSetting], _ record: TuningRecord, _ call: PluginCall, undo: inout UndoLog
  ) throws {
    for setting in settings {
      do {
        try Sysctl.write(setting.value, to: setting.path)
      } catch {
        switch error.errno.rawValue {
        case EINVAL, ERANGE, ENOENT, EDOM:
          throw CNIError(
            .invalidConfiguration, "sysctl: \(setting.value) is no value for \(setting.key)",
            details: error.description)
        default: throw error
        }
      }
      guard let before = record.settings.first(where: { $0.path == setting.path }) else { continue }
      undo.register("a kernel setting") { [call] in
        try call.containerNamespace().run { try before.restore() }
      }
    }
  }

  private func explained(_ error: NetlinkError, _ change: LinkTuning) -> CNIError {
    var failure = CNIError(describing: error)
    switch error.errno {
    case .resourceBusy where change.mac != nil:
      failure.details = "its driver does not change the hardware address (mac) while the interface is up"
    case .invalidArgument where change.mtu != nil, .outOfRange where change.mtu != nil:
      failure.code = .invalidConfiguration
      failure.details = "the interface cannot have the MTU \(change.mtu!) (mtu)"
    case .notSupported where change.mac != nil, .addressNotAvailable where change.mac != nil:
      failure.details = "the interface cannot have another hardware address (mac)"
    default: break
    }
    return failure
  }

  /// The interface in the result, as it is now.
  private func describe(in result: inout AddResult, _ call: PluginCall) {
    let named = result.interfaces.indices.filter { result.interfaces[$0].name == call.interfaceName }
    let inContainer = named.filter { !(result.interfaces[$0].sandbox ?? "").isEmpty }
    for index in inContainer.isEmpty ? named : inContainer {
      if let mac = configuration.link.mac { result.interfaces[index].mac = mac.description }
      if let mtu = configuration.link.mtu { result.interfaces[index].mtu = Int(mtu) }
    }
  }

  // MARK: CHECK

  func verify(_ call: PluginCall, against result: AddResult) throws {
    guard !configuration.isEmpty else { return }
    let namespace = try call.containerNamespace()
    let differences = try namespace.run { try self.differences(call.interfaceName) }
    guard let first = differences.first else { return }
    throw CNIError(
      .internalError, "\(call.interfaceName) is not tuned any more: \(first)",
      details: differences.dropFirst().joined(separator: "; "))
  }

  private func differences(_ interface: String) throws -> [String] {
    var differences: [String] = []
    for setting in configuration.sysctls {
      guard let value = try Self.value(of: setting), !SysctlSetting.same(value, setting.value) else {
        continue
      }
      differences.append("\(setting.key) is \(value), it was set to \(setting.value)")
    }
    if configuration.link.isEmpty { return differences }
    var socket = try RouteSocket()
    guard let link = try socket.find(.name(interface)) else {
      throw CNIError(.internalError, "the container has no interface \(interface) any more")
    }
    return differences + configuration.link.differences(on: link)
  }
}
