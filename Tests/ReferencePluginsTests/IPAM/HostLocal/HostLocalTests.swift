import CNI
import CNIExecution
import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

/// A configuration of host-local with its leases in a directory; `ipam` and `keys` are further members.
func hostLocal(
  _ data: String, _ ipam: String = #""ranges":[[{"subnet":"10.22.0.0/16"}]]"#, _ keys: String = "",
  version: String = "1.1.0"
) -> String {
  """
  {"cniVersion":"\(version)","name":"net","type":"bridge"\(keys.isEmpty ? "" : ",")\(keys),
   "ipam":{"type":"host-local","dataDir":"\(data)"\(ipam.isEmpty ? "" : ",")\(ipam)}}
  """
}

@Suite struct HostLocalTests {
  let files: LeaseFiles

  init() throws { files = try LeaseFiles() }

  private func call(
    _ command: Command, _ configuration: String, container: String = "abc", interface: String = "eth0",
    arguments: String = ""
  ) throws -> AddressPlugin.Reply {
    try AddressPlugin.ours.call(
      "host-local", command, configuration, container: container, interface: interface, arguments: arguments)
  }

  private func addresses(_ configuration: String, container: String = "abc", arguments: String = "") throws
    -> [String]
  {
    try call(.add, configuration, container: container, arguments: arguments).result().ips
      .map(\.address.description)
  }

  private func failure(
    _ command: Command = .add, of configuration: String, container: String = "abc", arguments: String = ""
  ) throws -> CNIError {
    try #require(try call(command, configuration, container: container, arguments: arguments).error)
  }

