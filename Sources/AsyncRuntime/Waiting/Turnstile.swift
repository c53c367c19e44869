import CNIExecution
import Synchronization

/// Why a wait ended without its turn.
package enum NoTurn: Error, Sendable, Hashable {
  /// The task was cancelled.
  case cancelled
  /// The moment given has passed.
  case timedOut
}

/// Who may pass a ``Turnstile``, and when.
package protocol TurnstileRule: Sendable {
  /// What somebody asks for.
  associatedtype Request: Sendable
  /// What has been decided about those further ahead in the queue.
  associatedtype Ahead

  /// Before the first of the queue is looked at.
  func nobodyAhead() -> Ahead
  /// Whether this request is granted now; it counts as granted then, until ``leave(_:)``. One that is not
  /// takes note of itself, so that nobody behind it takes what it waits for.
  mutating func admit(_ request: Request, _ ahead: inout Ahead) -> Bool
  /// Whether nobody behind has a chance.
  func isHopeless(_ ahead: Ahead) -> Bool
  /// What was granted is given back.
  mutating func leave(_ request: Request)
}

/// Lets tasks pass one by one, in the order in which they came, as far as its rule allows. A waiting task blocks no thread, and
/// stops waiting when it is cancelled or its time is over.
package final class Turnstile<Rule: TurnstileRule>: Sendable {
  private struct Waiter: Sendable {
    var id: UInt64
    var request: Rule.Request
    var continuation: CheckedContinuation<NoTurn?, Never>
  }

  private struct State: Sendable {
    var rule: Rule
    var queue: [Waiter] = []
    var lastID: UInt64 = 0

    /// Admits whom the rule allows, and takes them out of the queue.
    mutating func advance() -> [Waiter] {
      var ahead = rule.nobodyAhead()
      var admitted: [Waiter] = []
      var rest: [Waiter] = []
      var index = 0
      while index < queue.count, !rule.isHopeless(ahead) {
        if rule.admit(queue[index].request, &ahead) {
          admitted.append(queue[index])
        } else {
          rest.append(queue[index])
        }
        index += 1
      }
      if admitted.isEmpty { return [] }
      queue = rest + queue[index...]
      return admitted
    }
  }

  private let state: Mutex<State>

  /// A turnstile that nobody has passed.
  package init(_ rule: Rule) {
    state = Mutex(State(rule: rule))
  }

  /// How many wait.
  package var waiting: Int { state.withLock { $0.queue.count } }

  /// Waits for its turn. Whoever has passed calls ``leave(_:)`` in the end.
  package func enter(_ request: Rule.Request, until deadline: Deadline? = nil) async throws(NoTurn) {
    if Task.isCancelled { throw .cancelled }
    let id: UInt64? = state.withLock { state in
      if state.queue.isEmpty {
        var ahead = state.rule.nobodyAhead()
        if state.rule.admit(request, &ahead) { return nil }
      }
      state.lastID += 1
      return state.lastID
    }
    guard let id else { return }
    var alarm: Task<Void, Never>?
    if let deadline {
      let left = deadline.nanoseconds.subtractingReportingOverflow(Deadline.now.nanoseconds)
      if left.partialValue <= 0 { throw .timedOut }
      if !left.overflow {
        alarm = Task { [self] in
          do { try await Task.sleep(for: .nanoseconds(left.partialValue)) } catch { return }
          giveUp(id, .timedOut)
        }
      }
    }
    defer { alarm?.cancel() }
    let reason = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (ended, admitted): (NoTurn?, [Waiter]) = state.withLock { state in
          // Asked for under the lock: a cancellation from here on finds the waiter in the queue.
          if Task.isCancelled { return (.cancelled, []) }
          if let deadline, deadline.hasPassed { return (.timedOut, []) }
          state.queue.append(Waiter(id: id, request: request, continuation: continuation))
          return (nil, state.advance())
        }
        if let ended { continuation.resume(returning: ended) }
        for waiter in admitted { waiter.continuation.resume(returning: nil) }
      }
    } onCancel: {
      giveUp(id, .cancelled)
    }
    if let reason { throw reason }
  }

  /// Gives back what was granted, and lets others pass.
  package func leave(_ request: Rule.Request) {
    let admitted = state.withLock { state in
      state.rule.leave(request)
      return state.advance()
    }
    for waiter in admitted { waiter.continuation.resume(returning: nil) }
  }

  private func giveUp(_ id: UInt64, _ reason: NoTurn) {
    let (waiter, admitted): (Waiter?, [Waiter]) = state.withLock { state in
      guard let index = state.queue.firstIndex(where: { $0.id == id }) else { return (nil, []) }
      let waiter = state.queue.remove(at: index)
      // Others may have waited behind this one.
      return (waiter, state.advance())
    }
    waiter?.continuation.resume(returning: reason)
    for waiter in admitted { waiter.continuation.resume(returning: nil) }
  }
}

/// So many at a time.
package struct Slots: TurnstileRule {
  private var free: Int

  /// - Parameter count: How many may be inside at a time; at least one.
  package init(_ count: Int) {
    precondition(count > 0)
    free = count
  }

  package func nobodyAhead() {}
  package func isHopeless(_ ahead: Void) -> Bool { free == 0 }
  package mutating func admit(_ request: Void, _ ahead: inout Void) -> Bool {
    if free == 0 { return false }
    free -= 1
    return true
  }
  package mutating func leave(_ request: Void) { free += 1 }
}
