import CLinux
import Glibc
import SystemPackage

/// Waits for descriptors, and calls who waits for them: everything in the daemon happens on the thread that runs this.
final class EventLoop {
  private let epoll: Int32
  private var handlers: [UInt64: (_ hungUp: Bool) -> Void] = [:]
  private var tokens: [Int32: UInt64] = [:]
  private var lastToken: UInt64 = 0

  init() throws(Errno) {
    epoll = clinux_epoll_create()
    guard epoll >= 0 else { throw Errno(rawValue: errno) }
  }

  deinit { close(epoll) }

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
    var events = [UInt64](repeating: 0, count: 64)
    var hungUp = [UInt8](repeating: 0, count: 64)
    let count = clinux_epoll_wait(epoll, &events, &hungUp, 64, Self.milliseconds(until: deadline))
    guard count >= 0 else { throw Errno(rawValue: errno) }
    for index in 0..<Int(count) {
      // What was handled before may have ended this one.
      handlers[events[index]]?(hungUp[index] != 0)
    }
  }

  /// Rounded up: who is called too early would be called again at once, over and over.
  private static func milliseconds(until deadline: Duration?) -> Int32 {
    guard let deadline else { return -1 }
    let rest = deadline - now
    guard rest > .zero else { return 0 }
    let (seconds, attoseconds) = rest.components
    return seconds > 86400 ? 86_400_000 : Int32(seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
  }
}
