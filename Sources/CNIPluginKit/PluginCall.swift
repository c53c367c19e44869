import CNI
import CNIExecution

/// One call of a plugin, validated: what the runtime passed in the environment and on standard input (spec section 2).
public struct PluginCall: Sendable {
  /// The request as it arrived; what a delegate is handed on.
  public let request: PluginRequest
  /// The configuration from standard input.
  public let configuration: PluginConfiguration
  /// `CNI_ARGS`, parsed.
  public let arguments: CNIArguments
  /// What the plugin may use beyond the request: delegates that are linked in, limits.
  public let environment: PluginEnvironment

  /// `CNI_COMMAND`.
  public var command: Command { request.command }
  /// Whether the command only removes (DEL, GC). Then a mistake in a key that says how to make something must not keep
  /// anything from being removed.
  public var onlyRemoves: Bool { command == .del || command == .gc }
  /// `CNI_CONTAINERID`; empty for GC and STATUS.
  public var containerID: String { request.containerID }
  /// `CNI_IFNAME`; empty for GC and STATUS.
  public var interfaceName: String { request.interfaceName }
  /// `CNI_NETNS`, as given; may be empty for DEL.
  public var namespacePath: String { request.namespace }
  /// The network's name.
  public var network: String { configuration.name }
  /// The mark of whatever this call makes on the host.
  public var owner: Owner {
    Owner(network: configuration.name, containerID: containerID, interfaceName: interfaceName)
  }

  /// Validates a request in the order that makes the first error the most useful one: variables, configuration,
  /// version.
  ///
  /// - Throws: `CNIError` with code 4 (a variable is missing or invalid), 6 (the configuration is not JSON),
  ///   7 (it lacks something) or 1 (its version is not supported, or does not have the command).
  public init(
    _ request: PluginRequest, environment: PluginEnvironment, supportedVersions: [SpecVersion],
    recording keys: KeyRecord? = nil
  ) throws(CNIError) {
    try Self.validateVariables(request)
    self.request = request
    self.environment = environment
    let parsed = try request.parsedConfiguration()
    configuration = if let keys { parsed.recording(in: keys) } else { parsed }
    arguments = try CNIArguments(parsing: request.arguments)
    guard !configuration.name.isEmpty else {
      throw CNIError(
        .invalidConfiguration, "the configuration has no name",
        details: "every plugin is told the name of its network under the key \"name\"")
    }
    try Validation.networkName(configuration.name)

    let version = configuration.version
    guard supportedVersions.contains(version) else {
      throw CNIError(
        .incompatibleVersion, "cniVersion \(version.rawValue) is not supported by this plugin",
        details: "it supports " + supportedVersions.map(\.rawValue).joined(separator: ", "))
    }
    let first: SpecVersion =
      switch request.command {
      case .check: .v0_4_0
      case .gc, .status: .v1_1_0
      case .add, .del, .version: .v0_1_0
      }
    guard version >= first else {
      throw CNIError(
        .incompatibleVersion,
        "\(request.command.rawValue) needs cniVersion \(first.rawValue) or later, the configuration says "
          + version.rawValue)
    }
  }

  /// Checks the variables that `request.command` needs (spec section 2, "Parameters").
  private static func validateVariables(_ request: PluginRequest) throws(CNIError) {
    let needed: [(name: String, value: String)]
    switch request.command {
    case .add, .check:
      needed = [
        ("CNI_CONTAINERID", request.containerID), ("CNI_NETNS", request.namespace),
        ("CNI_IFNAME", request.interfaceName),
      ]
    case .del:
      needed = [("CNI_CONTAINERID", request.containerID), ("CNI_IFNAME", request.interfaceName)]
    case .gc, .status, .version:
      return
    }
    let missing = needed.filter { $0.value.isEmpty }
    guard missing.isEmpty else {
      throw CNIError(
        .invalidEnvironment,
        "\(request.command.rawValue) needs \(missing.map(\.name).joined(separator: ", ")) in the environment")
    }
    try Validation.containerID(request.containerID)
    try Validation.interfaceName(request.interfaceName)
  }

  /// Writes a line to standard error, where a runtime keeps a plugin's log.
  public func log(_ message: String) {
    StandardError.write(configuration.type + ": " + message)
  }
}
