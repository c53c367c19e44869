// Configurations from any source: no input may crash the reader, and what it accepts it must write so that reading
// it again gives the same.
import CNI
import NetworkAddresses

/// One input; a broken invariant ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzConfiguration(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  guard let json = try? JSONValue.parse(bytes) else { return 0 }
  for pretty in [false, true] {
    let text = json.serialized(pretty: pretty)
    guard let again = try? JSONValue.parse(text) else { fatalError("what was written is not JSON") }
    precondition(again == json, "written and read again, it is another value")
    precondition(again.hashValue == json.hashValue, "equal values have different hashes")
    precondition(again.serialized(pretty: pretty) == text, "order or text of numbers got lost")
  }
  walk(ConfigurationValueTree(json))
  if let plugin = try? PluginConfiguration(json: json, source: "stdin") {
    readPlugin(plugin)
    if let list = try? NetworkConfigurationList.wrapping(plugin) { readList(list) }
  }
  if let list = try? NetworkConfigurationList(json: json, source: "a.conflist") { readList(list) }
  if case .string(let text) = json.kind { readText(text) }
  return 0
}

/// The root of a tree, if it is an object.
private struct ConfigurationValueTree {
  var object: ConfigurationObject?
  init(_ json: JSONValue) { object = try? ConfigurationObject(json, recordingKeys: true) }
}

private func walk(_ tree: ConfigurationValueTree) {
  guard let object = tree.object else { return }
  walk(object, 0)
  // Every member was asked for, except those that an equal key with other letters stands for.
  for key in object.unknownKeys { precondition(!key.path.isEmpty) }
}

private func walk(_ object: ConfigurationObject, _ depth: Int) {
  for key in object.members.keys {
    guard let value = object.value(key) else { continue }
    walk(value, depth)
  }
}

private func walk(_ value: ConfigurationValue, _ depth: Int) {
  _ = try? value.string()
  _ = try? value.bool()
  _ = try? value.integer(in: 0...65535)
  _ = try? value.unsigned()
  _ = try? value.address()
  _ = try? value.prefix()
  _ = try? value.macAddress()
  _ = try? value.decode([String: Int].self)
  _ = try? value.decode([IPPrefix?].self)
  guard depth < 40 else { return }
  for element in (try? value.list()) ?? [] { walk(element, depth + 1) }
  if let object = try? value.object() { walk(object, depth + 1) }
}

private func readPlugin(_ plugin: PluginConfiguration) {
  _ = try? plugin.prevResult()
  _ = try? Validation.networkName(plugin.name)
  _ = try? Validation.pluginType(plugin.type)
}

/// What a plugin is given names network and version, and keeps every other key.
private func readList(_ list: NetworkConfigurationList) {
  for plugin in list.plugins {
    let derived = list.configuration(
      for: plugin, prevResult: ["cniVersion": "1.1.0"],
      runtimeConfig: ["mac": "02:00:00:00:00:01", "ips": []],
      validAttachments: [Attachment(containerID: "c", interfaceName: "eth0")])
    guard let again = try? PluginConfiguration(json: derived) else {
      fatalError("what a plugin is given is not valid")
    }
    precondition(again.name == list.name && again.version == list.version && again.type == plugin.type)
    precondition(again.validAttachments?.count == 1 && again.hasPrevResult)
  }
}

/// A text is no address, or is printed so that it is the same address.
private func readText(_ text: String) {
  if let address = IPAddress(text) { precondition(IPAddress(address.description) == address) }
  if let prefix = IPPrefix(text) {
    precondition(
      IPPrefix(prefix.description) == prefix && prefix.contains(prefix.first) && prefix.contains(prefix.last))
  }
  if let address = MACAddress(text) { precondition(MACAddress(address.description) == address) }
  if let arguments = try? CNIArguments(parsing: text) {
    precondition((try? CNIArguments(parsing: arguments.serialized)) == arguments)
  }
  _ = try? Validation.interfaceName(text)
  _ = try? Validation.containerID(text)
}
