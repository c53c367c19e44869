import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  /// The configuration of bandwidth behind `result`; `keys` are further members, as JSON text.
  func bandwidth(
    _ keys: String, after result: JSONValue? = nil, version: String = "1.1.0", name: String = "net"
  ) throws -> String {
    let configuration =
      #"{"cniVersion":"\#(version)","name":"\#(name)","type":"bandwidth"\#(keys.isEmpty ? "" : ",")\#(keys)}"#
    return try result.map { try after($0, configuration) } ?? configuration
  }

  /// Both limits, in bits per second and bits.
  static func limits(ingress: Int? = nil, egress: Int? = nil, burst: Int? = nil) -> String {
    var keys: [String] = []
    for (name, rate) in [("ingress", ingress), ("egress", egress)] {
      guard let rate else { continue }
      keys.append("\"\(name)Rate\":\(rate),\"\(name)Burst\":\(burst ?? rate / 10)")
    }
    return keys.joined(separator: ",")
  }

  /// All that traffic control has on the host, with the names of generated links as they are; qdiscs that came with a link
  /// are none of anybody's.
  func traffic() throws -> String {
    try shell(
      """
      tc qdisc show | grep -v ' 0: ' | sed 's/ direct_packets_stat.*//' || true
      for link in $(ip -o link | cut -d: -f2 | cut -d@ -f1); do
        tc filter show dev $link ingress; tc filter show dev $link egress; done 2>/dev/null || true
      ip -d -o link show type ifb | cut -d: -f2-
      """)
  }

  /// The host's end of the container's interface.
  func hostEnd(_ container: String = "c1", _ interface: String = "eth0") throws -> String {
    let index = try shell("ip -n \(container) -o link show \(interface) | sed 's/.*@if\\([0-9]*\\):.*/\\1/'")
    return try shell("ip -o link | sed -n 's/^\(index.trimmingNewline): \\([^@]*\\)@.*/\\1/p'")
      .trimmingNewline
  }

  /// A range of addresses for one more network.
  static func range(_ number: Int) -> String { "\"ranges\":[[{\"subnet\":\"10.\(30 + number).0.0/16\"}]]" }

  /// Adds an interface with ptp, and gives its result.
  func addPTP(
    container: String = "c1", interface: String = "eth0", version: String = "1.1.0", name: String = "net",
    ipam: String = TestHost.dualStack
  ) throws -> JSONValue {
    let configuration = ptp("", ipam: ipam, version: version).replacing(
      "\"name\":\"net\"", with: "\"name\":\"\(name)\"")
    return try succeeded(
      call(
        .add, configuration, container: container, namespace: "/run/netns/\(container)", interface: interface)
    )
  }
}

extension String {
  var trimmingNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}
