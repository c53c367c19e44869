import CNI
import CNIExecution
import CNIRuntime
import Glibc
import Testing

@Suite struct AddTests {
  let fixture: RuntimeFixture

  init() throws { fixture = try RuntimeFixture() }

  @Test func passesResultsAlongTheChain() throws {
    let result = try fixture.runtime().add(fixture.three(), c1)
    #expect(result.ips.map { "\($0.address)" } == ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"])
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["first ADD", "second ADD", "third ADD"])
    #expect(calls[0].configuration["prevResult"] == nil)
    #expect(calls[1].configuration["prevResult"]?["ips"]?.array?.count == 1)
    #expect(calls[2].configuration["prevResult"]?["ips"]?.array?.count == 2)
    #expect(calls[2].configuration["prevResult"]?["cniVersion"]?.string == "1.1.0")
    #expect(calls[0].configuration["name"]?.string == "podnet")
    #expect(calls[0].configuration["cniVersion"]?.string == "1.1.0")
    #expect(calls[0].request.containerID == "c1")
    #expect(calls[0].request.namespace == "/run/netns/c1")
    #expect(calls[0].request.interfaceName == "eth0")
    #expect(calls[0].request.path == [fixture.path])
  }

  @Test func capabilitiesReachWhoDeclaredThem() throws {
    let list = try fixture.list(
      #"{"type":"first","capabilities":{"mac":true,"portMappings":false}},{"type":"second","runtimeConfig":{"x":1}}"#
    )
    var parameters = c1
    parameters.capabilityArguments = [
      "mac": "02:00:00:00:00:01", "portMappings": [["hostPort": 80]],
      "io.kubernetes.cri.pod-annotations": [:],
    ]
    parameters.arguments = try CNIArguments(parsing: "IgnoreUnknown=1;K8S_POD_NAME=p")
    var runtime = fixture.runtime()
    runtime.extraEnvironment = [("TRACEPARENT", "00-ab-cd-01")]
    _ = try runtime.add(list, parameters)
    let calls = fixture.calls.take()
    #expect(calls[0].configuration["runtimeConfig"] == ["mac": "02:00:00:00:00:01"])
    #expect(calls[1].configuration["runtimeConfig"] == ["x": 1])
    #expect(calls.allSatisfy { $0.request.arguments == "IgnoreUnknown=1;K8S_POD_NAME=p" })
    #expect(calls.allSatisfy { $0.request.extraEnvironment.first?.value == "00-ab-cd-01" })
  }

  @Test func failureIsUndone() throws {
    let list = try fixture.list(
      #"{"type":"first"},{"type":"second","failAt":["ADD"],"code":107},{"type":"third"}"#)
    let error = try #require(
      runtimeError { () throws(RuntimeError) in _ = try fixture.runtime().add(list, c1) })
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["first ADD", "second ADD", "second DEL", "first DEL"])
    // What is known of the result: that of the first plugin.
    #expect(calls[2].configuration["prevResult"]?["ips"]?.array?.count == 1)
    #expect(calls[3].configuration["prevResult"]?["ips"]?.array?.count == 1)
    #expect(error.kind == .pluginFailed)
    #expect(error.code.rawValue == 107)
    #expect(error.plugin == "second")
    #expect(error.undo == .done)
    #expect(error.undoProblems.isEmpty)
    let text = error.description
    #expect(text.contains("cannot attach container \"c1\" by \"eth0\" to network \"podnet\""))
    #expect(
      text.contains("plugin \"second\" failed to ADD to network \"podnet\": second cannot ADD (code 107)"))
    #expect(text.contains("what had been done was undone"))
    #expect(text.contains("(/etc/cni/net.d/10-podnet.conflist)"))
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func failureOfTheFirstIsUndoneWithoutResult() throws {
    let list = try fixture.three(#","failAt":["ADD"]"#)
    let error = runtimeError { () throws(RuntimeError) in _ = try fixture.runtime().add(list, c1) }
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["first ADD", "first DEL"])
    #expect(calls[1].configuration["prevResult"] == nil)
    #expect(error?.undo == .done)
  }

  @Test func failureToUndoIsToldAndRemembered() throws {
    let list = try fixture.list(
      #"{"type":"first","failAt":["DEL"]},{"type":"second","failAt":["ADD","DEL"]},{"type":"third"}"#)
    let error = try #require(
      runtimeError { () throws(RuntimeError) in _ = try fixture.runtime().add(list, c1) })
    #expect(fixture.calls.texts() == ["first ADD", "second ADD", "second DEL", "first DEL"])
    #expect(error.undoProblems.count == 2)
    #expect(
      error.description.contains("undoing it failed as well: plugin \"second\" failed to DEL from network"))
    #expect(error.description.contains("first cannot DEL"))
    // What is left can still be found and removed.
    let left = fixture.runtime().cachedAttachments()
    #expect(left.map(\.attachment) == [c1.attachment])
    #expect(left.first?.result == nil)
  }

  @Test func missingPluginIsNotAskedToUndo() throws {
    let list = try fixture.list(#"{"type":"first"},{"type":"absent"}"#)
    let error = try #require(
      runtimeError { () throws(RuntimeError) in _ = try fixture.runtime().add(list, c1) })
    #expect(fixture.calls.texts() == ["first ADD", "first DEL"])
    #expect(error.undoProblems.isEmpty)
    #expect(error.code == .invalidConfiguration)
    #expect(error.description.contains("plugin \"absent\" failed to ADD to network \"podnet\""))
    #expect(error.description.contains("there is no such plugin in \(fixture.path) nor in this executable"))
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func secondAddHarmsNothing() throws {
    let runtime = fixture.runtime()
    _ = try runtime.add(fixture.three(), c1)
    let before = fixture.read(fixture.cacheFile)
    _ = fixture.calls.take()
    let failing = try fixture.three(#","failAt":["ADD"]"#)
    let error = runtimeError { () throws(RuntimeError) in _ = try runtime.add(failing, c1) }
    #expect(fixture.calls.texts() == ["first ADD"])
    #expect(error?.undo == .leftEarlierAttachment)
    #expect(error?.description.contains("an earlier ADD has made was left as it is") == true)
    #expect(fixture.read(fixture.cacheFile) == before)
  }

  @Test func leftOverOfAnotherNamespaceIsNoAttachment() throws {
    let runtime = fixture.runtime()
    _ = try runtime.add(fixture.three(), c1)
    _ = fixture.calls.take()
    var anew = c1
    anew.namespace = "/run/netns/another"
    let failing = try fixture.three(#","failAt":["ADD"]"#)
    let error = runtimeError { () throws(RuntimeError) in _ = try runtime.add(failing, anew) }
    #expect(fixture.calls.texts() == ["first ADD", "first DEL"])
    #expect(error?.undo == .done)
  }

  @Test func attemptIsNoted() throws {
    // What a runtime that is killed during ADD leaves, seen from inside a plugin.
    fixture.script("spy", "cp '\(fixture.cacheFile)' '\(fixture.path)/seen'; echo '{}'")
    _ = try fixture.runtime().add(fixture.list(#"{"type":"spy"}"#), c1)
    let seen = try JSONValue.parse(#require(fixture.read("\(fixture.path)/seen")))
    #expect(seen["kind"]?.string == "cniCacheV1")
    #expect(seen["containerId"]?.string == "c1")
    #expect(seen["result"] == nil)
    #expect(fixture.cached?["result"] != nil)

    // The next one finds it and removes it, from the cache alone.
    fixture.write(seen.serialized(), "cache/results/podnet-c1-eth0")
    fixture.script("spy", "echo $CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME >> '\(fixture.path)/calls'")
    let runtime = fixture.runtime()
    let left = runtime.cachedAttachments()
    #expect(left.count == 1)
    try runtime.delete(left[0])
    #expect(fixture.read("\(fixture.path)/calls") == Array("DEL c1 eth0\n".utf8))
    #expect(runtime.cachedAttachments().isEmpty)
  }

  @Test func unwritableCacheStopsBeforeAnythingIsDone() throws {
    fixture.write("no directory", "cache")
    let list = try fixture.three()
    let error = try #require(
      runtimeError { () throws(RuntimeError) in _ = try fixture.runtime().add(list, c1) })
    #expect(error.kind == .cache)
    #expect(error.code == .ioFailure)
    #expect(error.description.contains("the cache directory \(fixture.path)/cache has to be writable"))
    #expect(fixture.calls.take().isEmpty)
  }

  @Test(arguments: [
    ("", "eth0"), ("../c1", "eth0"), ("c1", ""), ("c1", "a/b"), ("c1", ".."), ("c1", "sixteen-bytes-xx"),
    ("c1", "a b"),
  ])
  func hostileNamesAreRefused(_ containerID: String, _ interfaceName: String) throws {
    let parameters = AttachmentParameters(
      containerID: containerID, namespace: "/run/netns/c1", interfaceName: interfaceName)
    let list = try fixture.three()
    let added = runtimeError { () throws(RuntimeError) in _ = try fixture.runtime().add(list, parameters) }
    let deleted = runtimeError { () throws(RuntimeError) in try fixture.runtime().delete(list, parameters) }
    let checked = runtimeError { () throws(RuntimeError) in try fixture.runtime().check(list, parameters) }
    for error in [added, deleted, checked] {
      #expect(error?.code == .invalidEnvironment)
      #expect(error?.kind == .invalidParameter)
    }
    #expect(fixture.calls.take().isEmpty)
  }

  @Test func limitsEndItAndAreNotThoseOfTheUndo() throws {
    fixture.script("slow", "[ $CNI_COMMAND = ADD ] && sleep 20; echo $CNI_COMMAND >> '\(fixture.path)/calls'")
    let list = try fixture.list(#"{"type":"first"},{"type":"slow"}"#)
    let limits = ExecutionLimits(timeout: .milliseconds(300), gracePeriod: .milliseconds(300))
    let error = try #require(
      runtimeError { () throws(RuntimeError) in _ = try fixture.runtime().add(list, c1, limits: limits) })
    #expect(
      error.description.contains("it did not finish in time and was stopped; killed by signal 15 (SIGTERM)"))
    #expect(error.undo == .done && error.undoProblems.isEmpty)
    #expect(fixture.read("\(fixture.path)/calls") == Array("DEL\n".utf8))
    #expect(fixture.calls.texts() == ["first ADD", "first DEL"])
  }

  @Test func calledOffInTheMiddle() throws {
    let cancellation = Cancellation()
    var runtime = fixture.runtime(limits: .init(cancellation: cancellation))
    runtime.runner.observer = { type, request in
      if type == "second" { cancellation.cancel() }
      return nil
    }
    let list = try fixture.three()
    let error = try #require(runtimeError { () throws(RuntimeError) in _ = try runtime.add(list, c1) })
    guard case .cancelled = error.failures.first?.cause else { throw error }
    // The second plugin was not even started; asking it for DEL does no harm.
    #expect(fixture.calls.texts() == ["first ADD", "second DEL", "first DEL"])
    #expect(!fixture.exists(fixture.cacheFile))
  }

  @Test func singlePlugin() throws {
    let plugin = try PluginConfiguration(
      bytes: Array(#"{"cniVersion":"0.4.0","name":"podnet","type":"first"}"#.utf8))
    let runtime = fixture.runtime()
    let result = try runtime.add(plugin, c1)
    #expect(result.ips.count == 1)
    // In the version of the configuration, where addresses have a family.
    #expect(fixture.cached?["result"]?["cniVersion"]?.string == "0.4.0")
    #expect(fixture.cached?["result"]?["ips"]?.array?.first?["version"]?.string == "4")
    try runtime.check(plugin, c1)
    try runtime.delete(plugin, c1)
    let calls = fixture.calls.take()
    #expect(calls.map(\.text) == ["first ADD", "first CHECK", "first DEL"])
    #expect(calls[2].configuration["prevResult"]?["cniVersion"]?.string == "0.4.0")
  }
}
