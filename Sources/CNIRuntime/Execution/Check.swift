import CNI
import CNIExecution

extension CNIRuntime {
  /// Asks each plugin in order whether the attachment is still as ADD has left it; throws what the first one
  /// complains about. Says nothing for a list with `disableCheck`.
  public func check(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) {
    let operation = parameters.describe("check", "in", list.name)
    try validate(list, parameters, operation)
    guard list.version.supportsCheck else {
      throw RuntimeError(
        kind: .checkNotSupported, operation: operation, network: list.name, attachment: parameters.attachment,
        file: list.source,
        reason: "configuration version \"\(list.version)\" does not support the CHECK command",
        remedy: "set \"cniVersion\" to 0.4.0 or later", code: .incompatibleVersion)
    }
    if list.disableCheck { return }
    let found: JSONValue?
    let content = cache.read(network: list.name, parameters.attachment)
    do throws(CacheFailure) { found = try cachedJSON(list, parameters.attachment, in: content) } catch {
      throw RuntimeError(
        kind: .cache, operation: operation, network: list.name, attachment: parameters.attachment,
        file: error.problem.file, reason: "the result of ADD cannot be read: \(error.problem)",
        remedy: "DEL and ADD the container again", code: .decodingFailure)
    }
    guard let result = found else {
      throw RuntimeError(
        kind: .cache, operation: operation, network: list.name, attachment: parameters.attachment,
        file: cache.file(network: list.name, parameters.attachment),
        reason: "no result of an ADD is remembered, and there is nothing to compare with",
        code: .unknownContainer)
    }
    let runner = runner(limits)
    for plugin in list.plugins {
      let json = list.configuration(
        for: plugin, prevResult: result, runtimeConfig: parameters.capabilityArguments)
      do throws(PluginFailure) {
        try runner.check(plugin.type, request(.check, list, parameters, json))
      } catch {
        throw RuntimeError([error], operation: operation, list: list, attachment: parameters.attachment)
      }
    }
  }

  /// Checks an attachment to the network that a single plugin's configuration describes.
  public func check(
    _ plugin: PluginConfiguration, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) {
    try check(wrap(plugin, parameters.describe("check", "in", plugin.name)), parameters, limits: limits)
  }
}
