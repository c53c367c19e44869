import CNI
import CNIExecution
import Glibc
import Synchronization
import TestSupport

/// A directory of shell scripts that play plugins.
final class PluginDirectory: Sendable {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  var path: String { directory.path }

  /// Puts an executable script there and returns its path.
  @discardableResult
  func script(_ name: String, _ body: String, mode: mode_t = 0o755) -> String {
    write("#!/bin/sh\n\(body)\n", to: name, mode: mode)
  }

  @discardableResult
  func write(_ text: String, to name: String, mode: mode_t = 0o644) -> String {
    let file = directory.file(name)
    let stream = fopen(file, "w")!
    fputs(text, stream)
    fclose(stream)
    chmod(file, mode)
    return file
  }

  func read(_ name: String) -> String {
    guard let stream = fopen(directory.file(name), "r") else { return "" }
    defer { fclose(stream) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = fread(&buffer, 1, buffer.count, stream)
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      text += buffer[..<count]
    }
  }

  func exists(_ name: String) -> Bool { access(directory.file(name), F_OK) == 0 }

  func runner(
    embedded: [EmbeddedPlugin] = [], preference: PluginRunner.Preference = .pathFirst,
    limits: ExecutionLimits = .none
  ) -> PluginRunner {
    PluginRunner(
      path: [path], embedded: EmbeddedPlugins(embedded), preference: preference, limits: limits,
      passesOnStandardError: false)
  }
}

let podnet = #"{"cniVersion":"1.0.0","name":"podnet","type":"tried"}"#
let emptyResult = #"{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}],"dns":{}}"#

func request(_ command: Command, configuration: String = podnet) -> PluginRequest {
  PluginRequest(
    command: command, containerID: "c1", namespace: "/run/netns/c1", interfaceName: "eth0",
    arguments: "IgnoreUnknown=1;K8S_POD_NAME=p", path: ["/a", "/b"], configuration: Array(configuration.utf8),
    network: "podnet")
}

/// The failure that `body` ends in.
func failure(_ body: () throws(PluginFailure) -> Void) -> PluginFailure? {
  do {
    try body()
    return nil
  } catch { return error }
}

/// Seconds that `body` takes.
func seconds(_ body: () throws -> Void) rethrows -> Double {
  let start = Deadline.now
  try body()
  return Double(Deadline.now.nanoseconds - start.nanoseconds) / 1e9
}

/// Texts that several threads write down.
final class Seen: Sendable {
  private let all = Mutex<[String]>([])

  func note(_ text: String) { all.withLock { $0.append(text) } }
  var texts: [String] { all.withLock { $0 } }
}
