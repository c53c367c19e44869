import CNI
import CNIExecution
import CNIRuntime
import Glibc
import LinuxNetworking
import Logging
import PodNetworking
import ReferencePlugins
import Synchronization
import TestSupport
import Testing

/// A host of the test's own: the calling thread's namespaces, with directories for configurations, plugins and state.
struct PodHost {
  let directory: String

  var configurations: String { "\(directory)/net.d" }
  var cache: String { "\(directory)/cache" }
  var plugins: String { "\(directory)/bin" }
  var record: String { "\(directory)/calls" }

  /// Runs `body` on a host of its own.
  static func run<R: Sendable>(_ body: @escaping @Sendable (PodHost) throws -> R) async throws -> R {
    try await awaitOnNewThread {
      try inNewNetworkNamespace {
        try withTemporaryDirectory { directory in
          let host = PodHost(directory: directory)
          for path in [host.configurations, host.plugins] { mkdir(path, 0o755) }
          try shell("ip link set lo up")
          return try body(host)
        }
      }
    }
  }

  /// Pod networking of this host, with all plugins linked in.
  func networking(_ change: (inout PodNetworking.Options) -> Void = { _ in }) -> PodNetworking {
    var options = PodNetworking.Options()
    options.configurationDirectory = configurations
    options.pluginDirectories = [plugins]
    options.cacheDirectory = cache
    options.embedded = ReferencePlugins.all + ReferencePlugins.testDoubles
    options.passesOnStandardError = false
    change(&options)
    return PodNetworking(options)
  }

  /// Has plugins of these types as executables from now on.
  func installPlugins(_ types: [String]) throws {
    for type in types { symlink(try #require(builtExecutable), "\(plugins)/\(type)") }
  }

  // MARK: - Configurations

  /// A configuration, renamed into place.
  func put(_ text: String, _ file: String) throws {
    try StateFile.write(Array(text.utf8), to: "\(configurations)/\(file)", mode: 0o644)
  }

  /// A network of `noop`, which records its calls and answers with an address; `keys` are further members, `answers` further
  /// answers, and `add` comes before the result of ADD.
  func noop(
    _ name: String, version: String = "1.1.0", address: String = "10.1.2.3/24", keys: String = "",
    add: String = "",
    answers: String = ""
  ) -> String {
    """
    {"cniVersion":"\(version)","name":"\(name)","plugins":[{"type":"noop","record":"\(record)",\(keys)
      "answers":{\(answers)"ADD":{\(add)"result":{"interfaces":[{"name":"$CNI_IFNAME","sandbox":"$CNI_NETNS"}],
                                  "ips":[{"address":"\(address)","interface":0}]}}}}]}
    """
  }

  /// A network of `noop` that cannot be attached to.
  func failing(_ name: String) -> String {
    """
    {"cniVersion":"1.1.0","name":"\(name)","plugins":[{"type":"noop","record":"\(record)",
      "answers":{"ADD":{"error":{"code":11,"msg":"not today"}}}}]}
    """
  }

  /// A network of a bridge, with leases of its own.
  func bridge(
    _ name: String, bridge: String, subnet: String, version: String = "1.1.0", keys: String = "",
    chained: String = ""
  ) -> String {
    """
    {"cniVersion":"\(version)","name":"\(name)","plugins":[{"type":"bridge","bridge":"\(bridge)",\(keys)
      "ipam":{"type":"host-local","dataDir":"\(directory)/leases","ranges":[[{"subnet":"\(subnet)"}]]}}\(chained)]}
    """
  }

  // MARK: - Pods

  /// A pod with a namespace of its own.
  func makePod(_ name: String = "web", _ networks: [NetworkSelection] = []) throws -> Pod {
    try shell("ip netns add \(name)")
    return pod(name, networks)
  }

  /// A pod whose namespace, made by somebody else, has its name.
  func pod(_ name: String = "web", _ networks: [NetworkSelection] = []) -> Pod {
    Pod(
      id: "id-of-\(name)", name: name, namespace: "default", uid: "uid-\(name)",
      networkNamespace: "/run/netns/\(name)", networks: networks)
  }

  // MARK: - What has happened

  /// The calls that `noop` has recorded since the last time.
  func calls() throws -> [JSONValue] {
    guard let bytes = try StateFile.readIfPresent(record, limit: 1 << 24) else { return [] }
    unlink(record)
    return try bytes.split(separator: UInt8(ascii: "\n")).map { try JSONValue.parse(Array($0)) }
  }

  /// The same in brief: `ADD podnet eth0`.
  func told() throws -> [String] {
    try calls().map { call in
      let configuration = try JSONValue.parse(call["stdin"]?.string ?? "")
      let interface = call["environment"]?["CNI_IFNAME"]?.string ?? ""
      return [
        call["command"]?.string ?? "?", configuration["name"]?.string ?? "?",
        interface.isEmpty ? "-" : interface,
      ].joined(separator: " ")
    }
  }

  /// A file of the cache.
  func entry(_ name: String) throws -> JSONValue {
    try JSONValue.parse(StateFile.read("\(cache)/results/\(name)"))
  }

  /// Changes a file of the cache.
  func change(_ name: String, _ body: (inout JSONObject) throws -> Void) throws {
    var object = try #require(try entry(name).object)
    try body(&object)
    try StateFile.write(JSONValue.object(object).serialized(), to: "\(cache)/results/\(name)")
  }

  /// The names of the files of the cache.
  var remembered: [String] { ((try? StateFile.names(in: "\(cache)/results")) ?? []).sorted() }

  /// The leases that are held.
  func leases() throws -> [String] {
    try shell("find '\(directory)/leases' -name '10.*' -o -name 'fd*' 2>/dev/null || true").split(
      separator: "\n"
    ).map {
      String($0)
    }
  }

  /// The veth links that are left on the host.
  func links() throws -> Int { Int(try shell("ip -o link show type veth | wc -l").dropLast()) ?? -1 }
}

/// What is logged.
final class LogLines: Sendable {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }
  var logger: Logger { Logger(label: "test") { [self] _ in Handler(lines: self) } }

  private struct Handler: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      lines.lines.withLock { $0.append("\(event.level) \(event.message) \(event.metadata ?? [:])") }
    }
  }
}

/// The error of a call that must fail.
func podError(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable () async throws -> Void
) throws -> PodNetworkError {
  do {
    try waitFor(body)
  } catch let error as PodNetworkError {
    return error
  }
  Issue.record("no error", sourceLocation: sourceLocation)
  return PodNetworkError(.network, operation: "")
}
