import CNI
import CNIExecution

/// Attaches containers to networks: runs the plugins of network configurations in order, and remembers what came out
/// (specification, section 3; the Go counterpart is libcni).
///
/// Every call blocks its thread until the plugins are done, and runs them in that thread's network namespace. Different
/// containers may be worked on in parallel, one container may not (specification: "Lifecycle & Ordering"), and ``collectGarbage(_:validAttachments:limits:)``
/// excludes all others: that is for the caller to see to.
public struct CNIRuntime: Sendable {
  /// Finds and runs the plugins; its limits are the default ones.
  public var runner: PluginRunner
  /// What is remembered of attachments.
  public var cache: ResultCache
  /// Variables for all plugins, such as `TRACEPARENT`.
  public var extraEnvironment: [(name: String, value: String)]
  /// How long undoing a failed ADD may take per plugin. That is not subject to the limits of the ADD: they may be what
  /// has ended it.
  public var undoTimeout: Duration
  /// Whether an ADD is noted in the cache before its first plugin runs, for the price of one more small file. Thanks
  /// to that note, what a killed process has left can be found (``cachedAttachments(containerID:)``, without a result)
  /// and removed by DEL or GC. The Go library reads such an entry as one of an attachment without a result.
  public var notesAttempts: Bool

  /// A runtime.
  /// - Parameters:
  ///   - pluginPath: the directories in which plugins are, best first (`CNI_PATH`).
  ///   - cacheDirectory: where results are remembered; made when needed.
  ///   - embedded: the plugins that need no file.
  ///   - preference: which of the two comes first.
  ///   - limits: how long a plugin may take by default, and who may stop it.
  public init(
    pluginPath: [String], cacheDirectory: String = "/var/lib/cni", embedded: EmbeddedPlugins = .none,
    preference: PluginRunner.Preference = .pathFirst, limits: ExecutionLimits = .none
  ) {
    runner = PluginRunner(path: pluginPath, embedded: embedded, preference: preference, limits: limits)
    cache = ResultCache(directory: cacheDirectory)
    extraEnvironment = []
    undoTimeout = .seconds(60)
    notesAttempts = true
  }

  /// The directories in which plugins are.
  public var pluginPath: [String] { runner.path }

  func runner(_ limits: ExecutionLimits?) -> PluginRunner {
    guard let limits else { return runner }
    var runner = runner
    runner.limits = limits
    return runner
  }

  /// A call of one plugin of a network.
  func request(
    _ command: Command, _ list: NetworkConfigurationList, _ parameters: AttachmentParameters?,
    _ configuration: JSONValue
  ) -> PluginRequest {
    var request = PluginRequest(
      command: command, containerID: parameters?.containerID ?? "", namespace: parameters?.namespace ?? "",
      interfaceName: parameters?.interfaceName ?? "", arguments: parameters?.arguments.serialized ?? "",
      path: runner.path, extraEnvironment: extraEnvironment, network: list.name, version: list.version)
    request.setConfiguration(configuration)
    return request
  }

  /// Every name becomes part of a path; none is used unchecked. A network without plugins does nothing, which nobody
  /// can have meant.
  func validate(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters?,
    _ operation: @autoclosure () -> String
  ) throws(RuntimeError) {
    do throws(CNIError) {
      if let parameters {
        try Validation.attachment(
          network: list.name, containerID: parameters.containerID, interfaceName: parameters.interfaceName)
      } else {
        try Validation.networkName(list.name)
      }
    } catch {
      throw RuntimeError(
        kind: .invalidParameter, operation: operation(), network: list.name,
        attachment: parameters?.attachment,
        reason: error.message, remedy: error.details, code: error.code)
    }
    if list.plugins.isEmpty {
      throw RuntimeError(
        kind: .invalidConfiguration, operation: operation(), network: list.name,
        attachment: parameters?.attachment, file: list.source, reason: "the network has no plugins",
        remedy:
          "list them under \"plugins\", or put their configurations into a directory with the network's name",
        code: .invalidConfiguration)
    }
  }
}

extension AttachmentParameters {
  func describe(_ verb: String, _ preposition: String, _ network: String) -> String {
    "\(verb) container \"\(containerID)\" by \"\(interfaceName)\" \(preposition) network \"\(network)\""
  }
}
