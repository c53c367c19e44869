import CNIExecution
import Glibc
import Synchronization

/// Threads for work that blocks, which has no place on the threads of Swift's concurrency: those are few, and whoever blocks
/// one of them stops others.
///
/// All of them are in the namespaces that the thread had which has made this object, and block all signals: what the
/// program has set up for those is for its own threads to handle. Threads are started as they are needed, and end when there
/// has been nothing to do for a while.
package final class BlockingThreads: Sendable {
  private let crew: Crew
  private let slots: Turnstile<Slots>

  /// - Parameter maximum: How many pieces of work are under way at a time; others wait their turn.
  package init(maximum: Int) {
    slots = Turnstile(Slots(maximum))
    crew = Crew(maximum: maximum)
    crew.start()
  }

  deinit { crew.close() }

  /// Runs `work` on one of the threads. Cancellation and the deadline end the wait for a thread; `work` itself has to see to
  /// its own.
  package func run<R: Sendable>(
    until deadline: Deadline? = nil, _ work: @escaping @Sendable () -> R
  ) async throws(NoTurn) -> R {
    try await slots.enter((), until: deadline)
    defer { slots.leave(()) }
    return await withCheckedContinuation { continuation in
      crew.submit { continuation.resume(returning: work()) }
    }
  }

  /// How many wait for a thread.
  package var waiting: Int { slots.waiting }
}

/// Threads and what they have to do. One thread more than there is work for is always waiting (unless there are enough): a
/// thread inherits the namespaces of the one that starts it, so only threads of the crew may do that.
private final class Crew: @unchecked Sendable {
  private static let patience = 5

  private let maximum: Int
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  // All guarded by the mutex.
  private var jobs: [@Sendable () -> Void] = []
  private var idle = 0
  private var threads = 0
  private var isClosed = false

  init(maximum: Int) {
    self.maximum = maximum
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func start() {
    pthread_mutex_lock(mutex)
    threads += 1
    pthread_mutex_unlock(mutex)
    startThread()
  }

  func submit(_ job: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(mutex)
    jobs.append(job)
    // There was no room for the first thread, or for all of them.
    let isAlone = threads == 0
    if isAlone { threads += 1 }
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
    if isAlone { startThread() }
  }

  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Starts a thread that has been counted already. Without room for one the others have more to do.
  private func startThread() {
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    // Plugins that need no thread of their own run here as well. Only touched pages cost anything.
    pthread_attr_setstacksize(&attributes, 2 << 20)
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(self)
    while true {
      // The function returns: a thread that ends by pthread_exit is unwound.
      let failure = pthread_create(
        &thread, &attributes,
        { argument in
          Unmanaged<Crew>.fromOpaque(argument!).takeRetainedValue().work()
          return nil
        }, argument.toOpaque())
      if failure == 0 { return }
      pthread_mutex_lock(mutex)
      // Somebody else is there to do what there is to do.
      let isDispensable = threads > 1 || jobs.isEmpty
      if isDispensable { threads -= 1 }
      pthread_mutex_unlock(mutex)
      if isDispensable {
        argument.release()
        return
      }
      usleep(10_000)
    }
  }

  private func work() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      while jobs.isEmpty {
        if isClosed { return leave() }
        idle += 1
        let isOver = wait()
        idle -= 1
        if isOver, jobs.isEmpty, idle > 0 { return leave() }
      }
      let job = jobs.removeFirst()
      let needsReserve = idle <= jobs.count && threads <= maximum && !isClosed
      if needsReserve { threads += 1 }
      pthread_mutex_unlock(mutex)
      if needsReserve { startThread() }
      job()
      pthread_mutex_lock(mutex)
    }
  }

  private func leave() { threads -= 1 }

  /// Waits for a signal; true if there was none for a while.
  private func wait() -> Bool {
    var moment = timespec()
    clock_gettime(CLOCK_MONOTONIC, &moment)
    moment.tv_sec += Crew.patience
    return pthread_cond_timedwait(condition, mutex, &moment) == ETIMEDOUT
  }
}
