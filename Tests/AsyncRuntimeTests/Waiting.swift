import Synchronization
import Testing

/// Lines in the order in which they were noted.
final class Log: Sendable {
  private let all = Mutex<[String]>([])
  func note(_ line: String) { all.withLock { $0.append(line) } }
  var lines: [String] { all.withLock { $0 } }
}

/// How many are somewhere at the same time.
final class Crowd: Sendable {
  private let state = Mutex((now: 0, most: 0))
  func enter() {
    state.withLock {
      $0.now += 1
      $0.most = max($0.most, $0.now)
    }
  }
  func leave() { state.withLock { $0.now -= 1 } }
  var most: Int { state.withLock { $0.most } }
}

/// Holds tasks up until it is opened.
final class Gate: Sendable {
  private struct State {
    var isOpen = false
    var continuations: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())

  var isWaitedFor: Bool { get async { state.withLock { !$0.continuations.isEmpty } } }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.continuations.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  func open() {
    let waiting = state.withLock { state in
      state.isOpen = true
      defer { state.continuations = [] }
      return state.continuations
    }
    for continuation in waiting { continuation.resume() }
  }
}

/// Waits until something is so; throws when it is not within a minute: synchronous tests
/// beside this one occupy the threads that it needs.
func eventually(
  _ what: () async -> Bool, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let end = ContinuousClock.now + .seconds(60)
  while await !what() {
    try #require(ContinuousClock.now < end, "it did not come about", sourceLocation: sourceLocation)
    try await Task.sleep(for: .milliseconds(1))
  }
}
