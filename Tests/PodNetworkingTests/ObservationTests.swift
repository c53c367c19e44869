import InMemoryTracing
import Metrics
import MetricsTestKit
import PodNetworking
import TestSupport
import Testing
import Tracing

@Suite("What is seen of pods", .requiresRoot)
struct ObservationTests {
  @Test func aSpanAndADurationForEachNetworkAndPlugin() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      try host.put(host.failing("b"), "b.conflist")
      let networking = host.networking()
      let pod = try host.makePod("web", [NetworkSelection("a"), NetworkSelection("b")])
      let tracer = InMemoryTracer()
      let metrics = TestMetrics()
      try waitFor {
        await withTracer(tracer) {
          await withMetricsFactory(metrics) { _ = try? await networking.setUp(pod) }
        }
      }
      // What takes back is seen as well.
      #expect(
        tracer.finishedSpans.map(\.operationName) == [
          "CNI ADD noop", "CNI ADD a", "CNI ADD noop", "CNI DEL noop", "CNI ADD b", "CNI DEL noop",
          "CNI DEL a",
        ])
      for (command, network) in [("ADD", "a"), ("ADD", "b"), ("DEL", "a")] {
        let timer = try metrics.expectTimer(
          "cni_network_duration", [("command", command), ("network", network)])
        #expect(timer.values.count == 1)
      }
      for (command, network, count) in [("ADD", "a", 1), ("ADD", "b", 1), ("DEL", "b", 1), ("DEL", "a", 1)] {
        let timer = try metrics.expectTimer(
          "cni_plugin_duration", [("plugin", "noop"), ("command", command), ("network", network)])
        #expect(timer.values.count == count && timer.values.allSatisfy { $0 > 0 })
      }
      let failures = try metrics.expectCounter(
        "cni_network_failures", [("command", "ADD"), ("network", "b"), ("cause", "plugin")])
      #expect(failures.totalValue == 1)
      let plugin = try metrics.expectCounter(
        "cni_plugin_failures",
        [("plugin", "noop"), ("command", "ADD"), ("network", "b"), ("cause", "error")])
      #expect(plugin.totalValue == 1)
    }
  }
}
