import CNI
import CNIExecution
import CNIRuntime
import Glibc
import LinuxNetworking
import Testing

/// The form that the Go library writes and reads.
@Suite struct CacheTests {
  let fixture: RuntimeFixture

  init() throws { fixture = try RuntimeFixture() }

  /// In the form of libcni's `cachedInfo` (cni v1.3.0), composed from its declaration; not recorded from a Go process.
  private let writtenByGo =
    #"{"kind":"cniCacheV1","containerId":"c1","config":"eyJjbmlWZXJzaW9uIjoiMS4wLjAiLCJuYW1lIjoicG9kbmV0IiwicGx1Z2lucyI6W3sidHlwZSI6ImZpcnN0IiwiY2FwYWJpbGl0aWVzIjp7Im1hYyI6dHJ1ZX19XX0=","ifName":"eth0","networkName":"podnet","netns":"/run/netns/c1","cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAME","p"]],"capabilityArgs":{"mac":"02:00:00:00:00:01"},"result":{"cniVersion":"1.0.0","dns":{},"interfaces":[{"name":"eth0","sandbox":"/run/netns/c1"}],"ips":[{"address":"10.1.2.3/24","gateway":"10.1.2.1","interface":0}],"routes":[{"dst":"0.0.0.0/0"}]}}"#

