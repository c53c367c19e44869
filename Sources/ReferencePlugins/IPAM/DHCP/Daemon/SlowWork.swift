import Glibc
import SystemPackage

/// A thread for what takes milliseconds: closing packet sockets (the kernel waits for a grace period) and bringing leases
/// to the disk. The loop goes on meanwhile. What is given first is done first.
final class SlowWork: @unchecked Sendable {
  // Everything below is used with the lock held, but for the jobs themselves.
  private var mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var jobs: [() -> Void] = []
  private var isIdle = true

  /// Starts the thread, which lives as long as the process.
  init() throws(Errno) {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<SlowWork>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard code == 0 else { throw Errno(rawValue: code) }
    pthread_detach(thread)
  }

  /// Has something done on the thread.
  func perform(_ work: @escaping () -> Void) {
    pthread_mutex_lock(mutex)
    jobs.append(work)
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Closes a socket whose closing takes its time.
  func close(_ descriptor: Int32) {
    perform { Glibc.close(descriptor) }
  }

  /// Waits until everything is done, but a few seconds at most: a disk that hangs must not hold up the daemon's end.
  func drain() {
    var limit = timespec()
    clock_gettime(CLOCK_REALTIME, &limit)
    limit.tv_sec += 5
    pthread_mutex_lock(mutex)
    while !jobs.isEmpty || !isIdle {
      if pthread_cond_timedwait(condition, mutex, &limit) == ETIMEDOUT { break }
    }
    pthread_mutex_unlock(mutex)
  }

  private func run() {
    pthread_mutex_lock(mutex)
    while true {
      while jobs.isEmpty { pthread_cond_wait(condition, mutex) }
      let batch = jobs
      jobs = []
      isIdle = false
      pthread_mutex_unlock(mutex)
      for job in batch { job() }
      pthread_mutex_lock(mutex)
      isIdle = true
      pthread_cond_broadcast(condition)
    }
  }
}
