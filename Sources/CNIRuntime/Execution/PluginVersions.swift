import CNI
import CNIExecution

extension CNIRuntime {
  /// Which versions of the specification a plugin speaks.
  public func versionInfo(_ type: String, limits: ExecutionLimits? = nil) throws(PluginFailure) -> VersionInfo
  {
    try runner(limits).version(type)
  }

  /// Checks that every plugin of a list is there and speaks the list's version; throws one error with all that is
  /// wrong.
  /// - Returns: the capabilities that any of the plugins has declared, sorted, each once.
  public func validate(
    _ list: NetworkConfigurationList, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) -> [String] {
    let operation = "use network \"\(list.name)\""
    try validate(list, nil, operation)
    let runner = runner(limits)
    var failures: [PluginFailure] = []
    var reasons: [String] = []
    for plugin in list.plugins {
      do throws(PluginFailure) {
        let info = try runner.version(plugin.type)
        guard !info.supports(list.version) else { continue }
        reasons.append(
          "plugin \"\(plugin.type)\" does not support version \(list.version), but "
            + info.supported.joined(separator: ", "))
      } catch {
        var failure = error
        failure.network = list.name
        failures.append(failure)
      }
    }
    if !failures.isEmpty || !reasons.isEmpty {
      var error = RuntimeError(
        failures, operation: operation, list: list, reason: reasons.joined(separator: "; "))
      if failures.isEmpty {
        error.kind = .invalidConfiguration
        error.code = .incompatibleVersion
      }
      if !reasons.isEmpty { error.remedy = "change \"cniVersion\", or bring the plugin up to date" }
      throw error
    }
    return Set(list.plugins.flatMap(\.capabilities)).sorted()
  }

  /// The same for a single plugin's configuration.
  public func validate(
    _ plugin: PluginConfiguration, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) -> [String] {
    try validate(wrap(plugin, "use network \"\(plugin.name)\""), limits: limits)
  }
}
