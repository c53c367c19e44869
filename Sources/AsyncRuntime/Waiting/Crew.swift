import CLinux
import Glibc

/// Threads and what they have to do. One thread more than there is work for is always waiting (unless there are enough): a
/// thread inherits the namespaces of the one that starts it, so threads of the crew start each other.
final class Crew: @unchecked Sendable {
  private let maximum: Int
  private let patience: Int
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  /// Where to go for threads that nobody of the crew has started; set before there are any.
  private var home: Home?
  // All guarded by the mutex.
  private var jobs: [@Sendable () -> Void] = []
  private var idle = 0
  private var threads = 0
  private var isClosed = false

  init(maximum: Int, patience: Int) {
    self.maximum = maximum
    self.patience = patience
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

  var threadCount: Int {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return threads
  }

  /// Starts the first thread. If it cannot, that is done when there is work, by a thread of who knows whose.
  func start(atOnce: Bool) {
    if atOnce {
      threads = 1
      if startThread() { return }
      threads = 0
    }
    home = Home()
  }

  func submit(_ job: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(mutex)
    jobs.append(job)
    let isAlone = threads == 0
    if isAlone { threads += 1 }
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
    if isAlone { startFirst() }
  }

  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Starts the only thread, as soon as there is room for one. Does not wait for that: this may be one of the threads of
  /// Swift's concurrency.
  private func startFirst() {
    if !startThread() { startFirstLater() }
  }

  private func startFirstLater() {
    Task {
      repeat { try? await Task.sleep(for: .milliseconds(10)) } while !startThread()
    }
  }

  /// Starts a thread that has been counted already; false if there is no room for it.
  private func startThread() -> Bool {
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
    // The function returns: a thread that ends by pthread_exit is unwound.
    let failure = pthread_create(
      &thread, &attributes,
      { argument in
        Unmanaged<Crew>.fromOpaque(argument!).takeRetainedValue().work()
        return nil
      }, argument.toOpaque())
    if failure != 0 { argument.release() }
    return failure == 0
  }

  private func work() {
    // One that has lost its privileges cannot go there; nothing must be done elsewhere.
    if let home, !home.enter() { return startFirstLater() }
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
      let hasFailed = needsReserve && !startThread()
      if hasFailed {
        pthread_mutex_lock(mutex)
        threads -= 1
        pthread_mutex_unlock(mutex)
      }
      job()
      pthread_mutex_lock(mutex)
    }
  }

  private func leave() { threads -= 1 }

  /// Waits for a signal; true if there was none for a while.
  private func wait() -> Bool {
    var moment = timespec()
    clock_gettime(CLOCK_MONOTONIC, &moment)
    moment.tv_sec += patience
    return pthread_cond_timedwait(condition, mutex, &moment) == ETIMEDOUT
  }
}

/// The namespaces of the thread that has made it.
private final class Home: Sendable {
  private static let cloneFS: Int32 = 0x200

  private let network = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
  private let mounts = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)

  deinit {
    if network >= 0 { close(network) }
    if mounts >= 0 { close(mounts) }
  }

  /// Moves the calling thread there.
  func enter() -> Bool {
    if !isThere(network, "net"), clinux_setns(network, CLINUX_CLONE_NEWNET) != 0 { return false }
    if isThere(mounts, "mnt") { return true }
    // A thread that shares its directories with others keeps its mount namespace.
    return clinux_unshare(Home.cloneFS) == 0 && clinux_setns(mounts, CLINUX_CLONE_NEWNS) == 0
  }

  private func isThere(_ namespace: Int32, _ name: String) -> Bool {
    var wanted = stat()
    var here = stat()
    guard fstat(namespace, &wanted) == 0, stat("/proc/thread-self/ns/\(name)", &here) == 0 else {
      return false
    }
    return wanted.st_dev == here.st_dev && wanted.st_ino == here.st_ino
  }
}
