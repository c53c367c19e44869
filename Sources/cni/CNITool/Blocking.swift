import Glibc

/// The way from the main thread, where the tool lives, to what is asynchronous.
enum Blocking {
  /// Waits for `body` and gives what it gives.
  static func wait<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) throws -> R {
    let outcome = Outcome<R>()
    Task {
      do { outcome.end(.success(try await body())) } catch { outcome.end(.failure(error)) }
    }
    return try outcome.wait().get()
  }

  /// Written once by the task, and read by the one who has waited for it.
  private final class Outcome<R: Sendable>: @unchecked Sendable {
    private var result: Result<R, any Error>?
    private let done: UnsafeMutablePointer<sem_t>

    init() {
      done = .allocate(capacity: 1)
      sem_init(done, 0, 0)
    }

    deinit {
      sem_destroy(done)
      done.deallocate()
    }

    func end(_ result: Result<R, any Error>) {
      self.result = result
      sem_post(done)
    }

    func wait() -> Result<R, any Error> {
      while sem_wait(done) != 0 {}
      return result!
    }
  }
}
