import CNI
import CNIExecution
import CNIRuntime
import ReferencePlugins

/// `list`: what is configured, where its plugins come from, and what is wrong.
enum ListCommand {
  static let list = CNITool.Subcommand(
    name: "list", usage: "list",
    summary: "Show networks, their plugins, and what is wrong with a configuration", words: 0,
    discussion:
      "The exit status is 1 if anything is wrong. Keys that no plugin reads are shown, but not wrong.",
    options: [CNITool.output]
  ) { arguments in
    let surroundings = Surroundings(arguments)
    let contents = surroundings.directory.load()
    let networks = contents.networks.map { Network($0, surroundings.runtime) }
    let problems = contents.problems + networks.flatMap(\.problems)
    if arguments["--output"] == "json" {
      try Terminal.print(json(networks, problems))
    } else {
      try Terminal.print(text(networks, problems, surroundings.directory.path))
    }
    return problems.isEmpty ? 0 : 1
  }

  /// One network, with where each of its plugins comes from.
  private struct Network {
    let loaded: LoadedNetwork
    let plugins: [(type: String, origin: String)]
    let problems: [ConfigurationProblem]
    /// About what is no mistake to CNI, and may be one all the same.
    let warnings: [ConfigurationProblem]

    init(_ loaded: LoadedNetwork, _ runtime: CNIRuntime) {
      self.loaded = loaded
      var plugins: [(String, String)] = []
      var problems: [ConfigurationProblem] = []
      var warnings: [ConfigurationProblem] = []
      for plugin in loaded.list.plugins {
        let keys = KeyRecord()
        var isKnown = true
        // What stands under ipam for flannel is half of it: nobody reads that as it is.
        let ipamType = plugin.type == "flannel" ? nil : plugin.ipamType
        for type in [plugin.type, ipamType].compactMap({ $0 }) {
          do {
            switch try runtime.runner.locate(type) {
            case .embedded: plugins.append((type, "built in"))
            case .file(let path): plugins.append((type, path))
            }
            // Of plugins that are built in it is known what they make of it; one of that name in CNI_PATH is taken
            // for the same.
            let configuration = loaded.list.configuration(for: plugin)
            if !ReferencePlugins.names.contains(type) { isKnown = false }
            if let problem = ReferencePlugins.problem(in: configuration, for: type, recording: keys) {
              isKnown = false
              problems.append(
                ConfigurationProblem(
                  file: loaded.file, position: plugin.json.position,
                  reason: "plugin \"\(type)\": \(problem.message)", remedy: problem.details))
            }
          } catch {
            isKnown = false
            plugins.append((type, "missing"))
            problems.append(
              ConfigurationProblem(
                file: loaded.file, position: plugin.json.position,
                reason: "plugin \"\(type)\": \(error.message)",
                remedy: error.details))
          }
        }
        // A plugin that stopped at a problem, or that is not known here, may yet read them.
        if isKnown {
          warnings += keys.unknownKeys.map { key in
            ConfigurationProblem(
              file: loaded.file, position: key.position,
              reason: "plugin \"\(plugin.type)\": nobody reads the key \(key.path)",
              remedy: key.suggestion.map { "did you mean \($0)?" } ?? "")
          }
        }
      }
      self.plugins = plugins
      self.problems = problems
      self.warnings = warnings
    }
  }

  private static func text(
    _ networks: [Network], _ problems: [ConfigurationProblem], _ directory: String
  ) -> String {
    var lines: [String] = []
    if networks.isEmpty {
      lines.append("No network in \(directory).")
      if problems.isEmpty {
        lines.append("\"cnitool run -- ip addr\" works all the same: it has a network \"default\" built in.")
      }
    }
    var rows = [["NETWORK", "VERSION", "PLUGINS", "FILE"]]
    for network in networks {
      let plugins = network.plugins.map { $0.origin == "built in" ? $0.type : "\($0.type) (\($0.origin))" }
      rows.append([
        network.loaded.name, network.loaded.list.version.rawValue, plugins.joined(separator: ", "),
        network.loaded.file,
      ])
    }
    if !networks.isEmpty { lines += Terminal.table(rows) }
    if !problems.isEmpty {
      lines.append("")
      lines.append(problems.count == 1 ? "1 problem:" : "\(problems.count) problems:")
      lines += problems.map { "  \($0)" }
    }
    let warnings = networks.flatMap(\.warnings)
    if !warnings.isEmpty {
      lines.append("")
      lines.append(warnings.count == 1 ? "1 warning:" : "\(warnings.count) warnings:")
      lines += warnings.map { "  \($0)" }
    }
    return lines.joined(separator: "\n")
  }

  private static func json(_ networks: [Network], _ problems: [ConfigurationProblem]) -> JSONValue {
    [
      "networks": .array(
        networks.map { network in
          [
            "name": .string(network.loaded.name), "file": .string(network.loaded.file),
            "cniVersion": .string(network.loaded.list.version.rawValue),
            "plugins": .array(
              network.plugins.map { ["type": .string($0.type), "origin": .string($0.origin)] }),
          ]
        }),
      "problems": .array(problems.map(json)),
      "warnings": .array(networks.flatMap(\.warnings).map(json)),
    ]
  }

  private static func json(_ problem: ConfigurationProblem) -> JSONValue {
    var object = JSONObject()
    object.append("file", .string(problem.file))
    if let position = problem.position {
      object.append("line", .integer(position.line))
      object.append("column", .integer(position.column))
    }
    object.append("reason", .string(problem.reason))
    if !problem.remedy.isEmpty { object.append("remedy", .string(problem.remedy)) }
    return .object(object)
  }
}
