extension NetworkConfigurationList {
  /// What a plugin of the list is given on its standard input (specification, section 3, "Deriving execution
  /// configuration from plugin configuration"). Everything that the protocol does not know passes unchanged and in
  /// order.
  ///
  /// The key `capabilities` is passed on too: the specification says it must not be set, the Go library has always
  /// left it in, and plugins that delegate to others have come to read it.
  /// - Parameters:
  ///   - plugin: one of ``plugins``.
  ///   - prevResult: the result to hand over, in the list's version.
  ///   - runtimeConfig: what the runtime offers, by capability; the plugin is given what it has declared.
  ///   - version: the version to speak, if not the list's.
  ///   - validAttachments: for GC, the attachments that are to stay.
  public func configuration(
    for plugin: PluginConfiguration, version: SpecVersion? = nil, prevResult: JSONValue? = nil,
    runtimeConfig: JSONObject = [:], validAttachments: [Attachment]? = nil
  ) -> JSONValue {
    guard case .object(var object) = plugin.json.kind else { return plugin.json }
    object.set("name", .string(name), orInsertAt: 0)
    object.set("cniVersion", .string((version ?? self.version).rawValue), orInsertAt: 0)
    var offered = JSONObject()
    for capability in plugin.capabilities {
      if let value = runtimeConfig[capability] { offered.append(capability, value) }
    }
    if !offered.isEmpty { object.set("runtimeConfig", .object(offered)) }
    if let validAttachments {
      let list = JSONValue.array(validAttachments.map { $0.encode() })
      for key in PluginConfiguration.attachmentKeys { object.set(key, list) }
    }
    if let prevResult { object.set("prevResult", prevResult) }
    return .object(object)
  }

  /// What a plugin of the list is given on its standard input, with a result that is encoded in the list's version.
  /// - Throws: code 1 if the version cannot express the result.
  public func configuration(
    for plugin: PluginConfiguration, prevResult: AddResult, runtimeConfig: JSONObject = [:]
  ) throws(CNIError) -> JSONValue {
    configuration(for: plugin, prevResult: try prevResult.encode(as: version), runtimeConfig: runtimeConfig)
  }
}

extension JSONObject {
  /// Sets a key where it stands, in whatever case; so no plugin finds an older value under another spelling.
  fileprivate mutating func set(_ key: String, _ value: JSONValue, orInsertAt place: Int? = nil) {
    let index = members.firstIndex { $0.key == key || equalIgnoringCase($0.key, key) }
    removeAll(matching: key)
    let member = Member(key: key, value: value)
    members.insert(member, at: index ?? place ?? members.count)
  }
}
