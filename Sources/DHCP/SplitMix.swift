/// SplitMix64 (Steele, Lea, Flood 2014): random enough for transaction numbers and pauses, which are no secret, and the
/// same again from the same seed, which tests need.
struct SplitMix: RandomNumberGenerator, Sendable {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }

  mutating func next() -> UInt32 { UInt32(truncatingIfNeeded: next() as UInt64) }

  /// From 0 to 1.
  mutating func fraction() -> Double { Double(next() as UInt64 >> 11) / 0x1p53 }
}
