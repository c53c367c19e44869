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

  /// What arrived, in bits per second of frames: measured for two seconds, after one in which the burst is used up.
  func run() throws -> Double {
    let listening = try ChildProcess(["iperf3", "-s", "-1", "-p", "\(port)", "--forceflush"])
    try listening.waitForOutput("Server listening")
    var arguments = [
      "ip", "netns", "exec", container, "iperf3", "-c", server, "-p", "\(port)", "-t", "2", "-O", "1", "-J",
    ]
    if direction == .ingress { arguments.append("-R") }
    if transport == .udp { arguments += ["-u", "-b", "\(offered)", "-l", "\(Self.datagram)"] }
    let result = try ChildProcess(arguments).wait(timeout: 60)
    guard result.succeeded else {
      throw CommandFailure(what: arguments.joined(separator: " "), result: result)
    }
    _ = try listening.wait(timeout: 30)
    let received = try JSONValue.parse(result.standardOutput)["end"]?["sum_received"]?["bits_per_second"]
    guard case .number(let text)? = received?.kind, let rate = Double(text) else {
      throw CommandFailure(what: "iperf3 gave no rate", result: result)
    }
    return rate * frame.whole / frame.payload
  }

  /// Expects what arrives to be within 5 % of `rate`. More is never right. Less can be a busy machine's fault: it gets
  /// another chance, or two.
  func expect(_ rate: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var measured: [Double] = []
    repeat {
      measured.append(try run() / Double(rate))
      #expect(
        measured.last! <= 1.05, "\(self): \(measured) of \(rate)", sourceLocation: sourceLocation)
    } while measured.last! < 0.95 && measured.count < 4
    #expect(measured.last! >= 0.95, "\(self): \(measured) of \(rate)", sourceLocation: sourceLocation)
  }

  /// Expects more than `rate`, which a limit would not let through.
  func expectMore(than rate: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var measured: [Double] = []
    repeat { measured.append(try run()) } while measured.last! < Double(rate) && measured.count < 3
    #expect(measured.last! > Double(rate), "\(self): \(measured)", sourceLocation: sourceLocation)
  }
}
