import CNI
import CNIRuntime
import Glibc
import LinuxNetworking
import SystemPackage

/// `cnitool`: networks by hand. The first five commands take the arguments and the environment of the Go one.
enum CNITool {
  /// One subcommand.
  struct Subcommand: Sendable {
    let name: String
    let usage: String
    let summary: String
    /// How many words, apart from options, it takes at most. One too many is a slip that must not go unnoticed.
    var words = Int.max
    /// More about it, for its own help.
    var discussion = ""
    var options: [Arguments.Option] = []
    let run: @Sendable (Arguments) throws -> Int32
  }

  static let output = Arguments.Option(
    "--output", value: "text|json", help: "json for programs; text (the default) for people")
  static let interface = Arguments.Option(
    "--ifname", "-i", value: "NAME", help: "the interface in the container (default: CNI_IFNAME, or eth0)")
  static let container = Arguments.Option(
    "--container-id", value: "ID", help: "the container's ID (default: made from the namespace's path)")
  static let cache = Arguments.Option(
    "--cache-dir", value: "DIR", help: "where results are remembered (default: /var/lib/cni)")

  static let subcommands: [Subcommand] =
    [
      AttachmentCommands.add, AttachmentCommands.delete, AttachmentCommands.check,
      NetworkCommands.collectGarbage,
      NetworkCommands.status, ListCommand.list, RunCommand.run, VersionCommand.version,
    ] + PodCommands.all

  /// Runs the command line.
  ///
  /// - Returns: The exit status: 0, 1 for a failure, 2 for a command line that is not understood; `run` gives that of
  ///   its command.
  static func run(_ words: [String]) -> Int32 {
    do throws(FileError) { return try answer(words) } catch {
      Terminal.complain("cnitool: \(error)")
      return 1
    }
  }

  private static func answer(_ words: [String]) throws(FileError) -> Int32 {
    guard let name = words.first, !["help", "--help", "-h"].contains(name) else {
      if let topic = find(words.dropFirst()) {
        try Terminal.print(help(topic.subcommand))
      } else if let group = words.dropFirst().first.flatMap(help(group:)) {
        try Terminal.print(group)
      } else {
        try Terminal.print(overview)
      }
      return words.isEmpty ? 2 : 0
    }
    if name == "--version" {
      try Terminal.print("cnitool \(Main.version)")
      return 0
    }
    if name == BenchCommand.name { return BenchCommand.run(Array(words.dropFirst())) }
    guard let (subcommand, rest) = find(words[...]) else {
      // One of two words of which the second is missing, or a wrong one.
      let group = help(group: name)
      if let group, words.dropFirst().first.map({ $0 == "--help" || $0 == "-h" }) == true {
        try Terminal.print(group)
        return 0
      }
      let given = words.prefix(group == nil ? 1 : 2).joined(separator: " ")
      Terminal.complain("cnitool: there is no command \(given)\n\n\(group ?? overview)")
      return 2
    }
    do {
      if rest.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
        try Terminal.print(help(subcommand))
        return 0
      }
      let arguments = try Arguments(rest, options: subcommand.options)
      if let extra = arguments.positional.dropFirst(subcommand.words).first {
        throw UsageError(message: "\(extra) is one word too many")
      }
      if let format = arguments["--output"], format != "text", format != "json" {
        throw UsageError(message: "--output is text or json, not \(format)")
      }
      return try subcommand.run(arguments)
    } catch let error as UsageError {
      Terminal.complain("cnitool \(subcommand.name): \(error.message)\n\nUsage: cnitool \(subcommand.usage)")
      return 2
    } catch {
      Terminal.complain("cnitool: \(error)")
      return 1
    }
  }

  /// The command that words begin with, and what follows it.
  private static func find(_ words: ArraySlice<String>) -> (subcommand: Subcommand, rest: [String])? {
    for count in [2, 1] where words.count >= count {
      let name = words.prefix(count).joined(separator: " ")
      if let found = subcommands.first(where: { $0.name == name }) {
        return (found, Array(words.dropFirst(count)))
      }
    }
    return nil
  }

  /// The commands whose first word this is; `nil` if there are none.
  private static func help(group name: String) -> String? {
    let members = subcommands.filter { $0.name.hasPrefix("\(name) ") }
    return members.isEmpty ? nil : members.map(help(_:)).joined(separator: "\n\n")
  }

  private static var overview: String {
    let width = subcommands.map(\.usage.count).max() ?? 0
    let commands = subcommands.map {
      "  " + $0.usage + String(repeating: " ", count: width - $0.usage.count) + "  " + $0.summary
    }
    return """
      cnitool \(Main.version): container networks by hand

      Usage: cnitool COMMAND

      \(commands.joined(separator: "\n"))

      "cnitool help COMMAND" tells more. To see a container network work, with no configuration at all:

        cnitool run -- ip addr

      Environment:
        NETCONFPATH  directory of network configurations (default: \(ConfigurationDirectory.defaultPath))
        CNI_PATH     directories of plugins; one that is not found there comes from cnitool itself
        CNI_ARGS     arguments for plugins: KEY=VALUE;KEY=VALUE
        CAP_ARGS     capability arguments, JSON: {"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}
        CNI_IFNAME   the interface in the container (default: eth0)
      """
  }

  private static func help(_ subcommand: Subcommand) -> String {
    var text = "Usage: cnitool \(subcommand.usage)\n\n\(subcommand.summary)"
    if !subcommand.discussion.isEmpty { text += "\n\n" + subcommand.discussion }
    if !subcommand.options.isEmpty {
      let rows = subcommand.options.map { option in
        (option.names.joined(separator: ", ") + (option.value.map { " " + $0 } ?? ""), option.help)
      }
      let width = rows.map(\.0.count).max() ?? 0
      text += "\n\nOptions:"
      for (names, help) in rows {
        text += "\n  " + names + String(repeating: " ", count: width - names.count) + "  " + help
      }
    }
    return text
  }
}

/// Where people and programs read.
enum Terminal {
  /// What was asked for. Where it cannot be written, nobody has been told anything: that is an error.
  static func print(_ text: String) throws(FileError) {
    if let errno = write(text, to: STDOUT_FILENO) {
      throw FileError(path: "the standard output", operation: "write", errno: errno)
    }
  }
  static func print(_ json: JSONValue) throws(FileError) {
    try print(String(decoding: json.serialized(pretty: true), as: UTF8.self))
  }
  static func complain(_ text: String) { _ = write(text, to: STDERR_FILENO) }

  /// Columns of equal width, two spaces between them; the first row is the heading.
  static func table(_ rows: [[String]]) -> [String] {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      row.enumerated().map { column, cell in
        column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count + 2)
      }.joined()
    }
  }

  private static func write(_ text: String, to descriptor: Int32) -> Errno? {
    var line = text
    if line.utf8.last != UInt8(ascii: "\n") { line.append("\n") }
    return line.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: descriptor) }
  }
}
