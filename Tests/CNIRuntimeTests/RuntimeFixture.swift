import CNI
import CNIExecution
import CNIRuntime
import Glibc
import Synchronization
import TestSupport

/// A runtime over embedded plugins that write down what they are asked, in a directory of its own.
final class RuntimeFixture: Sendable {
  let directory: TemporaryDirectory
  let calls = Calls()

  init() throws { directory = try TemporaryDirectory() }

  var path: String { directory.path }
  var pluginPath: String { path }

  func runtime(limits: ExecutionLimits = .none) -> CNIRuntime {
    var runtime = CNIRuntime(
      pluginPath: [path], cacheDirectory: "\(path)/cache", embedded: EmbeddedPlugins(plugins), limits: limits)
    runtime.runner.passesOnStandardError = false
    return runtime
  }

  /// `first`, `second` and `third` answer with a result, each adding an address; what they are to fail at is
  /// in their configuration: `"failAt": ["DEL"], "code": 51`.
  private var plugins: [EmbeddedPlugin] {
    ["first", "second", "third"].enumerated().map { index, type in
      let calls = calls
      return EmbeddedPlugin(type: type) { request, _ in
        let configuration = try! JSONValue.parse(request.configuration)
        calls.note(Call(type: type, request: request, configuration: configuration))
        if request.command == .version {
          return PluginReply(standardOutput: VersionInfo().encode().serialized())
        }
        let failAt = (configuration["failAt"]?.array ?? []).compactMap(\.string)
        if failAt.contains(request.command.rawValue) {
          let code: UInt32 = configuration["code"]?.integer() ?? 100
          return PluginReply(
            standardOutput: CNIError(.init(rawValue: code), "\(type) cannot \(request.command.rawValue)")
              .serialized(version: nil), exitStatus: .exited(1))
        }
        guard request.command == .add else { return PluginReply() }
        let plugin = try! PluginConfiguration(json: configuration)
        var result = try! plugin.prevResult() ?? AddResult(interfaces: [], ips: [], routes: [], dns: .init())
        result.ips.append(IPConfiguration(address: .init("10.0.0.\(index + 1)/24")!))
        return PluginReply(standardOutput: try! result.encode(as: plugin.version).serialized())
      }
    }
  }

  func list(_ plugins: String, version: String = "1.1.0", more: String = "") throws
    -> NetworkConfigurationList
  {
    try NetworkConfigurationList(
      bytes: Array(#"{"cniVersion":"\#(version)","name":"podnet",\#(more)"plugins":[\#(plugins)]}"#.utf8),
      source: "/etc/cni/net.d/10-podnet.conflist")
  }

  func three(_ extra: String = "", version: String = "1.1.0", more: String = "") throws
    -> NetworkConfigurationList
  {
    try list(
      #"{"type":"first"\#(extra)},{"type":"second"},{"type":"third"}"#, version: version, more: more)
  }

  // MARK: - Files

  var cacheFile: String { "\(path)/cache/results/podnet-c1-eth0" }

  func write(_ text: String, _ name: String) {
    write(Array(text.utf8), name)
  }

  func write(_ bytes: [UInt8], _ name: String) {
    let file = "\(path)/\(name)"
    let components = name.split(separator: "/").dropLast()
    var parent = path
    for component in components {
      parent += "/\(component)"
      mkdir(parent, 0o755)
    }
    let stream = fopen(file, "w")!
    fwrite(bytes, 1, bytes.count, stream)
    fclose(stream)
  }

  func script(_ name: String, _ body: String) {
    write("#!/bin/sh\n\(body)\n", name)
    chmod("\(path)/\(name)", 0o755)
  }

  func read(_ file: String) -> [UInt8]? {
    guard let stream = fopen(file, "r") else { return nil }
    defer { fclose(stream) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    return Array(bytes[..<fread(&bytes, 1, bytes.count, stream)])
  }

  func exists(_ file: String) -> Bool { access(file, F_OK) == 0 }

  var cached: JSONValue? { read(cacheFile).flatMap { try? JSONValue.parse($0) } }
}

/// One call of an embedded plugin.
struct Call: Sendable {
  var type: String
  var request: PluginRequest
  var configuration: JSONValue

  var text: String { "\(type) \(request.command.rawValue)" }
}

final class Calls: Sendable {
  private let all = Mutex<[Call]>([])

  func note(_ call: Call) { all.withLock { $0.append(call) } }
  /// All since the last time.
  func take() -> [Call] {
    all.withLock { calls in
      defer { calls = [] }
      return calls
    }
  }
  func texts() -> [String] { take().map(\.text) }
}

let c1 = AttachmentParameters(containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0")

func runtimeError(_ body: () throws(RuntimeError) -> Void) -> RuntimeError? {
  do {
    try body()
    return nil
  } catch { return error }
}
