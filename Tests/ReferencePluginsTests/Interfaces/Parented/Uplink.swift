import CNI
import CNIExecution
import TestSupport
import Testing

extension TestHost {
  /// The network that the host's `eth0` leads to, with one server: 10.22.0.1 and fd00:22::1. On the host is no address
  /// and no route of it.
  ///
  /// The host's interface has the name that the containers' will have: for older kernels that is a difficulty.
  static func onNetwork<R>(vlan: Int? = nil, _ body: (TestHost) throws -> R) throws -> R {
    try run { host in
      let device = vlan.map { "eth0.\($0)" } ?? "eth0"
      // Nothing that comes by itself a moment later: neither a link-local address nor the carrier.
      try shell(
        """
        ip netns add server; ip -n server link set lo up
        ip link add eth0 type veth peer name eth0 netns server; ip link set eth0 addrgenmode none
        ip link set eth0 up; ip -n server link set eth0 up
        while { ip link show eth0; ip -n server link show eth0; } | grep -q NO-CARRIER; do sleep 0.1; done
        """)
      if let vlan {
        try shell(
          "ip -n server link add link eth0 name \(device) type vlan id \(vlan); ip -n server link set \(device) up"
        )
      }
      try shell(
        """
        ip -n server addr add 10.22.0.1/16 dev \(device); ip -n server addr add fd00:22::1/64 dev \(device) nodad
        """)
      return try body(host)
    }
  }

  /// The configuration of a network of that plugin; `keys` and `ipam` are further members, as JSON text. An empty `ipam`
  /// means none.
  func network(
    _ type: String, _ keys: String = "", ipam: String? = nil, version: String = "1.1.0", name: String = "net"
  ) -> String {
    let range =
      "\"type\":\"host-local\",\"dataDir\":\"\(dataDirectory)\","
      + "\"ranges\":[[{\"subnet\":\"10.22.0.0/16\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]"
    let ipam = ipam ?? range
    return """
      {"cniVersion":"\(version)","name":"\(name)","type":"\(type)"\(keys.isEmpty ? "" : ",")\(keys)
       \(ipam.isEmpty ? "" : ",\"ipam\":{\(ipam)}")}
      """
  }

  /// Members of `ipam` for a fixed address.
  func fixed(_ addresses: String...) -> String {
    let list = addresses.map { "{\"address\":\"\($0)\"}" }.joined(separator: ",")
    return "\"type\":\"static\",\"addresses\":[\(list)]"
  }

  /// GC of a network of which only these containers' `eth0` are valid.
  func collectGarbage(_ configuration: String, keeping containers: String...) throws -> PluginReply {
    var json = try JSONValue.parse(configuration).object!
    json.append(
      "cni.dev/valid-attachments",
      .array(containers.map { Attachment(containerID: $0, interfaceName: "eth0").encode() }))
    return try call(
      .gc, String(decoding: JSONValue.object(json).serialized(), as: UTF8.self), container: "", namespace: "",
      interface: "")
  }

  /// STATUS of a network.
  func status(_ configuration: String) throws -> PluginReply {
    try call(.status, configuration, container: "", namespace: "", interface: "")
  }
}

/// Expects that a packet passes from a container to an address, or that none does.
func expectPing(
  _ container: String, _ address: String, passes: Bool = true,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let reply = try runCommand(
    "ip", "netns", "exec", container, "ping", "-c1", passes ? "-W5" : "-W1", address)
  #expect(
    reply.succeeded == passes, "\(container) → \(address): \(reply.standardOutput)\(reply.standardError)",
    sourceLocation: sourceLocation)
}
