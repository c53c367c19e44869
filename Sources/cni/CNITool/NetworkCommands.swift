import CNI
import CNIRuntime

/// `gc` and `status`: a network as a whole.
enum NetworkCommands {
  private static let keep = Arguments.Option(
    "--keep", value: "CONTAINERID/IFNAME", help: "an attachment that is to stay; may be repeated")

  static let collectGarbage = CNITool.Subcommand(
    name: "gc", usage: "gc NETWORK [NETNS]",
    summary: "Remove every attachment of a network, and what others left", words: 2,
    discussion: """
      Attachments that are remembered are deleted, then every plugin is asked to remove what belongs to attachments that
      no longer exist, whatever version the network is of. NETNS has no meaning; it is accepted because the Go cnitool
      asks for it.
      """,
    options: [keep, CNITool.cache]
  ) { arguments in
    let surroundings = Surroundings(arguments)
    let list = try network(arguments, surroundings)
    let valid = try arguments.all("--keep").map { text in
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
        throw UsageError(message: "--keep takes CONTAINERID/IFNAME, not \(text)")
      }
      return Attachment(containerID: parts[0], interfaceName: parts[1])
    }
    AttachmentCommands.report(
      try surroundings.runtime.collectGarbage(list, validAttachments: valid, olderVersions: true))
    return 0
  }

  static let status = CNITool.Subcommand(
    name: "status", usage: "status NETWORK [NETNS]",
    summary: "Say whether a network can take another container", words: 2,
    discussion:
      "Needs a configuration of version 1.1.0 or later: older ones do not know STATUS, and count as ready.",
    options: [CNITool.cache]
  ) { arguments in
    let surroundings = Surroundings(arguments)
    try surroundings.runtime.status(try network(arguments, surroundings))
    return 0
  }

  private static func network(
    _ arguments: Arguments, _ surroundings: Surroundings
  ) throws -> NetworkConfigurationList {
    guard let name = arguments.positional.first else {
      throw UsageError(message: "the name of a network is needed")
    }
    return try surroundings.network(name)
  }
}
