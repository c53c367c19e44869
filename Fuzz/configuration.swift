import CNI

/// Whatever the bytes: they are a configuration, or there is an error that says why not. What was read can be printed,
/// and what was printed reads as the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let bytes = [UInt8](UnsafeBufferPointer(start: start, count: count))
  guard let json = try? JSONValue.parse(bytes) else { return 0 }

  for pretty in [false, true] {
    let printed = json.serialized(pretty: pretty)
    guard let again = try? JSONValue.parse(printed) else { fatalError("what was printed does not parse") }
    precondition(again == json, "what was printed is something else")
  }

  if let plugin = try? PluginConfiguration(json: json, source: "fuzz") {
    _ = try? plugin.prevResult()
    _ = try? NetworkConfigurationList.wrapping(plugin)
  }
  if let list = try? NetworkConfigurationList(json: json, source: "fuzz") {
    for plugin in list.plugins { _ = try? plugin.prevResult() }
  }
  do throws(CNIError) { _ = try PluginConfiguration(json: json) } catch {
    precondition(!error.message.isEmpty, "an error without words")
    _ = error.serialized(version: .latest)
  }
  _ = try? VersionInfo.decode(json)
  _ = CNIError.parse(bytes)
  if let text = String(validating: bytes, as: UTF8.self) {
    _ = try? CNIArguments(parsing: text)
    try? Validation.networkName(text)
    try? Validation.containerID(text)
    try? Validation.interfaceName(text)
    try? Validation.pluginType(text)
  }
  return 0
}
