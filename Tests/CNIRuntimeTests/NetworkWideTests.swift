import CNI
import CNIExecution
import CNIRuntime
import Glibc
import Testing

/// CHECK, GC, STATUS, VERSION and validation.
@Suite struct NetworkWideTests {
  let fixture: RuntimeFixture

  init() throws { fixture = try RuntimeFixture() }

  @Test func checkAsksEveryPluginWithTheFinalResult() throws {
    let runtime = fixture.runtime()
    let list = try fixture.three()
    _ = try runtime.add(list, c1)
    _ = fixture.calls.take()
    try runtime.check(list, c1)
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["first CHECK", "second CHECK", "third CHECK"])
    #expect(calls.allSatisfy { $0.configuration["prevResult"]?["ips"]?.array?.count == 3 })

    let failing = try fixture.list(
      #"{"type":"first"},{"type":"second","failAt":["CHECK"],"code":120},{"type":"third"}"#)
    let error = try #require(runtimeError { () throws(RuntimeError) in try runtime.check(failing, c1) })
    #expect(fixture.calls.texts() == ["first CHECK", "second CHECK"])
    #expect(error.code.rawValue == 120)
    #expect(error.description.contains("plugin \"second\" failed the CHECK of network \"podnet\""))
  }

  @Test func checkKnowsItsLimits() throws {
    let runtime = fixture.runtime()
    let old = try fixture.three(version: "0.3.1")
    let unsupported = runtimeError { () throws(RuntimeError) in try runtime.check(old, c1) }
    #expect(unsupported?.kind == .checkNotSupported)
    #expect(
      unsupported?.description.contains(
        "configuration version \"0.3.1\" does not support the CHECK command") == true)
    try runtime.check(fixture.three(more: #""disableCheck":true,"#), c1)
    #expect(fixture.calls.take().isEmpty)
    let list = try fixture.three()
    let never = runtimeError { () throws(RuntimeError) in try runtime.check(list, c1) }
    #expect(never?.kind == .cache)
    #expect(never?.description.contains("no result of an ADD is remembered") == true)
    fixture.write("{", "cache/results/podnet-c1-eth0")
    let broken = runtimeError { () throws(RuntimeError) in try runtime.check(list, c1) }
    #expect(broken?.description.contains(fixture.cacheFile) == true)
    #expect(fixture.calls.take().isEmpty)
  }

  @Test func garbageIsCollected() throws {
    let runtime = fixture.runtime()
    let list = try fixture.three()
    let containers = ["keep", "stale1", "stale2"]
    for container in containers {
      _ = try runtime.add(
        list, AttachmentParameters(containerID: container, namespace: "/n", interfaceName: "eth0"))
    }
    let other = try NetworkConfigurationList(
      bytes: Array(#"{"cniVersion":"1.1.0","name":"other","plugins":[{"type":"first"}]}"#.utf8))
    _ = try runtime.add(other, c1)
    fixture.write("broken", "cache/results/podnet-broken-eth0")
    _ = fixture.calls.take()
    let valid = [Attachment(containerID: "keep", interfaceName: "eth0")]
    let problems = try runtime.collectGarbage(list, validAttachments: valid)
    #expect(problems.count == 1)
    let calls = fixture.calls.take()
    #expect(
      calls.map { "\($0.text) \($0.request.containerID)" } == [
        "third DEL stale1", "second DEL stale1", "first DEL stale1", "third DEL stale2", "second DEL stale2",
        "first DEL stale2", "first GC ", "second GC ", "third GC ",
      ])
    for call in calls.suffix(3) {
      #expect(call.configuration["cni.dev/valid-attachments"] == [["containerID": "keep", "ifname": "eth0"]])
      #expect(call.configuration["cni.dev/attachments"] == [["containerID": "keep", "ifname": "eth0"]])
      #expect(call.configuration["prevResult"] == nil)
    }
    #expect(runtime.cachedAttachments().map(\.parameters.containerID) == ["c1", "keep"])
  }

  @Test func garbageCollectionGoesOn() throws {
    let runtime = fixture.runtime()
    let list = try fixture.list(
      #"{"type":"first","failAt":["GC"],"code":11},{"type":"second","failAt":["DEL"]},{"type":"third","failAt":["GC"]}"#
    )
    _ = try runtime.add(list, c1)
    _ = fixture.calls.take()
    let error = try #require(
      runtimeError { () throws(RuntimeError) in try runtime.collectGarbage(list, validAttachments: []) })
    #expect(
      fixture.calls.texts() == ["third DEL", "second DEL", "first DEL", "first GC", "second GC", "third GC"])
    #expect(error.failures.map { "\($0.plugin) \($0.command)" } == ["second del", "first gc", "third gc"])
    #expect(runtime.cachedAttachments().count == 1)
  }

