import NetworkAddresses
import Testing

@testable import CNI

/// A result that uses everything.
let fullResult = AddResult(
  interfaces: [
    Interface(name: "cni0", mac: "5a:94:ef:e4:0c:dd", mtu: 1500),
    Interface(
      name: "eth0", mac: "00:11:22:33:44:55", mtu: 1400, sandbox: "/run/netns/blue",
      socketPath: "/run/vhost.sock",
      pciID: "0000:00:1f.6"),
  ],
  ips: [
    IPConfiguration(address: IPPrefix("10.1.0.5/16")!, gateway: IPAddress("10.1.0.1"), interface: 1),
    IPConfiguration(address: IPPrefix("10.2.0.5/16")!, interface: 0),
    IPConfiguration(address: IPPrefix("fd00:1::5/64")!, gateway: IPAddress("fd00:1::1")),
  ],
  routes: [
    RouteConfiguration(
      destination: IPPrefix("0.0.0.0/0")!, gateway: IPAddress("10.1.0.1"), mtu: 1400, advmss: 1340,
      priority: 100,
      table: 0, scope: 0),
    RouteConfiguration(destination: IPPrefix("fd00:2::/64")!),
  ],
  dns: DNSConfiguration(nameservers: ["10.1.0.1"], domain: "local", search: ["a", "b"], options: ["ndots:5"]))

@Suite struct AddResultTests {
  static let routes = """
    [{"dst":"0.0.0.0/0","gw":"10.1.0.1","mtu":1400,"advmss":1340,"priority":100,"table":0,"scope":0},{"dst":"fd00:2::/64"}]
    """
  static let dns = #"{"nameservers":["10.1.0.1"],"domain":"local","search":["a","b"],"options":["ndots:5"]}"#

  static func golden(_ version: SpecVersion) -> String {
    switch version {
    case .v0_1_0, .v0_2_0:
      return
        #"{"cniVersion":"\#(version)","ip4":{"ip":"10.1.0.5/16","gateway":"10.1.0.1","routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}]},"#
        + #""ip6":{"ip":"fd00:1::5/64","gateway":"fd00:1::1","routes":[{"dst":"fd00:2::/64"}]},"dns":\#(dns)}"#
    case .v0_3_0, .v0_3_1, .v0_4_0:
      return #"{"cniVersion":"\#(version)","interfaces":[{"name":"cni0","mac":"5a:94:ef:e4:0c:dd"},"#
        + #"{"name":"eth0","mac":"00:11:22:33:44:55","sandbox":"/run/netns/blue"}],"#
        + #""ips":[{"version":"4","interface":1,"address":"10.1.0.5/16","gateway":"10.1.0.1"},"#
        + #"{"version":"4","interface":0,"address":"10.2.0.5/16"},{"version":"6","address":"fd00:1::5/64","gateway":"fd00:1::1"}],"#
        + #""routes":\#(routes),"dns":\#(dns)}"#
    case .v1_0_0, .v1_1_0:
      return
        #"{"cniVersion":"\#(version)","interfaces":[{"name":"cni0","mac":"5a:94:ef:e4:0c:dd","mtu":1500},"#
        + #"{"name":"eth0","mac":"00:11:22:33:44:55","mtu":1400,"sandbox":"/run/netns/blue","socketPath":"/run/vhost.sock","pciID":"0000:00:1f.6"}],"#
        + #""ips":[{"interface":1,"address":"10.1.0.5/16","gateway":"10.1.0.1"},"#
        + #"{"interface":0,"address":"10.2.0.5/16"},{"address":"fd00:1::5/64","gateway":"fd00:1::1"}],"#
        + #""routes":\#(routes),"dns":\#(dns)}"#
    }
  }

  /// What Go's loopback prints for configurations of these versions.
  @Test(arguments: [SpecVersion.v0_1_0, .v0_2_0]) func readsTheNewestShapeOfOldVersions(
    _ version: SpecVersion
  )
    throws
  {
    let json = try JSONValue.parse(
      Array(
        """
        {"cniVersion":"\(version)","interfaces":[{"name":"lo","mac":"00:00:00:00:00:00","sandbox":"/run/netns/a"}],
         "ips":[{"interface":0,"address":"127.0.0.1/8"},{"interface":0,"address":"::1/128"}],"dns":{}}
        """.utf8))
    let result = try AddResult.decode(json)
    #expect(result.ips.map(\.address.description) == ["127.0.0.1/8", "::1/128"])
    #expect(
      try result.encode(as: version).description
        == #"{"cniVersion":"\#(version)","ip4":{"ip":"127.0.0.1/8"},"ip6":{"ip":"::1/128"},"dns":{}}"#)
  }

  @Test(arguments: SpecVersion.allCases)
  func eachVersionHasItsShape(_ version: SpecVersion) throws {
    #expect(try fullResult.encode(as: version).description == Self.golden(version))
  }

