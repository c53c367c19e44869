import AsyncRuntime
import CNIExecution
import Testing

@Suite struct KeyedLockTests {
  private let lock = KeyedLock<String>()
  private let log = Log()

  @Test func aKeyIsHeldByOneAtATimeInOrder() async throws {
    let gate = Gate()
    var tasks: [Task<Void, any Error>] = []
    for number in 0..<20 {
      tasks.append(
        Task {
          try await lock.withLock("a", otherwise: { $0 }) { () async throws(NoTurn) in
            log.note("in \(number)")
            if number == 0 { await gate.wait() }
            await Task.yield()
            log.note("out \(number)")
          }
        })
      try await eventually { number == 0 ? log.lines == ["in 0"] : lock.waiting == number }
    }
    gate.open()
    for task in tasks { try await task.value }
    #expect(log.lines == (0..<20).flatMap { ["in \($0)", "out \($0)"] })
  }

  @Test func differentKeysAreHeldAtTheSameTime() async throws {
    let gate = Gate()
    let tasks = (0..<10).map { number in
      Task {
        try await lock.withLock("\(number)", otherwise: { $0 }) { () async throws(NoTurn) in
          log.note("\(number)")
          await gate.wait()
        }
      }
    }
    try await eventually { log.lines.count == 10 }
    gate.open()
    for task in tasks { try await task.value }
  }

  @Test func whoWantsEverythingWaitsForEarlierOnesAndLaterOnesWaitForHim() async throws {
    let first = Gate()
    let exclusive = Gate()
    let a = Task {
      try await lock.withLock("a", otherwise: { $0 }) { () async throws(NoTurn) in await first.wait() }
    }
    // Somebody is in before the exclusive one asks.
    try await eventually { await first.isWaitedFor }
    let everything = Task {
      try await lock.withExclusiveLock(otherwise: { $0 }) { () async throws(NoTurn) in
        log.note("exclusive")
        await exclusive.wait()
        log.note("done")
      }
    }
    try await eventually { lock.waiting == 1 }
    let b = Task {
      try await lock.withLock("b", otherwise: { $0 }) { () async throws(NoTurn) in log.note("b") }
    }
    try await eventually { lock.waiting == 2 }
    #expect(log.lines.isEmpty)
    first.open()
    try await a.value
    try await eventually { log.lines == ["exclusive"] }
    #expect(lock.waiting == 1)
    exclusive.open()
    try await everything.value
    try await b.value
    #expect(log.lines == ["exclusive", "done", "b"])
  }

  @Test func cancellationAndDeadlinesEndTheWaitAndNothingElse() async throws {
    let gate = Gate()
    let holder = Task {
      try await lock.withLock("a", otherwise: { $0 }) { () async throws(NoTurn) in await gate.wait() }
    }
    try await eventually { await gate.isWaitedFor }
    let cancelled = Task {
      try await lock.withExclusiveLock(otherwise: { $0 }) { () async throws(NoTurn) in log.note("never") }
    }
    try await eventually { lock.waiting == 1 }
    let other = Task {
      try await lock.withLock("b", otherwise: { $0 }) { () async throws(NoTurn) in log.note("b") }
    }
    try await eventually { lock.waiting == 2 }
    cancelled.cancel()
    await #expect(throws: NoTurn.cancelled) { try await cancelled.value }
    // Nobody stands in its way any more.
    try await other.value
    #expect(log.lines == ["b"])

    await #expect(throws: NoTurn.timedOut) {
      try await lock.withLock("a", until: .after(.milliseconds(20)), otherwise: { $0 }) {
        () async throws(NoTurn) in log.note("never")
      }
    }
    gate.open()
    try await holder.value
    try await lock.withLock("a", otherwise: { $0 }) { () async throws(NoTurn) in log.note("a") }
    #expect(log.lines == ["b", "a"])
    #expect(lock.waiting == 0)
  }

  @Test func aCancelledTaskDoesNotEvenAsk() async throws {
    let task = Task {
      while !Task.isCancelled { await Task.yield() }
      try await lock.withLock("a", otherwise: { $0 }) { () async throws(NoTurn) in log.note("never") }
    }
    task.cancel()
    await #expect(throws: NoTurn.cancelled) { try await task.value }
    #expect(log.lines.isEmpty)
  }

  /// Cancellation at any moment loses no turn and gives none away twice.
  @Test func cancelledAtAnyMoment() async throws {
    let inside = Crowd()
    for round in 0..<300 {
      let tasks = (0..<4).map { _ in
        Task {
          try await lock.withLock("a", otherwise: { $0 }) { () async throws(NoTurn) in
            inside.enter()
            await Task.yield()
            inside.leave()
          }
        }
      }
      for _ in 0..<(round % 7) { await Task.yield() }
      tasks[round % 4].cancel()
      for task in tasks { _ = await task.result }
    }
    #expect(inside.most == 1)
    #expect(lock.waiting == 0)
    try await lock.withLock("a", until: .after(.seconds(5)), otherwise: { $0 }) { () async throws(NoTurn) in }
  }
}
