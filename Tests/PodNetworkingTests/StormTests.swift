import CNIExecution
import Glibc
import LinuxNetworking
import PodNetworking
import TestSupport
import Testing

/// Many pods at once, and what one costs.
@Suite("A storm of pods", .requiresRoot, .serialized)
struct StormTests {
  private static func now() -> Double {
    Double(Deadline.now.nanoseconds) / 1e6
  }

  /// Sets `count` pods up and tears them down, all at the same time, on two networks.
  private func storm(_ count: Int, throughProcesses: Bool) async throws {
    try await PodHost.run { host in
      if throughProcesses { try host.installPlugins(["bridge", "host-local"]) }
      try host.put(
        host.bridge(
          "one", bridge: "br-one", subnet: "10.40.0.0/16", keys: #""isGateway":true,"ipMasq":true,"#),
        "1.conflist")
      try host.put(host.bridge("two", bridge: "br-two", subnet: "10.41.0.0/16"), "2.conflist")
      let networking = host.networking()
      let pods = (0..<count).map {
        host.pod("p\($0)", [NetworkSelection("one"), NetworkSelection("two", interfaceName: "net1")])
      }
      for pod in pods { _ = try NetworkNamespace.create(named: pod.name) }
      let begin = Self.now()
      let attachments = try waitFor {
        try await withThrowingTaskGroup(of: [PodAttachment].self) { group in
          for pod in pods { group.addTask { try await networking.setUp(pod) } }
          var all: [PodAttachment] = []
          for try await some in group { all += some }
          return all
        }
      }
      let middle = Self.now()
      #expect(attachments.count == 2 * count)
      #expect(Set(attachments.flatMap(\.addresses)).count == 2 * count)
      #expect(try host.links() == 2 * count)
      #expect(host.remembered.count == 2 * count)
      // A sample of what the kernel says to it.
      for pod in pods.prefix(3) {
        #expect(try waitFor { try await networking.status(of: pod) }.count == 2)
      }
      let then = Self.now()
      try waitFor {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for pod in pods { group.addTask { try await networking.tearDown(pod) } }
          try await group.waitForAll()
        }
      }
      let end = Self.now()
      #expect(try host.links() == 0 && host.leases().isEmpty && host.remembered.isEmpty)
      #expect(try shell("nft list ruleset | grep -c id-of- || true") == "0\n")
      try waitFor { await networking.shutDown() }
      func perPod(_ milliseconds: Double) -> String { "\(Int(milliseconds * 1000) / count) µs" }
      print(
        """
        pods on two networks, \(count) at once, \(throughProcesses ? "through processes" : "in-process"): \
        set-up \(perPod(middle - begin)), tear-down \(perPod(end - then)) of wall time per pod
        """)
      for pod in pods { try NetworkNamespace.delete(named: pod.name) }
    }
  }

  @Test func inProcess() async throws { try await storm(300, throughProcesses: false) }

  @Test(.enabled(if: builtExecutable != nil, "the executable is not built"))
  func throughProcesses() async throws { try await storm(300, throughProcesses: true) }
}
