import CNI
import CNIExecution
import CNIRuntime
import CoreMetrics
import MetricsTestKit
import Testing
import Tracing

@Suite struct ObservationTests {
  private let fixture: RuntimeFixture
  private let tracer = RecordingTracer()
  private let metrics = TestMetrics()

  init() throws { fixture = try RuntimeFixture() }

  @Test func aSpanPerNetworkAndPlugin() async throws {
    fixture.script(
      "script",
      """
      echo "$CNI_COMMAND $TRACEPARENT $TRACESTATE" >>"$(dirname "$0")/calls"
      if [ "$CNI_COMMAND" = ADD ]; then echo '{"cniVersion":"1.1.0"}'; fi
      """)
    let list = try fixture.list("outer", "script")
    try await withTracer(tracer) {
      try await withSpan("pod") { _ in _ = try await fixture.runtime().add(list, c1) }
    }
    let spans = tracer.ended.withLock { $0 }
    #expect(
      spans.map(\.name) == [
        "CNI ADD inner", "CNI ADD outer", "CNI ADD script", "CNI ADD podnet", "pod",
      ])
    func span(_ name: String) throws -> RecordingTracer.Ended {
      try #require(spans.first { $0.name == name })
    }
    let network = try span("CNI ADD podnet")
    let outer = try span("CNI ADD outer")
    let inner = try span("CNI ADD inner")
    #expect(network.parent == (try span("pod").id))
    #expect(outer.parent == network.id)
    // Continued inside: what a plugin in this process delegates to is below it.
    #expect(inner.parent == outer.id)
    let script = try span("CNI ADD script")
    #expect(script.parent == network.id)
    #expect(spans.allSatisfy { !$0.failed })

    #expect(
      network.attributes == [
        "cni.command": "ADD", "cni.network": "podnet", "cni.container": "c1", "cni.interface": "eth0",
        "cni.netns": "/run/netns/c1",
      ])
    #expect(
      inner.attributes == ["cni.command": "ADD", "cni.network": "podnet", "cni.plugin": "inner"])

    let calls = fixture.calls.withLock { $0 }
    #expect(calls.map(\.span) == [outer.id, inner.id])
    let trace = String(repeating: "a", count: 32)
    #expect(calls.map(\.traceParent) == ["00-\(trace)-\(outer.id)-01", "00-\(trace)-\(inner.id)-01"])
    #expect(fixture.lines("calls") == ["ADD 00-\(trace)-\(script.id)-01 vendor=x"])
  }

  @Test func failuresAreMarked() async throws {
    let list = try fixture.list("inner", "refuser")
    _ = await withTracer(tracer) {
      await #expect(throws: RuntimeError.self) { try await fixture.runtime().add(list, c1) }
    }
    let spans = tracer.ended.withLock { $0 }
    #expect(
      spans.map { "\($0.name)\($0.failed ? " failed" : "")" } == [
        "CNI ADD inner", "CNI ADD refuser failed", "CNI DEL refuser", "CNI DEL inner",
        "CNI ADD podnet failed",
      ])
  }

  @Test func durationsAndFailuresByPluginCommandAndNetwork() async throws {
    let list = try fixture.list("outer", "refuser")
    await withMetricsFactory(metrics) {
      let runtime = fixture.runtime()
      await #expect(throws: RuntimeError.self) { try await runtime.add(list, c1) }
      await #expect(throws: RuntimeError.self) { try await runtime.status(list) }
    }
    func dimensions(_ plugin: String, _ command: String) -> [(String, String)] {
      [("plugin", plugin), ("command", command), ("network", "podnet")]
    }
    for (plugin, command, count) in [
      ("outer", "ADD", 1), ("inner", "ADD", 1), ("refuser", "ADD", 1), ("refuser", "DEL", 1),
      ("outer", "DEL", 1),
      ("inner", "DEL", 1), ("outer", "STATUS", 1), ("refuser", "STATUS", 1),
    ] {
      let timer = try metrics.expectTimer("cni_plugin_duration", dimensions(plugin, command))
      #expect(timer.values.count == count, "\(plugin) \(command)")
      #expect(timer.values.allSatisfy { $0 > 0 })
    }
    for command in ["ADD", "STATUS"] {
      let failures = try metrics.expectCounter(
        "cni_plugin_failures", dimensions("refuser", command) + [("cause", "error")])
      #expect(failures.totalValue == 1)
      let network = [("command", command), ("network", "podnet")]
      #expect(try metrics.expectTimer("cni_network_duration", network).values.count == 1)
      #expect(
        try metrics.expectCounter("cni_network_failures", network + [("cause", "plugin")]).totalValue == 1)
    }
    #expect(throws: (any Error).self) {
      try metrics.expectCounter("cni_plugin_failures", dimensions("outer", "ADD") + [("cause", "error")])
    }
  }

  @Test func withoutATracerNothingIsHandedOver() async throws {
    _ = try await fixture.runtime().add(fixture.list("outer"), c1)
    #expect(fixture.calls.withLock { $0 }.allSatisfy { $0.traceParent == nil })
  }
}
