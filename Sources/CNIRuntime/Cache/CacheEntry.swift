import CNI

/// What is remembered of one attachment: what it was made from and what came out.
///
/// Stored as the Go library does (`kind` `cniCacheV1`), so that either side can continue what the other has begun.
public struct CacheEntry: Sendable, Hashable {
  /// The network.
  public var network: String
  /// The container, its namespace, the interface, and the arguments of ADD.
  public var parameters: AttachmentParameters
  /// The configuration of the network at the time of ADD, as JSON: a list, or a single plugin.
  public var configuration: [UInt8]
  /// The result in the version of the configuration. `nil` while ADD is under way, and for ever if it was killed.
  public var result: JSONValue?

  /// What is to be remembered.
  public init(network: String, parameters: AttachmentParameters, configuration: [UInt8], result: JSONValue?) {
    self.network = network
    self.parameters = parameters
    self.configuration = configuration
    self.result = result
  }

  /// What identifies the attachment within its network.
  public var attachment: Attachment { parameters.attachment }

  static let kind = "cniCacheV1"

  /// The entry as the file has it; keys in the order of the Go library.
  var json: JSONValue {
    var object = JSONObject()
    object.append("kind", .string(CacheEntry.kind))
    object.append("containerId", .string(parameters.containerID))
    object.append("config", .string(Base64.encode(configuration)))
    object.append("ifName", .string(parameters.interfaceName))
    object.append("networkName", .string(network))
    if !parameters.namespace.isEmpty { object.append("netns", .string(parameters.namespace)) }
    if !parameters.arguments.pairs.isEmpty {
      let pairs = parameters.arguments.pairs.map { JSONValue.array([.string($0.key), .string($0.value)]) }
      object.append("cniArgs", .array(pairs))
    }
    if !parameters.capabilityArguments.isEmpty {
      object.append("capabilityArgs", .object(parameters.capabilityArguments))
    }
    if let result { object.append("result", result) }
    return .object(object)
  }

  /// Reads an entry; `nil` if it is not one of this kind (older ones are a bare result).
  init?(json: JSONValue) {
    guard case .object(let object) = json.kind,
      object.member(matching: "kind")?.value.string == CacheEntry.kind
    else { return nil }
    func text(_ key: String) -> String { object.member(matching: key)?.value.string ?? "" }
    network = text("networkName")
    var arguments = CNIArguments()
    let pairs = (object.member(matching: "cniArgs")?.value.array ?? []).compactMap { pair in
      let both = (pair.array ?? []).compactMap(\.string)
      return both.count == 2 ? CNIArguments.Pair(key: both[0], value: both[1]) : nil
    }
    arguments.pairs = pairs
    // Through the text form, so that IgnoreUnknown takes effect; pairs that have no such form are kept as they are.
    if let parsed = try? CNIArguments(parsing: arguments.serialized) { arguments = parsed }
    parameters = AttachmentParameters(
      containerID: text("containerId"), namespace: text("netns"), interfaceName: text("ifName"),
      arguments: arguments,
      capabilityArguments: object.member(matching: "capabilityArgs")?.value.object ?? JSONObject())
    configuration = Base64.decode(text("config")) ?? []
    result = object.member(matching: "result")?.value
    if result?.isNull == true { result = nil }
  }

  /// The configuration that the attachment was made with.
  /// - Throws: code 7 if the entry has none, or one without plugins (the Go library remembers a list without those that
  ///   are in files of their own); otherwise what is wrong with it.
  public func configurationList() throws(CNIError) -> NetworkConfigurationList {
    let source = "the cached configuration of network \"\(network)\""
    if configuration.isEmpty { throw CNIError(.invalidConfiguration, "\(source) is missing or unreadable") }
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue.parse(configuration) } catch {
      throw CNIError(.decodingFailure, "\(source) is not JSON: \(error)")
    }
    if case .object(let object) = json.kind, object.member(matching: "plugins") == nil,
      object.member(matching: "type") != nil
    {
      return try NetworkConfigurationList.wrapping(PluginConfiguration(json: json, source: source))
    }
    let list = try NetworkConfigurationList(json: json, source: source)
    if list.plugins.isEmpty { throw CNIError(.invalidConfiguration, "\(source) has no plugins") }
    return list
  }
}
