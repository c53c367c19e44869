import CNI
import CNIExecution
import CNIPluginKit
import Glibc
import LinuxNetworking
import Testing

@testable import SamplePlugin

/// Calls the plugin as a runtime does, without a process: `PluginRunner` takes the type, as it takes an executable.
@Suite struct SampleTests {
  private let root = "/tmp/sample-plugin-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
  private let runner = PluginRunner(path: [], embedded: EmbeddedPlugins([EmbeddedPlugin(Sample.self)]))

  /// What the plugin before gave.
  private let previous = AddResult(
    interfaces: [Interface(name: "eth0", sandbox: "/run/netns/c1")],
    ips: [IPConfiguration(address: .init("10.1.2.3/24")!, interface: 0)])

  private func request(
    _ command: Command, container: String = "c1", previous: AddResult? = nil, _ more: JSONObject = [:]
  ) throws -> PluginRequest {
    var configuration: JSONObject = [
      "cniVersion": "1.1.0", "name": "net", "type": "sample", "directory": .string(root),
    ]
    if let previous { configuration.append("prevResult", try previous.encode(as: .v1_1_0)) }
    for member in more { configuration.append(member.key, member.value) }
    var request = PluginRequest(
      command: command, containerID: container, namespace: "/run/netns/c1", interfaceName: "eth0")
    request.setConfiguration(.object(configuration))
    return request
  }

  private func content(_ name: String) throws -> String? {
    try StateFile.readIfPresent("\(root)/net/\(name)").map { String(decoding: $0, as: UTF8.self) }
  }

  private func removeAll() throws {
    for name in try StateFile.names(in: "\(root)/net") { try StateFile.remove("\(root)/net/\(name)") }
    rmdir("\(root)/net")
    rmdir(root)
  }

  /// The code of the error that `body` ends in.
  private func code(_ body: () throws(PluginFailure) -> Void) -> CNIError.Code? {
    do {
      try body()
      return nil
    } catch { return error.cniError.code }
  }

  @Test func lifeOfAnAttachment() throws {
    defer { try? removeAll() }
    let aliases: JSONObject = ["runtimeConfig": ["aliases": ["web", "db"]]]
    let add = try request(.add, previous: previous, aliases)
    #expect(try runner.add("sample", add) == previous, "the result is handed on as it came")
    #expect(try content("c1:eth0") == "# cni:net/c1/eth0\n10.1.2.3 web db\n")

    let check = try request(.check, previous: previous, aliases)
    try runner.check("sample", check)
    try StateFile.write(Array("10.1.2.4 web\n".utf8), to: "\(root)/net/c1:eth0")
    #expect(code { () throws(PluginFailure) in try runner.check("sample", check) } == .entryChanged)

    // Twice, and with neither prevResult nor namespace.
    var delete = try request(.del)
    delete.namespace = ""
    try runner.delete("sample", delete)
    try runner.delete("sample", delete)
    #expect(try content("c1:eth0") == nil)
    #expect(code { () throws(PluginFailure) in try runner.check("sample", check) } == .entryChanged)
  }

  @Test func failedADDLeavesWhatWasThere() throws {
    defer { try? removeAll() }
    let add = try request(.add, previous: previous)
    _ = try runner.add("sample", add)
    #expect(code { () throws(PluginFailure) in _ = try runner.add("sample", add) } == .alreadyKnown)
    #expect(try content("c1:eth0") == "# cni:net/c1/eth0\n10.1.2.3 c1\n")
  }

  @Test func isChained() throws {
    let alone = try request(.add)
    #expect(code { () throws(PluginFailure) in _ = try runner.add("sample", alone) } == .invalidConfiguration)
    let noAddress = try request(.add, previous: AddResult())
    #expect(code { () throws(PluginFailure) in _ = try runner.add("sample", noAddress) } == .noAddress)
    #expect(try content("c1:eth0") == nil)
  }

  @Test(
    arguments: [
      ["directory": nil], ["directory": ""], ["directory": "run/hosts"], ["directory": 1],
      ["runtimeConfig": ["aliases": ["a b"]]], ["runtimeConfig": ["aliases": ["a\n10.0.0.1 bank.example"]]],
      ["runtimeConfig": ["aliases": "web"]],
    ] as [JSONObject])
  func wrongConfiguration(_ keys: JSONObject) throws {
    let add = try request(.add, previous: previous, keys)
    let failed = code { () throws(PluginFailure) in _ = try runner.add("sample", add) }
    #expect(failed == .invalidConfiguration || failed == .decodingFailure)
    #expect(try content("c1:eth0") == nil)
  }

  @Test func garbage() throws {
    defer { try? removeAll() }
    for container in ["c1", "c2"] {
      _ = try runner.add("sample", request(.add, container: container, previous: previous))
    }
    try StateFile.write([], to: "\(root)/net/README")
    let valid: JSONObject = ["cni.dev/valid-attachments": [["containerID": "c2", "ifname": "eth0"]]]
    try runner.collectGarbage("sample", request(.gc, valid))
    #expect(try StateFile.names(in: "\(root)/net").sorted() == ["README", "c2:eth0"])
  }

  @Test func status() throws {
    try runner.status("sample", request(.status))
    // A file where the directory should be.
    try StateFile.createDirectories(root)
    try StateFile.write([], to: "\(root)/net")
    defer {
      unlink("\(root)/net")
      rmdir(root)
    }
    let status = try request(.status)
    #expect(code { () throws(PluginFailure) in try runner.status("sample", status) } == .notAvailable)
  }
}
