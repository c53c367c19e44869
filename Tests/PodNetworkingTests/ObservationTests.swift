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
      let failures = try metrics.expectCounter(
        "cni_network_failures", [("command", "ADD"), ("network", "b"), ("cause", "plugin")])
      #expect(failures.totalValue == 1)
    }
  }
}
