/// The configuration of one plugin: what it is given on standard input, and what a network's list has for it.
///
/// Only the keys that the protocol itself knows have properties; a plugin reads its own from ``object()``.
public struct PluginConfiguration: Sendable, Hashable {
  /// The whole object, as it was read.
  public let json: JSONValue
  /// The version; that of the list for a plugin in a list, 0.1.0 if there is none.
  public let version: SpecVersion
  /// The network's name; that of the list for a plugin in a list, and empty if there is none. Not validated: see
  /// ``Validation/networkName(_:)``.
  public let name: String
  /// The plugin's type; empty if there is none, which a plugin itself does not mind. Not validated: see
  /// ``Validation/pluginType(_:)``.
  public let type: String
  /// The capabilities whose value is `true`, in order.
  public let capabilities: [String]
  /// The type of the plugin that gives addresses, `ipam.type`; `nil` if there is none.
  public let ipamType: String?
  /// Settings for name resolution to put into the result.
  public let dns: DNSConfiguration
  /// The attachments that are to stay, for GC; `nil` if the runtime does not say, which is not the same as none.
  public let validAttachments: [Attachment]?
  /// What the configuration was read from, for error messages: usually a file's path.
  public let source: String?
  /// Where the keys that a plugin asks for are noted; `nil`: nowhere.
  private var record: KeyRecord?

  /// Reads the configuration of a plugin.
  /// - Parameters:
  ///   - json: the configuration.
  ///   - source: what it was read from, for error messages.
  /// - Throws: code 6 if a key of the protocol has the wrong type, 7 if it has a wrong value, 1 if the version is unknown.
  public init(json: JSONValue, source: String? = nil) throws(CNIError) {
    try self.init(ConfigurationObject(json, name: source), json, source, list: nil)
  }

  /// Reads the configuration of a plugin from the bytes of its standard input or of a file.
  public init(bytes: [UInt8], source: String? = nil) throws(CNIError) {
    try self.init(json: JSONValue.parseConfiguration(bytes, source: source), source: source)
  }

  /// Reads an element of a list, whose name and version hold for all of its plugins.
  init(
    _ object: ConfigurationObject, _ json: JSONValue, _ source: String?,
    list: (name: String, version: SpecVersion)?
  ) throws(CNIError) {
    self.json = json
    self.source = source
    if let list {
      name = list.name
      version = list.version
    } else {
      name = try object.string("name") ?? ""
      let text = try object.string("cniVersion")
      do throws(CNIError) { version = try SpecVersion(configured: text) } catch {
        throw CNIError.incompatibleVersion(text ?? "", source: source)
      }
    }
    let type = try object.string("type")
    if list != nil, type == nil { throw object.missing("type", remedy: PluginConfiguration.typeRemedy) }
    self.type = type ?? ""
    var capabilities: [String] = []
    if let object = try object.object("capabilities") {
      for key in object.members.keys where try object.flag(key) { capabilities.append(key) }
    }
    self.capabilities = capabilities
    ipamType = try object.object("ipam")?.string("type")
    dns =
      try object.object("dns").map { (dns) throws(CNIError) in try DNSConfiguration(dns) }
      ?? DNSConfiguration()
    validAttachments = try PluginConfiguration.validAttachments(object)
  }

  /// Runtimes give the list under the key of the specification, older ones under that of its first draft, and most
  /// under both, where either may be `null`. If there is nothing but `null`, it is the Go library's way of writing an
  /// empty list, after the last container has gone.
  private static func validAttachments(_ object: ConfigurationObject) throws(CNIError) -> [Attachment]? {
    var isNamed = false
    for key in attachmentKeys {
      guard let value = object.value(key) else {
        if object.members.member(matching: key) != nil { isNamed = true }
        continue
      }
      var attachments: [Attachment] = []
      for element in try value.list() { attachments.append(try Attachment(element.object())) }
      return attachments
    }
    return isNamed ? [] : nil
  }

  static let typeRemedy = "name the plugin to run, for example \"bridge\""

  static let attachmentKeys = ["cni.dev/valid-attachments", "cni.dev/attachments"]

  /// The keys that have properties or functions here, and `args` and `runtimeConfig`, whose content the plugin knows.
  public static let protocolKeys = [
    "cniVersion", "name", "type", "capabilities", "ipam", "dns", "prevResult", "args", "runtimeConfig",
    "cni.dev/valid-attachments", "cni.dev/attachments",
  ]

  /// The same configuration, of which the keys that are asked for are noted. Those of the protocol count as known.
  public func recording(in record: KeyRecord) -> PluginConfiguration {
    var copy = self
    copy.record = record
    return copy
  }

  /// The members for reading, with errors that point into the source.
  public func object() throws(CNIError) -> ConfigurationObject {
    let object = try ConfigurationObject(json, name: source)
    guard let record else { return object }
    let recording = ConfigurationObject(
      members: object.members, position: object.position, path: object.path,
      record: record.root(object.members))
    for key in PluginConfiguration.protocolKeys { recording.ignore(key) }
    if ipamType != nil { try recording.object("ipam")?.ignore("type") }
    return recording
  }

  /// Whether the runtime handed over the result of an earlier plugin or of ADD.
  public var hasPrevResult: Bool {
    guard case .object(let object) = json.kind else { return false }
    return object.member(matching: "prevResult").map { !$0.value.isNull } ?? false
  }

  /// The result of the plugin before, or of ADD; `nil` if the runtime gave none. A result that does not name its
  /// version has that of the configuration.
  /// - Throws: code 6 or 1 if it is not a result.
  public func prevResult() throws(CNIError) -> AddResult? {
    guard
      let result = try ConfigurationObject(json, name: source, code: .decodingFailure).object("prevResult")
    else { return nil }
    return try AddResult.decode(result, version: version)
  }
}

extension JSONValue {
  /// Reads JSON, and reports errors with the name of what was read.
  static func parseConfiguration(_ bytes: [UInt8], source: String?) throws(CNIError) -> JSONValue {
    do throws(JSONError) { return try JSONValue.parse(bytes) } catch {
      let place = source.map { $0 + " " } ?? ""
      throw CNIError(.decodingFailure, "not valid JSON: \(place)\(error)")
    }
  }
}
