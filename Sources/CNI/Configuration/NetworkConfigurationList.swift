/// A network's configuration: its name, and the plugins to call one after the other (specification, section 1).
public struct NetworkConfigurationList: Sendable, Hashable {
  /// The network's name; valid by ``Validation/networkName(_:)``.
  public let name: String
  /// The highest of the versions in `cniVersion` and `cniVersions` that this library supports.
  public let version: SpecVersion
  /// Whether CHECK must not be called.
  public let disableCheck: Bool
  /// Whether GC must not be called.
  public let disableGC: Bool
  /// Whether configurations of plugins in the network's own directory are not loaded.
  public let loadOnlyInlinedPlugins: Bool
  /// The plugins in order. Empty if the list has none; those from the network's own directory are appended by
  /// ``append(pluginFrom:source:)``, and a network without any plugin cannot be used.
  public private(set) var plugins: [PluginConfiguration]
  /// The whole object, as it was read.
  public let json: JSONValue
  /// What it was read from, for error messages: usually a file's path.
  public let source: String?

  /// Reads a list.
  /// - Parameters:
  ///   - json: the list.
  ///   - source: what it was read from, for error messages.
  /// - Throws: code 6 if a key has the wrong type, 7 if something is missing or wrong, 4 if the name is not valid,
  ///   1 if no version is supported.
  public init(json: JSONValue, source: String? = nil) throws(CNIError) {
    self.json = json
    self.source = source
    let object = try ConfigurationObject(json, name: source)
    name = try object.requiredString("name", remedy: "give the network a name")
    do throws(CNIError) { try Validation.networkName(name) } catch {
      throw object.value("name")?.locate(error) ?? error
    }
    version = try NetworkConfigurationList.selectVersion(object)
    disableCheck = try object.tolerantFlag("disableCheck")
    disableGC = try object.tolerantFlag("disableGC")
    loadOnlyInlinedPlugins = try object.tolerantFlag("loadOnlyInlinedPlugins")
    plugins = []
    if let list = object.value("plugins") {
      let elements = try list.list()
      if elements.isEmpty {
        throw list.failure("is empty", remedy: "list at least one plugin, or leave the key out")
      }
      for element in elements {
        plugins.append(
          try PluginConfiguration(
            element.object(), element.json, source, list: (name: name, version: version)))
      }
    } else if loadOnlyInlinedPlugins {
      throw object.failure(
        "loadOnlyInlinedPlugins", "is true, but there is no list of plugins",
        remedy: "add the key \"plugins\", or set loadOnlyInlinedPlugins to false")
    }
  }

  /// Reads a list from the bytes of a file.
  public init(bytes: [UInt8], source: String? = nil) throws(CNIError) {
    try self.init(json: JSONValue.parseConfiguration(bytes, source: source), source: source)
  }

  private init(
    name: String, version: SpecVersion, plugins: [PluginConfiguration], json: JSONValue, source: String?
  ) {
    self.name = name
    self.version = version
    self.plugins = plugins
    self.json = json
    self.source = source
    disableCheck = false
    disableGC = false
    loadOnlyInlinedPlugins = false
  }

  /// A list of one plugin, from the configuration of a single plugin (the `.conf` files before 1.0.0).
  /// - Throws: code 7 if `name` or `type` is missing, code 4 if the name is not valid.
  public static func wrapping(_ plugin: PluginConfiguration) throws(CNIError) -> NetworkConfigurationList {
    let object = try ConfigurationObject(plugin.json, name: plugin.source)
    if plugin.type.isEmpty { throw object.missing("type", remedy: PluginConfiguration.typeRemedy) }
    if plugin.name.isEmpty { throw object.missing("name", remedy: "give the network a name") }
    do throws(CNIError) { try Validation.networkName(plugin.name) } catch {
      throw object.value("name")?.locate(error) ?? error
    }
    var json = JSONObject()
    json.append("cniVersion", .string(plugin.version.rawValue))
    json.append("name", .string(plugin.name))
    json.append("plugins", .array([plugin.json]))
    return NetworkConfigurationList(
      name: plugin.name, version: plugin.version, plugins: [plugin], json: .object(json),
      source: plugin.source)
  }

  /// Adds a plugin whose configuration stands in a file of its own, in the directory that has the network's name.
  /// Name and version of the list hold for it.
  public mutating func append(pluginFrom json: JSONValue, source: String?) throws(CNIError) {
    let object = try ConfigurationObject(json, name: source)
    plugins.append(try PluginConfiguration(object, json, source, list: (name: name, version: version)))
  }

  /// Of several versions the highest counts that both sides support; without `cniVersions` there is only one.
  private static func selectVersion(_ object: ConfigurationObject) throws(CNIError) -> SpecVersion {
    let single = try object.string("cniVersion")
    var candidates: [String] = []
    for element in try object.list("cniVersions") {
      let text = try element.string()
      guard SpecVersion.isWellFormed(text) else {
        throw element.failure("\(quoted(text)) is not a version", remedy: "write it as in \"1.1.0\"")
      }
      candidates.append(text)
    }
    let source = object.path.origin.name
    if candidates.isEmpty {
      do throws(CNIError) { return try SpecVersion(configured: single) } catch {
        throw CNIError.incompatibleVersion(single ?? "", source: source)
      }
    }
    if let single { candidates.append(single) }
    guard let version = SpecVersion.highest(of: candidates) else {
      throw CNIError.incompatibleVersion(candidates.joined(separator: ", "), source: source)
    }
    return version
  }
}

extension ConfigurationObject {
  /// A boolean that some write as a string, in whatever case; false if it is absent.
  fileprivate func tolerantFlag(_ key: String) throws(CNIError) -> Bool {
    guard let value = value(key) else { return false }
    guard case .string(let text) = value.json.kind else { return try value.bool() }
    if equalIgnoringCase(text, "true") { return true }
    if equalIgnoringCase(text, "false") { return false }
    throw value.failure("\(quoted(text)) is neither true nor false", remedy: "write true or false")
  }
}
