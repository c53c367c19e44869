import CNIExecution

/// A lock for each key, and one that excludes all of them. First come, first served: who wants all keys waits for those who
/// came earlier, and those who come later wait for him.
package struct KeyedLock<Key: Hashable & Sendable>: Sendable {
  private let turnstile = Turnstile(KeyRule<Key>())

  /// A lock that nobody holds.
  package init() {}

  /// How many wait for it.
  package var waiting: Int { turnstile.waiting }

  /// Runs `body` while nobody else holds `key`.
  /// - Throws: what `body` throws; ``NoTurn``, translated by `translate`, if the task is cancelled or the deadline passes
  ///   while it waits.
  package func withLock<R, E: Error>(
    _ key: Key, until deadline: Deadline? = nil, otherwise translate: (NoTurn) -> E,
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws(E) -> R
  ) async throws(E) -> sending R {
    try await hold(.key(key), deadline, translate, isolation, body)
  }

  /// Runs `body` while nobody else holds any key.
  package func withExclusiveLock<R, E: Error>(
    until deadline: Deadline? = nil, otherwise translate: (NoTurn) -> E,
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws(E) -> R
  ) async throws(E) -> sending R {
    try await hold(.everything, deadline, translate, isolation, body)
  }

  private func hold<R, E: Error>(
    _ request: KeyRule<Key>.Request, _ deadline: Deadline?, _ translate: (NoTurn) -> E,
    _ isolation: isolated (any Actor)?, _ body: () async throws(E) -> R
  ) async throws(E) -> sending R {
    do throws(NoTurn) { try await turnstile.enter(request, until: deadline) } catch { throw translate(error) }
    defer { turnstile.leave(request) }
    return try await body()
  }
}

struct KeyRule<Key: Hashable & Sendable>: TurnstileRule {
  enum Request: Sendable {
    case key(Key)
    case everything
  }
  struct Ahead {
    var keys: Set<Key> = []
    var everything = false
  }

  private var held: Set<Key> = []
  private var everythingHeld = false

  func nobodyAhead() -> Ahead { Ahead() }
  func isHopeless(_ ahead: Ahead) -> Bool { everythingHeld || ahead.everything }

  mutating func admit(_ request: Request, _ ahead: inout Ahead) -> Bool {
    switch request {
    case .key(let key):
      if !everythingHeld, !ahead.everything, !ahead.keys.contains(key), held.insert(key).inserted {
        return true
      }
      ahead.keys.insert(key)
    case .everything:
      if !everythingHeld, held.isEmpty, ahead.keys.isEmpty, !ahead.everything {
        everythingHeld = true
        return true
      }
      ahead.everything = true
    }
    return false
  }

  mutating func leave(_ request: Request) {
    switch request {
    case .key(let key): held.remove(key)
    case .everything: everythingHeld = false
    }
  }
}
