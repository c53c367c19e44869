import Glibc

/// How long plugins may take, and who may stop them.
///
/// A plugin that is stopped gets SIGTERM, and SIGKILL when it is still there after ``gracePeriod``. A plugin that can be
/// stopped runs in a process group of its own, so that the signal also reaches what it has started; a plugin without any
/// limit stays in the group of its caller, so that a delegate shares the fate of the plugin that called it.
public struct ExecutionLimits: Sendable {
  /// The longest time for one run of one plugin; `nil` is no limit.
  public var timeout: Duration?
  /// The moment at which everything has to be over, however many plugins that takes; `nil` is none.
  public var deadline: Deadline?
  /// Who may call it off.
  public var cancellation: Cancellation?
  /// The time between SIGTERM and SIGKILL.
  public var gracePeriod: Duration

  /// Limits as given; by default none.
  public init(
    timeout: Duration? = nil, deadline: Deadline? = nil, cancellation: Cancellation? = nil,
    gracePeriod: Duration = .seconds(2)
  ) {
    self.timeout = timeout
    self.deadline = deadline
    self.cancellation = cancellation
    self.gracePeriod = gracePeriod
  }

  /// No limits at all.
  public static let none = ExecutionLimits()

  /// Whether anything could make us stop a plugin.
  public var canStop: Bool { timeout != nil || deadline != nil || cancellation != nil }

  /// When a plugin that starts now has to be done.
  var nextDeadline: Deadline? {
    guard let timeout else { return deadline }
    let own = Deadline.after(timeout)
    guard let deadline else { return own }
    return min(own, deadline)
  }
}

/// A moment on the machine's monotonic clock (`CLOCK_MONOTONIC`).
public struct Deadline: Sendable, Hashable, Comparable {
  /// Nanoseconds on the monotonic clock.
  public var nanoseconds: Int64

  /// That moment.
  public init(nanoseconds: Int64) {
    self.nanoseconds = nanoseconds
  }

  /// The present.
  public static var now: Deadline {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Deadline(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  /// The moment this long from now; one too far away to count is the last that the clock knows.
  public static func after(_ duration: Duration) -> Deadline {
    Deadline(nanoseconds: now.nanoseconds.saturatingAdd(duration.wholeNanoseconds))
  }

  /// Whether that moment is over.
  public var hasPassed: Bool { Deadline.now >= self }

  /// Milliseconds until then for `poll(2)`, rounded up, 0 when it has passed.
  var pollTimeout: Int32 {
    let left = nanoseconds.subtractingReportingOverflow(Deadline.now.nanoseconds)
    if left.overflow { return .max }
    if left.partialValue <= 0 { return 0 }
    return Int32(clamping: (left.partialValue - 1) / 1_000_000 + 1)
  }

  /// The earlier one first.
  public static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }
}

extension Duration {
  /// Nanoseconds, clamped to what a clock can hold; never negative.
  var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    if seconds < 0 || attoseconds < 0 { return 0 }
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : product.saturatingAdd(attoseconds / 1_000_000_000)
  }
}

extension Int64 {
  fileprivate func saturatingAdd(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
