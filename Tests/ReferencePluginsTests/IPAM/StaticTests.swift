import CNI
import CNIExecution
import NetworkAddresses
import Testing

@testable import ReferencePlugins

/// A configuration of static; `ipam` and `keys` are further members.
func fixed(_ ipam: String, _ keys: String = "", version: String = "1.1.0") -> String {
  """
  {"cniVersion":"\(version)","name":"net","type":"bridge"\(keys.isEmpty ? "" : ",")\(keys),
   "ipam":{"type":"static"\(ipam.isEmpty ? "" : ",")\(ipam)}}
  """
}

@Suite struct StaticTests {
  private let two = """
    "addresses":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"3ffe:ffff:0:01ff::1/64"}]
    """

  private func call(_ command: Command, _ configuration: String, arguments: String = "") throws
    -> AddressPlugin.Reply
  {
    try AddressPlugin.ours.call("static", command, configuration, arguments: arguments)
  }

  private func ips(_ configuration: String, arguments: String = "") throws -> [String] {
    try call(.add, configuration, arguments: arguments).result().ips.map {
      $0.address.description + ($0.gateway.map { " via \($0)" } ?? "")
    }
  }

  @Test func reportsWhatIsConfigured() throws {
    let configuration = fixed(
      two
        + #","routes":[{"dst":"0.0.0.0/0","gw":"10.10.0.254"}],"dns":{"nameservers":["192.0.2.1"],"domain":"a.b"}"#
    )
    let result = try call(.add, configuration).result()
    #expect(try ips(configuration) == ["10.10.0.1/24 via 10.10.0.254", "3ffe:ffff:0:1ff::1/64"])
    #expect(
      result.routes == [RouteConfiguration(destination: prefix("0.0.0.0/0"), gateway: address("10.10.0.254"))]
    )
    #expect(result.dns == DNSConfiguration(nameservers: ["192.0.2.1"], domain: "a.b"))
    for command in [Command.del, .gc, .status] { #expect(try call(command, configuration).status == 0) }
  }

  @Test func addsThoseOfTheArguments() throws {
    let arguments = "IgnoreUnknown=1;X=y;IP=10.20.0.5/24, fd00::5/64 ;GATEWAY=10.20.0.1,fd00::1,10.10.0.77"
    #expect(
      try ips(fixed(two), arguments: arguments) == [
        "10.10.0.1/24 via 10.10.0.254", "3ffe:ffff:0:1ff::1/64", "10.20.0.5/24 via 10.20.0.1",
        "fd00::5/64 via fd00::1",
      ])
  }

  @Test func prefersTheRuntimesToTheCallers() throws {
    let caller = #""args":{"cni":{"ips":["10.30.0.1/24"]}}"#
    #expect(try ips(fixed(two, caller), arguments: "IP=10.20.0.5/24") == ["10.30.0.1/24"])
    let both = caller + #","runtimeConfig":{"IPs":["10.40.0.1/24","fd00::1/64"]}"#
    #expect(try ips(fixed(two, both)) == ["10.40.0.1/24", "fd00::1/64"])
    #expect(try ips(fixed(two, #""args":{"cni":{"ips":[]}},"runtimeConfig":{"ips":null}"#)).count == 2)
  }

  @Test func pointsAtMistakes() throws {
    func message(_ configuration: String, arguments: String = "") throws -> String {
      try #require(try call(.add, configuration, arguments: arguments).error).description
    }
    #expect(
      try message(fixed(#""addresses":[{"address":"10.10.0.1"}]"#)).contains("ipam.addresses[0].address"))
    #expect(
      try message(fixed(#""addresses":[{"gateway":"10.10.0.1"}]"#)).contains("ipam.addresses[0].address"))
    #expect(try message(fixed("", #""runtimeConfig":{"ips":["10.1.1.1"]}"#)).contains("runtimeConfig.ips[0]"))
    #expect(try message(fixed("", #""args":{"cni":{"ips":["x"]}}"#)).contains("args.cni.ips[0]"))
    #expect(try message(fixed(""), arguments: "IP=10.1.1.1").contains("IP"))
    #expect(try message(fixed(""), arguments: "IP=10.1.1.1/8;GATEWAY=x").contains("GATEWAY"))
    #expect(try message(fixed(""), arguments: "POD=x").contains("POD"))
    let both = #""addresses":[{"address":"10.1.0.1/24"},{"address":"10.2.0.1/24"}]"#
    #expect(try message(fixed(both, version: "0.2.0")).contains("0.2.0"))
    #expect(try message(#"{"cniVersion":"1.1.0","name":"net","type":"x"}"#).contains("ipam"))
  }

  @Test func checksGateways() throws {
    func check(_ ips: String) throws -> CNIError? {
      try call(.check, fixed(two, #""prevResult":{"cniVersion":"1.1.0","ips":["# + ips + "]}")).error
    }
    #expect(try check(#"{"address":"10.10.0.1/24","gateway":"10.10.0.254"}"#) == nil)
    #expect(try check("") == nil)
    #expect(
      try check(#"{"address":"10.10.0.1/24","gateway":"10.10.0.9"}"#)?.message.contains("10.10.0.9") == true)
    #expect(try check(#"{"address":"10.10.0.1/24"}"#)?.message.contains("not set") == true)
    #expect(try call(.check, fixed(two)).error?.message.contains("prevResult") == true)
  }
}
