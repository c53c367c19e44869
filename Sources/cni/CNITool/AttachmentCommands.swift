import CNI
import CNIRuntime

/// `add`, `del`, `check`: one container and one network.
enum AttachmentCommands {
  private static let options = [CNITool.interface, CNITool.container, CNITool.cache]

  static let add = CNITool.Subcommand(
    name: "add", usage: "add NETWORK NETNS",
    summary: "Attach a network namespace to a network; prints the result", words: 2,
    discussion: "What a failing plugin leaves is taken back: after an error there is nothing to delete.",
    options: options
  ) { arguments in
    let (surroundings, list, parameters) = try target(arguments)
    let wasAttached = surroundings.runtime.isAttached(network: list.name, parameters)
    let result = try surroundings.runtime.add(list, parameters)
    do { try Terminal.print(result.encode(as: list.version)) } catch {
      // Who does not get the result takes the container for unattached.
      if !wasAttached { report(try surroundings.runtime.delete(list, parameters)) }
      throw error
    }
    return 0
  }

  static let delete = CNITool.Subcommand(
    name: "del", usage: "del NETWORK NETNS", summary: "Detach it; once more does no harm", words: 2,
    discussion: """
      Works without the network's configuration too, from what is remembered of the attachment, and when the namespace
      is gone.
      """,
    options: options
  ) { arguments in
    let surroundings = Surroundings(arguments)
    let (network, namespace) = try names(arguments)
    let parameters = try surroundings.parameters(arguments, namespace: namespace)
    do {
      report(try surroundings.runtime.delete(try surroundings.network(network), parameters))
    } catch let error as RuntimeError where error.kind == .networkNotFound || error.kind == .noConfiguration {
      let entry = surroundings.runtime.cachedAttachments(containerID: parameters.containerID).first {
        $0.network == network && $0.attachment == parameters.attachment
      }
      guard let entry else { throw error }
      report(try surroundings.runtime.delete(entry))
    }
    return 0
  }

  static let check = CNITool.Subcommand(
    name: "check", usage: "check NETWORK NETNS", summary: "Say whether it is still attached as it was",
    words: 2,
    options: options
  ) { arguments in
    let (surroundings, list, parameters) = try target(arguments)
    try surroundings.runtime.check(list, parameters)
    return 0
  }

  private static func target(
    _ arguments: Arguments
  ) throws -> (Surroundings, NetworkConfigurationList, AttachmentParameters) {
    let surroundings = Surroundings(arguments)
    let (network, namespace) = try names(arguments)
    return (
      surroundings, try surroundings.network(network),
      try surroundings.parameters(arguments, namespace: namespace)
    )
  }

  private static func names(_ arguments: Arguments) throws -> (network: String, namespace: String) {
    guard arguments.positional.count >= 2 else {
      throw UsageError(message: "the name of a network and the path of a network namespace are needed")
    }
    return (arguments.positional[0], arguments.positional[1])
  }

  /// Tells what was odd about the cache and did not matter.
  static func report(_ problems: [CacheProblem]) {
    for problem in problems { Terminal.complain("cnitool: note: \(problem)") }
  }
}
