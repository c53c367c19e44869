import CLinux
import Glibc
import SystemPackage

/// Waits for descriptors, and calls who waits for them: everything in the daemon happens on the thread that runs this.
final class EventLoop {
  private let epoll: Int32
  /// Ends the waiting: its clock is the one of the deadlines, and unlike epoll's own it goes on while the machine sleeps.
  private let timer: Int32
  private var armed: Duration?
  private var handlers: [UInt64: (_ hungUp: Bool) -> Void] = [:]
  private var tokens: [Int32: UInt64] = [:]
  private var lastToken: UInt64 = 0

  init() throws(Errno) {
    epoll = clinux_epoll_create()
    timer = clinux_timer_create()
    guard epoll >= 0, timer >= 0, clinux_epoll_add(epoll, timer, 0) == 0 else { throw Errno(rawValue: errno) }
  }

  deinit {
    close(epoll)
    close(timer)
  }

  /// Time since the machine's start, sleep included.
  static var now: Duration { time(CLOCK_BOOTTIME) }
  /// Time since 1970, in UTC.
  static var wallClock: Duration { time(CLOCK_REALTIME) }

  private static func time(_ clock: Int32) -> Duration {
    var time = timespec()
    clock_gettime(clock, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// Calls `handler` whenever the descriptor is readable or its other end has hung up, until `stopWatching`.
  func watch(_ descriptor: Int32, _ handler: @escaping (_ hungUp: Bool) -> Void) throws(Errno) {
    lastToken += 1
    guard clinux_epoll_add(epoll, descriptor, lastToken) == 0 else { throw Errno(rawValue: errno) }
    handlers[lastToken] = handler
    tokens[descriptor] = lastToken
  }

  /// To be called before the descriptor is closed.
  func stopWatching(_ descriptor: Int32) {
    guard let token = tokens.removeValue(forKey: descriptor) else { return }
    handlers[token] = nil
    _ = clinux_epoll_remove(epoll, descriptor)
  }

  /// Waits until something happens, but not beyond `deadline`, and has it handled.
  func runOnce(until deadline: Duration?) throws(Errno) {
    if deadline != armed {
      // What is over needs no timer, and a moment before the clock's first would be none to it.
      let (seconds, attoseconds) = (deadline ?? .zero).components
      guard clinux_timer_set(timer, seconds, attoseconds / 1_000_000_000) == 0 else {
        throw Errno(rawValue: errno)
      }
      armed = deadline
    }
    var events = [UInt64](repeating: 0, count: 64)
    var hungUp = [UInt8](repeating: 0, count: 64)
    let isDue = deadline.map { $0 <= Self.now } ?? false
    let count = clinux_epoll_wait(epoll, &events, &hungUp, 64, isDue ? 0 : -1)
    guard count >= 0 else { throw Errno(rawValue: errno) }
    for index in 0..<Int(count) {
      // What was handled before may have ended this one. The timer has no handler: it only ends the waiting.
      handlers[events[index]]?(hungUp[index] != 0)
    }
  }
}
