import CNI
import CNIPluginKit
import LinuxNetworking

/// What the delegates were told at ADD, kept for DEL: flanneld may have said something else since, or nothing.
///
/// The file `CONTAINERID` has the configuration of the attachment that was made last, as the Go plugin writes and reads
/// it. That is all that plugin knows, and of a container with several interfaces it finds but one. So beside it is
/// `.CONTAINERID`, an object of configurations by interface; no container ID begins with a dot.
struct FlannelState: Sendable {
  let directory: String

  /// What is known of an attachment.
  enum Saved {
    /// What its delegate was told.
    case configuration(JSONObject)
    /// Nothing, and why.
    case none(String)
  }

  // MARK: ADD

  /// Keeps the configuration of an attachment until ``remove(_:of:)``.
  ///
  /// - Returns: Whether nothing was known of the container before.
  func save(_ configuration: JSONValue, for call: PluginCall, undo: inout UndoLog) throws -> Bool {
    let (plain, list) = (path(call.containerID), path("." + call.containerID))
    let before = (try? StateFile.readIfPresent(plain), try? StateFile.readIfPresent(list))
    try StateFile.createDirectories(directory, mode: 0o700)
    undo.register("the saved configuration") {
      try restore(plain, before.0)
      try restore(list, before.1)
    }
    var all = Self.interfaces(before.1)
    all[call.interfaceName] = configuration
    try StateFile.write(JSONValue.object(all).serialized(), to: list)
    try StateFile.write(configuration.serialized(), to: plain)
    return before == (nil, nil)
  }

  private func restore(_ path: String, _ content: [UInt8]?) throws(FileError) {
    if let content { try StateFile.write(content, to: path) } else { try StateFile.remove(path) }
  }

  // MARK: CHECK and DEL

  /// What is known of the attachment of a call.
  func saved(_ call: PluginCall) -> Saved {
    let network = call.network
    if let own = interfaces(call.containerID)[call.interfaceName]?.object, Self.isUsable(own, network) {
      return .configuration(own)
    }
    let plain = path(call.containerID)
    do throws(FileError) {
      guard let content = try StateFile.readIfPresent(plain) else { return .none("there is no \(plain)") }
      guard let configuration = Self.object(content) else {
        return .none(content.isEmpty ? "\(plain) is empty" : "\(plain) is cut off, or is not JSON")
      }
      guard Self.isUsable(configuration, network) else {
        return .none("\(plain) is not of an attachment to \(network)")
      }
      return .configuration(configuration)
    } catch { return .none(error.description) }
  }

  /// Forgets an attachment; what other interfaces of the container have stays.
  func remove(_ interface: String, of container: String, network: String) throws(FileError) {
    var all = interfaces(container)
    all.remove(interface)
    if let other = all.members.last {
      // Either implementation finds one that is still there.
      try StateFile.write(JSONValue.object(all).serialized(), to: path("." + container))
      return try StateFile.write(other.value.serialized(), to: path(container))
    }
    try StateFile.remove(path("." + container))
    // The Go plugin may have made an interface of another network since.
    if let plain = read(container), Self.isUsable(plain), plain["name"]?.string != network { return }
    try StateFile.remove(path(container))
  }

  // MARK: GC

  /// One configuration that was kept for an attachment which is not valid any more.
  struct Stale {
    let container: String
    /// `nil` where the Go plugin has kept it, which does not say.
    let interface: String?
    let configuration: JSONObject
  }

  /// What was kept for attachments of the network that are not valid any more.
  func stale(network: String, valid: Set<Attachment>) throws(FileError) -> [Stale] {
    let alive = Set(valid.map(\.containerID))
    var stale: [Stale] = []
    for name in try StateFile.names(in: directory).sorted() {
      if name.hasPrefix(".") {
        let container = String(name.dropFirst())
        for entry in interfaces(container) {
          guard let configuration = entry.value.object, Self.isUsable(configuration, network),
            !valid.contains(Attachment(containerID: container, interfaceName: entry.key))
          else { continue }
          stale.append(Stale(container: container, interface: entry.key, configuration: configuration))
        }
      } else if !alive.contains(name), let configuration = read(name), Self.isUsable(configuration, network) {
        stale.append(Stale(container: name, interface: nil, configuration: configuration))
      }
    }
    return stale
  }

  func remove(_ stale: Stale, network: String) throws(FileError) {
    if let interface = stale.interface {
      try remove(interface, of: stale.container, network: network)
    } else if interfaces(stale.container).isEmpty {
      try StateFile.remove(path(stale.container))
    }
  }

  // MARK: Files

  private func path(_ name: String) -> String { directory + "/" + name }

  private func read(_ name: String) -> JSONObject? { Self.object(try? StateFile.readIfPresent(path(name))) }

  private static func object(_ content: [UInt8]??) -> JSONObject? {
    guard case .some(.some(let content)) = content else { return nil }
    return (try? JSONValue.parse(content))?.object
  }

  /// The configurations of a container's interfaces, without what is none.
  private func interfaces(_ container: String) -> JSONObject {
    Self.interfaces(try? StateFile.readIfPresent(path("." + container)))
  }

  private static func interfaces(_ content: [UInt8]??) -> JSONObject {
    var interfaces = object(content) ?? JSONObject()
    for member in interfaces where !(member.value.object.map { isUsable($0) } ?? false) {
      interfaces.remove(member.key)
    }
    return interfaces
  }

  /// Whether that is what a delegate was told. Anybody may have written it.
  private static func isUsable(_ configuration: JSONObject) -> Bool {
    guard let type = configuration["type"]?.string, configuration["name"]?.string != nil else { return false }
    return type != Flannel.type && (try? Validation.pluginType(type)) != nil
  }

  private static func isUsable(_ configuration: JSONObject, _ network: String) -> Bool {
    isUsable(configuration) && configuration["name"]?.string == network
  }
}
