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
    request.setConfiguration(configuration)
    request.network = configuration.name
    request.version = configuration.version
    return try delegate(to: type, command, request)
  }

  /// Calls another plugin with the variables of the request at hand, and a configuration of the caller's making.
  ///
  /// - Parameters:
  ///   - type: The plugin's type.
  ///   - command: What it is asked to do.
  ///   - configuration: An object with `name`, `type` and, unless it is to be 0.1.0, `cniVersion`.
  /// - Throws: `CNIError`, the delegate's own or one that says how it failed.
  @discardableResult
  public func delegate(
    to type: String, _ command: Command, configuration: JSONValue
  ) throws(CNIError) -> AddResult? {
    var request = request
    request.setConfiguration(configuration)
    request.network = self.configuration.name
    request.version = nil
    return try delegate(to: type, command, request)
  }

  /// Throws the error that ``delegate(to:_:)`` would throw for a plugin that is nowhere: code 7 with the directories that
  /// were searched.
  public func requireDelegate(_ type: String) throws(CNIError) {
    do throws(CNIError) { _ = try delegates.locate(type) } catch {
      throw error.prefixed("plugin \"\(type)\"")
    }
  }

  private func delegate(
    to type: String, _ command: Command, _ request: PluginRequest
  ) throws(CNIError) -> AddResult? {
    var request = request
    request.command = command
    do {
      if command == .add { return try delegates.add(type, request) }
      _ = try delegates.execute(type, request)
      return nil
    } catch {
      throw error.cniError
    }
  }

  /// Finds delegates where the request says.
  private var delegates: PluginRunner {
    var runner = environment.runner
    runner.path = request.path
    return runner
  }
}
