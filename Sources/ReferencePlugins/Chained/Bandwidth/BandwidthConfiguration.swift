import CNI
import CNIPluginKit

/// `ingressRate`, `ingressBurst`, `egressRate`, `egressBurst`: what the container may receive and send.
struct BandwidthConfiguration {
  /// What the container receives; `nil`: as much as comes.
  let ingress: TrafficLimit?
  /// What the container sends; `nil`: as much as it wants.
  let egress: TrafficLimit?

  private static let directions = [("ingressRate", "ingressBurst"), ("egressRate", "egressBurst")]

  /// The keys of the configuration itself or, where it has none of the four, those of `runtimeConfig.bandwidth`: what
  /// the administrator has written is not for others to raise.
  init(_ keys: ConfigurationObject) throws(CNIError) {
    let runtime = try keys.object("runtimeConfig")?.object("bandwidth")
    var limits: [TrafficLimit?] = []
    let isWritten = Self.directions.contains { keys.value($0.0) != nil || keys.value($0.1) != nil }
    for (rate, burst) in Self.directions {
      let holder = isWritten ? keys : runtime
      limits.append(try holder.flatMap { (keys) throws(CNIError) in try Self.limit(rate, burst, keys) })
    }
    ingress = limits[0]
    egress = limits[1]
  }

  private static func limit(
    _ rateKey: String, _ burstKey: String, _ keys: ConfigurationObject
  ) throws(CNIError) -> TrafficLimit? {
    let rate = try keys.unsigned(rateKey) ?? 0
    let burst = try keys.unsigned(burstKey) ?? 0
    if rate == 0 && burst == 0 { return nil }
    guard rate != 0 else {
      throw keys.failure(
        rateKey, "is 0 or missing, and \(burstKey) is \(burst)",
        remedy: "set \(rateKey), in bits per second; or neither of the two for no limit")
    }
    guard burst != 0 else {
      throw keys.failure(
        burstKey, "is 0 or missing, and \(rateKey) is \(rate)",
        remedy:
          "set \(burstKey), in bits: what may pass at once after a pause, for example a tenth of the rate")
    }
    guard rate >= 8 else {
      throw keys.failure(
        rateKey, "\(rate) bits per second is less than a byte per second",
        remedy: "\(rateKey) is in bits per second: 1000000 is one megabit")
    }
    return TrafficLimit(bitsPerSecond: rate, burstBits: burst)
  }
}
