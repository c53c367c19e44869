import CNI
import CNIExecution

extension PluginCall {
  /// Calls another plugin with the request at hand (spec section 4): same variables, same configuration, another
  /// type.
  ///
  /// - Throws: `CNIError`, the delegate's own or one that says how it failed.
  @discardableResult
  public func delegate(to type: String, _ command: Command) throws(CNIError) -> AddResult? {
    var request = request
    request.command = command
    request.setConfiguration(configuration)
    request.network = configuration.name
    request.version = configuration.version
    var runner = environment.runner
    runner.path = request.path
    do {
      if command == .add { return try runner.add(type, request) }
      _ = try runner.execute(type, request)
      return nil
    } catch {
      throw error.cniError
    }
  }
}
