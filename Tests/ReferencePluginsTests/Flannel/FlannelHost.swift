import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  static let node = FlannelSubnetTests.dualStack.replacing("true", with: "false")

  var flannelState: String { dataDirectory + "/flannel" }

  /// What flanneld would write, where it would.
  func writeSubnet(_ text: String = TestHost.node, to path: String = "/run/flannel/subnet.env") throws {
    try shell("mkdir -p $(dirname \(path)); cat >\(path) <<'END'\n\(text)\nEND")
  }

  /// The configuration of a network of flannel; `keys`, `delegate` and `ipam` are further members, as JSON text.
  func flannel(
    _ keys: String = "", delegate: String = "\"isDefaultGateway\":true", ipam: String = "",
    version: String = "1.1.0", name: String = "net"
  ) -> String {
    """
    {"cniVersion":"\(version)","name":"\(name)","type":"flannel","dataDir":"\(flannelState)"\(keys.isEmpty ? "" : ",")\(keys),
     "delegate":{\(delegate)},"ipam":{"dataDir":"\(dataDirectory)/leases"\(ipam.isEmpty ? "" : ",")\(ipam)}}
    """
  }

  /// The names in the directory of what was kept.
  func keptFiles() throws -> [String] {
    try shell("ls -A \(flannelState) 2>/dev/null | sort || true").split(separator: "\n").map(String.init)
  }

  func kept(_ name: String = "c1") throws -> JSONValue {
    try JSONValue.parse(shell("cat \(flannelState)/\(name)"))
  }
}
