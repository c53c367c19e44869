import CNI
import CNIRuntime
import ReferencePlugins

/// `version`: this program's, and those of plugins.
enum VersionCommand {
  static let version = CNITool.Subcommand(
    name: "version", usage: "version [PLUGIN…]",
    summary: "Show versions: cnitool's, or those that plugins speak",
    options: [CNITool.output]
  ) { arguments in
    let surroundings = Surroundings(arguments)
    let types = arguments.positional.isEmpty ? ReferencePlugins.names : arguments.positional
    var plugins: [(type: String, versions: [String])] = []
    for type in types { plugins.append((type, try surroundings.runtime.versionInfo(type).supported)) }
    if arguments["--output"] == "json" {
      try Terminal.print([
        "version": .string(Main.version),
        "plugins": .array(
          plugins.map {
            ["type": .string($0.type), "supportedVersions": .array($0.versions.map { .string($0) })]
          }),
      ])
    } else {
      let width = types.map(\.count).max() ?? 0
      try Terminal.print("cnitool \(Main.version)")
      for plugin in plugins {
        let name = plugin.type + String(repeating: " ", count: width - plugin.type.count)
        try Terminal.print("\(name)  CNI \(plugin.versions.joined(separator: ", "))")
      }
    }
    return 0
  }
}
