import CNI
import TestSupport
import Testing

/// How fast data passes between a container and the host, measured with iperf3.
struct RateMeasurement {
  enum Direction: String, CaseIterable, Sendable {
    /// Towards the container.
    case ingress
    /// From it.
    case egress
  }
  enum Transport: String, CaseIterable, Sendable { case tcp, udp }

  var container = "c1"
  /// The host's address, as the container reaches it.
  let server: String
  var port = 5201
  let direction: Direction
  var transport = Transport.tcp
  /// What UDP is offered, in bits per second.
  var offered = 200_000_000

  private static let datagram = 1400

  /// Bytes of payload in a frame, and the frame as the kernel's token bucket counts it: with its Ethernet header. TCP with
  /// timestamps, at an MTU of 1500.
  private var frame: (payload: Double, whole: Double) {
    let header = server.contains(":") ? 40.0 : 20.0
    switch transport {
    case .tcp: return (1500 - header - 32, 1514)
    case .udp: return (Double(Self.datagram), Double(Self.datagram) + 8 + header + 14)
    }
  }

  private struct Outcome {
    /// What arrived, in bits of frames.
    var bits: Double
    /// How long it took, as the one who received it saw it.
    var seconds: Double
    /// How long all of it took, from before the start until after the end.
    var around: Double
    /// How much of all processors' time nobody wanted meanwhile, from 0 to 1.
    var idle: Double
    /// How much of it this machine, being a virtual one, was not given.
    var stolen: Double
  }

  private func run(seconds: Double) throws -> Outcome {
    let listening = try ChildProcess(["iperf3", "-s", "-1", "-p", "\(port)", "--forceflush"])
    try listening.waitForOutput("Server listening")
    var arguments = ["ip", "netns", "exec", container, "iperf3", "-c", server, "-p", "\(port)"]
    arguments += ["-t", "\(seconds)", "-J"]
    if direction == .ingress { arguments.append("-R") }
    if transport == .udp { arguments += ["-u", "-b", "\(offered)", "-l", "\(Self.datagram)"] }
    let clock = ContinuousClock()
    let (start, times) = (clock.now, try Self.processorTimes())
    let result = try ChildProcess(arguments).wait(timeout: 60)
    guard result.succeeded else {
      throw CommandFailure(what: arguments.joined(separator: " "), result: result)
    }
    _ = try listening.wait(timeout: 30)
    let around = start.duration(to: clock.now) / .seconds(1)
    let ended = try Self.processorTimes()
    let all = max(ended.all - times.all, 1)
    let received = try JSONValue.parse(result.standardOutput)["end"]?["sum_received"]
    guard let bytes = received?["bytes"]?.double, let time = received?["seconds"]?.double, time > 0 else {
      throw CommandFailure(what: "iperf3 tells of nothing that was received", result: result)
    }
    return Outcome(
      bits: bytes * 8 * frame.whole / frame.payload, seconds: time, around: around,
      idle: (ended.idle - times.idle) / all, stolen: (ended.stolen - times.stolen) / all)
  }

  /// What the processors have done since the machine was started, in ticks (`/proc/stat`).
  private static func processorTimes() throws -> (idle: Double, stolen: Double, all: Double) {
    let numbers = try shell("head -n1 /proc/stat").split(separator: " ").dropFirst().compactMap {
      Double($0.trimmed)
    }
    // user, nice, system, idle, iowait, irq, softirq, steal; the last two, guests, are of the first two already.
    return (numbers[3] + numbers[4], numbers[7], numbers.prefix(8).reduce(0, +))
  }

  /// Expects what arrives to be within 5 % of `rate`, besides a burst of a tenth of it, with which limits are set here.
  ///
  /// At no time may more arrive than the rate and the burst allow in all the time there was. On a busy machine the
  /// processes that send, receive and measure have to wait, and a whole virtual machine may: then it is done again, and
  /// what remains too little is held against the limit only if a processor had time to spare, and was there all the time.
  func expect(_ rate: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var outcomes: [Outcome] = []
    let burst = Double(rate) / 10
    for _ in 0..<8 {
      let outcome = try run(seconds: 2.5)
      outcomes.append(outcome)
      let most = burst + Double(rate) * outcome.around
      #expect(outcome.bits <= 1.05 * most, "\(self): \(outcome)", sourceLocation: sourceLocation)
      let share = (outcome.bits - burst) / outcome.seconds / Double(rate)
      if (0.95...1.05).contains(share) { return }
    }
    #expect(
      !outcomes.contains { $0.idle > 0.2 && $0.stolen < 0.01 },
      "\(self): not within 5 % of \(rate): \(outcomes)",
      sourceLocation: sourceLocation)
  }

  /// Expects more than `rate`, which a limit would not let through.
  func expectMore(than rate: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var measured: [Double] = []
    repeat {
      let outcome = try run(seconds: 1)
      measured.append(outcome.bits / outcome.seconds)
    } while measured.last! < Double(rate) && measured.count < 8
    #expect(measured.last! > Double(rate), "\(self): \(measured)", sourceLocation: sourceLocation)
  }
}

extension Substring {
  fileprivate var trimmed: Substring { hasSuffix("\n") ? dropLast() : self }
}

extension JSONValue {
  fileprivate var double: Double? {
    if case .number(let text) = kind { Double(text) } else { nil }
  }
}
