import Glibc

/// Runs `body` on a thread of its own and waits for it. The thread starts in the caller's namespaces; what
/// it does to its own (`unshare`, `setns`) ends with it.
public func onNewThread<R>(_ body: () throws -> R) throws -> R {
  try concurrently(1) { _ in try body() }[0]
}

/// Runs `body` on `count` threads at once, each with its number from 0, and waits for all; then gives their
/// results in that order, or throws the first one's error. The threads start in the caller's namespaces.
public func concurrently<R>(_ count: Int, _ body: (Int) throws -> R) throws -> [R] {
  // The caller waits until all are over: nothing escapes. That `body` can be run by several threads is up to
  // the test.
  try withoutActuallyEscaping(body) { body in
    nonisolated(unsafe) let body = body
    let outcomes = (0..<count).map { _ in Outcome<R>() }
    let threads = outcomes.enumerated().map { number, outcome in
      let executor = OneJobExecutor()
      // A task, and not just a thread, because it inherits the task-local values by which Swift Testing
      // knows the running test.
      _ = Task(executorPreference: executor) { outcome.result = Result { try body(number) } }
      return (executor, executor.start())
    }
    for (_, thread) in threads { pthread_join(thread, nil) }
    return try outcomes.map { try $0.result!.get() }
  }
}

/// Runs `body` on a thread of its own, as ``onNewThread(_:)`` does, and blocks no thread meanwhile. For tests that wait for
/// asynchronous code (``waitFor(_:)``): tests that block are run by the few threads that this code needs.
public func awaitOnNewThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  let executor = OneJobExecutor()
  let task = Task(executorPreference: executor) { try body() }
  let thread = executor.start()
  let result = await task.result
  pthread_join(thread, nil)
  return try result.get()
}

/// Written by one thread, read by another that has waited for its end.
private final class Outcome<R>: @unchecked Sendable {
  var result: Result<R, any Error>?
}

/// Takes exactly one job, and runs it on a thread made for it.
private final class OneJobExecutor: TaskExecutor, @unchecked Sendable {
  private var job: UnownedJob?

  func enqueue(_ job: consuming ExecutorJob) {
    precondition(self.job == nil, "a synchronous task is one job")
    self.job = UnownedJob(job)
  }

  /// The executor has to be kept until the thread has ended.
  func start() -> pthread_t {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 8 << 20)
    defer { pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let code = pthread_create(
      &thread, &attributes,
      { argument in
        let executor = Unmanaged<OneJobExecutor>.fromOpaque(argument!).takeUnretainedValue()
        executor.job!.runSynchronously(on: executor.asUnownedTaskExecutor())
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
    // The waiting job can neither be run elsewhere nor thrown away.
    precondition(code == 0, "pthread_create: \(String(cString: strerror(code)))")
    return thread
  }
}

/// Runs asynchronous code from a thread that may be blocked (inside ``awaitOnNewThread(_:)``, say, but not in a test that is
/// synchronous itself), and gives what it gives. The code itself runs on the threads of Swift's concurrency, in the machine's own namespaces.
public func waitFor<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) throws -> R {
  let outcome = Outcome<R>()
  let done = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  sem_init(done, 0, 0)
  defer {
    sem_destroy(done)
    done.deallocate()
  }
  nonisolated(unsafe) let semaphore = done
  Task {
    do { outcome.result = .success(try await body()) } catch { outcome.result = .failure(error) }
    sem_post(semaphore)
  }
  while sem_wait(done) != 0 {}
  return try outcome.result!.get()
}
