import AsyncRuntime
import CNIExecution
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite struct BlockingThreadsTests {
  @Test func blockedWorkStopsNobody() async throws {
    // More than there are threads of Swift's concurrency.
    let threads = BlockingThreads(maximum: 50)
    let all = Barrier(50)
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<50 {
        group.addTask { _ = try? await threads.run { all.pass() } }
      }
    }
    #expect(all.isOpen)
  }

  @Test func noMoreThanTheMaximumAtATime() async throws {
    let threads = BlockingThreads(maximum: 3)
    let inside = Crowd()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<40 {
        group.addTask {
          _ = try? await threads.run {
            inside.enter()
            usleep(1000)
            inside.leave()
          }
        }
      }
    }
    #expect(inside.most == 3)
  }

  @Test func waitForAThreadEnds() async throws {
    let threads = BlockingThreads(maximum: 1)
    let release = Barrier(2)
    let holder = Task { try await threads.run { release.pass() } }
    // The work is begun before anybody else asks.
    try await eventually { release.arrived == 1 }
    await #expect(throws: NoTurn.timedOut) {
      try await threads.run(until: .after(.milliseconds(20))) { Issue.record("it ran") }
    }
    let waiting = Task { try await threads.run { Issue.record("it ran") } }
    try await eventually { threads.waiting == 1 }
    waiting.cancel()
    await #expect(throws: NoTurn.cancelled) { try await waiting.value }
    release.pass()
    try await holder.value
    #expect(try await threads.run { 42 } == 42)
  }

  @Test(.requiresRoot) func threadsAreInTheNamespaceOfTheirMaker() async throws {
    try await inNewNetworkNamespace {
      let own = namespace()
      let threads = BlockingThreads(maximum: 8)
      let all = Barrier(8)
      let found = try waitFor {
        try await withThrowingTaskGroup(of: String.self) { group in
          for _ in 0..<8 {
            group.addTask {
              try await threads.run {
                all.pass()
                return namespace()
              }
            }
          }
          return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
      }
      #expect(found == [own])
    }
  }

  /// What fills one lane stops nobody in another.
  @Test(.timeLimit(.minutes(2))) func lanesDoNotWaitForEachOther() async throws {
    let threads = BlockingThreads(maximum: 2)
    let release = Barrier(3)
    let holders = (0..<2).map { _ in Task { try await threads.run(.attaching) { release.pass() } } }
    try await eventually { release.arrived == 2 }
    let queued = Task { try await threads.run(.attaching) { 1 } }
    try await eventually { threads.waiting == 1 }
    for lane in BlockingThreads.Lane.allCases where lane != .attaching {
      #expect(try await threads.run(lane) { 42 } == 42)
    }
    release.pass()
    for holder in holders { try await holder.value }
    #expect(try await queued.value == 1)
  }

  /// But the one that starts the others, until nobody needs any.
  @Test func threadsEnd() async throws {
    var threads: BlockingThreads? = BlockingThreads(maximum: 8, patience: 1)
    let count = threads!.threadCount
    let all = Barrier(8)
    let tasks = (0..<8).map { [threads] _ in
      Task {
        try await threads!.run {
          all.pass()
          return count()
        }
      }
    }
    var most = 0
    for task in tasks { most = max(most, try await task.value) }
    #expect(most >= 8)
    try await eventually { count() == 1 }
    #expect(try await threads!.run { 42 } == 42)
    threads = nil
    try await eventually { count() == 0 }
  }

  /// There may be no room for a thread at first: then it is started from wherever somebody asks for work to be done.
  @Test(.requiresRoot) func threadsThatAreStartedLateAreInTheNamespaceToo() async throws {
    let (late, own) = try await inNewNetworkNamespace {
      (BlockingThreads(maximum: 8, startsAtOnce: false), namespace())
    }
    #expect(late.threadCount() == 0)
    let all = Barrier(8)
    let found = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<8 {
        group.addTask {
          try await late.run {
            all.pass()
            return namespace()
          }
        }
      }
      return try await group.reduce(into: Set<String>()) { $0.insert($1) }
    }
    #expect(found == [own])
    #expect(namespace() != own)
  }

  @Test func threadsBlockSignals() async throws {
    let blocked = try await BlockingThreads(maximum: 1).run {
      var mask = sigset_t()
      pthread_sigmask(SIG_BLOCK, nil, &mask)
      return sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1
    }
    #expect(blocked)
  }
}

private func namespace() -> String {
  var buffer = [CChar](repeating: 0, count: 64)
  let length = readlink("/proc/thread-self/ns/net", &buffer, buffer.count)
  return String(decoding: buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Holds threads until enough of them have come.
private final class Barrier: Sendable {
  private let count: Int
  private let inside = Mutex(0)
  init(_ count: Int) { self.count = count }
  var arrived: Int { inside.withLock { $0 } }
  var isOpen: Bool { arrived >= count }
  func pass() {
    inside.withLock { $0 += 1 }
    var patience = 10_000
    while !isOpen, patience > 0 {
      usleep(1000)
      patience -= 1
    }
    if patience == 0 { Issue.record("not all came") }
  }
}
