import CNI
import CNIExecution
import CNIPluginKit
import Testing

/// A plugin that does what its configuration says: `"behaviour"` names an error to throw.
private struct Probe: Plugin {
  static let type = "probe"
  static let summary = "answers tests"
  static let changesNamespace = false
  let behaviour: String?

  init(_ call: PluginCall) throws { behaviour = try call.configuration.object().string("behaviour") }

  private func act() throws {
    switch behaviour {
    case "again": throw CNIError(.tryAgainLater, "not yet", details: "in a moment")
    case "foreign": throw Surprise()
    default: break
    }
  }

  func add(_ call: PluginCall) throws -> AddResult {
    try act()
    return AddResult(interfaces: [Interface(name: call.interfaceName, sandbox: call.namespacePath)])
  }
  func delete(_ call: PluginCall) throws { try act() }
  func check(_ call: PluginCall) throws { try act() }
  func collectGarbage(_ call: PluginCall, keeping valid: Set<CNI.Attachment>) throws {
    throw CNIError(.internalError, "kept " + valid.map(\.containerID).sorted().joined(separator: ","))
  }
  func status(_ call: PluginCall) throws { throw CNIError(.limitedConnectivity, "half of it") }

  struct Surprise: Error, CustomStringConvertible { let description = "a surprise" }
}

@Suite("The plugin's side of the protocol")
struct ProtocolTests {
  private let plugin = EmbeddedPlugin(Probe.self)

  private func call(
    _ command: Command, _ configuration: String = #"{"cniVersion":"1.1.0","name":"net","type":"probe"}"#,
    container: String = "c1", namespace: String = "/run/netns/c1", interface: String = "eth0",
    arguments: String = ""
  ) -> PluginReply {
    plugin.run(
      PluginRequest(
        command: command, containerID: container, namespace: namespace, interfaceName: interface,
        arguments: arguments, configuration: Array(configuration.utf8)),
      PluginEnvironment(runner: PluginRunner(path: [])))
  }

  private func error(_ reply: PluginReply) throws -> CNIError {
    #expect(reply.exitStatus == .exited(1))
    return try #require(CNIError.parse(reply.standardOutput))
  }

  @Test(
    "ADD answers with the result in the configuration's version", arguments: SpecVersion.allCases.suffix(5))
  func add(version: SpecVersion) throws {
    let reply = call(.add, #"{"cniVersion":"\#(version.rawValue)","name":"net","type":"probe"}"#)
    #expect(reply.exitStatus == .exited(0))
    let json = try JSONValue.parse(reply.standardOutput)
    #expect(json["cniVersion"]?.string == version.rawValue)
    #expect(json["interfaces"]?.array?.first?["name"] == "eth0")
  }

  @Test("DEL and CHECK that succeed say nothing")
  func silence() {
    for command in [Command.del, .check] {
      let reply = call(command)
      #expect(reply.standardOutput.isEmpty)
      #expect(reply.exitStatus == .exited(0))
    }
  }

  @Test(
    "Missing variables are all named, with code 4",
    arguments: [
      (Command.add, "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
      (.check, "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
      (.del, "CNI_CONTAINERID, CNI_IFNAME"),
    ])
  func missingVariables(command: Command, names: String) throws {
    let error = try error(call(command, container: "", namespace: "", interface: ""))
    #expect(error.code == .invalidEnvironment)
    #expect(error.message.contains(names))
  }

  @Test(
    "Hostile names are refused before they are used",
    arguments: [
      ("../etc", "eth0"), ("c1", "eth0/.."), ("c1", "eth 0"), ("c1", ".."), ("c1", "sixteen-bytes-xx"),
      (".c", "eth0"),
    ])
  func hostileNames(container: String, interface: String) throws {
    #expect(try error(call(.add, container: container, interface: interface)).code == .invalidEnvironment)
  }

  @Test(
    "A configuration that is no use is refused with the specification's code",
    arguments: [
      ("{", CNIError.Code.decodingFailure), ("[]", .decodingFailure),
      (#"{"cniVersion":"1.1.0","type":"probe"}"#, .invalidConfiguration),
      (#"{"cniVersion":"1.1.0","name":"a/b","type":"probe"}"#, .invalidEnvironment),
      (#"{"cniVersion":"7.0.0","name":"net","type":"probe"}"#, .incompatibleVersion),
    ])
  func badConfiguration(text: String, code: CNIError.Code) throws {
    #expect(try error(call(.add, text)).code == code)
  }

  @Test(
    "Commands that a version does not have are refused with code 1",
    arguments: [
      (Command.check, "0.3.1"), (.gc, "1.0.0"), (.status, "1.0.0"),
    ])
  func commandsByVersion(command: Command, version: String) throws {
    let error = try error(call(command, #"{"cniVersion":"\#(version)","name":"net","type":"probe"}"#))
    #expect(error.code == .incompatibleVersion)
    #expect(error.message.contains(command.rawValue))
  }

  @Test("Errors keep their code; one that is not of the specification gets 999")
  func errors() throws {
    let again = try error(
      call(.add, #"{"cniVersion":"1.1.0","name":"n","type":"probe","behaviour":"again"}"#))
    #expect(again == CNIError(.tryAgainLater, "not yet", details: "in a moment"))
    let foreign = try error(
      call(.del, #"{"cniVersion":"1.1.0","name":"n","type":"probe","behaviour":"foreign"}"#))
    #expect(foreign.code == .internalError && foreign.message == "a surprise")
    #expect(try error(call(.status)).code == .limitedConnectivity)
  }

  @Test("GC is given the valid attachments, under either key")
  func garbage() throws {
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
      let text =
        #"{"cniVersion":"1.1.0","name":"n","type":"probe","\#(key)":[{"containerID":"a","ifname":"eth0"}]}"#
      #expect(try error(call(.gc, text)).message == "kept a")
    }
    #expect(call(.gc).exitStatus == .exited(0), "without a list nothing is known to be stale")
  }

  @Test("VERSION lists the versions and needs nothing else")
  func version() throws {
    let reply = call(.version, "", container: "", namespace: "", interface: "")
    let info = try VersionInfo.decode(JSONValue.parse(reply.standardOutput))
    #expect(info.supported == ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
  }
}
