import CNI
import CNIExecution
import TestSupport
import Testing

/// What tests of `host-device` need of their host.
extension TestHost {
  static let hostDevice = "host-device"

  /// A configuration; `keys` are the plugin's own, as JSON text. Without `subnet` there is no IPAM.
  func hostDevice(
    _ keys: String, subnet: String? = "10.22.0.0/16", version: String = "1.1.0", name: String = "net"
  ) -> String {
    let ipam =
      subnet.map {
        ",\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"\(dataDirectory)\",\"ranges\":[[{\"subnet\":\"\($0)\"}]]}"
      } ?? ""
    return """
      {"cniVersion":"\(version)","name":"\(name)","type":"host-device"\(keys.isEmpty ? "" : ","+keys)\(ipam)}
      """
  }

  /// Calls `host-device`.
  @discardableResult
  func device(
    _ command: Command, _ configuration: String, container: String = "c1", namespace: String? = nil,
    interface: String = "eth0"
  ) throws -> PluginReply {
    try call(
      command, configuration, type: Self.hostDevice, container: container,
      namespace: namespace ?? "/run/netns/\(container)", interface: interface)
  }

  /// GC with these attachments (JSON) as the valid ones.
  func collectDevices(_ configuration: String, keeping valid: String = "[]") throws {
    var json = try JSONValue.parse(configuration).object!
    json.append("cni.dev/valid-attachments", try JSONValue.parse(valid))
    try succeeded(
      call(
        .gc, String(decoding: JSONValue.object(json).serialized(), as: UTF8.self), type: Self.hostDevice,
        container: "", namespace: "", interface: ""))
  }

  /// STATUS.
  func deviceStatus(_ configuration: String) throws -> PluginReply {
    try call(.status, configuration, type: Self.hostDevice, container: "", namespace: "", interface: "")
  }

  /// Makes the device `nic0`, one end of a pair whose other end `wire` stays on the host: down, with an alias, an MTU and
  /// hardware address of its own.
  func makeDevice() throws {
    try shell(
      """
      ip link add nic0 address 02:00:5e:10:00:01 mtu 1400 type veth peer name wire
      ip link set nic0 alias 'uplink, third rack'; ip link set wire up; ip addr add 10.22.255.254/16 dev wire
      """)
  }

  /// Expects the host to be as it was when `before` was taken, but for what the other end of the wire makes of the device's
  /// coming and going.
  func expectReturned(since before: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    func lines(_ text: String) -> [String] {
      text.split(separator: "\n").map(String.init).filter {
        !$0.contains(": wire@") && !$0.contains("dev wire ")
      }
      .map { $0.replacing("NO-CARRIER,", with: "").replacing(",M-DOWN", with: "") }
    }
    let (one, other) = (lines(before), lines(try snapshot()))
    let differences =
      one.filter { !other.contains($0) }.map { "- \($0)" }
      + other.filter { !one.contains($0) }.map { "+ \($0)" }
    if !differences.isEmpty {
      Issue.record(
        "something is different:\n\(differences.joined(separator: "\n"))", sourceLocation: sourceLocation)
    }
  }

  /// Makes a file system of the test's own out of a directory of sysfs, and puts a tree into it.
  func makeTree(at directory: String, _ script: String) throws {
    try shell("mount -t tmpfs tmpfs \(directory); cd \(directory); \(script)")
  }
}
