import CNI
import CNIExecution
import CNIRuntime
import LinuxNetworking
import ReferencePlugins
import TestSupport
import Testing

/// noop as it is meant to be used: in the test of something that runs plugins.
@Suite("noop in a runtime")
struct NoopRuntimeTests {
  /// The list in noop's documentation: its first block.
  private func documentedList() throws -> String {
    let root = #filePath.split(separator: "/").dropLast(4).map { "/" + $0 }.joined()
    let page = String(decoding: try StateFile.read(root + "/Documentation/plugins/noop.md"), as: UTF8.self)
    let lines = page.split(separator: "\n", omittingEmptySubsequences: false)
    let start = try #require(lines.firstIndex(of: "    {"))
    return lines[start...].prefix { $0.hasPrefix("    ") }.joined(separator: "\n")
  }

  @Test("What is documented happens")
  func documented() throws {
    let directory = try TemporaryDirectory()
    let record = directory.file("calls.jsonl")
    let parts = try documentedList().split(separator: "/tmp/calls.jsonl")
    try #require(parts.count == 2)
    let list = try NetworkConfigurationList(bytes: Array(parts.joined(separator: record).utf8))
    let runtime = CNIRuntime(
      pluginPath: [], cacheDirectory: directory.file("cache"), embedded: ReferencePlugins.testDoubles)
    let container = AttachmentParameters(
      containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0")

    let result = try runtime.add(list, container)
    #expect(result.interfaces == [Interface(name: "eth0", sandbox: "/run/netns/c1")])
    #expect(result.ips.map(\.address.description) == ["10.1.2.3/24"])
    let checked = #expect(throws: RuntimeError.self) { try runtime.check(list, container) }
    #expect(checked?.description.contains("SIGSEGV") == true)
    #expect(checked?.description.contains("here it ends") == true)
    let deleted = #expect(throws: RuntimeError.self) { try runtime.delete(list, container) }
    #expect(deleted?.description.contains("not yet") == true)
    try runtime.delete(list, container)
    let calls = String(decoding: try StateFile.read(record), as: UTF8.self)
    let commands = try calls.split(separator: "\n").map {
      try JSONValue.parse(Array($0.utf8))["command"]?.string
    }
    #expect(commands.filter { $0 != "VERSION" } == ["ADD", "CHECK", "DEL", "DEL"])
  }
}
