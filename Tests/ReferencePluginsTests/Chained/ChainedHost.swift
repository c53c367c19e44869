import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  /// The configuration of a chained plugin as the runtime hands it over, with the result of the plugin before, if there
  /// is one; `keys` are further members, as JSON text.
  func chained(
    _ type: String, _ keys: String = "", previous: JSONValue? = nil, version: String = "1.1.0",
    name: String = "net"
  ) -> String {
    let result = previous.map { ",\"prevResult\":\($0)" } ?? ""
    return
      "{\"cniVersion\":\"\(version)\",\"name\":\"\(name)\",\"type\":\"\(type)\"\(keys.isEmpty ? "" : ",")\(keys)\(result)}"
  }

  /// The result of a plugin that made an interface with these addresses, each with the gateway behind a space.
  func interfaceResult(
    _ addresses: String..., interface: String = "eth0", container: String = "c1",
    mac: String = "02:00:00:00:00:01",
    version: String = "1.1.0"
  ) -> JSONValue {
    let ips = addresses.map { text -> JSONValue in
      let words = text.split(separator: " ")
      var ip: JSONObject = ["address": .string(String(words[0])), "interface": 0]
      if version < "1.0.0" { ip.append("version", words[0].contains(":") ? "6" : "4") }
      if words.count > 1 { ip.append("gateway", .string(String(words[1]))) }
      return .object(ip)
    }
    return [
      "cniVersion": .string(version),
      "interfaces": [
        ["name": .string(interface), "mac": .string(mac), "sandbox": .string("/run/netns/\(container)")]
      ],
      "ips": .array(ips),
    ]
  }

  /// CHECK with the result of the whole list.
  @discardableResult
  func check(_ configuration: String, after result: JSONValue, interface: String = "eth0") throws -> JSONValue
  {
    try succeeded(call(.check, after(result, configuration), interface: interface))
  }

  /// What a shell command prints in a container, without the line's end.
  func inContainer(_ command: String, _ container: String = "c1") throws -> String {
    try shell("ip netns exec \(container) sh -ec '\(command)'").split(separator: "\n").joined(separator: "\n")
  }
}
