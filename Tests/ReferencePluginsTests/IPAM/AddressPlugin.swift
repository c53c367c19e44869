import CNI
import CNIExecution
import CNIPluginKit
import TestSupport
import Testing

@testable import ReferencePlugins

/// A plugin for addresses as tests call it: ours, linked in, or the Go one, as a process.
enum AddressPlugin: String, CaseIterable {
  case ours, go

  static let goDirectory = "/usr/lib/cni"

  struct Reply {
    let status: Int32
    let json: JSONValue

    var error: CNIError? { status == 0 ? nil : CNIError(json: json) }

    /// The result of a successful ADD.
    func result() throws -> AddResult {
      if let error { throw error }
      return try AddResult.decode(json, version: nil)
    }
  }

  func call(
    _ type: String, _ command: Command, _ configuration: String, container: String = "abc",
    interface: String = "eth0", arguments: String = ""
  ) throws -> Reply {
    let request = PluginRequest(
      command: command, containerID: container, namespace: "/run/netns/none", interfaceName: interface,
      arguments: arguments, path: [Self.goDirectory], configuration: Array(configuration.utf8))
    switch self {
    case .ours:
      let plugin = type == "static" ? EmbeddedPlugin(Static.self) : EmbeddedPlugin(HostLocal.self)
      let reply = plugin.run(request, PluginEnvironment(runner: PluginRunner(path: [])))
      return Reply(
        status: reply.exitStatus == .exited(0) ? 0 : 1,
        json: reply.standardOutput.isEmpty ? .null : try JSONValue.parse(reply.standardOutput))
    case .go:
      return try Self.process("\(Self.goDirectory)/\(type)", request)
    }
  }

  /// Runs a plugin's executable; `prefix` before it, such as a tracer.
  static func process(_ path: String, _ request: PluginRequest, prefix: [String] = []) throws -> Reply {
    var environment: [String: String] = [:]
    for variable in request.environment(inheriting: []) {
      let parts = variable.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      environment[String(parts[0])] = String(parts[1])
    }
    let process = try ChildProcess(
      prefix + [path], environment: environment, input: request.configuration)
    let result = try process.wait()
    return Reply(
      status: result.exitStatus,
      json: result.standardOutput.isEmpty
        ? .null : (try? JSONValue.parse(Array(result.standardOutput.utf8))) ?? .null)
  }
}