  @Test(arguments: SpecVersion.allCases)
  func whatAVersionCanSayIsReadAgain(_ version: SpecVersion) throws {
    let json = try JSONValue.parse(Self.golden(version))
    let result = try AddResult.decode(json)
    #expect(try result.encode(as: version) == json)
    if version >= .v1_0_0 { #expect(result == fullResult) }
    // A version that the result does not name is the configuration's.
    var object = try #require(json.object)
    object.remove("cniVersion")
    #expect(try AddResult.decode(.object(object), version: version) == result)
  }

  @Test(arguments: SpecVersion.allCases, SpecVersion.allCases)
  func conversionsLoseOnlyWhatTheOlderCannotSay(_ from: SpecVersion, _ to: SpecVersion) throws {
    let older = try AddResult.decode(JSONValue.parse(Self.golden(from)))
    let direct = try fullResult.encode(as: min(from, to))
    #expect(try AddResult.decode(older.encode(as: to)).encode(as: min(from, to)) == direct)
  }

  @Test func emptyResults() throws {
    let empty = AddResult()
    #expect(try empty.encode(as: .v1_1_0).description == #"{"cniVersion":"1.1.0"}"#)
    #expect(try empty.encode(as: .v0_4_0).description == #"{"cniVersion":"0.4.0","dns":{}}"#)
    #expect(failure { _ = try empty.encode(as: .v0_2_0) }.code == .incompatibleVersion)
    #expect(try AddResult.decode(["cniVersion": "0.2.0"]) == empty)
    #expect(try AddResult.decode([:]) == empty)
    let nulls: JSONValue = ["cniVersion": "1.1.0", "interfaces": nil, "ips": nil, "routes": nil, "dns": nil]
    #expect(try AddResult.decode(nulls) == empty)
    #expect(
      try AddResult(interfaces: [Interface(name: "", mtu: 0)]).encode(as: .v1_1_0)["interfaces"] == [
        ["name": ""]
      ])
  }

  @Test func olderShapesGiveAwayWhatTheyDoNotKnow() throws {
    let older: JSONValue = [
      "cniVersion": "0.4.0", "interfaces": [["name": "eth0", "mtu": 9000, "pciID": "x"]],
    ]
    #expect(try AddResult.decode(older).interfaces == [Interface(name: "eth0")])
    // Without an IPv6 address there is no place for IPv6 routes up to 0.2.0.
    var result = fullResult
    result.ips.removeLast()
    let json = try result.encode(as: .v0_2_0)
    #expect(json["ip6"] == nil && json["ip4"]?["routes"]?.array?.count == 1)
  }

  @Test func whatGoAcceptsIsAccepted() throws {
    let json: JSONValue = [
      "CNIVersion": "1.0.0",
      "IPs": [["Address": "::ffff:10.0.0.6/120", "gateway": "", "interface": 7, "version": "4"]],
      "routes": [["dst": "10.0.0.7/8", "gw": nil, "mtu": 0, "priority": 0]], "unknown": [1],
    ]
    let result = try AddResult.decode(json)
    #expect(result.ips == [IPConfiguration(address: IPPrefix("10.0.0.6/24")!, interface: 7)])
    #expect(result.routes == [RouteConfiguration(destination: IPPrefix("10.0.0.7/8")!)])
  }

  @Test(arguments: [
    (#"[]"#, CNIError.Code.decodingFailure, "expected an object, not a list (reply line 1, column 1)"),
    (
      #"{"cniVersion":"9.0.0"}"#, .incompatibleVersion,
      #"cniVersion: "9.0.0" is not a version of the specification (reply line 1, column 15)"#
    ),
    (
      #"{"cniVersion":1}"#, .decodingFailure,
      "cniVersion: expected a string, not the number 1 (reply line 1, column 15)"
    ),
    (
      #"{"cniVersion":"1.0.0","ips":[{}]}"#, .decodingFailure,
      "ips[0].address: is missing or empty (reply line 1, column 30)"
    ),
    (
      #"{"cniVersion":"1.0.0","ips":[{"address":"x"}]}"#, .decodingFailure,
      #"ips[0].address: "x" is not a subnet (reply line 1, column 41)"#
    ),
    (
      #"{"cniVersion":"1.0.0","ips":[null]}"#, .decodingFailure,
      "ips[0]: expected an object, not null (reply line 1, column 30)"
    ),
    (
      #"{"cniVersion":"1.0.0","ips":{}}"#, .decodingFailure,
      "ips: expected a list, not an object (reply line 1, column 29)"
    ),
    (
      #"{"cniVersion":"1.0.0","routes":[{"dst":"::/0","mtu":1.5}]}"#, .decodingFailure,
      "routes[0].mtu: expected a whole number, not the number 1.5 (reply line 1, column 53)"
    ),
    // What has no room in the kernel's word must neither become another number nor stop the program.
    (
      #"{"cniVersion":"1.1.0","routes":[{"dst":"::/0","mtu":-5}]}"#, .decodingFailure,
      "routes[0].mtu: -5 is out of range (reply line 1, column 53)"
    ),
    (
      #"{"cniVersion":"1.1.0","routes":[{"dst":"::/0","table":-1}]}"#, .decodingFailure,
      "routes[0].table: -1 is out of range (reply line 1, column 55)"
    ),
    (
      #"{"cniVersion":"1.1.0","routes":[{"dst":"::/0","table":4294967296}]}"#, .decodingFailure,
      "routes[0].table: 4294967296 is out of range (reply line 1, column 55)"
    ),
    (
      #"{"cniVersion":"1.1.0","routes":[{"dst":"::/0","scope":999}]}"#, .decodingFailure,
      "routes[0].scope: 999 is out of range (reply line 1, column 55)"
    ),
    (
      #"{"ip4":{"gateway":"10.0.0.1"}}"#, .decodingFailure,
      "ip4.ip: is missing or empty (reply line 1, column 8)"
    ),
    (
      #"{"cniVersion":"1.0.0","interfaces":[{"name":"a\u0000b"}]}"#, .decodingFailure,
      "interfaces[0].name: contains a NUL character (reply line 1, column 45)"
    ),
  ])
  func wrongResults(_ json: String, _ code: CNIError.Code, _ message: String) {
    let error = failure { _ = try AddResult.decode(JSONValue.parse(json), name: "reply") }
    #expect(error.code == code)
    #expect(error.message == message)
  }
}
