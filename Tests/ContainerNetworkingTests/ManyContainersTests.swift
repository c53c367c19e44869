import ContainerNetworking
import Glibc
import ReferencePlugins
import TestSupport
import Testing

/// Hundreds of containers at once, and managers that are killed.
@Suite(.requiresRoot, .serialized) struct ManyContainersTests {
  /// 300 at once on two networks: no error, nothing left.
  @Test func threeHundredAtOnce() async throws {
    var lines: [String] = []
    for asProcesses in [false, true] {
      lines += try await Host.run { host in
        host.configureTwoNetworks()
        if asProcesses { try host.fixture.install("bridge", "host-local", "portmap", "ptp") }
        let names = (0..<300).map { "c\($0)" }
        try host.makeContainers(names)
        let networking = try host.networking(embedded: asProcesses ? .none : ReferencePlugins.all)
        let (up, down) = try waitFor {
          try await networking.load(.allConfigurations)
          let addresses = try await withThrowingTaskGroup(of: [String].self) { group in
            let start = ContinuousClock.now
            for name in names {
              group.addTask {
                let result = try await networking.setUp(name, namespace: "/run/netns/\(name)")
                return ["eth0", "eth1"].flatMap { result.interfaces[$0]?.addresses.map(\.description) ?? [] }
              }
            }
            let all = try await group.reduce(into: []) { $0 += $1 }
            return (all, ContinuousClock.now - start)
          }
          #expect(addresses.0.count == 600)
          #expect(Set(addresses.0).count == 600)
          let start = ContinuousClock.now
          try await withThrowingTaskGroup(of: Void.self) { group in
            for name in names { group.addTask { try await networking.remove(name) } }
            try await group.waitForAll()
          }
          return (addresses.1, ContinuousClock.now - start)
        }
        #expect(try host.leftovers(names) == [])
        return [
          "\(asProcesses ? "plugin processes" : "in this process"): per container set up in \(up / names.count), "
            + "removed in \(down / names.count)"
        ]
      }
    }
    print("300 containers on two networks at once\n  " + lines.joined(separator: "\n  "))
  }

  /// Killed at any moment; a new manager removes everything from the cache, which is all that it knows.
  @Test(arguments: [false, true]) func killedAtAnyMoment(asProcesses: Bool) async throws {
    let manager = try #require(
      builtExecutable.map { $0.dropLast("cni".count) + "ContainerManager" }, "ContainerManager is not built")
    try await Host.run { host in
      host.configureTwoNetworks()
      if asProcesses { try host.fixture.install("bridge", "host-local", "portmap", "ptp") }
      let names = (0..<4).map { "c\($0)" }
      try host.makeContainers(names)
      // How often an ADD was under way, which shows in an entry without a result.
      var interrupted = 0
      var rounds = 0
      while rounds < 25 || (interrupted < 5 && rounds < 100) {
        rounds += 1
        let process = try ChildProcess(
          [
            String(manager), host.fixture.configurations, host.fixture.cache,
            asProcesses ? host.fixture.plugins : "-",
          ] + names)
        try process.waitForOutput("ready", timeout: 60)
        usleep(UInt32.random(in: 0..<(asProcesses ? 600_000 : 150_000)))
        process.send(signal: 9)
        #expect(try process.wait().exitStatus == -9)
        let successor = try host.networking(embedded: asProcesses ? .none : ReferencePlugins.all)
        let wasInterrupted = try waitFor {
          let known = try await successor.attachments()
          for id in Set(known.map(\.parameters.containerID)) { try await successor.remove(id) }
          return known.contains { $0.result == nil }
        }
        if wasInterrupted { interrupted += 1 }
        let left = try host.leftovers(names)
        #expect(left == [])
      }
      #expect(interrupted >= 5)
    }
  }
}
