import CLinux
import Glibc
import SystemPackage

/// A thread for what takes milliseconds: closing packet sockets (the kernel waits for a grace period) and bringing leases
/// to the disk. The loop goes on meanwhile. What is given first is done first.
final class SlowWork: @unchecked Sendable {
  typealias Completion = () -> Void

  private struct Job {
    let work: () -> Completion?
  }

  // Everything below is used with the lock held, but for the jobs themselves.
  private var mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var jobs: [Job] = []
  private var completions: [Completion] = []
  private var isIdle = true

  /// Readable when something is complete.
  let descriptor: Int32

  /// Starts the thread, which lives as long as the process.
  init() throws(Errno) {
    descriptor = clinux_eventfd()
    guard descriptor >= 0 else { throw Errno(rawValue: errno) }
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

  /// Has something done on the thread; what that returns is called on the loop's thread afterwards.
  func perform(_ work: @escaping () -> Completion?) {
    pthread_mutex_lock(mutex)
    jobs.append(Job(work: work))
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Closes a socket whose closing takes its time.
  func close(_ descriptor: Int32) {
    perform {
      Glibc.close(descriptor)
      return nil
    }
  }

  /// Calls what is complete.
  func complete() {
    var count: UInt64 = 0
    _ = read(descriptor, &count, 8)
    pthread_mutex_lock(mutex)
    let finished = completions
    completions = []
    pthread_mutex_unlock(mutex)
    for completion in finished { completion() }
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
    complete()
  }

  private func run() {
    pthread_mutex_lock(mutex)
    while true {
      while jobs.isEmpty { pthread_cond_wait(condition, mutex) }
      let batch = jobs
      jobs = []
      isIdle = false
      pthread_mutex_unlock(mutex)
      for job in batch {
        guard let completion = job.work() else { continue }
        pthread_mutex_lock(mutex)
        completions.append(completion)
        pthread_mutex_unlock(mutex)
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
      }
      pthread_mutex_lock(mutex)
      isIdle = true
      pthread_cond_broadcast(condition)
    }
  }
}
