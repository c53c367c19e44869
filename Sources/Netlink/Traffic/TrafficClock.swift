import Glibc
import SystemPackage

/// The unit of time in which settings of qdiscs count (`/proc/net/psched`).
public struct TrafficClock: Hashable, Sendable {
  /// How many ticks a microsecond has: 15.625 on every kernel since Linux 2.6.31.
  public let ticksPerMicrosecond: Double
  /// How often a second the kernel may wake up for packets: what htb's default bursts are made for.
  public let wakeupsPerSecond: Double

  /// A clock of that pace.
  public init(ticksPerMicrosecond: Double, wakeupsPerSecond: Double = 1e9) {
    self.ticksPerMicrosecond = ticksPerMicrosecond
    self.wakeupsPerSecond = wakeupsPerSecond
  }

  /// Reads the four hexadecimal numbers of `/proc/net/psched`: nanoseconds in a tick's unit, the tick, the clock's pace
  /// and its resolution. nil if they are none.
  public init?(_ text: String) {
    let numbers = text.split(whereSeparator: { $0 == " " || $0 == "\n" }).compactMap { UInt32($0, radix: 16) }
    guard numbers.count >= 4, numbers[0] > 0, numbers[1] > 0, numbers[2] > 0 else { return nil }
    // A clock with the resolution of nanoseconds says so instead of its ratio.
    let unit = numbers[2] == 1_000_000_000 ? numbers[1] : numbers[0]
    ticksPerMicrosecond = Double(unit) / Double(numbers[1]) * (Double(numbers[2]) / 1e6)
    wakeupsPerSecond = Double(max(numbers[3], 1))
  }

  /// The running kernel's.
  ///
  /// - Throws: `NetlinkError` if `/proc/net/psched` cannot be read.
  public static func running() throws(NetlinkError) -> TrafficClock {
    var descriptor: Int32
    repeat {
      descriptor = open("/proc/net/psched", O_RDONLY | O_CLOEXEC)
    } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else { throw NetlinkError(systemCall: "read /proc/net/psched") }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 128)
    var count: Int
    repeat { count = read(descriptor, &bytes, bytes.count) } while count < 0 && errno == EINTR
    guard count >= 0 else { throw NetlinkError(systemCall: "read /proc/net/psched") }
    guard let clock = TrafficClock(String(decoding: bytes[..<count], as: UTF8.self)) else {
      throw NetlinkError(
        errno: Errno(rawValue: EINVAL), message: "it does not have four numbers",
        operation: "read /proc/net/psched")
    }
    return clock
  }

  /// What so many microseconds are in ticks; as much as fits.
  public func ticks(microseconds: UInt64) -> UInt32 {
    UInt32(clamping: Double(microseconds) * ticksPerMicrosecond)
  }

  /// How long so many bytes take at so many bytes per second, in ticks of whole microseconds, as `tc` reckons.
  public func ticks(bytes: UInt64, rate: UInt64) -> UInt32 {
    guard rate > 0 else { return .max }
    return ticks(microseconds: UInt64(clamping: 1e6 * (Double(bytes) / Double(rate))))
  }

  /// The time that as many ticks as a setting can have are at least, in whole microseconds: about 275 seconds.
  public var longest: UInt64 { UInt64(Double(UInt32.max) / ticksPerMicrosecond) }
}

extension FixedWidthInteger {
  /// The number without its fraction, or the nearest there is.
  init(clamping value: Double) {
    guard value > 0 else { self = 0; return }
    self = value >= Double(Self.max) ? .max : Self(value)
  }
}
