import CNI
import CNIExecution
import CNIRuntime
import ContainerNetworking
import Glibc
import Logging
import ReferencePlugins
import TestSupport
import Testing

/// Directories for configurations, plugins and results, and networks of the test double `noop`, which records how it is
/// called. Needs neither privileges nor namespaces.
final class Fixture: Sendable {
  let directory: TemporaryDirectory

  init() throws {
    directory = try TemporaryDirectory()
    for name in ["net.d", "bin"] { mkdir(directory.file(name), 0o755) }
  }

  var configurations: String { directory.file("net.d") }
  var plugins: String { directory.file("bin") }
  var cache: String { directory.file("cache") }

  func networking(
    minimumNetworkCount: Int = 1, maximumConfigurationCount: Int = 1, interfacePrefix: String = "eth",
    embedded: EmbeddedPlugins = ReferencePlugins.testDoubles, gracePeriod: Duration = .milliseconds(300),
    maximumConcurrency: Int = 64
  ) throws -> ContainerNetworking {
    try ContainerNetworking(
      minimumNetworkCount: minimumNetworkCount, configurationDirectory: configurations,
      maximumConfigurationCount: maximumConfigurationCount, pluginDirectories: [plugins], embedded: embedded,
      interfacePrefix: interfacePrefix, cacheDirectory: cache, gracePeriod: gracePeriod,
      maximumConcurrency: maximumConcurrency, logger: quiet)
  }

  /// Writes a configuration into the directory.
  func configure(_ file: String, _ text: String) { write(text, "net.d/\(file)") }

  /// A list with one noop, whose answers are `answers`.
  func noop(
    _ name: String, _ answers: String = "", version: String = "1.1.0", capabilities: [String] = [],
    type: String = "noop"
  ) -> String {
    let declared = capabilities.map { "\"\($0)\":true" }.joined(separator: ",")
    return """
      {"cniVersion":"\(version)","name":"\(name)","plugins":[{"type":"\(type)","capabilities":{\(declared)},
       "record":"\(directory.file("calls"))","answers":{\(answers)}}]}
      """
  }

  /// An ADD that gives the interface that was asked for an address.
  func giving(_ address: String) -> String {
    """
    "ADD":{"result":{"interfaces":[{"name":"$CNI_IFNAME","mac":"02:00:00:00:00:01","sandbox":"$CNI_NETNS"}],
     "ips":[{"address":"\(address)","gateway":"10.9.9.1","interface":0}]}}
    """
  }

  /// A plugin that is a process: this package's executable under that name.
  func install(_ types: String...) throws {
    let executable = try #require(builtExecutable, "the executable cni is not built")
    for type in types {
      if link(executable, "\(plugins)/\(type)") != 0 {
        try #require(symlink(executable, "\(plugins)/\(type)") == 0)
      }
    }
  }

  /// What noop was asked since the beginning, in order.
  func calls() throws -> [Call] {
    guard let bytes = read(directory.file("calls")) else { return [] }
    return try bytes.split(separator: UInt8(ascii: "\n")).map { try Call(JSONValue.parse(Array($0))) }
  }

  func texts() throws -> [String] { try calls().map(\.text) }

  /// One call: `ADD net c1 eth0`, or `GC net`.
  struct Call {
    var json: JSONValue
    var standardInput: JSONValue

    init(_ json: JSONValue) throws {
      self.json = json
      standardInput = try JSONValue.parse(Array((json["stdin"]?.string ?? "{}").utf8))
    }

    func variable(_ name: String) -> String { json["environment"]?[name]?.string ?? "" }

    var text: String {
      let parts = [
        json["command"]?.string ?? "", standardInput["name"]?.string ?? "", variable("CNI_CONTAINERID"),
        variable("CNI_IFNAME"),
      ]
      return parts.filter { !$0.isEmpty }.joined(separator: " ")
    }
  }

  func write(_ text: String, _ name: String) {
    let stream = fopen(directory.file(name), "w")!
    fputs(text, stream)
    fclose(stream)
  }

  func read(_ file: String) -> [UInt8]? {
    guard let stream = fopen(file, "r") else { return nil }
    defer { fclose(stream) }
    var bytes = [UInt8](repeating: 0, count: 1 << 22)
    return Array(bytes[..<fread(&bytes, 1, bytes.count, stream)])
  }
}

/// Says nothing: what tests provoke is nobody's news.
let quiet: Logger = {
  var logger = Logger(label: "test")
  logger.logLevel = .critical
  return logger
}()

/// Waits until something is so; throws when it is not within a minute: synchronous tests
/// beside this one occupy the threads that it needs.
func eventually(
  _ what: () async throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let end = ContinuousClock.now + .seconds(60)
  while try await !what() {
    try #require(ContinuousClock.now < end, "it did not come about", sourceLocation: sourceLocation)
    try await Task.sleep(for: .milliseconds(2))
  }
}

/// The error of an operation that must fail.
func failure(
  sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () async throws(ContainerNetworkingError) -> Void
) async throws -> ContainerNetworkingError {
  do throws(ContainerNetworkingError) { try await body() } catch { return error }
  Issue.record("it succeeded", sourceLocation: sourceLocation)
  throw CancellationError()
}