  @Test func garbageIsNotCollectedWhereNothingIsKnown() throws {
    let runtime = fixture.runtime()
    let list = try fixture.three()
    // Instead of a directory.
    fixture.write("", "cache/results")
    let blind = runtimeError { () throws(RuntimeError) in
      try runtime.collectGarbage(list, validAttachments: [])
    }
    #expect(blind?.kind == .cache && blind?.description.contains(runtime.cache.resultsDirectory) == true)
    #expect(fixture.calls.texts().isEmpty)
    unlink(runtime.cache.resultsDirectory)

    _ = try runtime.add(list, c1)
    _ = fixture.calls.take()
    // Its first bytes cannot be read, whoever asks. One of another network's is nobody's concern here.
    for name in ["podnet-c2-eth0", "other-c2-eth0"] {
      #expect(symlink("/proc/self/mem", "\(runtime.cache.resultsDirectory)/\(name)") == 0)
    }
    let error = runtimeError { () throws(RuntimeError) in
      try runtime.collectGarbage(list, validAttachments: [])
    }
    #expect(error?.kind == .cache && error?.description.contains("podnet-c2-eth0") == true)
    #expect(error?.description.contains("other-c2-eth0") == false)
    #expect(fixture.calls.texts().count == 6)
    #expect(runtime.cachedAttachments().isEmpty)
  }

  @Test func garbageCollectionKnowsItsLimits() throws {
    let runtime = fixture.runtime()
    let old = try fixture.three(version: "1.0.0")
    _ = try runtime.add(old, c1)
    _ = fixture.calls.take()
    try runtime.collectGarbage(fixture.three(more: #""disableGC":true,"#), validAttachments: [])
    #expect(fixture.calls.take().isEmpty)
    try runtime.collectGarbage(old, validAttachments: [])
    #expect(fixture.calls.texts() == ["third DEL", "second DEL", "first DEL"])
  }

  @Test func garbageOfOlderVersionsIsCollectedByThoseWhoCan() throws {
    let runtime = fixture.runtime()
    fixture.script("old", #"echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'"#)
    let list = try fixture.list(#"{"type":"first"},{"type":"old"},{"type":"third"}"#, version: "0.4.0")
    try runtime.collectGarbage(
      list, validAttachments: [Attachment(containerID: "keep", interfaceName: "eth0")], olderVersions: true)
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["first VERSION", "first GC", "third VERSION", "third GC"])
    for call in calls where call.request.command == .gc {
      #expect(call.configuration["cniVersion"] == "1.1.0")
      #expect(call.configuration["cni.dev/valid-attachments"] == [["containerID": "keep", "ifname": "eth0"]])
    }
    // Which asks for nothing where the network's own version is that one.
    try runtime.collectGarbage(fixture.three(), validAttachments: [], olderVersions: true)
    #expect(fixture.calls.texts() == ["first GC", "second GC", "third GC"])
  }

  @Test func statusIsThatOfTheFirstWhoComplains() throws {
    let runtime = fixture.runtime()
    try runtime.status(fixture.three())
    #expect(fixture.calls.texts() == ["first STATUS", "second STATUS", "third STATUS"])
    let failing = try fixture.list(
      #"{"type":"first"},{"type":"second","failAt":["STATUS"],"code":51},{"type":"third","failAt":["STATUS"]}"#
    )
    let error = try #require(runtimeError { () throws(RuntimeError) in try runtime.status(failing) })
    #expect(error.code == .limitedConnectivity)
    #expect(error.plugin == "second")
    #expect(error.description.contains("plugin \"second\" failed the STATUS of network \"podnet\""))
    _ = fixture.calls.take()
    try runtime.status(fixture.three(version: "1.0.0"))
    #expect(fixture.calls.take().isEmpty)
  }

  @Test func validation() throws {
    let runtime = fixture.runtime()
    let list = try fixture.list(
      #"{"type":"first","capabilities":{"portMappings":true,"mac":false}},{"type":"second","capabilities":{"bandwidth":true,"portMappings":true}}"#
    )
    #expect(try runtime.validate(list) == ["bandwidth", "portMappings"])
    fixture.script("old", #"echo '{"cniVersion":"0.3.1","supportedVersions":["0.3.0","0.3.1"]}'"#)
    let broken = try fixture.list(#"{"type":"first"},{"type":"absent"},{"type":"old"}"#)
    let error = try #require(runtimeError { () throws(RuntimeError) in _ = try runtime.validate(broken) })
    #expect(error.description.contains("plugin \"old\" does not support version 1.1.0, but 0.3.0, 0.3.1"))
    #expect(error.description.contains("plugin \"absent\""))
  }

  @Test func versions() throws {
    let runtime = fixture.runtime()
    #expect(try runtime.versionInfo("first").supports(.v1_1_0))
    fixture.script("ancient", #"echo '{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'; exit 1"#)
    #expect(try runtime.versionInfo("ancient").supported == ["0.1.0"])
    fixture.script("two", #"echo '{"cniVersion":"0.2.0"}'"#)
    #expect(try runtime.versionInfo("two").supported == ["0.1.0", "0.2.0"])
    fixture.script(
      "picky", #"[ "$CNI_NETNS" = dummy ] && [ "$CNI_IFNAME" = dummy ] && [ "$CNI_PATH" = dummy ] && cat"#)
    #expect(throws: PluginFailure.self) { try runtime.versionInfo("picky") }
    fixture.script("silent", "exit 0")
    do {
      _ = try runtime.versionInfo("silent")
      Issue.record("a silent plugin has told its version")
    } catch {
      #expect(error.description.contains("plugin \"silent\""))
      #expect(error.description.contains("failed to tell its VERSION: its VERSION reply is not JSON"))
    }
  }
}
