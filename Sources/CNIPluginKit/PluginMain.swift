import CNI
import CNIExecution
import Glibc
import LinuxNetworking

/// The `main` of a plugin that is a program of its own (spec section 2, "Overview").
public enum PluginMain {
  /// Reads the request from environment and standard input, answers it on standard output.
  ///
  /// Without `CNI_COMMAND` it explains on standard error what the program is and how it is meant to be called.
  ///
  /// - Parameters:
  ///   - plugin: The plugin.
  ///   - embedded: Plugins that stand in for delegates that are not found in `CNI_PATH`.
  ///   - version: The program's version, for that explanation.
  /// - Returns: The exit status.
  public static func run<P: Plugin>(
    _ plugin: P.Type, embedded: EmbeddedPlugins = .none, version: String
  ) -> Int32 {
    do throws(CNIError) {
      guard let request = try receive() else {
        StandardError.write(introduction(of: plugin, version: version))
        return 0
      }
      let runner = PluginRunner(path: request.path, embedded: embedded)
      return send(P.reply(to: request, environment: PluginEnvironment(runner: runner)))
    } catch {
      return send(PluginReply(standardOutput: error.serialized(version: nil), exitStatus: .exited(1)))
    }
  }

  /// The request that this process was started with: what `run` begins with, for a plugin that is a function.
  ///
  /// - Parameter readsInputOfVersion: Whether standard input is read for VERSION, too, where nobody needs it.
  /// - Returns: `nil` if there is no `CNI_COMMAND`: then no runtime has started it.
  /// - Throws: code 4 if the command is none, 5 if standard input cannot be read.
  public static func receive(readsInputOfVersion: Bool = false) throws(CNIError) -> PluginRequest? {
    guard let commandText = variable("CNI_COMMAND"), !commandText.isEmpty else { return nil }
    guard let command = Command(rawValue: commandText) else {
      let known = "ADD, DEL, CHECK, GC, STATUS, VERSION"
      throw CNIError(.invalidEnvironment, "CNI_COMMAND is \"\(commandText)\", which is none of \(known)")
    }
    let configuration: [UInt8]
    if command == .version && !readsInputOfVersion {
      configuration = []
    } else {
      configuration = try readStandardInput()
    }
    return PluginRequest(
      command: command, containerID: variable("CNI_CONTAINERID") ?? "",
      namespace: variable("CNI_NETNS") ?? "",
      interfaceName: variable("CNI_IFNAME") ?? "", arguments: variable("CNI_ARGS") ?? "",
      path: searchPath(variable("CNI_PATH") ?? ""),
      netnsOverride: isTrue(variable("CNI_NETNS_OVERRIDE")), configuration: configuration)
  }

  /// Writes a reply to standard output: what `run` ends with.
  ///
  /// - Returns: The status to exit with; 1 for a reply that did not end by exiting, or that nobody can have read.
  public static func send(_ reply: PluginReply) -> Int32 {
    if let failure = reply.standardOutput.withUnsafeBytes({ writeAll($0, to: STDOUT_FILENO) }) {
      StandardError.write("cannot write the reply to standard output: \(failure)")
      return 1
    }
    guard case .exited(let status) = reply.exitStatus else { return 1 }
    return status
  }

  private static func introduction<P: Plugin>(of plugin: P.Type, version: String) -> String {
    introduction(
      type: P.type, summary: P.summary, versions: P.supportedVersions.map(\.rawValue), version: version)
  }

  /// What a plugin says of itself to somebody who starts it by hand.
  public static func introduction(
    type: String, summary: String, versions: [String], version: String
  ) -> String {
    """
    \(type) \(version), a CNI plugin: \(summary)
    CNI protocol versions supported: \(versions.joined(separator: ", "))

    A container runtime calls it with a network configuration (JSON) on standard input and these variables:
      CNI_COMMAND      ADD, DEL, CHECK, GC, STATUS or VERSION
      CNI_CONTAINERID  the container's name (ADD, DEL, CHECK)
      CNI_NETNS        its network namespace, such as /run/netns/NAME (ADD, CHECK; DEL if it still exists)
      CNI_IFNAME       the interface to make in it, such as eth0 (ADD, DEL, CHECK)
      CNI_ARGS         further arguments, KEY=VALUE;KEY=VALUE
      CNI_PATH         directories with the plugins it delegates to
    To try it by hand, use cnitool: "cnitool run -- ip addr".
    """
  }

  /// The directories of a `CNI_PATH`; empty ones are left out.
  static func searchPath(_ text: String) -> [String] {
    text.utf8.split(separator: UInt8(ascii: ":")).map { String(Substring($0)) }
  }

  private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  private static func isTrue(_ value: String?) -> Bool { value == "1" || value?.lowercased() == "true" }

  private static func readStandardInput() throws(CNIError) -> [UInt8] {
    var input: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = read(STDIN_FILENO, &chunk, chunk.count)
      if count > 0 {
        input += chunk[..<count]
      } else if count == 0 {
        return input
      } else if errno != EINTR {
        throw CNIError(
          .ioFailure,
          "cannot read the network configuration from standard input: \(String(cString: strerror(errno)))")
      }
    }
  }

}

/// Standard error, written without buffering.
enum StandardError {
  static func write(_ line: String) {
    var text = line
    text.append("\n")
    _ = text.withUTF8 { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