  @Test func livesThroughALife() throws {
    try shell("printf 'nameserver 192.0.2.3\\nsearch example.com\\n' >\(files.data)/resolv.conf")
    let configuration = hostLocal(
      files.data,
      """
      "ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8:1::/64","gateway":"2001:db8:1::fe"}]],
      "routes":[{"dst":"0.0.0.0/0"},{"dst":"192.168.0.0/16","gw":"1.1.1.1","mtu":1400,"priority":5}],
      "resolvConf":"\(files.data)/resolv.conf"
      """)
    #expect(try call(.status, configuration).status == 0)
    let result = try call(.add, configuration).result()
    #expect(
      result.ips == [
        IPConfiguration(address: prefix("10.1.2.2/24"), gateway: address("10.1.2.1")),
        IPConfiguration(address: prefix("2001:db8:1::1/64"), gateway: address("2001:db8:1::fe")),
      ])
    #expect(
      result.routes == [
        RouteConfiguration(destination: prefix("0.0.0.0/0")),
        RouteConfiguration(
          destination: prefix("192.168.0.0/16"), gateway: address("1.1.1.1"), mtu: 1400, priority: 5),
      ])
    #expect(result.dns == DNSConfiguration(nameservers: ["192.0.2.3"], search: ["example.com"]))
    #expect(try call(.check, configuration).status == 0)
    #expect(try call(.status, configuration).status == 0)
    #expect(try call(.check, configuration, interface: "eth1").status == 1)
    for _ in 0..<3 { #expect(try call(.del, configuration).status == 0) }
    #expect(files.leases == [])
    #expect(try call(.check, configuration).status == 1)
  }

  @Test func readsEveryFormOfRanges() throws {
    let configuration = hostLocal(
      files.data, #""subnet":"10.3.0.0/24","gateway":"10.3.0.9","ranges":[[{"subnet":"10.4.0.0/24"}]]"#,
      #""runtimeConfig":{"ipRanges":[[{"Subnet":"10.5.0.0/24","RangeStart":"10.5.0.7","Gateway":""}]],"ips":null}"#
    )
    let result = try call(.add, configuration).result()
    #expect(result.ips.map(\.address.description) == ["10.5.0.7/24", "10.3.0.1/24", "10.4.0.2/24"])
    #expect(result.ips.map(\.gateway) == ["10.5.0.1", "10.3.0.9", "10.4.0.1"].map(address))
  }

  @Test func givesRequestedAddresses() throws {
    let ranges = #""ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00::/64"}],[{"subnet":"10.9.0.0/24"}]]"#
    let all = hostLocal(
      files.data, ranges,
      #""args":{"cni":{"ips":["fd00::77/64"]}},"runtimeConfig":{"ips":["10.9.0.5","10.9.0.5","::ffff:10.1.2.88"]}"#
    )
    #expect(try addresses(all) == ["10.1.2.88/24", "fd00::77/64", "10.9.0.5/24"])
    let plain = hostLocal(files.data, ranges)
    #expect(
      try addresses(plain, container: "b", arguments: "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.1.2.99")
        == ["10.1.2.99/24", "fd00::78/64", "10.9.0.6/24"])
    #expect(try addresses(plain, container: "c", arguments: "IP=10.1.2.98/16")[0] == "10.1.2.98/24")
  }

  @Test func refusesRequestsThatCannotBeServed() throws {
    let plain = hostLocal(files.data)
    let outside = try failure(of: plain, arguments: "IP=10.99.0.1")
    #expect(outside.code == .invalidConfiguration)
    #expect(outside.message == "not all requested addresses can be given: 10.99.0.1")
    let two = try failure(
      of: hostLocal(files.data, keys: #""args":{"cni":{"ips":["10.22.0.5","10.22.0.6"]}}"#))
    #expect(two.message == "not all requested addresses can be given: 10.22.0.6")
    #expect(try failure(of: plain, arguments: "IP=10.22.0.1").message.contains("gateway"))
    #expect(try failure(of: plain, arguments: "IP=nonsense").code == .invalidEnvironment)
    #expect(try failure(of: plain, arguments: "K8S_POD_NAME=x").code == .invalidEnvironment)
    let bad = try failure(of: hostLocal(files.data, keys: #""runtimeConfig":{"ips":["10.22.0"]}"#))
    #expect(bad.message.contains("runtimeConfig.ips[0]"))
    #expect(files.leases == [])
  }

  @Test(arguments: [
    (#""ranges":[]"#, "ipam.ranges", "missing"), (#""ranges":null"#, "ipam.ranges", "missing"),
    (#""ranges":[[]]"#, "ipam.ranges[0]", "empty"),
    (#""ranges":[[{"rangeStart":"10.0.0.1"}]]"#, "ipam.ranges[0][0].subnet", "missing"),
    (#""ranges":[[{"subnet":"10.0.0/8"}]]"#, "ipam.ranges[0][0].subnet", "is not a subnet"),
    (#""ranges":[[{"subnet":"10.0.0.1/8"}]]"#, "ipam.ranges[0][0].subnet", "the subnet is 10.0.0.0/8"),
    (#""subnet":"10.0.0.0/31""#, "ipam.subnet", "too small"),
    (
      #""ranges":[[{"subnet":"10.1.0.0/16","rangeEnd":"10.2.0.0"}]]"#, "ipam.ranges[0][0].rangeEnd",
      "10.2.0.0 is not in 10.1.0.0/16"
    ),
    (#""ranges":[[{"subnet":"10.1.0.0/16"},{"subnet":"fd00::/64"}]]"#, "ipam.ranges[0]", "mixed"),
    (#""ranges":[[{"subnet":"10.1.0.0/16"},{"subnet":"10.1.2.0/24"}]]"#, "ipam.ranges[0]", "overlap"),
    (
      #""ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"10.1.2.0/24"}]]"#, "ipam.ranges[1]",
      "overlaps with range set 0"
    ),
    (
      #""subnet":"10.1.0.0/16","ranges":[[{"subnet":"10.1.2.0/24"}]]"#, "ipam.ranges[0]",
      "overlaps with range set 0"
    ),
    (#""subnet":"10.1.0.0/16","routes":[{"gw":"10.1.0.1"}]"#, "ipam.routes[0].dst", "missing"),
  ])
  func pointsAtMistakes(ipam: String, path: String, message: String) throws {
    for command in [Command.add, .status] {
      let error = try failure(command, of: hostLocal(files.data, ipam))
      #expect(error.code == .invalidConfiguration)
      #expect(error.message.contains(path) && error.message.contains(message), "\(error)")
    }
    // What has been attached before can be removed all the same.
    #expect(try call(.del, hostLocal(files.data, ipam)).status == 0)
    #expect(try call(.gc, hostLocal(files.data, ipam, #""cni.dev/valid-attachments":[]"#)).status == 0)
  }

  @Test func needsAVersionWithRoomForTheAddresses() throws {
    let two = #""ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"10.2.0.0/16"}]]"#
    #expect(
      try failure(of: hostLocal(files.data, two, version: "0.2.0")).message.contains("cniVersion 0.2.0"))
    let mixed = #""ranges":[[{"subnet":"10.1.0.0/16"}],[{"subnet":"fd00::/64"}]]"#
    #expect(try call(.add, hostLocal(files.data, mixed, version: "0.2.0")).status == 0)
  }

  @Test func saysWhenThePoolIsExhausted() throws {
    let configuration = hostLocal(files.data, #""ranges":[[{"subnet":"10.1.2.0/29","rangeEnd":"10.1.2.4"}]]"#)
    for name in ["a", "b", "c"] { #expect(try call(.add, configuration, container: name).status == 0) }
    let full = try failure(of: configuration)
    #expect(full.code == .tryAgainLater)
    #expect(
      full.message
        == "no free address in 10.1.2.0/29 (10.1.2.1-10.1.2.4) (3 usable, all leased; leases in \(files.data)/net): "
        + "run GC or widen the range")
    #expect(try failure(.status, of: configuration).code == .notAvailable)
    #expect(try call(.del, configuration, container: "b").status == 0)
    #expect(try call(.status, configuration).status == 0)
    #expect(try addresses(configuration) == ["10.1.2.3/29"])
  }

  @Test func collectsGarbage() throws {
    let configuration = hostLocal(files.data)
    for name in ["a", "b", "c"] { #expect(try call(.add, configuration, container: name).status == 0) }
    try files.write("10.22.1.1", "")
    let valid =
      #""cni.dev/valid-attachments":[{"containerID":"b","ifname":"eth0"},{"containerID":"c","ifname":"eth1"}]"#
    #expect(try call(.gc, hostLocal(files.data, keys: valid)).status == 0)
    #expect(files.leases == ["10.22.0.3"])
    // A runtime that does not say what is valid has not said that nothing is.
    #expect(try call(.gc, configuration).status == 0)
    #expect(files.leases == ["10.22.0.3"])
    #expect(try call(.gc, hostLocal(files.data + "/none", keys: valid)).status == 0)
    // One that says `null` has: that is Go's way of writing an empty list.
    let none = #""cni.dev/valid-attachments":null,"cni.dev/attachments":null"#
    #expect(try call(.gc, hostLocal(files.data, keys: none)).status == 0)
    #expect(files.leases == [])
  }

  @Test func checksWhoseTheAddressIs() throws {
    let configuration = hostLocal(files.data)
    #expect(try call(.add, configuration).status == 0)
    let previous =
      #""prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.22.0.2/16"},{"address":"192.0.2.1/24"}]}"#
    #expect(try call(.check, hostLocal(files.data, keys: previous)).status == 0)
    try files.write("10.22.0.3", "abc\r\neth0")
    try files.write("10.22.0.2", "thief\r\neth0")
    let error = try failure(.check, of: hostLocal(files.data, keys: previous))
    #expect(error.message.contains("10.22.0.2") && error.message.contains("thief"), "\(error)")
  }

  @Test func saysWhichResolverFileIsMissing() throws {
    let configuration = hostLocal(
      files.data, #""subnet":"10.1.0.0/16","resolvConf":"/nonexistent/resolv.conf""#)
    #expect(try failure(of: configuration).message.contains("/nonexistent/resolv.conf"))
    #expect(try failure(.status, of: configuration).code == .notAvailable)
    #expect(files.list() == [])
  }
}

private func hostLocal(_ data: String, keys: String) -> String {
  hostLocal(data, #""ranges":[[{"subnet":"10.22.0.0/16"}]]"#, keys)
}
