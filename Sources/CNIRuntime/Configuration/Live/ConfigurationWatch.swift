import CNIExecution
import Glibc
import LinuxNetworking
import Synchronization
import SystemPackage

/// The thread that waits for changes of a configuration directory.
///
/// A thread and not a task: it does nothing but block, and the threads that tasks share are too few to be blocked.
final class ConfigurationWatch: Sendable {
  private static let stackSize = 1 << 20
  /// Who changes files changes several: they are looked at when it has been quiet for so long, in milliseconds …
  private static let quiet: Int32 = 10
  /// … but not later than this.
  private static let longestStorm = Duration.milliseconds(100)
  /// How often to look where nothing tells, in milliseconds.
  private static let pollInterval: Int32 = 1000

  private let state: LiveConfigurations.State
  private let stopping = Cancellation()
  private let stopped = Cancellation()
  private let problem = Mutex<FileError?>(nil)
  private let thread = Mutex<pthread_t?>(nil)

  /// Reads the directory, and has it watched from before that on.
  init(_ state: LiveConfigurations.State) {
    self.state = state
    let loop = Loop(self)
    loop.look()
    if stopping.descriptor >= 0 {
      start(loop)
    } else {
      // A thread that nobody could end.
      giveUp(.tooManyOpenFiles)
    }
  }

  /// Whether there is a thread that keeps up with the directory.
  var isRunning: Bool { !stopped.isCancelled }

  var failure: FileError? { problem.withLock { $0 } }

  func stop() { stopping.cancel() }

  func waitUntilStopped() {
    // From an observer, say: the thread cannot wait for itself.
    let own = thread.withLock { $0.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
    while !own && !stopped.isCancelled {
      var ended = pollfd(fd: stopped.descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&ended, 1, stopped.descriptor < 0 ? 1 : -1)
    }
  }

  private func start(_ loop: Loop) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, Self.stackSize)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    // Signals are for the threads that the program knows of.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var started = pthread_t()
    let argument = Unmanaged.passRetained(loop)
    let failure = pthread_create(
      &started, &attributes,
      { argument in
        Unmanaged<Loop>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard failure == 0 else {
      argument.release()
      giveUp(Errno(rawValue: failure))
      return
    }
    thread.withLock { $0 = started }
  }

  private func giveUp(_ errno: Errno) {
    note(FileError(path: "the thread that watches \(state.directory.path)", operation: "start", errno: errno))
    stopped.cancel()
  }

  private func note(_ failure: FileError?) { problem.withLock { $0 = failure } }

  /// What only the thread uses, once there is one.
  private final class Loop {
    private let owner: ConfigurationWatch
    private var watch: PathWatch?
    /// Whether everything is watched that should be.
    private var isComplete = false
    /// How long until a file that is being written is looked at again, in milliseconds.
    private var retry: Int32 = 0

    init(_ owner: ConfigurationWatch) {
      self.owner = owner
    }

    func run() {
      while waitForEvents() { look() }
      watch = nil
      owner.stopped.cancel()
    }

    /// Reads the directory until what was read is watched and nothing has happened since.
    func look() {
      var isLatest = false
      var rounds = 8
      while !isLatest && rounds > 0 {
        let targets = owner.state.look()
        let isNew = follow(targets)
        isLatest = !isNew && watch?.takeEvents() != true
        rounds -= 1
      }
      owner.state.publish()
      let isDone = isLatest && owner.state.isSettled
      retry = isDone ? 0 : min(max(retry * 2, 20), ConfigurationWatch.pollInterval)
    }

    private func follow(_ targets: [PathWatch.Target]) -> Bool {
      do throws(FileError) {
        if watch == nil { watch = try PathWatch() }
        let isNew = try watch!.follow(targets)
        if !isComplete { owner.note(nil) }
        isComplete = true
        return isNew
      } catch {
        owner.note(error)
        isComplete = false
        return false
      }
    }

    /// Waits for something to look at. False when it is time to end.
    private func waitForEvents() -> Bool {
      while true {
        var timeout = isComplete ? -1 : ConfigurationWatch.pollInterval
        if retry > 0 { timeout = retry }
        switch wait(timeout) {
        case .stop: return false
        case .nothing: return true
        case .events: break
        }
        guard watch?.takeEvents() == true else { continue }
        let latest = Deadline.after(ConfigurationWatch.longestStorm)
        while !latest.hasPassed {
          switch wait(ConfigurationWatch.quiet) {
          case .stop: return false
          case .nothing: return true
          case .events: _ = watch?.takeEvents()
          }
        }
        return true
      }
    }

    private enum Waited { case events, nothing, stop }

    private func wait(_ milliseconds: Int32) -> Waited {
      var ready = (
        pollfd(fd: owner.stopping.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: watch?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)
      )
      let count = withUnsafeMutableBytes(of: &ready) {
        poll($0.assumingMemoryBound(to: pollfd.self).baseAddress!, 2, milliseconds)
      }
      if owner.stopping.isCancelled { return .stop }
      if count > 0 && ready.1.revents != 0 { return .events }
      return count < 0 ? .events : .nothing
    }
  }
}
