import NetworkAddresses
import Testing

@testable import CNI

// Swift Testing has a type of this name too.
private typealias Attachment = CNI.Attachment

@Suite struct NetworkConfigurationListTests {
  private func list(_ text: String) throws -> NetworkConfigurationList {
    try NetworkConfigurationList(bytes: Array(text.utf8), source: "10-x.conflist")
  }

  @Test func whole() throws {
    let list = try list(
      """
      {"cniVersion": "0.4.0", "cniVersions": ["1.0.0", "1.1.0", "2.0.0"], "name": "pods", "disableCheck": "True",
       "disableGC": true, "loadOnlyInlinedPlugins": "false", "plugins": [
        {"type": "bridge", "x": {"b": 1.50, "a": null}, "ipam": {"type": "host-local"}, "dns": {"search": ["s"]}},
        {"type": "portmap", "capabilities": {"portMappings": true, "ips": false, "mac": true}}]}
      """)
    #expect(list.name == "pods" && list.version == .v1_1_0)
    #expect(list.disableCheck && list.disableGC && !list.loadOnlyInlinedPlugins)
    #expect(list.plugins.map(\.type) == ["bridge", "portmap"])
    #expect(list.plugins[0].ipamType == "host-local" && list.plugins[0].dns.search == ["s"])
    #expect(list.plugins[1].capabilities == ["portMappings", "mac"])
    #expect(list.plugins.allSatisfy { $0.name == "pods" && $0.version == .v1_1_0 })
  }

