import CNI
import CNIRuntime
import Glibc
import LinuxNetworking

/// `run`: a command with a network of its own, for as long as it lasts.
enum RunCommand {
  static let run = CNITool.Subcommand(
    name: "run", usage: "run [--network NETWORK] -- COMMAND…",
    summary: "Run a command in a new, attached namespace",
    discussion: """
      Makes a network namespace, attaches it to the loopback and to NETWORK, runs COMMAND inside, and takes everything
      down again, however COMMAND ends. Without --network it is the first network of NETCONFPATH; if there is none, the
      built-in one: bridge cni0, addresses of 10.22.0.0/16, masquerading. The exit status is COMMAND's.
      """,
    options: [
      Arguments.Option(
        "--network", "-n", value: "NETWORK", help: "the network (default: the first there is)"),
      CNITool.interface, CNITool.cache,
    ]
  ) { arguments in
    let words = arguments.afterDashes ?? arguments.positional
    guard !words.isEmpty else { throw UsageError(message: "a command to run is needed, after --") }
    let surroundings = Surroundings(arguments)
    let list = try network(arguments, surroundings)
    let loopback = try DefaultNetwork.loopback

    let name = "cnitool-" + String(UInt64.random(in: .min ... .max), radix: 36)
    ContainerCommand.hold(SIG_BLOCK)
    let namespace = try NetworkNamespace.create(named: name)
    var failure: (any Error)?
    func cleanUp(_ step: () throws -> Void) {
      do { try step() } catch { if failure == nil { failure = error } }
    }
    var parameters = try surroundings.parameters(
      arguments, namespace: "\(NetworkNamespace.directory)/\(name)")
    parameters.containerID = name
    var loopbackParameters = parameters
    loopbackParameters.interfaceName = "lo"
    var status: Int32 = 1
    do {
      _ = try surroundings.runtime.add(loopback, loopbackParameters)
      _ = try surroundings.runtime.add(list, parameters)
      status = try ContainerCommand(words: words).run(in: namespace)
    } catch let error as FileError where error.operation == "run" {
      // As a shell does: 127 for a command that is not there, 126 for one that cannot be run.
      Terminal.complain("cnitool: \(error)")
      status = error.isNotFound ? 127 : 126
    } catch {
      failure = error
    }
    cleanUp { try surroundings.runtime.delete(list, parameters) }
    cleanUp { try surroundings.runtime.delete(loopback, loopbackParameters) }
    cleanUp { try NetworkNamespace.delete(named: name) }
    if let failure { throw failure }
    return status
  }

  private static func network(
    _ arguments: Arguments, _ surroundings: Surroundings
  ) throws -> NetworkConfigurationList {
    if let name = arguments["--network"] { return try surroundings.network(name) }
    do throws(RuntimeError) {
      return try surroundings.directory.defaultNetwork().list
    } catch {
      // A directory whose only configurations are broken is a mistake; an empty one is no configuration.
      guard surroundings.directory.load().problems.isEmpty else { throw error }
      return try DefaultNetwork.list
    }
  }
}
