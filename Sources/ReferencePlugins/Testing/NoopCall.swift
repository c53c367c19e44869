import CNI
import CNIExecution
import CNIPluginKit

/// One call of noop.
struct NoopCall {
  /// The name under which it was called.
  let type: String
  let request: PluginRequest
  let environment: PluginEnvironment
  /// The variables that are recorded, as `NAME=value`.
  let variables: [String]

  /// The version of the configuration, for what is said in it; `nil` if there is none that could be read.
  var version: SpecVersion? { try? request.parsedConfiguration().version }

  /// What a result may say instead of what differs from container to container.
  var placeholders: [(text: String, value: String)] {
    [
      ("$CNI_CONTAINERID", request.containerID), ("$CNI_IFNAME", request.interfaceName),
      ("$CNI_NETNS", request.namespace),
    ]
  }

  /// The value of a recorded variable.
  func variable(_ name: String) -> String? {
    variables.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
  }

  /// Records the call and finds the answer. Whatever is wrong with the script is an answer, too.
  func answer() -> NoopAnswer {
    do {
      return try scriptedAnswer()
    } catch {
      return NoopAnswer(reporting: CNIError(describing: error), version: version)
    }
  }

  private func scriptedAnswer() throws -> NoopAnswer {
    let configuration = (try? JSONValue.parse(request.configuration)).flatMap { try? ConfigurationObject($0) }
    let script = NoopScript(file: try debugFile(configuration), configuration: configuration)
    // Recorded before anything is looked at that could be wrong with the call or with the script.
    var takesTurns = false
    if case .inTurn? = try? script.answers(to: request.command) { takesTurns = true }
    let earlier = try script.record()?.append(line, counting: takesTurns ? request.command : nil)

    let versions = try script.versions()
    let standard: () throws(CNIError) -> [UInt8]
    if request.command == .version {
      let reply = VersionInfo(supported: versions ?? SpecVersion.allCases.map(\.rawValue))
      standard = { () throws(CNIError) in reply.encode().serialized() }
    } else {
      // What every plugin refuses, a runtime has to be told by this one, too.
      let call = try PluginCall(
        request, environment: environment,
        supportedVersions: versions?.compactMap { SpecVersion(rawValue: $0) } ?? SpecVersion.allCases)
      try note(call.configuration.object(), script)
      standard = { () throws(CNIError) in
        request.command == .add ? try standardResult(call.configuration) : []
      }
    }
    switch try script.answers(to: request.command) {
    case .one(let answer)?: return try NoopAnswer(answer, to: self, standard: standard)
    case .inTurn(let answers)?:
      guard let earlier else { throw NoopScript.turnsWithoutRecord(request.command) }
      return try NoopAnswer(answers[min(earlier, answers.count - 1)], to: self, standard: standard)
    case nil:
      if let file = script.file, file.isOfGo, request.command != .version { return try file.answer(to: self) }
      var answer = NoopAnswer()
      answer.output = try standard()
      return answer
    }
  }

  /// The file that says what to do: `DEBUG` of `CNI_ARGS`, `debugFile` of the configuration, or `CNI_NOOP_FILE` of
  /// the environment (VERSION comes with no configuration of the network).
  private func debugFile(_ configuration: ConfigurationObject?) throws -> NoopDebugFile? {
    var path = (try? CNIArguments(parsing: request.arguments))?["DEBUG"]
    if path == nil { path = try configuration?.string("debugFile") ?? variable("CNI_NOOP_FILE") }
    guard let path, !path.isEmpty else { return nil }
    return try NoopDebugFile(path: path)
  }

  /// Writes the call down in the places that the Go doubles have for that.
  private func note(_ keys: ConfigurationObject, _ script: NoopScript) throws {
    if let file = script.file, file.isOfGo { try file.fill(with: self) }
    if let path = try keys.string("commandLog") { try appendToLog(path) }
    if let path = try keys.string("cniOutput") { try NoopRecord(path: path).appendText(self) }
    guard request.command == .add || request.command == .check else { return }
    for key in ["addHooks", "delHooks", "checkHooks"] where try !keys.list(key).isEmpty {
      throw keys.failure(key, "noop runs no commands", remedy: "remove the key", code: .unsupportedField)
    }
  }

  /// The result of the plugin before, or one without anything in it.
  private func standardResult(_ configuration: PluginConfiguration) throws(CNIError) -> [UInt8] {
    let version = configuration.version
    let result = try configuration.prevResult() ?? AddResult()
    if version <= .v0_2_0, result.ips.isEmpty {
      return JSONValue.object(["cniVersion": .string(version.rawValue)]).serialized()
    }
    return try result.encode(as: version).serialized(pretty: true)
  }

  /// The result of the plugin before, in the configuration's version.
  func previousResult(changing change: (inout AddResult) -> Void = { _ in }) throws(CNIError) -> [UInt8] {
    let configuration = try request.parsedConfiguration()
    guard var result = try configuration.prevResult() else {
      throw CNIError(
        .invalidConfiguration, "noop is to hand on prevResult, and the configuration has none",
        details: "call it behind another plugin, or give it a result of its own")
    }
    change(&result)
    return try result.encode(as: configuration.version).serialized(pretty: true)
  }
}
