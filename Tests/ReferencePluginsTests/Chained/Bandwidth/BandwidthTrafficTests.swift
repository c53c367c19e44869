import CNI
import CNIExecution
import TestSupport
import Testing

/// What passes, and how fast.
@Suite("bandwidth: rates", .requiresRoot, .requiresProgram("iperf3"), .serialized)
struct BandwidthTrafficTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let type: String
    let transport: RateMeasurement.Transport
    let server: String
    var testDescription: String { "\(type) \(transport) \(server)" }
  }

  /// Every kind of link with every transport and both families, without trying each with each.
  static let cases = [
    Case(type: "bridge", transport: .tcp, server: "10.22.0.1"),
    Case(type: "ptp", transport: .tcp, server: "fd00:22::1"),
    Case(type: "bridge", transport: .udp, server: "fd00:22::1"),
    Case(type: "ptp", transport: .udp, server: "10.22.0.1"),
  ]

  private func configuration(_ type: String, _ host: TestHost) -> String {
    type == "ptp" ? host.ptp("") : host.bridge("\"isGateway\":true", ipam: TestHost.dualStack)
  }

  @Test("Within 5 % of the rate, each direction at its own", arguments: cases)
  func rates(test: Case) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let rates = (ingress: 40_000_000, egress: 25_000_000)
      let first = try host.add(configuration(test.type, host))
      _ = try host.add(
        host.bandwidth(TestHost.limits(ingress: rates.ingress, egress: rates.egress), after: first))
      try settle(test.server)
      for direction in RateMeasurement.Direction.allCases {
        try RateMeasurement(server: test.server, direction: direction, transport: test.transport)
          .expect(direction == .ingress ? rates.ingress : rates.egress)
      }
    }
  }

  @Test(
    "The direction without a limit has none, and after DEL neither has",
    arguments: RateMeasurement.Direction.allCases)
  func unlimited(limited: RateMeasurement.Direction) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let rate = 10_000_000
      let keys =
        limited == .ingress ? TestHost.limits(ingress: rate) : TestHost.limits(egress: rate)
      let other = limited == .ingress ? RateMeasurement.Direction.egress : .ingress
      let first = try host.add(host.ptp(""))
      let result = try host.add(host.bandwidth(keys, after: first))
      try settle("10.22.0.1")
      try RateMeasurement(server: "10.22.0.1", direction: limited).expect(rate)
      try RateMeasurement(server: "10.22.0.1", direction: other).expectMore(than: 5 * rate)
      try host.succeeded(host.call(.del, host.bandwidth(keys, after: result)))
      try RateMeasurement(server: "10.22.0.1", direction: limited).expectMore(than: 5 * rate)
    }
  }

  @Test("Two interfaces of a container, each at its own rate at the same time")
  func twoInterfaces() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let rates = [20_000_000, 50_000_000]
      for (number, rate) in rates.enumerated() {
        let (interface, name) = ("eth\(number)", "net\(number)")
        let first = try host.addPTP(interface: interface, name: name, ipam: TestHost.range(number))
        let limits = TestHost.limits(ingress: rate, egress: rate)
        try host.succeeded(
          host.call(.add, host.bandwidth(limits, after: first, name: name), interface: interface))
      }
      for direction in RateMeasurement.Direction.allCases {
        // While the other one is as busy as it may be.
        let busy = try ChildProcess(["iperf3", "-s", "-1", "-p", "5300", "--forceflush"])
        try busy.waitForOutput("Server listening")
        let reverse = direction == .ingress ? ["-R"] : []
        let load = try ChildProcess(
          ["ip", "netns", "exec", "c1", "iperf3", "-c", "10.31.0.1", "-p", "5300", "-t", "20"] + reverse)
        try RateMeasurement(server: "10.30.0.1", direction: direction).expect(rates[0])
        load.send(signal: 15)
        _ = try load.wait()
        _ = try busy.wait()
        try RateMeasurement(server: "10.31.0.1", direction: direction).expect(rates[1])
      }
    }
  }

  /// Neighbours are known, and addresses usable.
  private func settle(_ server: String) throws {
    try shell(
      "for i in $(seq 40); do ip netns exec c1 ping -q -c2 -i0.2 -W1 \(server) && exit; sleep 0.2; done; exit 1",
      timeout: 90)
  }
}
