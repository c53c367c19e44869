import CNI
import CNIExecution
import ReferencePlugins
import TestSupport
import Testing

/// noop says what it is told to say, whatever that is, and writes down what it was asked.
@Suite("noop")
struct NoopTests {
  private let result = #"{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}"#

  @Test("Without being told, it hands the result on, and says nothing", arguments: Way.possible)
  func plain(_ way: Way) throws {
    let noop = try NoopFixture(way)
    for type in ReferencePlugins.testDoubleNames {
      let chained = noop.request(.add, #","prevResult":\#(result)"#)
      #expect(try noop.runner.add(type, chained).ips.first?.address.description == "10.1.2.3/24")
      #expect(try noop.runner.add(type, noop.request(.add)) == AddResult())
      for version in ["0.1.0", "0.2.0", "0.3.1"] {
        #expect(try noop.runner.add(type, noop.request(.add, version: version)) == AddResult())
      }
      for command in [Command.del, .check, .gc, .status] {
        #expect(try noop.runner.execute(type, noop.request(command)).text.isEmpty)
      }
      #expect(try noop.runner.version(type).supported == SpecVersion.allCases.map(\.rawValue))
    }
  }

  @Test("A result, in the version of the call, with what is the container's own", arguments: Way.possible)
  func results(_ way: Way) throws {
    let noop = try NoopFixture(way)
    let answer = #"""
      "result":{"interfaces":[{"name":"$CNI_IFNAME","mac":"00:00:00:00:00:01","sandbox":"$CNI_NETNS"}],
      "ips":[{"address":"10.1.2.3/24","interface":0}],"dns":{"domain":"$CNI_CONTAINERID.example"}}
      """#
    let added = try noop.runner.add("noop", noop.answering(.add, answer))
    #expect(added.interfaces == [Interface(name: "eth0", mac: "00:00:00:00:00:01", sandbox: "/run/netns/c1")])
    #expect(added.dns.domain == "c1.example")
    let newer = #""result":{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}"#
    let older = try JSONValue.parse(
      noop.runner.run("noop", noop.answering(.add, newer, version: "0.3.1")).standardOutput)
    #expect(older["cniVersion"] == "0.3.1")
    #expect(older["ips"]?.array?.first?["version"] == "4")
    let handedOn = noop.answering(.check, #""result":"prevResult""#, #","prevResult":\#(result)"#)
    let checked = try JSONValue.parse(noop.runner.run("noop", handedOn).standardOutput)
    #expect(try AddResult.decode(checked).ips.count == 1)
  }

  @Test("Errors, statuses, signals, garbage, and what is said on standard error", arguments: Way.possible)
  func misbehaviour(_ way: Way) throws {
    let noop = try NoopFixture(way)
    func reply(_ answer: String) throws -> PluginReply {
      try noop.runner.run("noop", noop.answering(.del, answer))
    }
    let failed = try reply(#""error":{"code":107,"msg":"no","details":"never"},"stderr":"last words\n""#)
    #expect(CNIError.parse(failed.standardOutput) == CNIError(.init(rawValue: 107), "no", details: "never"))
    #expect(failed.exitStatus == .exited(1) && failed.errors == "last words\n")
    #expect(
      try CNIError.parse(reply(#""error":{"msg":"x"},"exitStatus":4"#).standardOutput)?.code == .internalError
    )

    let silent = try reply(#""exitStatus":3"#)
    #expect(silent.exitStatus == .exited(3) && silent.text.isEmpty)
    for signal: Int32 in [9, 11, 15] {
      let killed = try reply(#""signal":\#(signal)"#)
      #expect(killed.exitStatus == .signaled(signal) && killed.text.isEmpty)
    }
    let cut = try reply(#""output":"{\"cniVersion\":\"1.0","stderr":"oops","signal":9"#)
    #expect(cut.text == #"{"cniVersion":"1.0"# && cut.errors == "oops" && cut.exitStatus == .signaled(9))
    #expect(try reply(#""output":"""#).exitStatus == .exited(0))

    let garbage = #expect(throws: PluginFailure.self) {
      try noop.runner.add("noop", noop.answering(.add, #""output":"<html>""#))
    }
    #expect(garbage?.description.contains("<html>") == true)
    #expect(throws: PluginFailure.self) { try noop.runner.add("noop", noop.answering(.add, #""output":"""#)) }
  }

  @Test("Answers in turn: the last one stays, and each command has its own", arguments: Way.possible)
  func turns(_ way: Way) throws {
    let noop = try NoopFixture(way)
    let answers = #"""
      ,"answers":{"DEL":[{"error":{"code":11,"msg":"later"}},{"exitStatus":2},{}],"CHECK":[{"exitStatus":9},{}]}
      """#
    var statuses: [CNIExecution.ExitStatus] = []
    for command in [Command.del, .check, .del, .del, .check, .del] {
      statuses.append(try noop.runner.run("noop", noop.request(command, answers)).exitStatus)
    }
    #expect(statuses.map(\.isSuccess) == [false, false, false, true, true, true])
    #expect(statuses[2] == .exited(2) && statuses[1] == .exited(9))
  }

  @Test("The record has every call, as it came", arguments: Way.possible)
  func record(_ way: Way) throws {
    let noop = try NoopFixture(way)
    var first = noop.request(.add, arguments: "IgnoreUnknown=1;K8S_POD_NAME=p")
    first.extraEnvironment = [("TRACEPARENT", "00-1-2-01"), ("SECRET", "not for the record")]
    _ = try noop.runner.run("noop", first)
    // What is refused, because it is no call, is in the record all the same.
    var wrong = noop.request(.del)
    wrong.containerID = "../etc"
    let refused = try noop.runner.run("debug", wrong)
    #expect(CNIError.parse(refused.standardOutput)?.code == .invalidEnvironment)
    let record = try noop.record()
    #expect(record.map { $0["command"] } == ["ADD", "DEL"])
    #expect(record.map { $0["type"] } == ["noop", "debug"])
    #expect(record[0]["stdin"]?.string == String(decoding: first.configuration, as: UTF8.self))
    #expect(record[0]["arguments"]?["K8S_POD_NAME"] == "p")
    let environment = try #require(record[0]["environment"]?.object)
    let expected: JSONObject = [
      "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/c1", "CNI_IFNAME": "eth0",
      "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=p", "CNI_PATH": "/a:/b", "TRACEPARENT": "00-1-2-01",
    ]
    for member in expected { #expect(environment[member.key] == member.value, "\(member.key)") }
    #expect(environment["SECRET"] == nil)
    #expect(record[1]["environment"]?["CNI_CONTAINERID"] == "../etc")
    for line in record {
      #expect((line["pid"]?.integer(as: Int32.self) ?? 0) > 1)
      guard case .number(let time)? = line["time"]?.kind else {
        Issue.record("no time")
        continue
      }
      #expect((Double(time) ?? 0) > 1.6e9)
    }
  }

  @Test("Calls at the same moment do not spoil each other's line", arguments: Way.possible)
  func recordTogether(_ way: Way) throws {
    let noop = try NoopFixture(way)
    let runner = noop.runner
    let requests = (0..<8).map {
      noop.request(.del, arguments: "N=\($0);PADDING=" + String(repeating: "x", count: 9000))
    }
    _ = try concurrently(8) { index in
      for _ in 0..<5 { try runner.delete("noop", requests[index]) }
    }
    let numbers = try noop.record().compactMap { $0["arguments"]?["N"]?.string }
    #expect(numbers.sorted() == (0..<8).flatMap { Array(repeating: "\($0)", count: 5) })
  }

  @Test("VERSION: the list it is told, which also is what it accepts", arguments: Way.possible)
  func versions(_ way: Way) throws {
    let noop = try NoopFixture(way)
    try noop.write(
      #"{"versions":["0.4.0","7.0.0"],"record":"\#(noop.directory.file("record"))"}"#, to: "script")
    var asked = PluginRequest(command: .version, configuration: Array(#"{"cniVersion":"1.0.0"}"#.utf8))
    asked.extraEnvironment = [("CNI_NOOP_FILE", noop.directory.file("script"))]
    let info = try VersionInfo.decode(JSONValue.parse(noop.runner.run("noop", asked).standardOutput))
    #expect(info.supported == ["0.4.0", "7.0.0"])
    #expect(try noop.record().first?["stdin"] == #"{"cniVersion":"1.0.0"}"#)
    let refused = try noop.runner.run("noop", noop.request(.add, #","versions":["0.4.0"]"#))
    #expect(CNIError.parse(refused.standardOutput)?.code == .incompatibleVersion)
  }

  @Test(
    "A script that is wrong is explained, and is no success",
    arguments: [
      #""exitStatus":256"#, #""exitStatus":"3""#, #""signal":18"#, #""signal":9,"exitStatus":3"#,
      #""exit":3"#,
      #""result":{},"error":{}"#, #""result":"what""#, #""result":{"ips":[{"address":"x"}]}"#, #""delay":-1"#,
      #""output":{}"#, #""error":"x""#, #""stderr":1"#, #""closesOutput":"yes""#,
    ])
  func wrongAnswer(answer: String) throws {
    let noop = try NoopFixture(.inProcess)
    let reply = try noop.runner.run("noop", noop.answering(.add, answer))
    let error = try #require(CNIError.parse(reply.standardOutput))
    #expect(error.code == .invalidConfiguration || error.code == .decodingFailure)
    #expect(error.message.contains("answers.ADD"))
    let configuration = try JSONValue.parse(noop.answering(.add, answer).configuration)
    #expect(ReferencePlugins.problem(in: configuration, for: "noop") != nil, "cnitool list shows it")
  }

  @Test(
    "So is one that is wrong outside of the answers",
    arguments: [
      #","answers":{"ADD":[]}"#, #","answers":{"ADDD":{}}"#, #","answers":[]"#, #","versions":"1.0.0""#,
      #","record":5"#, #","record":"/nowhere/at/all""#, #","record":null,"answers":{"ADD":[{}]}"#,
      #","debugFile":"/nowhere/at/all""#, #","addHooks":[["true"]]"#,
    ])
  func wrongScript(keys: String) throws {
    let noop = try NoopFixture(.inProcess)
    let configuration = #"{"cniVersion":"1.1.0","name":"net","type":"noop"\#(keys)}"#
    var request = noop.request(.add)
    request.configuration = Array(configuration.utf8)
    let reply = try noop.runner.run("noop", request)
    #expect(reply.exitStatus == .exited(1))
    #expect(CNIError.parse(reply.standardOutput)?.message.isEmpty == false, "\(reply.text)")
  }

  @Test("It is no plugin of a node, unless somebody asks for it")
  func isHidden() throws {
    for name in ["noop", "debug"] {
      #expect(!ReferencePlugins.names.contains(name))
      #expect(ReferencePlugins.all[name] == nil)
      #expect(ReferencePlugins.testDoubles[name] != nil)
    }
    let failure = #expect(throws: PluginFailure.self) {
      try PluginRunner(path: ["/nowhere"], embedded: ReferencePlugins.all).version("noop")
    }
    #expect(failure?.description.contains("TEST_PLUGINS=1") == true)
  }
}
