/// A rate as qdiscs take it (`struct tc_ratespec`), with the table of how long packets of each size take, which kernels
/// before Linux 3.8 reckon with and later ones accept.
struct RateSpecification {
  /// Bytes per second; above 32 bits an attribute of its own says it.
  var rate: UInt64
  /// Each entry of the table is for `1 << cellShift` more bytes than the one before.
  var cellShift: UInt8

  /// For packets of up to `mtu` bytes; 0: 2,047.
  init(rate: UInt64, mtu: UInt32 = 0) {
    self.rate = rate
    var largest = mtu == 0 ? 2047 : mtu
    cellShift = 0
    while largest > 255 {
      largest >>= 1
      cellShift += 1
    }
  }

  /// Whether there is anything to say.
  var isLarge: Bool { rate > UInt64(UInt32.max) }

  /// `withTable`: whether a table comes with it; without one there are no cells.
  func encode(into builder: inout MessageBuilder, withTable: Bool) {
    builder.append(withTable ? cellShift : 0)
    builder.append(UInt8(withTable ? 1 : 0))  // TC_LINKLAYER_ETHERNET
    builder.append(UInt16(0))  // overhead
    builder.append(Int16(withTable ? -1 : 0))  // cell_align
    builder.append(UInt16(0))  // mpu
    builder.append(UInt32(clamping: rate))
  }

  /// The attribute of 256 numbers of ticks.
  func encodeTable(_ type: UInt16, clock: TrafficClock, into builder: inout MessageBuilder) {
    let rate = UInt64(UInt32(clamping: rate))
    builder.header(type, payload: 1024)
    for cell in 1...256 {
      builder.append(clock.ticks(bytes: UInt64(cell) << UInt64(cellShift), rate: rate))
    }
  }
}
