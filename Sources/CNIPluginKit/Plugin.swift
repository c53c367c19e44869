import CNI
import CNIExecution
import Netlink

/// A CNI plugin: what answers ADD, DEL, CHECK, GC and STATUS for one configuration.
///
/// A conforming value *is* its decoded configuration: `init` reads and checks every key, the methods act. The kit
/// validates the request before and encodes the answer afterwards, for a process (`PluginMain.run`) and for a plugin
/// that is linked into its caller (`EmbeddedPlugin(_:)`) alike.
public protocol Plugin: Sendable {
  /// The `type` that configurations name it by.
  static var type: String { get }
  /// What it does, in one line, for whoever calls it by hand.
  static var summary: String { get }
  /// The versions of the specification it answers to; all of them unless said otherwise. DEL is not bound to them: it gives
  /// no result, and a configuration whose version has changed must not keep anything from being removed.
  static var supportedVersions: [SpecVersion] { get }

  /// Whether it moves its thread to another namespace on the way, as interface plugins do: linked into its caller, it
  /// then runs on a thread of its own.
  static var changesNamespace: Bool { get }

  /// Decodes and checks the configuration of a call.
  ///
  /// - Throws: `CNIError` with code 7 that names the key and the remedy.
  init(_ call: PluginCall) throws
  /// ADD: makes the attachment. After an error nothing may be left of it.
  func add(_ call: PluginCall) throws -> AddResult
  /// DEL: removes whatever there is of the attachment. What is missing is no error.
  func delete(_ call: PluginCall) throws
  /// CHECK: throws when the attachment is not as ADD left it.
  func check(_ call: PluginCall) throws
  /// GC: removes what belongs to attachments of the network that are not in `valid`.
  func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws
  /// STATUS: throws code 50 or 51 when an ADD could not be served now.
  func status(_ call: PluginCall) throws
}

extension Plugin {
  /// Every version of the specification.
  public static var supportedVersions: [SpecVersion] { SpecVersion.allCases }
  /// It may: the careful answer.
  public static var changesNamespace: Bool { true }
}

extension InterfacePlugin {
  /// The kit enters the container's namespace for it, and always comes back.
  public static var changesNamespace: Bool { false }
}

extension EmbeddedPlugin {
  /// `plugin` as a function that gives the same bytes as the plugin's process would.
  public init<P: Plugin>(_ plugin: P.Type) {
    self.init(type: P.type, needsOwnThread: P.changesNamespace) { request, environment in
      P.reply(to: request, environment: environment)
    }
  }
}

extension Plugin {
  /// What is wrong with a configuration, as an ADD would find it, without doing anything; `nil` if nothing is.
  ///
  /// - Parameters:
  ///   - configuration: What the plugin would get on standard input.
  ///   - keys: Takes note of the keys that the plugin asks for.
  public static func problem(in configuration: JSONValue, recording keys: KeyRecord? = nil) -> CNIError? {
    var request = PluginRequest(
      command: .add, containerID: "none", namespace: "/proc/self/ns/net", interfaceName: "none")
    request.setConfiguration(configuration)
    do {
      let environment = PluginEnvironment(runner: PluginRunner(path: []))
      _ = try Self(
        PluginCall(
          request, environment: environment, supportedVersions: supportedVersions, recording: keys))
      return nil
    } catch {
      return CNIError(describing: error)
    }
  }

  /// Answers one request: the reply that the plugin's process prints and the status it exits with.
  static func reply(to request: PluginRequest, environment: PluginEnvironment) -> PluginReply {
    // The plugin behind this one in the list is not to wait for what this one has deleted to be freed.
    NetfilterRelease.postponed { answer(request, environment) }
  }

  private static func answer(_ request: PluginRequest, _ environment: PluginEnvironment) -> PluginReply {
    var version: SpecVersion?
    do {
      if request.command == .version {
        return succeeded(VersionInfo(supported: supportedVersions.map(\.rawValue)).encode().serialized())
      }
      // What an ADD of another version has made is to be removed all the same.
      let versions = request.command == .del ? SpecVersion.allCases : supportedVersions
      let call = try PluginCall(request, environment: environment, supportedVersions: versions)
      version = call.configuration.version
      let plugin = try Self(call)
      switch request.command {
      case .add:
        return try PluginReply(plugin.add(call), version: call.configuration.version)
      case .del: try plugin.delete(call)
      case .check: try plugin.check(call)
      case .gc:
        // A caller that names no attachments at all has not said which ones are valid: then none is stale.
        defer { NetfilterRelease.catchUp() }
        if let valid = call.configuration.validAttachments {
          try plugin.collectGarbage(call, keeping: Set(valid))
        } else {
          call.log("GC without cni.dev/valid-attachments: nothing is known to be stale, nothing is removed")
        }
      case .status: try plugin.status(call)
      case .version: break
      }
      return succeeded([])
    } catch {
      return PluginReply(
        standardOutput: CNIError(describing: error).serialized(version: version), exitStatus: .exited(1),
        standardErrorTail: [])
    }
  }

  private static func succeeded(_ output: [UInt8]) -> PluginReply {
    PluginReply(standardOutput: output, exitStatus: .exited(0), standardErrorTail: [])
  }
}
