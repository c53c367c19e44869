import CNI
import CNIExecution
import CNIPluginKit
import LinuxNetworking
import Synchronization
import Testing

/// What the probe did, in order.
private let deeds = Mutex<[String]>([])

/// A chained plugin that writes down what it is asked; `"failAt"` names the step to fail at.
private struct Probe: ChainedPlugin {
  static let type = "probe"
  static let summary = "answers tests"
  static let changesNamespace = false
  static let neededPrivileges: [Privileges.Capability] = []
  let failAt: String?

  init(_ call: PluginCall) throws { failAt = try call.configuration.object().string("failAt") }

  private func act(_ deed: String) throws {
    deeds.withLock { $0.append(deed) }
    if deed.hasPrefix(failAt ?? "-") { throw CNIError(.init(rawValue: 107), "failed at \(deed)") }
  }

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    for step in ["first", "second"] {
      try act(step)
      undo.register("a step") { deeds.withLock { $0.append("no " + step) } }
    }
    result.dns.domain = "example"
    if failAt == "result" { result.ips = [] }
  }
  func verify(_ call: PluginCall, against result: AddResult) throws { try act("verify \(result.ips.count)") }
  func remove(_ call: PluginCall, previous: AddResult?) throws {
    try act("remove \(previous.map { "\($0.ips.count)" } ?? "nothing known")")
  }
  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    try act("keep \(stale.valid.map(\.containerID).sorted()) \(stale.contains("cni:net/c9/eth0"))")
  }
  func checkRequirements(_ call: PluginCall) throws { try act("requirements") }
}

/// One that has no more to say than it must, and needs privileges.
private struct Terse: ChainedPlugin {
  static let type = "terse"
  static let summary = "says little"
  init(_ call: PluginCall) {}
  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {}
  func verify(_ call: PluginCall, against result: AddResult) throws {}
}

/// The example of Documentation/writing-a-plugin.md.
private struct Bouncer: ChainedPlugin {
  static let type = "bouncer"
  static let summary = "refuses containers whose ID is on a list"
  static let changesNamespace = false

  let banned: [String]

  init(_ call: PluginCall) throws {
    banned = try call.configuration.object().strings("banned")
  }

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    if banned.contains(call.containerID) {
      throw CNIError(CNIError.Code(rawValue: 100), "\(call.containerID) is banned from \(call.network)")
    }
  }

  func verify(_ call: PluginCall, against result: AddResult) throws {}
}

@Suite("Chained plugins", .serialized)
struct ChainedPluginTests {
  private let runner = PluginRunner(
    path: [], embedded: EmbeddedPlugins([EmbeddedPlugin(Probe.self), EmbeddedPlugin(Terse.self)]))

  init() { deeds.withLock { $0 = [] } }

  private var done: [String] { deeds.withLock { $0 } }

  private func request(_ keys: String = "", version: String = "1.1.0", previous: String? = addresses)
    -> PluginRequest
  {
    let result = previous.map { #","prevResult":\#($0)"# } ?? ""
    return PluginRequest(
      command: .add, containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0",
      configuration: Array(
        #"{"cniVersion":"\#(version)","name":"net","type":"probe"\#(keys)\#(result)}"#.utf8))
  }
  private static let addresses = #"{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.3/24"}]}"#

  private func error(_ body: () throws -> Void) throws -> CNIError {
    do {
      try body()
    } catch let failure as PluginFailure {
      guard case .error(let error) = failure.cause else { throw failure }
      return error
    }
    return try #require(nil as CNIError?, "the plugin succeeded")
  }

  @Test("ADD is given the result of the plugin before, and hands it on with its changes")
  func add() throws {
    let result = try runner.add("probe", request())
    #expect(result.ips.map(\.address.description) == ["10.1.2.3/24"])
    #expect(result.dns.domain == "example")
    #expect(done == ["first", "second"])
    #expect(try runner.add("terse", request()).ips == result.ips)
  }

  @Test("ADD that fails undoes the steps before, and keeps the plugin's code")
  func undo() throws {
    let failed = try error { _ = try runner.add("probe", request(#","failAt":"second""#)) }
    #expect(failed.code.rawValue == 107)
    #expect(done == ["first", "second", "no first"])
  }

  @Test("A result that the version cannot express is a failed ADD")
  func inexpressible() throws {
    let old = #"{"cniVersion":"0.2.0","ip4":{"ip":"10.1.2.3/24"}}"#
    let failed = try error {
      _ = try runner.add("probe", request(#","failAt":"result""#, version: "0.2.0", previous: old))
    }
    #expect(failed.code == .incompatibleVersion)
    #expect(done == ["first", "second", "no second", "no first"])
  }

  @Test("Without prevResult, ADD and CHECK fail before anything is done", arguments: [nil, "null"])
  func alone(previous: String?) throws {
    let alone = request(previous: previous)
    let added = try error { _ = try runner.add("probe", alone) }
    #expect(added.code == .invalidConfiguration)
    #expect(added.message.contains("probe builds on the result of another plugin"))
    let checked = try error { try runner.check("probe", alone) }
    #expect(checked.code == .invalidConfiguration && checked.message.contains("prevResult"))
    #expect(done.isEmpty)
  }

  @Test("CHECK compares with the result of the whole list")
  func check() throws {
    try runner.check("probe", request())
    #expect(try error { try runner.check("probe", request(#","failAt":"verify""#)) }.code.rawValue == 107)
    #expect(done == ["verify 1", "verify 1"])
    try runner.check("terse", request())
  }

  @Test("DEL makes do with what there is: a result, none, one that cannot be read")
  func delete() throws {
    var left = request()
    left.namespace = ""
    try runner.delete("probe", left)
    try runner.delete("probe", request(previous: nil))
    try runner.delete("probe", request(previous: #"{"cniVersion":"1.1.0","ips":[{"address":"nonsense"}]}"#))
    #expect(done == ["remove 1", "remove nothing known", "remove nothing known"])
    try runner.delete("terse", request(previous: nil))
  }

  @Test("GC is told what is stale")
  func garbage() throws {
    let valid = #","cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}]"#
    try runner.collectGarbage("probe", request(valid, previous: nil))
    #expect(done == [#"keep ["c1"] true"#])
    try runner.collectGarbage("terse", request(valid, previous: nil))
  }

  @Test("STATUS: what is missing is code 50 whatever was thrown; privileges come first")
  func status() throws {
    try runner.status("probe", request(previous: nil))
    let missing = try error {
      try runner.status("probe", request(#","failAt":"requirements""#, previous: nil))
    }
    #expect(missing.code == .notAvailable && missing.message == "failed at requirements")
    if Privileges.missing([.netAdmin, .sysAdmin]).isEmpty {
      try runner.status("terse", request(previous: nil))
    } else {
      let denied = try error { try runner.status("terse", request(previous: nil)) }
      #expect(denied.code == .notAvailable && denied.details.contains("missing"))
    }
  }

  @Test("The example of the documentation")
  func documented() throws {
    let runner = PluginRunner(path: [], embedded: EmbeddedPlugins([EmbeddedPlugin(Bouncer.self)]))
    var request = PluginRequest(
      command: .add, containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0")
    request.setConfiguration([
      "cniVersion": "1.0.0", "name": "net", "type": "bouncer", "banned": ["c1"],
      "prevResult": ["cniVersion": "1.0.0", "ips": [["address": "10.1.2.3/24"]]],
    ])
    #expect(throws: PluginFailure.self) { try runner.add("bouncer", request) }
    request.containerID = "c2"
    #expect(try runner.add("bouncer", request).ips.count == 1)
  }
}
