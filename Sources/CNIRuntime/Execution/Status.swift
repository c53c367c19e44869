import CNI
import CNIExecution

extension CNIRuntime {
  /// Asks each plugin in order whether an ADD would succeed now; throws what the first one complains about, with its code
  /// (50 or 51 as a rule). A list of a version that knows no STATUS is always ready.
  public func status(_ list: NetworkConfigurationList, limits: ExecutionLimits? = nil) throws(RuntimeError) {
    let operation = "use network \"\(list.name)\""
    try validate(list, nil, operation)
    guard list.version.supportsStatus else { return }
    let runner = runner(limits)
    for plugin in list.plugins {
      do throws(PluginFailure) {
        try runner.status(plugin.type, request(.status, list, nil, list.configuration(for: plugin)))
      } catch {
        throw RuntimeError([error], operation: operation, list: list)
      }
    }
  }
}
