import CNI
import CNIExecution
import CNIRuntime
import Glibc
import ReferencePlugins
import Synchronization
import TestSupport
import Testing

@testable import PodNetworking

/// Who is inside plugins at the same time, and in which order they came.
private final class Meeting: Sendable {
  private struct State {
    var inside: [String: Int] = [:]
    var most: [String: Int] = [:]
    var mostAtOnce = 0
    var events: [String] = []
    var isOpen = false
  }
  private let state = Mutex(State())

  /// Calls that have come in.
  var events: [String] { state.withLock { $0.events } }
  /// The most calls at a time about one container.
  var most: Int { state.withLock { $0.most.values.max() ?? 0 } }
  /// The most calls at a time at all.
  var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }
  /// Lets those who are inside go, and all who come.
  func open() { state.withLock { $0.isOpen = true } }

  /// A plugin that keeps these commands inside until the meeting is open, or until `count` are inside.
  func plugin(until count: Int = .max, keeping commands: Set<Command> = [.add]) -> EmbeddedPlugins {
    EmbeddedPlugins([
      EmbeddedPlugin(type: "meet") { [self] request, environment in
        if request.command == .version {
          return PluginReply(standardOutput: VersionInfo().encode().serialized())
        }
        let key = request.containerID
        state.withLock { state in
          state.events.append("\(request.command.rawValue) \(key)")
          state.inside[key, default: 0] += 1
          state.most[key] = max(state.most[key] ?? 0, state.inside[key]!)
          let all = state.inside.values.reduce(0, +)
          state.mostAtOnce = max(state.mostAtOnce, all)
          if all >= count { state.isOpen = true }
        }
        if commands.contains(request.command) {
          for _ in 0..<12_000 {
            let isOver = state.withLock { $0.isOpen } || environment.limits.cancellation?.isCancelled == true
            if isOver { break }
            usleep(5000)
          }
          // Who calls it off is to notice before an answer comes: one that is there counts.
          if environment.limits.cancellation?.isCancelled == true {
            usleep(500_000)
          }
        } else {
          usleep(2000)
        }
        state.withLock { $0.inside[key]! -= 1 }
        guard request.command == .add else { return PluginReply() }
        return PluginReply(
          standardOutput: Array(#"{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.1/24"}]}"#.utf8))
      }
    ])
  }
}

@Suite("Pods at the same time", .requiresRoot)
struct ConcurrencyTests {
  private let network = #"{"cniVersion":"1.1.0","name":"a","plugins":[{"type":"meet"}]}"#

  /// Waits until it is so: for a minute, since other tests may have all threads for themselves.
  private func wait(sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool) {
    for _ in 0..<12_000 where !condition() { usleep(5000) }
    #expect(condition(), sourceLocation: sourceLocation)
  }

  @Test func podsAreWorkedOnInParallel() async throws {
    try await PodHost.run { host in
      let meeting = Meeting()
      try host.put(network, "a.conflist")
      let networking = host.networking { $0.embedded = meeting.plugin(until: 8) }
      let pods = try (0..<8).map { try host.makePod("p\($0)") }
      // None ends before all have begun.
      try waitFor {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for pod in pods { group.addTask { _ = try await networking.setUp(pod) } }
          try await group.waitForAll()
        }
      }
      #expect(meeting.mostAtOnce == 8)
    }
  }

  @Test func onePodIsWorkedOnOnceAtATime() async throws {
    try await PodHost.run { host in
      let meeting = Meeting()
      try host.put(network, "a.conflist")
      let networking = host.networking { $0.embedded = meeting.plugin() }
      let pod = try host.makePod()
      // A sandbox that replaces the other one: of the same pod, by another ID.
      var next = pod
      next.id = "id-of-next"
      let tasks = [
        Task { _ = try await networking.setUp(pod) }
      ]
      wait { meeting.events.count == 1 }
      let later = [pod, next].map { pod in
        Task {
          for _ in 0..<5 {
            _ = try await networking.setUp(pod)
            _ = try await networking.status(of: pod)
            try await networking.tearDown(pod)
          }
        }
      }
      wait { networking.pods.waiting == 2 }
      #expect(meeting.events == ["ADD id-of-web"])
      meeting.open()
      try waitFor { for task in tasks + later { try await task.value } }
      #expect(meeting.mostAtOnce == 1 && meeting.events.count == 31)
    }
  }

  @Test func garbageCollectionExcludesAllPods() async throws {
    try await PodHost.run { host in
      let meeting = Meeting()
      try host.put(network, "a.conflist")
      let networking = host.networking { $0.embedded = meeting.plugin() }
      let pods = try (0..<3).map { try host.makePod("p\($0)") }
      let first = Task { _ = try await networking.setUp(pods[0]) }
      wait { meeting.events.count == 1 }
      let garbage = Task { try await networking.collectGarbage(keeping: pods) }
      wait { networking.pods.waiting == 1 }
      // Behind it in the queue, though about another pod.
      let second = Task { _ = try await networking.setUp(pods[1]) }
      wait { networking.pods.waiting == 2 }
      #expect(meeting.events == ["ADD id-of-p0"])
      meeting.open()
      try waitFor { for task in [first, garbage, second] { try await task.value } }
      #expect(meeting.events == ["ADD id-of-p0", "GC ", "ADD id-of-p1"])
      #expect(meeting.mostAtOnce == 1)
    }
  }

  @Test func whoWaitsCanGiveUp() async throws {
    try await PodHost.run { host in
      let meeting = Meeting()
      try host.put(network, "a.conflist")
      let networking = host.networking { $0.embedded = meeting.plugin() }
      let pod = try host.makePod()
      let first = Task { _ = try await networking.setUp(pod) }
      wait { meeting.events.count == 1 }
      #expect(
        try podError { try await networking.tearDown(pod, within: .milliseconds(30)) }.kind == .timedOut)
      let error = try podError {
        let waiting = Task { try await networking.collectGarbage(keeping: []) }
        try await Task.sleep(for: .milliseconds(20))
        waiting.cancel()
        try await waiting.value
      }
      #expect(error.kind == .cancelled)
      meeting.open()
      try waitFor { try await first.value }
      #expect(meeting.events == ["ADD id-of-web"])
    }
  }

  /// Whoever knows but the ID means the same pod.
  @Test func byNameAndByID() async throws {
    try await PodHost.run { host in
      let meeting = Meeting()
      try host.put(network, "a.conflist")
      let networking = host.networking { $0.embedded = meeting.plugin() }
      let pod = try host.makePod()
      let nameless = Pod(id: pod.id, name: "", namespace: "")
      let first = Task { _ = try await networking.setUp(pod) }
      wait { meeting.events.count == 1 }
      let second = Task { try await networking.tearDown(nameless) }
      wait { networking.sandboxes.waiting == 1 }
      let late = try podError { try await networking.tearDown(nameless, within: .milliseconds(20)) }
      #expect(late.kind == .timedOut)
      #expect(meeting.events == ["ADD id-of-web"])
      // All of them before, and all after: nobody waits for one who waits for him.
      let garbage = Task { try await networking.collectGarbage(keeping: []) }
      wait { networking.pods.waiting == 1 }
      let third = Task { _ = try await networking.setUp(pod) }
      let fourth = Task { try await networking.tearDown(nameless) }
      wait { networking.pods.waiting == 3 }
      meeting.open()
      try waitFor { for task in [first, second, garbage, third, fourth] { try await task.value } }
      #expect(meeting.most == 1 && meeting.events.prefix(3) == ["ADD id-of-web", "DEL id-of-web", "GC "])
    }
  }

  @Test func shutDownWaitsForWhatRuns() async throws {
    try await PodHost.run { host in
      let meeting = Meeting()
      try host.put(network, "a.conflist")
      let networking = host.networking { $0.embedded = meeting.plugin(keeping: [.add, .status]) }
      let pod = try host.makePod()
      let first = Task { _ = try await networking.setUp(pod) }
      let question = Task { try await networking.requireReady() }
      wait { meeting.events.count == 2 }
      let flag = Flag()
      let end = Task {
        await networking.shutDown()
        flag.set()
      }
      wait { networking.pods.waiting == 1 }
      #expect(!flag.isSet)
      for body: @Sendable () async throws -> Void in [
        { try await networking.requireReady() }, { _ = try await networking.defaultNetwork() },
      ] { #expect(try podError(body).kind == .shutDown) }
      // Of those that it waits for one is left.
      first.cancel()
      wait { networking.inquiries.waiting == 1 }
      #expect(!flag.isSet)
      meeting.open()
      try waitFor {
        try await question.value
        await end.value
      }
      let cancelled = try podError { try await first.value }
      #expect(cancelled.kind == .cancelled)
      for body: @Sendable () async throws -> Void in [
        { _ = try await networking.setUp(pod) }, { try await networking.tearDown(pod) },
        { try await networking.collectGarbage(keeping: []) },
      ] { #expect(try podError(body).kind == .shutDown) }
      try waitFor {
        await networking.shutDown()
        for await _ in networking.configurationChanges {}
      }
    }
  }

  @Test func shutDownLeavesWhatIsAttached() async throws {
    try await PodHost.run { host in
      try host.put(host.noop("a"), "a.conflist")
      let networking = host.networking()
      let pod = try host.makePod()
      try waitFor {
        _ = try await networking.setUp(pod)
        await networking.shutDown()
      }
      #expect(host.remembered == ["a-id-of-web-eth0"])
    }
  }

  /// Plugins that would never end are called off.
  @Test func shutDownHasItsTime() async throws {
    try await PodHost.run { host in
      let meeting = Meeting()
      try host.put(network, "a.conflist")
      let networking = host.networking { $0.embedded = meeting.plugin(keeping: [.add, .status]) }
      let pods = try (0..<2).map { try host.makePod("p\($0)") }
      let tasks =
        pods.map { pod in Task { _ = try await networking.setUp(pod) } } + [
          Task { try await networking.requireReady() }
        ]
      // One more that waits for its turn.
      wait { meeting.events.count == 3 }
      let waiting = Task { try await networking.tearDown(pods[0]) }
      wait { networking.pods.waiting == 1 }
      try waitFor { await networking.shutDown(within: .milliseconds(50)) }
      for task in tasks { #expect(try podError { try await task.value }.kind == .cancelled) }
      #expect(try podError { try await waiting.value }.kind == .shutDown)
      #expect(host.remembered.isEmpty)
    }
  }

  private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .sequentiallyConsistent) }
    func set() { value.store(true, ordering: .sequentiallyConsistent) }
  }

  // MARK: - The configuration directory

  @Test func configurationsAreWatched() async throws {
    try await PodHost.run { host in
      let networking = host.networking()
      let names = Names()
      // From here on none is missed, whenever somebody asks for it.
      let changes = networking.configurationChanges.makeAsyncIterator()
      let seen = Task {
        var changes = changes
        while let change = await changes.next() {
          names.note(
            change.added.map { "+\($0)" } + change.changed.map { "*\($0)" } + change.removed.map { "-\($0)" })
        }
      }
      func expect(_ names: [String]) {
        wait { networking.configurations.contents.networks.map(\.name) == names }
      }
      try host.put(host.noop("a"), "10-a.conflist")
      expect(["a"])
      wait { names.all == ["+a"] }
      try shell("mv \(host.configurations) \(host.directory)/away; mkdir \(host.configurations)")
      expect([])
      wait { names.all == ["+a", "-a"] }
      try host.put(host.noop("b"), "10-b.conflist")
      expect(["b"])
      try waitFor {
        await networking.shutDown()
        await seen.value
      }
      #expect(names.all == ["+a", "-a", "+b"])
    }
  }

  private final class Names: Sendable {
    private let names = Mutex<[String]>([])
    var all: [String] { names.withLock { $0 } }
    func note(_ some: [String]) { names.withLock { $0 += some } }
  }

  @Test func orReadOnUse() async throws {
    try await PodHost.run { host in
      let networking = host.networking { $0.configurationMode = .onUse }
      let pod = try host.makePod()
      for name in ["a", "b", "a"] {
        try host.put(host.noop(name), "net.conflist")
        #expect(try waitFor { try await networking.setUp(pod) }.map(\.network) == [name])
        try waitFor { try await networking.tearDown(pod) }
      }
    }
  }
}
