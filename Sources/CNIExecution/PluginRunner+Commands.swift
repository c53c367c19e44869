import CNI

extension PluginRunner {
  /// Runs a plugin with the request's command and returns its reply if, and only if, it has succeeded.
  public func execute(_ type: String, _ request: PluginRequest) throws(PluginFailure) -> PluginReply {
    try observed(type, request) { (request) throws(PluginFailure) in try succeed(type, request).reply }
  }

  /// Runs ADD and returns the result, whatever version it came in.
  public func add(_ type: String, _ request: PluginRequest) throws(PluginFailure) -> AddResult {
    var request = request
    request.command = .add
    return try observed(type, request) { (request) throws(PluginFailure) in
      let (reply, path) = try succeed(type, request)
      // A plugin in this process has handed over the result itself.
      if let result = reply.result { return result }
      do throws(UnreadableReply) { return try readResult(reply, request) } catch {
        throw failure(of: reply, type, request, path, error.cause)
      }
    }
  }

  /// Runs DEL.
  public func delete(_ type: String, _ request: PluginRequest) throws(PluginFailure) {
    try perform(.del, type, request)
  }

  /// Runs CHECK.
  public func check(_ type: String, _ request: PluginRequest) throws(PluginFailure) {
    try perform(.check, type, request)
  }

  /// Runs GC.
  public func collectGarbage(_ type: String, _ request: PluginRequest) throws(PluginFailure) {
    try perform(.gc, type, request)
  }

  /// Runs STATUS.
  public func status(_ type: String, _ request: PluginRequest) throws(PluginFailure) {
    try perform(.status, type, request)
  }

  /// Asks which versions the plugin speaks. A plugin from before VERSION existed speaks 0.1.0.
  public func version(_ type: String) throws(PluginFailure) -> VersionInfo {
    // The oldest plugins look at all variables before they look at the command.
    let request = PluginRequest(
      command: .version, namespace: "dummy", interfaceName: "dummy", path: ["dummy"],
      configuration: Array("{\"cniVersion\":\"\(SpecVersion.latest.rawValue)\"}".utf8))
    return try observed(type, request) { (request) throws(PluginFailure) in
      let (reply, path) = try runLocated(type, request)
      if let cause = causeOfFailure(reply) {
        if case .error(let error) = cause, error.message.hasPrefix("unknown CNI_COMMAND") {
          return VersionInfo(supported: [SpecVersion.v0_1_0.rawValue])
        }
        throw failure(of: reply, type, request, path, cause)
      }
      let json: JSONValue
      do { json = try JSONValue.parse(reply.standardOutput) } catch {
        throw failure(of: reply, type, request, path, unreadable("its VERSION reply is not JSON", "\(error)"))
      }
      do throws(CNIError) { return try VersionInfo.decode(json) } catch {
        throw failure(of: reply, type, request, path, unreadable(error.message, error.details))
      }
    }
  }

  private func succeed(_ type: String, _ request: PluginRequest) throws(PluginFailure) -> (
    reply: PluginReply, path: String?
  ) {
    let (reply, path) = try runLocated(type, request)
    if let cause = causeOfFailure(reply) { throw failure(of: reply, type, request, path, cause) }
    return (reply, path)
  }

  private func observed<R>(
    _ type: String, _ request: PluginRequest, _ body: (PluginRequest) throws(PluginFailure) -> R
  ) throws(PluginFailure) -> R {
    guard let observer else { return try body(request) }
    var request = request
    let end = observer(type, &request)
    do {
      let result = try body(request)
      end?(nil)
      return result
    } catch {
      end?(error)
      throw error
    }
  }

  private func perform(_ command: Command, _ type: String, _ request: PluginRequest) throws(PluginFailure) {
    var request = request
    request.command = command
    _ = try execute(type, request)
  }

  private func failure(
    of reply: PluginReply, _ type: String, _ request: PluginRequest, _ path: String?,
    _ cause: PluginFailure.Cause
  ) -> PluginFailure {
    // An error that the plugin has put into words needs no copy of its output.
    var output = reply.standardOutput
    if case .error = cause { output = [] }
    return PluginFailure(
      plugin: type, network: request.networkForText, command: request.command, cause: cause, path: path,
      exitStatus: reply.exitStatus, output: output, standardErrorTail: reply.standardErrorTail)
  }
}
