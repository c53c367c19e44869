import Testing

@testable import CNI

@Suite struct SpecVersionTests {
  @Test func order() throws {
    #expect(SpecVersion.allCases.sorted() == SpecVersion.allCases && SpecVersion.allCases.last == .latest)
    #expect(try SpecVersion(configured: nil) == .v0_1_0 && SpecVersion(configured: "") == .v0_1_0)
    #expect(try SpecVersion(configured: "0.3.1") == .v0_3_1)
    let error = failure { _ = try SpecVersion(configured: "1.2.0") }
    #expect(error.code == .incompatibleVersion && error.details.contains("\"1.2.0\""))
  }

  @Test func abilities() {
    #expect(!SpecVersion.v0_3_1.supportsCheck && SpecVersion.v0_4_0.supportsCheck)
    #expect(!SpecVersion.v0_3_1.passesPrevResultOnDel && SpecVersion.v0_4_0.passesPrevResultOnDel)
    #expect(
      !SpecVersion.v1_0_0.supportsGC && SpecVersion.v1_1_0.supportsGC && SpecVersion.v1_1_0.supportsStatus)
  }

  @Test func versionReplies() throws {
    let info = VersionInfo()
    #expect(
      info.encode().description
        == #"{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#
    )
    #expect(try VersionInfo.decode(info.encode()) == info && info.supports(.v0_4_0))
    #expect(try VersionInfo.decode(["cniVersion": "0.2.0"]).supported == ["0.1.0", "0.2.0"])
    let newer = try VersionInfo.decode(["cniVersion": "2.0.0", "supportedVersions": ["1.1.0", "2.0.0"]])
    #expect(newer.knownVersions == [.v1_1_0] && newer.supported.count == 2)
    let wrong: [JSONValue] = [
      ["cniVersion": "0.3.0"], ["supportedVersions": ["1.0.0"]],
      ["cniVersion": "", "supportedVersions": ["1.0.0"]], [],
      ["cniVersion": "1.0.0", "supportedVersions": [1]], ["cniVersion": "1.0.0", "supportedVersions": []],
    ]
    for json in wrong {
      #expect(failure { _ = try VersionInfo.decode(json) }.code == .decodingFailure, "\(json)")
    }
  }
}

