import LinuxNetworking
import PodNetworking
import TestSupport
import Testing

private let tests = #filePath.split(separator: "/").dropLast().joined(separator: "/")
private let document = StateFileText("/\(tests)/../../Documentation/pod-networking.md")

/// A file's text; `nil` where the sources are not.
private struct StateFileText {
  let lines: [String]?

  init(_ path: String) {
    let bytes = try? StateFile.readIfPresent(path)
    lines = bytes.map { String(decoding: $0, as: UTF8.self).split(separator: "\n").map { String($0) } }
  }
}

@Suite("The documentation of PodNetworking")
struct DocumentationTests {
  /// Spaces are as the reader, or the formatter, likes them.
  private func normal(_ lines: some Sequence<String>) -> [String] {
    lines.map { $0.split(separator: " ").joined(separator: " ") }.filter { !$0.isEmpty }
  }

  private func between(_ first: String, _ last: String, _ lines: [String]) throws -> [String] {
    let begin = try #require(lines.firstIndex { $0.hasSuffix(first) })
    let end = try #require(lines[begin...].dropFirst().firstIndex { $0.hasSuffix(last) })
    return Array(lines[begin..<end].dropFirst())
  }

  @Test(.enabled(if: document.lines != nil, "the sources are elsewhere"))
  func theExampleIsTheOneThatIsCompiled() throws {
    let example = normal(try between("```swift", "```", try #require(document.lines)))
    let source = normal(try #require(StateFileText("/\(tests)/DocumentedExample.swift").lines))
    #expect(example.filter { $0.hasPrefix("import ") } == source.filter { $0.hasPrefix("import ") })
    let options = try between("MARK: Its options", "MARK: End of its options", source)
    let body = try between("MARK: The document", "MARK: Its end", source)
    #expect(
      example.filter { !$0.hasPrefix("import ") }
        == options + ["let networking = PodNetworking(options)"] + body)
  }

  @Test(.requiresRoot) func theExampleWorks() async throws {
    try await PodHost.run { host in
      try host.put(
        host.bridge(
          "podnet", bridge: "br0", subnet: "10.88.0.0/16", keys: #""isGateway":true,"#,
          chained: #",{"type":"portmap","capabilities":{"portMappings":true}}"#), "10-podnet.conflist")
      try host.put(host.bridge("storage", bridge: "br1", subnet: "10.89.0.0/16"), "20-storage.conflist")
      try shell("ip netns add 6a0d47c2")
      var options = documentedOptions()
      options.configurationDirectory = host.configurations
      options.pluginDirectories = [host.plugins]
      options.cacheDirectory = host.cache
      let networking = PodNetworking(options)
      let lines = try waitFor { try await documentedExample(networking) }
      #expect(lines.count == 2 && lines[0] == "podnet eth0 [10.88.0.7/16]")
      #expect(lines[1].hasPrefix("storage net1 [10.89."))
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
    }
  }
}
