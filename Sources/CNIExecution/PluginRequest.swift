import CNI

/// One call of a plugin: the parameters of the protocol (specification, section 2) and the configuration it reads from
/// standard input.
public struct PluginRequest: Sendable {
  /// `CNI_COMMAND`.
  public var command: Command
  /// `CNI_CONTAINERID`; empty for GC, STATUS and VERSION.
  public var containerID: String
  /// `CNI_NETNS`: the path of the container's network namespace; may be empty for DEL.
  public var namespace: String
  /// `CNI_IFNAME`: the interface inside the container.
  public var interfaceName: String
  /// `CNI_ARGS`: `KEY=value;KEY2=value2`.
  public var arguments: String
  /// `CNI_PATH`: where the plugin finds the plugins it delegates to.
  public var path: [String]
  /// `CNI_NETNS_OVERRIDE`: the namespace is right even though it is the plugin's own. When `false`, what is inherited
  /// stays.
  public var netnsOverride: Bool
  /// What the plugin reads from standard input: the configuration as JSON. Printed when it is read.
  public var configuration: [UInt8] {
    get {
      switch input {
      case .bytes(let bytes): bytes
      case .json(let json): json.serialized()
      case .parsed(let configuration): configuration.json.serialized()
      }
    }
    set { input = .bytes(newValue) }
  }
  /// More variables, such as `TRACEPARENT` and `TRACESTATE`; they replace inherited ones.
  public var extraEnvironment: [(name: String, value: String)]
  /// Something of an observer's own (a tracing context, say) that goes with the request to a plugin in this process. No
  /// process gets it.
  public var observerContext: (any Sendable)?
  /// The network's name, for error texts. Empty: taken from the configuration when a text is needed.
  public var network: String
  /// The version of the configuration, in which the plugin has to answer. `nil`: taken from the configuration when it
  /// is needed.
  public var version: SpecVersion?

  /// A request; everything that a command does not need may be left out.
  public init(
    command: Command, containerID: String = "", namespace: String = "", interfaceName: String = "",
    arguments: String = "", path: [String] = [], netnsOverride: Bool = false, configuration: [UInt8] = [],
    extraEnvironment: [(name: String, value: String)] = [], network: String = "", version: SpecVersion? = nil
  ) {
    self.command = command
    self.containerID = containerID
    self.namespace = namespace
    self.interfaceName = interfaceName
    self.arguments = arguments
    self.path = path
    self.netnsOverride = netnsOverride
    input = .bytes(configuration)
    self.extraEnvironment = extraEnvironment
    self.network = network
    self.version = version
  }

  /// The environment of the plugin's process, as `NAME=value`: what is inherited, with the variables of the protocol and
  /// ``extraEnvironment`` in place of inherited ones of the same name.
  public func environment(inheriting inherited: [String]) -> [String] {
    environmentBlock().strings(inheriting: inherited)
  }

  /// The same in the form that `posix_spawn` takes. All six variables are always there, as plugins have come to expect.
  func environmentBlock() -> EnvironmentBlock {
    var block = EnvironmentBlock()
    block.set("CNI_COMMAND", command.rawValue)
    block.set("CNI_CONTAINERID", containerID)
    block.set("CNI_NETNS", namespace)
    block.set("CNI_ARGS", arguments)
    block.set("CNI_IFNAME", interfaceName)
    // Not joined(separator:), whose first call looks through the conformances of the whole program.
    var directories = path.first ?? ""
    for directory in path.dropFirst() { directories += ":" + directory }
    block.set("CNI_PATH", directories)
    if netnsOverride { block.set("CNI_NETNS_OVERRIDE", "1") }
    for (name, value) in extraEnvironment { block.set(name, value) }
    return block
  }

  /// Hands over a configuration as a value. A plugin in the same process reads it as it is; its text, which would give
  /// the same, is made for one that is a process.
  public mutating func setConfiguration(_ json: JSONValue) { input = .json(json) }

  /// Hands over a configuration that has been read already.
  public mutating func setConfiguration(_ configuration: PluginConfiguration) {
    input = .parsed(configuration)
  }

  /// The configuration, read.
  ///
  /// - Throws: as `PluginConfiguration.init(bytes:source:)`.
  public func parsedConfiguration() throws(CNIError) -> PluginConfiguration {
    switch input {
    case .bytes(let bytes): try PluginConfiguration(bytes: bytes)
    case .json(let json): try PluginConfiguration(json: json)
    case .parsed(let configuration): configuration
    }
  }

  private enum Input: Sendable {
    case bytes([UInt8])
    case json(JSONValue)
    case parsed(PluginConfiguration)
  }

  private var input: Input

  /// The network's name for texts; reads the configuration if nobody has said it.
  var networkForText: String {
    if !network.isEmpty { return network }
    return (try? parsedConfiguration())?.name ?? ""
  }
}