  @Test func readsWhatGoWrote() throws {
    fixture.write(writtenByGo, "cache/results/podnet-c1-eth0")
    let runtime = fixture.runtime()
    let result = try #require(try runtime.cachedResult(network: "podnet", c1.attachment))
    #expect("\(result.ips[0].address)" == "10.1.2.3/24")
    let (configuration, parameters) = try #require(
      try runtime.cachedConfiguration(network: "podnet", c1.attachment))
    #expect(
      String(decoding: configuration, as: UTF8.self)
        == #"{"cniVersion":"1.0.0","name":"podnet","plugins":[{"type":"first","capabilities":{"mac":true}}]}"#
    )
    #expect(parameters.namespace == "/run/netns/c1")
    #expect(parameters.arguments.serialized == "IgnoreUnknown=1;K8S_POD_NAME=p")
    #expect(parameters.arguments.ignoreUnknown)
    #expect(parameters.capabilityArguments == ["mac": "02:00:00:00:00:01"])

    let entry = try #require(runtime.cachedAttachments().first)
    try runtime.delete(entry)
    let call = try #require(fixture.calls.take().first)
    #expect(call.text == "first DEL")
    #expect(call.configuration["prevResult"]?["ips"]?.array?.first?["address"]?.string == "10.1.2.3/24")
    #expect(call.configuration["runtimeConfig"] == ["mac": "02:00:00:00:00:01"])
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func writesWhatGoReads() throws {
    var parameters = c1
    parameters.arguments = try CNIArguments(parsing: "IgnoreUnknown=1;A=b=c")
    parameters.capabilityArguments = ["mac": "02:00:00:00:00:01"]
    let list = try fixture.list(#"{"type":"first"}"#, version: "0.4.0")
    _ = try fixture.runtime().add(list, parameters)
    let cached = try #require(fixture.cached)
    #expect(
      cached.object?.keys == [
        "kind", "containerId", "config", "ifName", "networkName", "netns", "cniArgs", "capabilityArgs",
        "result",
      ])
    #expect(cached["kind"]?.string == "cniCacheV1")
    #expect(cached["cniArgs"] == [["IgnoreUnknown", "1"], ["A", "b=c"]])
    #expect(cached["capabilityArgs"] == ["mac": "02:00:00:00:00:01"])
    #expect(cached["result"]?["cniVersion"]?.string == "0.4.0")
    #expect(cached["result"]?["ips"] == [["version": "4", "address": "10.0.0.1/24"]])
    var status = stat()
    stat(fixture.cacheFile, &status)
    #expect(status.st_mode & 0o777 == 0o600)
    stat("\(fixture.path)/cache/results", &status)
    #expect(status.st_mode & 0o777 == 0o700)
    // The configuration is the one that was used, in standard base64.
    let entry = try #require(fixture.runtime().cachedAttachments().first)
    #expect(try JSONValue.parse(entry.configuration) == list.json)
    #expect(cached["config"]?.string?.hasPrefix("eyJ") == true)
  }

  @Test func smallestEntryHasNoEmptyKeys() throws {
    let parameters = AttachmentParameters(containerID: "c1", namespace: "", interfaceName: "eth0")
    _ = try fixture.runtime().add(fixture.list(#"{"type":"first"}"#), parameters)
    #expect(
      fixture.cached?.object?.keys == ["kind", "containerId", "config", "ifName", "networkName", "result"])
  }

  @Test func readsTheLegacyForm() throws {
    fixture.write(
      #"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.1.2.3/24"}],"dns":{}}"#,
      "cache/results/podnet-c1-eth0")
    let runtime = fixture.runtime()
    let result = try #require(try runtime.cachedResult(network: "podnet", c1.attachment))
    #expect("\(result.ips[0].address)" == "10.1.2.3/24")
    #expect(try runtime.cachedConfiguration(network: "podnet", c1.attachment) == nil)
    #expect(runtime.cachedAttachments().isEmpty)
    try runtime.check(fixture.three(version: "1.0.0"), c1)
    #expect(fixture.calls.take().first?.configuration["prevResult"]?["cniVersion"]?.string == "1.0.0")
    try runtime.delete(fixture.three(), c1)
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func pluginsOfTheNetworksDirectoryAreInTheEntry() throws {
    fixture.write(
      #"{"cniVersion":"1.0.0","name":"podnet","plugins":[{"type":"first"}]}"#, "net.d/10.conflist")
    fixture.write(#"{"type":"second"}"#, "net.d/podnet/20.conf")
    let network = try ConfigurationDirectory("\(fixture.path)/net.d").network(named: "podnet")
    let runtime = fixture.runtime()
    _ = try runtime.add(network.list, c1)
    removeAll(in: "\(fixture.path)/net.d/podnet")
    _ = fixture.calls.take()
    try runtime.delete(#require(runtime.cachedAttachments().first))
    #expect(fixture.calls.texts() == ["second DEL", "first DEL"])
  }

  @Test func listsByContainer() throws {
    let runtime = fixture.runtime()
    for (container, interface) in [("c1", "eth0"), ("c1", "eth1"), ("c2", "eth0"), ("x-c1-y", "eth0")] {
      _ = try runtime.add(
        fixture.three(),
        AttachmentParameters(containerID: container, namespace: "", interfaceName: interface))
    }
    fixture.write("broken", "cache/results/podnet-c1-eth9")
    #expect(runtime.cachedAttachments().count == 4)
    #expect(runtime.cachedAttachments(containerID: "c1").map(\.parameters.interfaceName) == ["eth0", "eth1"])
    #expect(runtime.cachedAttachments(containerID: "none").isEmpty)
    #expect(runtime.cache.entries().problems.map(\.file) == ["\(fixture.path)/cache/results/podnet-c1-eth9"])
    #expect(fixture.runtime().cache.entries(containerID: "c2").problems.isEmpty)
  }

  @Test func whatCannotBeListedIsNotEmpty() throws {
    let cache = fixture.runtime().cache
    let nothing = try cache.list()
    #expect(nothing.entries.isEmpty && nothing.problems.isEmpty && nothing.bareResults.isEmpty)
    fixture.write("", "cache/results")
    let error = #expect(throws: FileError.self) { try cache.list() }
    #expect(error?.path == cache.resultsDirectory)
    #expect(cache.entries().problems.map(\.file) == [cache.resultsDirectory])
    unlink(cache.resultsDirectory)
    // What an entry does not say, the name of its file does.
    fixture.write("", "cache/results/podnet-c1-eth0")
    fixture.write(#"{"cniVersion":"0.3.1"}"#, "cache/results/podnet-c2-eth0")
    let listing = try cache.list()
    #expect(listing.entries.isEmpty && listing.problems.map(\.file) == [fixture.cacheFile])
    #expect(listing.bareResults == ["\(cache.resultsDirectory)/podnet-c2-eth0"])
    #expect(try cache.list(containerID: "c1").bareResults.isEmpty)
  }

  /// So the Go library remembers a list whose plugins are in files of their own.
  @Test func aConfigurationWithoutPluginsIsOfNoUse() throws {
    let entry = CacheEntry(
      network: "podnet", parameters: c1,
      configuration: Array(#"{"cniVersion":"1.0.0","name":"podnet"}"#.utf8),
      result: nil)
    let error = #expect(throws: CNIError.self) { try entry.configurationList() }
    #expect(error?.code == .invalidConfiguration && error?.message.contains("has no plugins") == true)
    // Garbage is removed by the configuration that is there.
    let runtime = fixture.runtime()
    try runtime.cache.write(entry)
    try runtime.collectGarbage(fixture.list(#"{"type":"first"}"#), validAttachments: [])
    #expect(fixture.calls.texts() == ["first DEL", "first GC"])
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func unreadableResultIsExplained() throws {
    fixture.write("", "cache/results/podnet-c1-eth0")
    let error = runtimeError { () throws(RuntimeError) in
      _ = try fixture.runtime().cachedResult(network: "podnet", c1.attachment)
    }
    #expect(error?.kind == .cache)
    #expect(error?.description.contains("\(fixture.cacheFile): it is empty (a power cut") == true)
    let hostile = runtimeError { () throws(RuntimeError) in
      _ = try fixture.runtime().cachedResult(
        network: "podnet", Attachment(containerID: "../../etc", interfaceName: "eth0"))
    }
    #expect(hostile?.kind == .invalidParameter)
  }
}

func removeAll(in directory: String) {
  guard let stream = opendir(directory) else { return }
  defer { closedir(stream) }
  while let entry = readdir(stream) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    unlink("\(directory)/\(name)")
  }
}
