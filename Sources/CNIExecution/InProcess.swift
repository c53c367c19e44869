import CLinux
import Glibc
import SystemPackage

/// One run of an embedded plugin. Shared between the thread that runs it and the one that waits, because the second may
/// have to give up on the first.
final class InProcessRun: @unchecked Sendable {
  /// What the plugins here need, with room for those of others. Only touched pages cost anything.
  private static let stackSize = 2 << 20

  private let plugin: EmbeddedPlugin
  private let request: PluginRequest
  private let environment: PluginEnvironment
  /// Written by the plugin's thread before it signals `done`, read by the other one afterwards.
  private var reply = PluginReply()
  /// Signalled at the end; -1 where the one who waits simply joins.
  private let done: Int32

  private init(_ plugin: EmbeddedPlugin, _ request: PluginRequest, _ environment: PluginEnvironment) {
    self.plugin = plugin
    self.request = request
    self.environment = environment
    done = environment.limits.canStop ? clinux_eventfd() : -1
  }

  deinit {
    if done >= 0 { close(done) }
  }

  enum Outcome {
    case replied(PluginReply)
    /// With the run, where the plugin had to be left behind.
    case timedOut(InProcessRun?)
    case cancelled(InProcessRun?)
    case notStarted(Errno)
  }

  /// Runs the plugin. When a limit is reached it gets the grace period to notice by itself, and is left behind then.
  static func run(_ plugin: EmbeddedPlugin, _ request: PluginRequest, _ environment: PluginEnvironment)
    -> Outcome
  {
    if !plugin.needsOwnThread && !environment.limits.canStop {
      return .replied(plugin.run(request, environment))
    }
    return InProcessRun(plugin, request, environment).onOwnThread()
  }

  private func onOwnThread() -> Outcome {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, InProcessRun.stackSize)
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(self)
    // The function returns: a thread that ends by pthread_exit is unwound, which in a static executable costs 20 ms
    // the first time.
    let failure = pthread_create(
      &thread, &attributes,
      { argument in
        let run = Unmanaged<InProcessRun>.fromOpaque(argument!).takeRetainedValue()
        run.reply = run.plugin.run(run.request, run.environment)
        if run.done >= 0 {
          var one: UInt64 = 1
          _ = write(run.done, &one, 8)
        }
        return nil
      }, argument.toOpaque())
    guard failure == 0 else {
      argument.release()
      return .notStarted(Errno(rawValue: failure))
    }
    if done < 0 {
      pthread_join(thread, nil)
      return .replied(reply)
    }
    let limits = environment.limits
    let first = wait(until: limits.nextDeadline, or: limits.cancellation)
    if case .replied = first {
      pthread_join(thread, nil)
      return .replied(reply)
    }
    if ends(by: .after(limits.gracePeriod)) {
      pthread_join(thread, nil)
      return first
    }
    pthread_detach(thread)
    return if case .timedOut = first { .timedOut(self) } else { .cancelled(self) }
  }

  /// Waits for a plugin that was left behind; false if it still runs then.
  func ends(by deadline: Deadline) -> Bool {
    if case .replied = wait(until: deadline, or: nil) { true } else { false }
  }

  private func wait(until deadline: Deadline?, or cancellation: Cancellation?) -> Outcome {
    while true {
      var ready = Readiness()
      _ = ready.poll(
        end: done, cancellation: cancellation?.descriptor ?? -1, timeout: deadline?.pollTimeout ?? -1)
      if ready.end { return .replied(PluginReply()) }
      if ready.cancellation { return .cancelled(nil) }
      if let deadline, deadline.hasPassed { return .timedOut(nil) }
    }
  }
}
