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
  }

  private func run(seconds: Double) throws -> Outcome {
    let listening = try ChildProcess(["iperf3", "-s", "-1", "-p", "\(port)", "--forceflush"])
    try listening.waitForOutput("Server listening")
    var arguments = ["ip", "netns", "exec", container, "iperf3", "-c", server, "-p", "\(port)"]
    arguments += ["-t", "\(seconds)", "-J"]
    if direction == .ingress { arguments.append("-R") }
    if transport == .udp { arguments += ["-u", "-b", "\(offered)", "-l", "\(Self.datagram)"] }
    let clock = ContinuousClock()
    let start = clock.now
    let result = try ChildProcess(arguments).wait(timeout: 60)
    guard result.succeeded else {
      throw CommandFailure(what: arguments.joined(separator: " "), result: result)
    }
    _ = try listening.wait(timeout: 30)
    let around = start.duration(to: clock.now) / .seconds(1)
    let received = try JSONValue.parse(result.standardOutput)["end"]?["sum_received"]
    guard let bytes = received?["bytes"]?.double, let time = received?["seconds"]?.double, time > 0 else {
      throw CommandFailure(what: "iperf3 tells of nothing that was received", result: result)
    }
    return Outcome(bits: bytes * 8 * frame.whole / frame.payload, seconds: time, around: around)
  }

  /// Expects what arrives to be within 5 % of `rate`, besides a burst of a tenth of it, with which limits are set here.
  ///
  /// On a busy machine the processes that measure have to wait, too, for either end of the time that they measure: then
  /// it is done again. But at no time may more arrive than the rate and the burst allow in all the time there was.
  func expect(_ rate: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var measured: [Double] = []
    let burst = Double(rate) / 10
    repeat {
      let outcome = try run(seconds: 2.5)
      measured.append((outcome.bits - burst) / outcome.seconds / Double(rate))
      let most = burst + Double(rate) * outcome.around
      #expect(outcome.bits <= 1.05 * most, "\(self): \(outcome)", sourceLocation: sourceLocation)
    } while !(0.95...1.05).contains(measured.last!) && measured.count < 4
    #expect(
      (0.95...1.05).contains(measured.last!), "\(self): \(measured) of \(rate)",
      sourceLocation: sourceLocation)
  }

  /// Expects more than `rate`, which a limit would not let through.
  func expectMore(than rate: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var measured: [Double] = []
    repeat {
      let outcome = try run(seconds: 1)
      measured.append(outcome.bits / outcome.seconds)
    } while measured.last! < Double(rate) && measured.count < 4
    #expect(measured.last! > Double(rate), "\(self): \(measured)", sourceLocation: sourceLocation)
  }
}

extension JSONValue {
  fileprivate var double: Double? {
    if case .number(let text) = kind { Double(text) } else { nil }
  }
}
