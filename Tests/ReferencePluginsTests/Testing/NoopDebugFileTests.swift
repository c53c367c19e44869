import CNI
import CNIExecution
import Glibc
import LinuxNetworking
import TestSupport
import Testing

/// The file of the Go test double: tests that were written for that one find here what they look for.
@Suite("noop with the file of the Go test double")
struct NoopDebugFileTests {
  private let configuration = #"{"name": "noop-test", "some":"stdin-json", "cniVersion": "0.3.1"}"#

  private func request(_ command: Command, _ arguments: String, _ configuration: String? = nil)
    -> PluginRequest
  {
    PluginRequest(
      command: command, containerID: "some-container-id", namespace: "/some/netns/path",
      interfaceName: "some-eth0", arguments: arguments, path: ["/some/bin/path"],
      configuration: Array((configuration ?? self.configuration).utf8))
  }

  /// All members of the file, as the Go library writes them, with some replaced.
  private func debug(_ members: JSONObject) -> String {
    var debug: JSONObject = [
      "ReportResult": "", "ReportError": "", "ReportErrorCode": 0, "ReportStderr": "",
      "ReportVersionSupport": nil, "ExitWithCode": 0, "Command": "",
      "CmdArgs": [
        "ContainerID": "", "Netns": "", "IfName": "", "Args": "", "Path": "", "NetnsOverride": "",
        "StdinData": nil,
      ],
    ]
    for member in members { debug[member.key] = member.value }
    return JSONValue.object(debug).description
  }

  @Test("It reports what the file says, and fills in what it was asked", arguments: Way.possible)
  func reports(_ way: Way) throws {
    let noop = try NoopFixture(way)
    let file = noop.directory.file("debug file")
    let result = #"{ "ips": [{ "version": "4", "address": "10.1.2.3/24" }], "dns": {} }"#
    for (command, keys) in [(Command.add, ""), (.del, ""), (.add, #","debugFile":"\#(file)""#)] {
      try noop.write(
        debug(["ReportResult": .string(result), "ReportStderr": "some stderr message"]), to: "debug file")
      let arguments = keys.isEmpty ? "DEBUG=\(file);FOO=BAR" : "FOO=BAR"
      let input = String(configuration.dropLast()) + keys + "}"
      let reply = try noop.runner.run("noop", request(command, arguments, input))
      #expect(reply.text == result && reply.errors == "some stderr message" && reply.exitStatus.isSuccess)

      let filled = try JSONValue.parse(Array(noop.read("debug file").utf8))
      #expect(filled["Command"]?.string == command.rawValue)
      #expect(
        filled["CmdArgs"] == [
          "ContainerID": "some-container-id", "Netns": "/some/netns/path", "IfName": "some-eth0",
          "Args": .string(arguments), "Path": "/some/bin/path", "NetnsOverride": "",
          "StdinData": .string(Base64.encode(Array(input.utf8))),
        ])
      #expect(filled["ReportResult"]?.string == result, "what it was told stays")
    }
  }

