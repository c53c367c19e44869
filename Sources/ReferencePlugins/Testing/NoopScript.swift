import CNI
import CNIExecution

/// What noop is told to do: by a file, and where that says nothing, by the configuration.
///
///     "record": "/tmp/calls.jsonl",
///     "versions": ["0.4.0", "1.0.0"],
///     "answers": { "ADD": { "result": … }, "DEL": [{ "error": { "code": 11, "msg": "later" } }, {}] }
struct NoopScript {
  /// The file, read.
  let file: NoopDebugFile?
  /// The configuration; `nil` where that is no object.
  let configuration: ConfigurationObject?

  /// What `find` returns the value of: the first that there is.
  private func first<R>(
    _ find: (ConfigurationObject) throws(CNIError) -> R?
  ) throws(CNIError) -> R? {
    if let file, let found = try find(file.keys) { return found }
    if let configuration { return try find(configuration) }
    return nil
  }

  /// Where calls are recorded.
  func record() throws(CNIError) -> NoopRecord? {
    try first { (keys) throws(CNIError) in try keys.string("record") }.map { NoopRecord(path: $0) }
  }

  /// The versions that VERSION reports, and that other commands accept; `nil` for all.
  func versions() throws(CNIError) -> [String]? {
    let own = try first { (keys) throws(CNIError) in
      keys.value("versions") == nil ? nil : try keys.strings("versions")
    }
    if let own { return own }
    return try file?.reportedVersions()
  }

  /// What there is to say about answers to a command, one for each call or one for all.
  enum Answers {
    case one(ConfigurationObject)
    /// In turn; the last one is also that of every further call.
    case inTurn([ConfigurationObject])
  }

  /// The answers to `command` that the file or else the configuration has.
  func answers(to command: Command) throws(CNIError) -> Answers? {
    if let file {
      if let answers = try Self.answers(in: file.keys, to: command) { return answers }
      // The file of the Go double has one answer to everything.
      if file.isOfGo { return nil }
    }
    return try configuration.flatMap { (keys) throws(CNIError) in try Self.answers(in: keys, to: command) }
  }

  private static func answers(
    in keys: ConfigurationObject, to command: Command
  ) throws(CNIError) -> Answers? {
    guard let answers = try keys.object("answers") else { return nil }
    let all = Command.allCases.map(\.rawValue)
    for key in answers.members.keys where !all.contains(key.uppercased()) {
      throw answers.failure(key, "is no command", remedy: "write one of " + all.joined(separator: ", "))
    }
    guard let value = answers.value(command.rawValue) else { return nil }
    guard value.json.array != nil else { return .one(try value.object()) }
    var turns: [ConfigurationObject] = []
    for element in try value.list() { turns.append(try element.object()) }
    guard !turns.isEmpty else { throw value.failure("is an empty list", remedy: "write at least one answer") }
    return .inTurn(turns)
  }

  /// Reads everything, for the errors.
  func validate() throws(CNIError) {
    let hasRecord = try record() != nil
    _ = try versions()
    for command in Command.allCases {
      switch try answers(to: command) {
      case nil: break
      case .one(let answer)?: try Self.validate(answer)
      case .inTurn(let answers)?:
        if !hasRecord { throw Self.turnsWithoutRecord(command) }
        for answer in answers { try Self.validate(answer) }
      }
    }
  }

  private static func validate(_ answer: ConfigurationObject) throws(CNIError) {
    _ = try NoopAnswer(answer, to: nil) { () throws(CNIError) in [] }
  }

  /// Whose turn it is, is known from the record alone.
  static func turnsWithoutRecord(_ command: Command) -> CNIError {
    CNIError(
      .invalidConfiguration,
      "answers.\(command.rawValue) is a list, and there is no record to tell whose turn it is",
      details: "name a file under \"record\"")
  }
}
