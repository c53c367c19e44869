import CNI
import CNIExecution
import Glibc
import LinuxNetworking
import ReferencePlugins
import TestSupport
import Testing

/// How noop is run: both ways have to look the same from outside.
enum Way: String, CaseIterable, CustomTestStringConvertible {
  case inProcess, process

  static var possible: [Way] { builtExecutable == nil ? [.inProcess] : allCases }
  var testDescription: String { rawValue }
}

/// noop in a directory of its own.
struct NoopFixture: ~Copyable {
  let directory: TemporaryDirectory
  let runner: PluginRunner

  init(_ way: Way, limits: ExecutionLimits = .none) throws {
    directory = try TemporaryDirectory()
    var runner = PluginRunner(path: [], limits: limits, passesOnStandardError: false)
    switch way {
    case .inProcess: runner.embedded = ReferencePlugins.all + ReferencePlugins.testDoubles
    case .process:
      for name in ReferencePlugins.testDoubleNames { symlink(builtExecutable!, directory.file(name)) }
      runner.path = [directory.path]
    }
    self.runner = runner
  }

  /// A call with the record and `keys`, JSON members after a comma, in its configuration.
  func request(
    _ command: Command, _ keys: String = "", version: String = "1.1.0", arguments: String = ""
  ) -> PluginRequest {
    let record = directory.file("record")
    let text =
      #"{"cniVersion":"\#(version)","name":"net","type":"noop","record":"\#(record)"\#(keys)}"#
    return PluginRequest(
      command: command, containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0",
      arguments: arguments, path: ["/a", "/b"], configuration: Array(text.utf8))
  }

  /// A call for which the configuration has one answer, written without the outer braces.
  func answering(_ command: Command, _ answer: String, _ more: String = "", version: String = "1.1.0")
    -> PluginRequest
  {
    request(command, #","answers":{"\#(command.rawValue)":{\#(answer)}}\#(more)"#, version: version)
  }

  /// The lines of the record.
  func record() throws -> [JSONValue] {
    try read("record").split(separator: "\n").map { try JSONValue.parse(Array($0.utf8)) }
  }

  func read(_ name: String) throws -> String {
    String(decoding: try StateFile.read(directory.file(name)), as: UTF8.self)
  }

  func write(_ text: String, to name: String) throws {
    try StateFile.write(Array(text.utf8), to: directory.file(name))
  }
}

extension PluginReply {
  var text: String { String(decoding: standardOutput, as: UTF8.self) }
  var errors: String { String(decoding: standardErrorTail, as: UTF8.self) }
}
