import CNI
import Testing

@testable import ReferencePlugins

/// What delegates are told. The expected texts are the files that the Go plugin (flannel-io/cni-plugin v1.9.1-flannel1) has
/// written for the same configurations.
@Suite("flannel: what the delegate is told") struct FlannelDelegateTests {
  enum Node: String, Sendable {
    case onlyIPv4 =
      "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"
    case onlyIPv6 =
      "FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
    case dualStack =
      "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    case severalNetworks =
      "FLANNEL_NETWORK=10.1.0.0/16,192.168.0.0/16,10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"
  }

  static let asGo: [(Node, String, String)] = [
    (
      .onlyIPv4,
      #"{"name":"net","type":"flannel"}"#,
      #"{"ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel"}"#,
      #"{"cniVersion":"1.0.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv6,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel"}"#,
      #"{"cniVersion":"1.0.0","ipMasq":true,"ipam":{"ranges":[[{"subnet":"fc00::/64"}]],"routes":[{"dst":"fc00::/48"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .dualStack,
      #"{"cniVersion":"1.1.0","name":"net","type":"flannel"}"#,
      #"{"cniVersion":"1.1.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}],[{"subnet":"fc00::/64"}]],"routes":[{"dst":"10.1.0.0/16"},{"dst":"fc00::/48"}],"type":"host-local"},"isGateway":true,"mtu":1450,"name":"net","type":"bridge"}"#
    ),
    (
      .severalNetworks,
      #"{"cniVersion":"0.3.1","name":"net","type":"flannel"}"#,
      #"{"cniVersion":"0.3.1","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"},{"dst":"192.168.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","delegate":{"hairpinMode":true,"isDefaultGateway":true}}"#,
      #"{"cniVersion":"1.0.0","hairpinMode":true,"ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isDefaultGateway":true,"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","delegate":{"bridge":"mynet0","mtu":1400,"ipMasq":true,"isGateway":false}}"#,
      #"{"bridge":"mynet0","cniVersion":"1.0.0","ipMasq":true,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":false,"mtu":1400,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","delegate":{"type":"ipvlan","master":"eth0"}}"#,
      #"{"cniVersion":"1.0.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"master":"eth0","mtu":1472,"name":"net","type":"ipvlan"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","delegate":{"type":"bridge","cniVersion":"0.1.0","args":{"z":{"b":[1,2.5,{"y":null,"x":"x"}]},"a":true}}}"#,
      #"{"args":{"a":true,"z":{"b":[1,2.5,{"x":"x","y":null}]}},"cniVersion":"1.0.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"name":"net","type":"flannel","delegate":{"cniVersion":"0.4.0"}}"#,
      #"{"cniVersion":"0.4.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .dualStack,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","ipam":{"type":"my-ipam","unknown-param":"unknown-value","subnet":"10.9.0.0/24","ranges":[[{"subnet":"10.8.0.0/24"}]],"dataDir":"/tmp/x","routes":[{"dst":"10.96.0.5/12"},{"gw":"10.1.17.20","dst":"192.168.244.0/24"},{"dst":"fd00::/8","gw":"fc00::1","mtu":1300,"advmss":1200,"priority":5,"table":100,"scope":0}]}}"#,
      #"{"cniVersion":"1.0.0","ipMasq":false,"ipam":{"dataDir":"/tmp/x","ranges":[[{"subnet":"10.1.17.0/24"}],[{"subnet":"fc00::/64"}]],"routes":[{"dst":"10.96.0.5/12"},{"dst":"192.168.244.0/24","gw":"10.1.17.20"},{"dst":"fd00::/8","gw":"fc00::1","mtu":1300,"advmss":1200,"priority":5,"table":100,"scope":0},{"dst":"10.1.0.0/16"},{"dst":"fc00::/48"}],"subnet":"10.9.0.0/24","type":"my-ipam","unknown-param":"unknown-value"},"isGateway":true,"mtu":1450,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","ipam":{"routes":[{"dst":"10.1.0.0/16"}],"dns":{"nameservers":["1.2.3.4"]}}}"#,
      #"{"cniVersion":"1.0.0","ipMasq":false,"ipam":{"dns":{"nameservers":["1.2.3.4"]},"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"},{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","ipam":{"routes":[]}}"#,
      #"{"cniVersion":"1.0.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","ipam":{"routes":null},"delegate":null}"#,
      #"{"cniVersion":"1.0.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","runtimeConfig":{"portMappings":[{"hostPort":80,"HostIP":"","containerPort":8080,"protocol":"tcp"}],"mac":"02:00:5e:10:00:01"},"delegate":{"runtimeConfig":{"old":1},"forceAddress":false}}"#,
      #"{"cniVersion":"1.0.0","forceAddress":false,"ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","runtimeConfig":{"mac":"02:00:5e:10:00:01","portMappings":[{"HostIP":"","containerPort":8080,"hostPort":80,"protocol":"tcp"}]},"type":"bridge"}"#
    ),
    (
      .onlyIPv4,
      #"{"cniVersion":"1.0.0","name":"net","type":"flannel","args":{"cni":{"ips":["10.1.17.9"]}},"dns":{"nameservers":["1.1.1.1"]},"capabilities":{"mac":true},"Delegate":{"Bridge":"b0"},"IPAM":{"resolvConf":"/etc/resolv.conf"}}"#,
      #"{"Bridge":"b0","cniVersion":"1.0.0","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"resolvConf":"/etc/resolv.conf","routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#
    ),
  ]