  @Test("Errors, statuses, silence", arguments: Way.possible)
  func endings(_ way: Way) throws {
    let noop = try NoopFixture(way)
    func reply(_ members: JSONObject, _ command: Command = .add) throws -> PluginReply {
      try noop.write(debug(members), to: "debug")
      return try noop.runner.run("noop", request(command, "DEBUG=" + noop.directory.file("debug")))
    }
    let banana = try reply(["ReportError": "banana", "ReportResult": "{}"])
    #expect(banana.exitStatus == .exited(1))
    #expect(try JSONValue.parse(banana.standardOutput) == ["code": 999, "msg": "banana"])
    let coded = try reply(["ReportError": "banana", "ReportErrorCode": 107])
    #expect(CNIError.parse(coded.standardOutput)?.code.rawValue == 107)
    let three = try reply(["ExitWithCode": 3])
    #expect(three.exitStatus == .exited(3) && three.text.isEmpty)
    let nothing = try reply([:])
    #expect(nothing.exitStatus.isSuccess && nothing.text.isEmpty)
    // VERSION says which versions; other reports are not meant for it.
    let versions = try reply(["ReportVersionSupport": ["0.123.0", "0.2.0"], "ReportError": "no"], .version)
    #expect(
      try VersionInfo.decode(JSONValue.parse(versions.standardOutput)).supported == ["0.123.0", "0.2.0"])
    let refused = try reply(["ReportVersionSupport": ["0.2.0"]])
    #expect(CNIError.parse(refused.standardOutput)?.code == .incompatibleVersion)
  }

  @Test("PASSTHROUGH and INJECT-DNS", arguments: ["0.3.1", "0.4.0", "1.0.0"])
  func handsOn(version: String) throws {
    let noop = try NoopFixture(.inProcess)
    let address = version < "1" ? #""version":"4","address":"10.1.2.15/24""# : #""address":"10.1.2.15/24""#
    let previous = #"{"cniVersion":"\#(version)","ips":[{\#(address)}],"dns":{}}"#
    let input = #"{"name":"n","cniVersion":"\#(version)","prevResult":\#(previous)}"#
    func reply(_ report: String, _ input: String) throws -> PluginReply {
      try noop.write(debug(["ReportResult": .string(report)]), to: "debug")
      return try noop.runner.run("noop", request(.add, "DEBUG=" + noop.directory.file("debug"), input))
    }
    let passed = try JSONValue.parse(reply("PASSTHROUGH", input).standardOutput)
    #expect(passed == (try JSONValue.parse(Array(previous.utf8))))
    let injected = try JSONValue.parse(reply("INJECT-DNS", input).standardOutput)
    #expect(injected["dns"] == ["nameservers": ["1.2.3.4"]])
    let alone = try reply("PASSTHROUGH", #"{"name":"n","cniVersion":"\#(version)"}"#)
    #expect(CNIError.parse(alone.standardOutput)?.code == .invalidConfiguration)
  }

  @Test("The log of commands, and the text of the plugin debug", arguments: Way.possible)
  func logs(_ way: Way) throws {
    let noop = try NoopFixture(way)
    try noop.write("", to: "log")
    let keys =
      #","commandLog":"\#(noop.directory.file("log"))","cniOutput":"\#(noop.directory.file("text"))"}"#
    let input = String(configuration.dropLast()) + keys
    for command in [Command.add, .del] { _ = try noop.runner.run("debug", request(command, "", input)) }
    let log = try #require(try JSONValue.parse(Array(noop.read("log").utf8)).array)
    #expect(log.map { $0["Command"] } == ["ADD", "DEL"])
    #expect(log[1]["CmdArgs"]?["StdinData"]?.string == Base64.encode(Array(input.utf8)))
    let block = """
      ContainerID: some-container-id
      Netns: /some/netns/path
      IfName: some-eth0
      Args:\u{20}
      Path: /some/bin/path
      StdinData: \(input)
      ----------------------

      """
    #expect(try noop.read("text") == "CmdAdd\n\(block)CmdDel\n\(block)")
  }

  @Test("The file may also answer in our words, command by command")
  func both() throws {
    let noop = try NoopFixture(.inProcess)
    try noop.write(
      #"{"answers":{"DEL":{"exitStatus":5}},"record":"\#(noop.directory.file("record"))"}"#, to: "script")
    let arguments = "DEBUG=" + noop.directory.file("script")
    #expect(try noop.runner.run("noop", request(.del, arguments)).exitStatus == .exited(5))
    #expect(try noop.runner.add("noop", request(.add, arguments)) == AddResult())
    #expect(try noop.record().count == 2)
    #expect(try !noop.read("script").contains("CmdArgs"), "a script in our words stays as it is")
    for content in ["", "[]", "{", "\"x\""] {
      try noop.write(content, to: "script")
      let reply = try noop.runner.run("noop", request(.add, arguments))
      #expect(CNIError.parse(reply.standardOutput)?.code == .decodingFailure)
    }
  }
}
