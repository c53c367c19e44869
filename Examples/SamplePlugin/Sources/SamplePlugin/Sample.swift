import CNI
import CNIPluginKit
import Glibc
import LinuxNetworking

/// `sample`: makes containers known by name.
///
/// It writes the addresses that the plugins before it gave a container into a file in the form of hosts(5), one file per
/// attachment: `DIRECTORY/NETWORK/CONTAINER:INTERFACE`. `dnsmasq --hostsdir=DIRECTORY/NETWORK` reads such directories.
public struct Sample: ChainedPlugin {
  /// What configurations call it.
  public static let type = "sample"
  /// For whoever starts it by hand.
  public static let summary = "makes containers known by name, in a directory of hosts files"
  /// It writes files, and needs no thread of its own.
  public static let changesNamespace = false
  /// None: by default they are those of a plugin that changes the network.
  public static let neededPrivileges: [Privileges.Capability] = []

  private let directory: String
  private let names: [String]

  /// Reads and checks all keys, so that a mistake is found before anything is done.
  public init(_ call: PluginCall) throws {
    let keys = try call.configuration.object()
    let root = try keys.requiredString(
      "directory", remedy: "name one for the hosts files, such as /run/hosts")
    guard root.hasPrefix("/") else {
      throw keys.failure("directory", "is not an absolute path", remedy: "begin it with a slash")
    }
    directory = root + "/" + call.network
    // Only ADD and CHECK need the names. DEL and GC must work whatever has become of the rest of the configuration.
    names = call.command == .add || call.command == .check ? try Self.names(call, keys) : []
  }

  /// What the runtime says under the capability `aliases`, a convention that all plugins share; else the container's ID.
  private static func names(_ call: PluginCall, _ keys: ConfigurationObject) throws -> [String] {
    guard let runtime = try keys.object("runtimeConfig") else { return [call.containerID] }
    let aliases = try runtime.strings("aliases")
    for alias in aliases where !alias.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }) {
      throw runtime.failure(
        "aliases", "\"\(alias)\" is no host name", remedy: "use letters, digits, hyphens and dots")
    }
    return aliases.isEmpty ? [call.containerID] : aliases
  }

  /// ADD. `result` is that of the plugin before; what it is at the end goes to the next one.
  public func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    let file = file(of: call)
    let entry = try entry(call, result)
    try StateFile.createDirectories(directory)
    do throws(FileError) {
      try StateFile.create(entry, at: file, mode: 0o644)
    } catch {
      guard error.errno == .fileExists else { throw error }
      throw CNIError(.alreadyKnown, "\(file) is there already", details: "call DEL for the attachment first")
    }
    // Right behind the step that it undoes, so that no error can come between them.
    undo.register("the entry of the container") { try StateFile.remove(file) }
  }

  /// CHECK. `result` is that of the whole list.
  public func verify(_ call: PluginCall, against result: AddResult) throws {
    let file = file(of: call)
    guard let found = try StateFile.readIfPresent(file) else {
      throw CNIError(.entryChanged, "\(file) is gone")
    }
    guard try found == entry(call, result) else {
      throw CNIError(.entryChanged, "\(file) is not as ADD wrote it")
    }
  }

  /// DEL. It may come twice, or without ADD: what is missing is no error.
  public func remove(_ call: PluginCall, previous: AddResult?) throws {
    try StateFile.remove(file(of: call))
  }

  /// GC. What is of no valid attachment goes; what is nobody's entry stays.
  public func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    for name in try StateFile.names(in: directory) {
      let parts = name.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      let attachment = Attachment(containerID: String(parts[0]), interfaceName: String(parts[1]))
      if !stale.valid.contains(attachment) { try StateFile.remove("\(directory)/\(name)") }
    }
  }

  /// STATUS. ADD makes directories that are missing; one that is there must let it write.
  public func checkRequirements(_ call: PluginCall) throws {
    guard access(directory + "/.", W_OK) == 0 || errno == ENOENT else {
      throw CNIError(.notAvailable, "cannot write to \(directory): \(String(cString: strerror(errno)))")
    }
  }

  /// Neither container IDs nor interface names can have a colon in them, or a slash: the kit has seen to that.
  private func file(of call: PluginCall) -> String {
    "\(directory)/\(call.containerID):\(call.interfaceName)"
  }

  /// The file's content, under a comment that tells whose it is.
  private func entry(_ call: PluginCall, _ result: AddResult) throws -> [UInt8] {
    guard !result.ips.isEmpty else {
      throw CNIError(
        .noAddress, "the plugins before sample gave \(call.interfaceName) no address",
        details: "put sample behind a plugin with ipam")
    }
    var text = "# \(call.owner)\n"
    for ip in result.ips { text += "\(ip.address.address) \(names.joined(separator: " "))\n" }
    return Array(text.utf8)
  }
}

extension CNIError.Code {
  // From 100 on, codes are the plugin's own. Say in its documentation what they mean.
  static let noAddress = CNIError.Code(rawValue: 100)
  static let alreadyKnown = CNIError.Code(rawValue: 101)
  static let entryChanged = CNIError.Code(rawValue: 102)
}
