import CNIExecution
import Glibc
import Synchronization

/// Threads for work that blocks, which has no place on the threads of Swift's concurrency: those are few, and whoever blocks
/// one of them stops others.
///
/// All of them are in the network and mount namespaces that the thread had which has made this object, and block all signals:
/// what the program has set up for those is for its own threads to handle. Threads are started as they are needed, and end when
/// there has been nothing to do for a while.
package final class BlockingThreads: Sendable {
  /// Kinds of work that do not wait for each other: what hangs in one lane holds nobody up in another.
  package enum Lane: Sendable, CaseIterable {
    /// What takes up connections and addresses.
    case attaching
    /// What gives them back.
    case detaching
    /// What looks at them, and at plugins.
    case asking
    /// What reads files, and calls no plugin.
    case reading
  }

  /// How much at a time is read; that takes a moment and no more.
  private static let readers = 4

  private let crew: Crew
  private let lanes: [Lane: Turnstile<Slots>]

  /// - Parameters:
  ///   - maximum: How many pieces of work are under way at a time in each lane; others wait their turn.
  ///   - patience: How long a thread waits for work before it ends, in whole seconds.
  ///   - startsAtOnce: Whether to start the first thread now. (There may be no room for one, as if this were false.)
  package init(maximum: Int, patience: Int = 5, startsAtOnce: Bool = true) {
    let sizes = Lane.allCases.map { ($0, $0 == .reading ? min(maximum, Self.readers) : maximum) }
    lanes = Dictionary(uniqueKeysWithValues: sizes.map { ($0, Turnstile(Slots($1))) })
    crew = Crew(maximum: sizes.reduce(0) { $0 + $1.1 }, patience: patience)
    crew.start(atOnce: startsAtOnce)
  }

  deinit { crew.close() }

  /// Runs `work` on one of the threads. Cancellation and the deadline end the wait for a thread; `work` itself has to see to
  /// its own.
  package func run<R: Sendable>(
    _ lane: Lane = .attaching, until deadline: Deadline? = nil, _ work: @escaping @Sendable () -> R
  ) async throws(NoTurn) -> R {
    let turnstile = lanes[lane]!
    try await turnstile.enter((), until: deadline)
    defer { turnstile.leave(()) }
    return await withCheckedContinuation { continuation in
      crew.submit { continuation.resume(returning: work()) }
    }
  }

  /// The same; `work` is given what the cancellation of the task cancels. Only who has a thread costs a file descriptor.
  package func run<R: Sendable>(
    _ lane: Lane, until deadline: Deadline?, _ work: @escaping @Sendable (Cancellation) -> R
  ) async throws(NoTurn) -> R {
    let turnstile = lanes[lane]!
    try await turnstile.enter((), until: deadline)
    defer { turnstile.leave(()) }
    let cancellation = Cancellation()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        crew.submit { continuation.resume(returning: work(cancellation)) }
      }
    } onCancel: {
      cancellation.cancel()
    }
  }

  /// How many wait for a thread.
  package var waiting: Int { lanes.values.reduce(0) { $0 + $1.waiting } }

  /// Tells how many threads there are, also when this object is gone.
  package var threadCount: @Sendable () -> Int {
    { [weak crew] in crew?.threadCount ?? 0 }
  }
}