  @Test(arguments: [
    (#""cniVersion": "0.4.0""#, SpecVersion.v0_4_0), ("", .v0_1_0), (#""cniVersion": """#, .v0_1_0),
    (#""cniVersion": null"#, .v0_1_0),
    (#""cniVersions": ["0.3.1", "1.0.0", "0.4.0"]"#, .v1_0_0),
    (#""cniVersion": "1.1.0", "cniVersions": ["0.3.1"]"#, .v1_1_0),
    (#""cniVersion": "9.0.0", "cniVersions": ["0.3.1", "1.0.0"]"#, .v1_0_0), (#""cniVersions": []"#, .v0_1_0),
    (#""cniVersion": "0.3.1", "cniVersions": ["0.9.9", "1.2"]"#, .v0_3_1),
    (#""cniVersions": null, "cniVersion": "1.0.0""#, .v1_0_0),
  ])
  func theHighestCommonVersionCounts(_ keys: String, _ version: SpecVersion) throws {
    #expect(try list(#"{"name": "n"\#(keys.isEmpty ? "" : ", " + keys)}"#).version == version)
  }

  @Test(arguments: [
    (#"[]"#, 6, "expected an object, not a list (10-x.conflist line 1, column 1)"),
    (
      "{\n 1", 6,
      "not valid JSON: 10-x.conflist line 2, column 2: expected a key in quotation marks, found '1'"
    ),
    (#"{"plugins": []}"#, 7, "name: is missing or empty (10-x.conflist line 1, column 1)"),
    (#"{"name": 1}"#, 6, "name: expected a string, not the number 1 (10-x.conflist line 1, column 10)"),
    (#"{"name": "../x"}"#, 4, #"name: "../x" is not a network name (10-x.conflist line 1, column 10)"#),
    (#"{"name": "n", "plugins": []}"#, 7, "plugins: is empty (10-x.conflist line 1, column 26)"),
    (
      #"{"name": "n", "plugins": {}}"#, 6,
      "plugins: expected a list, not an object (10-x.conflist line 1, column 26)"
    ),
    (
      #"{"name": "n", "plugins": [1]}"#, 6,
      "plugins[0]: expected an object, not the number 1 (10-x.conflist line 1, column 27)"
    ),
    (
      #"{"name": "n", "plugins": [{}]}"#, 7,
      "plugins[0].type: is missing or empty (10-x.conflist line 1, column 27)"
    ),
    (
      #"{"name": "n", "plugins": [{"type": ["x"]}]}"#, 6,
      "plugins[0].type: expected a string, not a list (10-x.conflist line 1, column 36)"
    ),
    (
      #"{"name": "n", "loadOnlyInlinedPlugins": true}"#, 7,
      "loadOnlyInlinedPlugins: is true, but there is no list of plugins (10-x.conflist line 1, column 41)"
    ),
    (
      #"{"name": "n", "disableCheck": "maybe"}"#, 7,
      #"disableCheck: "maybe" is neither true nor false (10-x.conflist line 1, column 31)"#
    ),
    (
      #"{"name": "n", "disableGC": 1}"#, 6,
      "disableGC: expected true or false, not the number 1 (10-x.conflist line 1, column 28)"
    ),
    (
      #"{"name": "n", "cniVersion": "1.2.0"}"#, 1,
      "cniVersion names no known version: 10-x.conflist"
    ),
    (
      #"{"name": "n", "cniVersions": ["2.0.0"]}"#, 1,
      "cniVersion names no known version: 10-x.conflist"
    ),
    (
      #"{"name": "n", "cniVersions": ["x"]}"#, 7,
      #"cniVersions[0]: "x" is not a version (10-x.conflist line 1, column 31)"#
    ),
    (
      #"{"name": "n", "cniVersions": "1.0.0"}"#, 6,
      #"cniVersions: expected a list, not the string "1.0.0" (10-x.conflist line 1, column 30)"#
    ),
    (
      #"{"name": "n", "plugins": [{"type": "a", "capabilities": {"mac": "yes"}}]}"#, 6,
      #"plugins[0].capabilities.mac: expected true or false, not the string "yes" (10-x.conflist line 1, column 65)"#
    ),
  ])
  func mistakesAreExplained(_ text: String, _ code: UInt32, _ message: String) {
    let error = failure { _ = try list(text) }
    #expect(error.code.rawValue == code)
    #expect(error.message == message)
  }

  @Test func pluginsFromFilesOfTheirOwn() throws {
    var list = try list(#"{"name": "n", "cniVersion": "1.1.0"}"#)
    #expect(list.plugins.isEmpty)
    try list.append(pluginFrom: ["type": "tuning", "name": "ignored"], source: "n/10.conf")
    #expect(
      list.plugins[0].name == "n" && list.plugins[0].version == .v1_1_0
        && list.plugins[0].source == "n/10.conf")
    #expect(
      failure { try list.append(pluginFrom: [:], source: "n/20.conf") }.message
        == "type: is missing or empty (n/20.conf)")
  }

  @Test func singlePlugins() throws {
    let plugin = try PluginConfiguration(
      json: ["cniVersion": "0.3.1", "name": "lo", "type": "loopback"], source: "99.conf")
    let list = try NetworkConfigurationList.wrapping(plugin)
    #expect(list.name == "lo" && list.version == .v0_3_1 && list.plugins == [plugin])
    #expect(try NetworkConfigurationList(json: list.json).plugins.map(\.type) == ["loopback"])
    let nameless = try PluginConfiguration(json: ["type": "loopback"], source: "99.conf")
    #expect(
      failure { _ = try NetworkConfigurationList.wrapping(nameless) }.message
        == "name: is missing or empty (99.conf)")
    let typeless = try PluginConfiguration(json: ["name": "lo"])
    #expect(failure { _ = try NetworkConfigurationList.wrapping(typeless) }.code == .invalidConfiguration)
  }

  @Test func whatAPluginIsGiven() throws {
    let list = try list(
      """
      {"cniVersion": "1.1.0", "name": "pods", "plugins": [
        {"b": 1.50, "Name": "x", "type": "portmap", "a": [null],
         "capabilities": {"portMappings": true, "ips": false}, "prevResult": {"old": 1}}]}
      """)
    let plugin = list.plugins[0]
    #expect(
      list.configuration(for: plugin).description
        == #"{"cniVersion":"1.1.0","b":1.50,"name":"pods","type":"portmap","a":[null],"capabilities":{"portMappings":true,"ips":false},"prevResult":{"old":1}}"#
    )
    let offered: JSONObject = ["ips": ["10.0.0.1"], "mac": "x", "portMappings": [["HostPort": 1]]]
    let result = AddResult(interfaces: [Interface(name: "eth0")])
    let given = try list.configuration(for: plugin, prevResult: result, runtimeConfig: offered)
    #expect(given["runtimeConfig"] == ["portMappings": [["HostPort": 1]]])
    #expect(given["prevResult"] == ["cniVersion": "1.1.0", "interfaces": [["name": "eth0"]]])
    #expect(try PluginConfiguration(json: given).prevResult() == result)

    let attachment = Attachment(containerID: "c1", interfaceName: "eth0")
    let gc = list.configuration(for: plugin, validAttachments: [attachment])
    #expect(gc["cni.dev/valid-attachments"] == [["containerID": "c1", "ifname": "eth0"]])
    #expect(gc["cni.dev/attachments"] == gc["cni.dev/valid-attachments"])
    #expect(list.configuration(for: plugin, validAttachments: [])["cni.dev/attachments"] == [])
    #expect(list.configuration(for: plugin)["cni.dev/attachments"] == nil)
  }
}

@Suite struct PluginConfigurationTests {
  @Test func validAttachments() throws {
    func attachments(_ text: String) throws -> [Attachment]? {
      try PluginConfiguration(bytes: Array(text.utf8)).validAttachments
    }
    let one = [Attachment(containerID: "c", interfaceName: "eth0")]
    #expect(try attachments("{}") == nil)
    // The Go library's empty list. A list that is not there at all says nothing.
    #expect(try attachments(#"{"cni.dev/valid-attachments": null, "cni.dev/attachments": null}"#) == [])
    #expect(try attachments(#"{"cni.dev/attachments": null}"#) == [])
    #expect(try attachments(#"{"CNI.dev/Attachments": null}"#) == [])
    #expect(
      try attachments(
        #"{"cni.dev/valid-attachments": [{"containerID": "c", "ifname": "eth0"}], "cni.dev/attachments": null}"#
      ) == one)
    #expect(try attachments(#"{"cni.dev/valid-attachments": []}"#) == [])
    #expect(
      try attachments(
        #"{"cni.dev/valid-attachments": null, "cni.dev/attachments": [{"ContainerID": "c", "ifName": "eth0"}]}"#
      ) == one)
    #expect(
      try attachments(
        #"{"cni.dev/attachments": [], "cni.dev/valid-attachments": [{"containerID": "c", "ifname": "eth0"}]}"#
      ) == one)
    let error = failure { _ = try attachments(#"{"cni.dev/attachments": [{"containerID": "c"}]}"#) }
    #expect(error.code == .invalidConfiguration)
    #expect(error.message == #"["cni.dev/attachments"][0].ifname: is missing or empty (line 1, column 26)"#)
  }

  @Test func previousResults() throws {
    let json: JSONValue = [
      "cniVersion": "0.3.1", "prevResult": ["ips": [["version": "4", "address": "10.0.0.2/24"]]],
    ]
    let configuration = try PluginConfiguration(json: json)
    #expect(configuration.hasPrevResult)
    #expect(try configuration.prevResult()?.ips == [IPConfiguration(address: IPPrefix("10.0.0.2/24")!)])
    for json: JSONValue in [[:], ["prevResult": nil]] {
      let configuration = try PluginConfiguration(json: json)
      #expect(try !configuration.hasPrevResult && configuration.prevResult() == nil)
    }
    let wrong = try PluginConfiguration(
      json: JSONValue.parse(#"{"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "x"}]}}"#))
    let error = failure { _ = try wrong.prevResult() }
    #expect(error.code == .decodingFailure)
    #expect(error.message == #"prevResult.ips[0].address: "x" is not a subnet (line 1, column 60)"#)
  }

  @Test func containerdCapitalisesKeys() throws {
    let json = try JSONValue.parse(
      """
      {"cniVersion": "1.0.0", "name": "n", "type": "portmap", "runtimeConfig": {
        "portMappings": [{"HostPort": 18081, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}],
        "bandwidth": {"IngressRate": 0, "EgressBurst": 34359738359},
        "dns": {"Servers": ["10.0.0.1"], "Searches": null, "Options": null}}}
      """)
    let runtime = try #require(try PluginConfiguration(json: json).object().object("runtimeConfig"))
    let mapping = try #require(try runtime.objects("portMappings").first)
    #expect(try mapping.integer("hostPort", in: 1...65535) == 18081 && mapping.string("protocol") == "tcp")
    #expect(try mapping.address("hostIP") == nil && mapping.string("hostIP") == nil)
    #expect(try runtime.object("bandwidth")?.unsigned("egressBurst") == 34_359_738_359)
    #expect(try runtime.object("bandwidth")?.unsigned("ingressBurst") == nil)
    #expect(try runtime.object("dns")?.strings("searches") == [])
  }

  @Test func unknownKeysOfAPlugin() throws {
    let json = try JSONValue.parse(
      #"{"name":"n","type":"x","mtuu":1,"colour":2,"isGatewya":true,"args":{"cni":{}},"ipam":{"type":"y","subnett":3}}"#
    )
    let record = KeyRecord()
    let configuration = try PluginConfiguration(json: json).recording(in: record)
    let object = try configuration.object()
    _ = try object.integer("mtu")
    _ = try object.flag("isGateway")
    // A second reader of the same configuration, as an IPAM plugin is.
    let ipam = try #require(try configuration.object().object("ipam"))
    _ = try ipam.prefix("subnet")
    #expect(record.unknownKeys.map(\.path) == ["mtuu", "colour", "isGatewya", "ipam.subnett"])
    #expect(record.unknownKeys.map(\.suggestion) == ["mtu", nil, "isGateway", "subnet"])
    #expect(try PluginConfiguration(json: json).object().unknownKeys.isEmpty)
  }
}
