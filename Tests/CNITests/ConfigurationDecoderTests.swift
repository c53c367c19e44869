import NetworkAddresses
import Testing

@testable import CNI

@Suite struct ConfigurationDecoderTests {
  enum Mode: String, Decodable { case bridge, vepa }
  struct Range: Decodable, Equatable {
    var subnet: IPPrefix
    var gateway: IPAddress?
  }
  struct Own: Decodable {
    var hostPort: UInt16
    var mode: Mode?
    var ranges: [[Range]]
    var mac: MACAddress?
    var labels: [String: Int]?
    var rate: Double?
    var enabled: Bool?
    var list: [String?]?
    var burst: UInt64?
  }

  private func decode(_ text: String) throws -> Own {
    try ConfigurationObject(JSONValue.parse(text), name: "x.conf").decode(Own.self)
  }

  @Test func tolerant() throws {
    let own = try decode(
      """
      {"HostPort": 80, "mode": "vepa", "RANGES": [[{"Subnet": "10.0.0.0/8", "gateway": ""}], []], "mac": "",
       "labels": {"a": 1, "B": 2}, "rate": 1e3, "enabled": true, "list": ["x", null], "burst": 18446744073709551615}
      """)
    #expect(own.hostPort == 80 && own.mode == .vepa && own.mac == nil && own.labels == ["a": 1, "B": 2])
    #expect(own.ranges == [[Range(subnet: IPPrefix("10.0.0.0/8")!)], []])
    #expect(own.rate == 1000 && own.enabled == true && own.list == ["x", nil] && own.burst == .max)
    let least = try decode(#"{"hostPort": 1, "ranges": [], "mode": null, "labels": null, "list": null}"#)
    #expect(least.mode == nil && least.labels == nil && least.enabled == nil)
  }

  @Test(arguments: [
    (#"{"ranges": []}"#, 7, "hostPort: is missing or empty (x.conf line 1, column 1)"),
    (#"{"hostPort": 65536}"#, 7, "hostPort: 65536 is out of range (x.conf line 1, column 14)"),
    (#"{"hostPort": -1}"#, 7, "hostPort: -1 is out of range (x.conf line 1, column 14)"),
    (
      #"{"hostPort": 1.0}"#, 6,
      "hostPort: expected a whole number, not the number 1.0 (x.conf line 1, column 14)"
    ),
    (
      #"{"hostPort": "1"}"#, 6, #"hostPort: expected a number, not the string "1" (x.conf line 1, column 14)"#
    ),
    (
      #"{"hostPort": 1, "ranges": [[{"subnet": "10.0.0/8"}]]}"#, 7,
      #"ranges[0][0].subnet: "10.0.0/8" is not a subnet (x.conf line 1, column 40)"#
    ),
    (
      #"{"hostPort": 1, "ranges": [{}]}"#, 6,
      "ranges[0]: expected a list, not an object (x.conf line 1, column 28)"
    ),
    (
      #"{"hostPort": 1, "ranges": [], "labels": {"a.b": true}}"#, 6,
      #"labels["a.b"]: expected a number, not true (x.conf line 1, column 49)"#
    ),
    (
      #"{"hostPort": 1, "ranges": [], "enabled": "true"}"#, 6,
      #"enabled: expected true or false, not the string "true" (x.conf line 1, column 42)"#
    ),
  ])
  func mistakesAreExplained(_ text: String, _ code: UInt32, _ message: String) {
    let error = failure { _ = try decode(text) }
    #expect(error.code.rawValue == code)
    #expect(error.message == message)
  }

  @Test func otherErrorsGetTheirPlace() {
    let error = failure { _ = try decode(#"{"hostPort": 1, "mode": "l2"}"#) }
    #expect(error.code == .invalidConfiguration && error.message.hasPrefix("mode: "))
    #expect(error.message.hasSuffix("(x.conf line 1, column 25)"))
  }
}
