import CNI
import CNIExecution
import CNIRuntime
import Glibc
import Testing

@Suite struct DeleteTests {
  let fixture: RuntimeFixture

  init() throws { fixture = try RuntimeFixture() }

  @Test func goesBackwardsWithTheFinalResult() throws {
    let runtime = fixture.runtime()
    let list = try fixture.three()
    _ = try runtime.add(list, c1)
    _ = fixture.calls.take()
    #expect(try runtime.delete(list, c1).isEmpty)
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["third DEL", "second DEL", "first DEL"])
    #expect(calls.allSatisfy { $0.configuration["prevResult"]?["ips"]?.array?.count == 3 })
    #expect(!fixture.exists(fixture.cacheFile))
    // Again and again.
    try runtime.delete(list, c1)
    #expect(fixture.calls.take().allSatisfy { $0.configuration["prevResult"] == nil })
  }

  @Test func neverStopsHalfWay() throws {
    let runtime = fixture.runtime()
    _ = try runtime.add(fixture.three(), c1)
    _ = fixture.calls.take()
    let failing = try fixture.list(
      #"{"type":"first","failAt":["DEL"],"code":11},{"type":"absent"},{"type":"third","failAt":["DEL"],"code":5}"#
    )
    let error = try #require(runtimeError { () throws(RuntimeError) in try runtime.delete(failing, c1) })
    // First the one that the list has no more.
    #expect(fixture.calls.texts() == ["second DEL", "third DEL", "first DEL"])
    #expect(error.failures.map(\.plugin) == ["third", "absent", "first"])
    #expect(error.code.rawValue == 5)
    for part in [
      "third cannot DEL", "plugin \"absent\"", "first cannot DEL", "cannot detach container \"c1\"",
    ] {
      #expect(error.description.contains(part))
    }
    // It can be tried again, with the result still there.
    try runtime.delete(fixture.three(), c1)
    #expect(fixture.calls.take().allSatisfy { $0.configuration["prevResult"] != nil })
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func pluginsThatTheListHadAtADDAreAskedToo() throws {
    let runtime = fixture.runtime()
    _ = try runtime.add(fixture.three(), c1)
    _ = fixture.calls.take()
    // Those that it has no more, with the configuration and the result that they had; one that is nowhere any more is told.
    let two = try fixture.list(#"{"type":"first"}"#)
    #expect(try runtime.delete(two, c1).isEmpty)
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["third DEL", "second DEL", "first DEL"])
    #expect(calls.allSatisfy { $0.configuration["prevResult"]?["ips"]?.array?.count == 3 })
    #expect(!fixture.exists(fixture.cacheFile))
    try runtime.delete(two, c1)
    #expect(fixture.calls.texts() == ["first DEL"])
  }

  @Test func oldVersionsGetNoResult() throws {
    let runtime = fixture.runtime()
    let list = try fixture.three(version: "0.3.1")
    _ = try runtime.add(list, c1)
    _ = fixture.calls.take()
    try runtime.delete(list, c1)
    #expect(fixture.calls.take().allSatisfy { $0.configuration["prevResult"] == nil })
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test(arguments: [
    "", "{\"kind\":\"cniCacheV1\",\"contai", "not json", "[]", "{\"kind\":\"cniCacheV9\"}", "\0\0\0\0",
  ])
  func unreadableEntryStopsNobody(_ content: String) throws {
    fixture.write(content, "cache/results/podnet-c1-eth0")
    let runtime = fixture.runtime()
    let problems = try runtime.delete(fixture.three(), c1)
    #expect(fixture.calls.texts() == ["third DEL", "second DEL", "first DEL"])
    #expect(problems.count == 1)
    #expect(problems.first?.description.contains(fixture.cacheFile) == true)
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func unusableResultStopsNobody() throws {
    fixture.write(
      #"{"kind":"cniCacheV1","containerId":"c1","ifName":"eth0","networkName":"podnet","result":{"cniVersion":"7.0.0"}}"#,
      "cache/results/podnet-c1-eth0")
    #expect(try fixture.runtime().delete(fixture.three(), c1).count == 1)
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func unreadableFileSystemStopsNobody() throws {
    fixture.write("no directory", "cache")
    try fixture.runtime().delete(fixture.three(), c1)
    #expect(fixture.calls.texts().count == 3)
  }

  @Test func worksFromTheCacheAlone() throws {
    let runtime = fixture.runtime()
    var parameters = c1
    parameters.arguments = try CNIArguments(parsing: "IgnoreUnknown=1;A=b")
    parameters.capabilityArguments = ["mac": "02:00:00:00:00:01"]
    _ = try runtime.add(
      fixture.list(#"{"type":"first","capabilities":{"mac":true}},{"type":"second"}"#), parameters)
    _ = fixture.calls.take()
    let entry = try #require(runtime.cachedAttachments(containerID: "c1").first)
    try runtime.delete(entry)
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["second DEL", "first DEL"])
    #expect(calls[1].configuration["runtimeConfig"] == ["mac": "02:00:00:00:00:01"])
    #expect(calls[1].request.arguments == "IgnoreUnknown=1;A=b")
    #expect(calls[1].request.namespace == "/run/netns/c1")
    #expect(calls[1].configuration["prevResult"] != nil)
    #expect(runtime.cachedAttachments().isEmpty)
  }

  @Test func entryOfAnotherAttachmentIsLeftAlone() throws {
    // "podnet" + "c1-x" + "eth0" and "podnet-c1" + "x" + "eth0" share a file.
    let runtime = fixture.runtime()
    _ = try runtime.add(
      fixture.three(), AttachmentParameters(containerID: "c1-x", namespace: "", interfaceName: "eth0"))
    let other = try NetworkConfigurationList(
      bytes: Array(#"{"cniVersion":"1.0.0","name":"podnet-c1","plugins":[{"type":"first"}]}"#.utf8))
    _ = fixture.calls.take()
    let problems = try runtime.delete(
      other, AttachmentParameters(containerID: "x", namespace: "", interfaceName: "eth0"))
    #expect(problems.first?.reason.contains("belongs to network \"podnet\"") == true)
    #expect(fixture.calls.take().allSatisfy { $0.configuration["prevResult"] == nil })
    #expect(runtime.cachedAttachments().count == 1)
  }
}