  private func told(_ configuration: String, on node: Node = .onlyIPv4) throws -> String {
    let keys = try ConfigurationObject(JSONValue.parse(configuration))
    let subnet = try FlannelSubnet(parsing: Array(node.rawValue.utf8), path: "subnet.env")
    return try FlannelDelegate(keys).configuration(for: subnet).description
  }

  @Test("The same as by the Go plugin, byte for byte", arguments: asGo)
  func sameAsGo(node: Node, configuration: String, expected: String) throws {
    #expect(try told(configuration, on: node) == expected)
  }

  /// What is generated for a configuration without anything.
  private let plain =
    #"{"ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"net","type":"bridge"}"#

  @Test(
    "null and empty names are absent, in whatever letters",
    arguments: [
      #"{"name":"net","delegate":{"mtu":null,"ipMasq":null,"isGateway":null,"name":null,"ipam":null,"type":null}}"#,
      #"{"name":"net","delegate":{"type":""},"ipam":{"type":"","ranges":null,"Routes":null},"runtimeConfig":null}"#,
      #"{"NAME":"net","DELEGATE":{"TYPE":"bridge","MTU":null},"Ipam":{"TYPE":"host-local"},"cniVersion":""}"#,
    ]) func absent(configuration: String) throws
  {
    #expect(try told(configuration) == plain)
  }

  @Test("A delegate's key counts in whatever letters, and there is no second one beside it")
  func otherLetters() throws {
    let told = try told(#"{"name":"net","delegate":{"MTU":1300,"ipmasq":true,"ISGATEWAY":false}}"#)
    #expect(
      told
        == #"{"ISGATEWAY":false,"MTU":1300,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"ipmasq":true,"name":"net","type":"bridge"}"#
    )
  }

  @Test("Numbers and texts of others stay as they were written")
  func verbatim() throws {
    let told = try told(#"{"name":"net","delegate":{"a":12345678901234567890,"b":1e3,"c":"<&>"}}"#)
    #expect(told.hasPrefix(#"{"a":12345678901234567890,"b":1e3,"c":"<&>","ipMasq":"#))
  }

  @Test(
    "What cannot be is refused, with the key and what to do",
    arguments: [
      (#""delegate":"bridge""#, 6, "delegate", ""), (#""delegate":[]"#, 6, "delegate", ""),
      (#""delegate":{"name":"x"}"#, 7, "delegate.name", "remove it"),
      (#""delegate":{"Name":"x"}"#, 7, "delegate.Name", "remove it"),
      (#""delegate":{"ipam":{}}"#, 7, "delegate.ipam", "beside it"),
      (#""delegate":{"type":5}"#, 6, "delegate.type", "quotation marks"),
      (#""delegate":{"type":"../evil"}"#, 7, "delegate.type", "bridge"),
      (#""delegate":{"type":"flannel"}"#, 7, "delegate.type", "bridge"),
      (#""ipam":"host-local""#, 6, "ipam", ""), (#""ipam":{"type":7}"#, 6, "ipam.type", ""),
      (#""ipam":{"routes":"all"}"#, 6, "ipam.routes", ""),
      (#""ipam":{"routes":[{"gw":"10.1.17.1"}]}"#, 7, "ipam.routes[0].dst", "0.0.0.0/0"),
      (#""ipam":{"routes":[{"dst":"10.1"}]}"#, 7, "ipam.routes[0].dst", "10.0.0.0/8"),
    ] as [(String, UInt32, String, String)])
  func refused(keys: String, code: UInt32, path: String, remedy: String) throws {
    let configuration = #"{"cniVersion":"1.1.0","name":"net","type":"flannel",\#(keys)}"#
    let error = #expect(throws: CNIError.self) { try told(configuration) }
    #expect(error?.code.rawValue == code && error?.message.hasPrefix(path + ":") == true, "\(error!)")
    #expect(error?.details.contains(remedy) == true || remedy.isEmpty, "\(error!)")
    // The same is what a linter says of the file, and no command but those that remove goes on with it.
    #expect(ReferencePlugins.problem(in: try JSONValue.parse(configuration), for: "flannel") == error)
  }

  @Test("A linter finds keys that nobody reads, but not among those of others")
  func unknownKeys() throws {
    let record = KeyRecord()
    let configuration =
      #"{"cniVersion":"1.1.0","name":"net","type":"flannel","subnetfile":"/x","datadirr":"/y","delegate":{"hairpinMode":true},"ipam":{"dataDir":"/z"}}"#
    #expect(
      ReferencePlugins.problem(in: try JSONValue.parse(configuration), for: "flannel", recording: record)
        == nil)
    #expect(record.unknownKeys.map(\.path) == ["datadirr"])
    #expect(record.unknownKeys.map(\.suggestion) == ["dataDir"])
  }
}
