import CNI
import Netlink

/// A rate with a burst, and the token bucket that keeps to it.
struct TrafficLimit: Hashable {
  /// Bytes per second.
  let rate: UInt64
  /// Bytes.
  let burst: UInt64

  /// How long a packet may wait, in microseconds: as with the Go plugin.
  private static let latency = 25_000.0

  init(bitsPerSecond: UInt64, burstBits: UInt64) {
    rate = bitsPerSecond / 8
    burst = burstBits / 8
  }

  /// The token bucket, to the byte that of the Go plugin, whose CHECK compares them; but for bursts that cannot be.
  ///
  /// - Parameter mtu: That of the link: a bucket that holds less than a packet lets nothing pass, so it holds one.
  func tokenBucket(mtu: UInt32, clock: TrafficClock) -> TokenBucket {
    let burst = min(max(burst, smallestBurst(mtu)), largestBurst(clock))
    return TokenBucket(
      rate: rate, buffer: Self.buffer(burst, rate: rate, clock: clock),
      limit: UInt32(clamping: Self.queue(rate) + burst))
  }

  /// A packet with its Ethernet header, and what may be lost when the bucket becomes a time in whole microseconds, that
  /// becomes a number of ticks, and that becomes bytes again.
  private func smallestBurst(_ mtu: UInt32) -> UInt64 { UInt64(mtu) + 14 + rate / 500_000 + 2 }

  /// The kernel keeps a bucket as the time that it lasts, in 32 bits: 275 seconds at most. What may wait besides has to fit
  /// 32 bits together with it.
  private func largestBurst(_ clock: TrafficClock) -> UInt64 {
    let byTime = UInt64(clamping: Double(clock.longest) * Double(rate) / 1e6)
    let limit = UInt64(UInt32.max)
    return min(byTime, limit - min(Self.queue(rate), limit / 2))
  }

  /// Whether a qdisc keeps to the limit. One whose burst could not be as large as it should was made as large as may be,
  /// and by other implementations in other ways.
  func matches(_ bucket: TokenBucket, mtu: UInt32, clock: TrafficClock) -> Bool {
    guard bucket.rate == rate else { return false }
    let expected = tokenBucket(mtu: mtu, clock: clock)
    return bucket.buffer == expected.buffer && bucket.limit == expected.limit || burst > largestBurst(clock)
      || burst < smallestBurst(mtu)
  }

  /// Whether a bucket's numbers go together as those of this plugin, and of the Go plugin, do.
  static func isFromPlugin(_ bucket: TokenBucket, clock: TrafficClock) -> Bool {
    guard bucket.rate > 0, bucket.peakRate == nil, UInt64(bucket.limit) >= queue(bucket.rate) else {
      return false
    }
    return buffer(UInt64(bucket.limit) - queue(bucket.rate), rate: bucket.rate, clock: clock) == bucket.buffer
  }

  private static func queue(_ rate: UInt64) -> UInt64 { UInt64(clamping: Double(rate) * latency / 1e6) }

  private static func buffer(_ burst: UInt64, rate: UInt64, clock: TrafficClock) -> UInt32 {
    clock.ticks(microseconds: UInt64(clamping: Double(burst) * 1e6 / Double(rate)))
  }
}

extension UInt64 {
  fileprivate init(clamping value: Double) { self = value >= 0x1p64 ? .max : UInt64(value) }
}