@Suite struct CNIErrorTests {
  @Test func printedAndRead() {
    let error = CNIError(.invalidConfiguration, "mtu: \"x\"", details: "remove it")
    #expect(
      String(decoding: error.serialized(version: .v1_0_0), as: UTF8.self) == """
        {
            "cniVersion": "1.0.0",
            "code": 7,
            "msg": "mtu: \\"x\\"",
            "details": "remove it"
        }
        """)
    #expect(CNIError.parse(error.serialized(version: nil)) == error)
    #expect(error.description == "mtu: \"x\"; remove it" && CNIError(.ioFailure, "a").description == "a")
    #expect(error.prefixed("bridge").message == "bridge: mtu: \"x\"")
    #expect(CNIError(.init(rawValue: 100), "x").json(version: nil).description == #"{"code":100,"msg":"x"}"#)
  }

  @Test(arguments: [
    "", "{}", "null", "[1]", #"{"cniVersion":"1.0.0"}"#, #"{"code":0}"#, "oops {\"code\":1}", #"{"msg":1}"#,
  ])
  func otherOutputIsNoError(_ text: String) { #expect(CNIError.parse(Array(text.utf8)) == nil) }

  @Test func tolerantReading() {
    #expect(CNIError.parse(Array(#"{"Code":11,"MSG":"later"}"#.utf8)) == CNIError(.tryAgainLater, "later"))
    #expect(
      CNIError.parse(Array(#"{"code":-1,"msg":"x","details":null}"#.utf8))
        == CNIError(.init(rawValue: 0), "x"))
    #expect(CNIError.parse(Array(#"{"code":50}"#.utf8)) == CNIError(.notAvailable, ""))
  }
}

@Suite struct CNIArgumentsTests {
  @Test(arguments: [
    "IgnoreUnknown=1;K8S_POD_NAME=a-b;IP=10.0.0.1", "K8S_POD_NAME=a-b;IP=10.0.0.1;IgnoreUnknown=true",
    "K8S_POD_NAME=a-b;IgnoreUnknown=TRUE;IP=10.0.0.1;",
  ])
  func orderDoesNotMatter(_ text: String) throws {
    let arguments = try CNIArguments(parsing: text)
    #expect(arguments.ignoreUnknown && arguments["IP"] == "10.0.0.1" && arguments["ip"] == nil)
    try arguments.validate(known: ["IP"])
  }

  @Test func unknownKeysAreErrors() throws {
    for text in ["FOO=1;IP=x;BAR=2", "IgnoreUnknown=0;FOO=1;BAR=2", "IgnoreUnknown=false;FOO=;BAR=2"] {
      let arguments = try CNIArguments(parsing: text)
      let error = failure { try arguments.validate(known: ["IP", "MAC"]) }
      #expect(error.code == .invalidEnvironment && error.message == #"CNI_ARGS: unknown key "FOO", "BAR""#)
      #expect(error.details == "this plugin knows IP, MAC; add IgnoreUnknown=1 if others may be ignored")
    }
    try CNIArguments(parsing: "IP=1;IgnoreUnknown=0").validate(known: ["IP"])
    try CNIArguments(parsing: "").validate(known: [])
  }

  @Test func pairs() throws {
    let arguments = try CNIArguments(parsing: "A=1;B=x=y;A=2;C=")
    #expect(arguments["A"] == "2" && arguments["B"] == "x=y" && arguments["C"] == "")
    #expect(arguments.serialized == "A=1;B=x=y;A=2;C=")
    for text in ["A", "=1", "A=1;B", "IgnoreUnknown=yes", "IgnoreUnknown="] {
      let error = failure { _ = try CNIArguments(parsing: text) }
      #expect(error.code == .invalidEnvironment && error.message.hasPrefix("CNI_ARGS: "), "\(text)")
    }
  }
}

@Suite struct ValidationTests {
  @Test(arguments: [
    "a", "0", "cbr0.x_y-z", "A..b", String(repeating: "f", count: 64), String(repeating: "f", count: 237),
  ])
  func names(_ name: String) throws {
    try Validation.containerID(name)
    try Validation.networkName(name)
  }

  @Test(arguments: [
    "", ".", "..", "-a", "_a", ".a", "a/b", "../a", "a b", "a\n", "a\u{0}", "ä", "a:b", "a\\b", "a%",
    String(repeating: "f", count: 238),
  ])
  func otherNames(_ name: String) {
    let id = failure { try Validation.containerID(name) }
    #expect(id.code == .invalidEnvironment && id.message.hasPrefix("CNI_CONTAINERID"))
    let network = failure { try Validation.networkName(name) }
    #expect(network.code == .invalidEnvironment && network.message.hasPrefix("name"))
  }

  @Test(arguments: ["eth0", "a", "net1.100", "abcdefghijklmno", "-x", "...", "veth@1", "ä"])
  func interfaceNames(_ name: String) throws { try Validation.interfaceName(name) }

  @Test(arguments: [
    "", ".", "..", "abcdefghijklmnop", "a/b", "a:b", "a b", "a\t", "a\n", "a\u{0}", "eth%d", "a\u{a0}",
    "a\u{7f}", "all", "default",
    "ääääääää",
  ])
  func otherInterfaceNames(_ name: String) {
    let error = failure { try Validation.interfaceName(name) }
    #expect(error.code == .invalidEnvironment && error.message.hasPrefix("CNI_IFNAME"))
    // Not only which variable, but also what is wrong with it.
    #expect(error.message.contains(" is "), "\(error)")
  }

  @Test func interfaceNamesOfConfigurations() throws {
    try Validation.interfaceName("cni0", ofKey: "bridge")
    let error = failure { try Validation.interfaceName("a/b", ofKey: "bridge") }
    #expect(error.code == .invalidConfiguration)
    #expect(error.message == #"bridge: "a/b" is not an interface name"#)
  }

  @Test func types() throws {
    for type in ["bridge", "host-local", "my.plugin", "a b", "..."] { try Validation.pluginType(type) }
    for type in [
      "", ".", "..", "a/b", "/bin/sh", "..\\x", "a\u{0}b", "a\n", String(repeating: "f", count: 256),
    ] {
      let error = failure { try Validation.pluginType(type) }
      #expect(error.code == .invalidEnvironment && error.message.hasPrefix("type"))
    }
  }

  @Test func namesOfAnAttachmentFitIntoAFileName() throws {
    let id = String(repeating: "f", count: 200)
    try Validation.attachment(
      network: String(repeating: "n", count: 38), containerID: id, interfaceName: "abcdefghijklmno")
    let error = failure {
      try Validation.attachment(
        network: String(repeating: "n", count: 39), containerID: id, interfaceName: "abcdefghijklmno")
    }
    #expect(error.code == .invalidEnvironment && error.message.contains("CNI_CONTAINERID"))
  }
}
