import CNI
import CNIExecution
import LinuxNetworking
import ReferencePlugins
import TestSupport
import Testing

/// A host of the test's own: the calling thread's namespaces, with directories for leases.
struct TestHost {
  /// Where the leases are kept.
  let dataDirectory: String
  /// How plugins are called: those that are linked in, unless a test says otherwise.
  var runner = PluginRunner(path: [], embedded: ReferencePlugins.all)

  /// Runs `body` on a host of its own.
  static func run<R>(_ body: (TestHost) throws -> R) throws -> R {
    try inNewNetworkNamespace {
      try withTemporaryDirectory { directory in
        try shell("ip link set lo up")
        return try body(TestHost(dataDirectory: directory))
      }
    }
  }

  /// The configuration of a bridge network; `keys` and `ipam` are further members, as JSON text.
  func bridge(_ keys: String = "", ipam: String? = nil, version: String = "1.1.0", name: String = "net")
    -> String
  {
    let range = "\"ranges\":[[{\"subnet\":\"10.22.0.0/16\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]"
    return """
      {"cniVersion":"\(version)","name":"\(name)","type":"bridge","bridge":"cni0"\(keys.isEmpty ? "" : ",")\(keys),
       "ipam":{"type":"host-local","dataDir":"\(dataDirectory)",\(ipam ?? range)}}
      """
  }

  /// Calls a plugin: the one that the configuration names, unless `type` says otherwise.
  @discardableResult
  func call(
    _ command: Command, _ configuration: String, type: String? = nil, container: String = "c1",
    namespace: String = "/run/netns/c1", interface: String = "eth0", arguments: String = ""
  ) throws -> PluginReply {
    let named = (try? JSONValue.parse(configuration))?["type"]?.string
    return try runner.run(
      type ?? named ?? "bridge",
      PluginRequest(
        command: command, containerID: container, namespace: namespace, interfaceName: interface,
        arguments: arguments, path: runner.path, configuration: Array(configuration.utf8)))
  }

  /// ADD, and the result as it came, in the configuration's version.
  func add(
    _ configuration: String, container: String = "c1", namespace: String? = nil, arguments: String = ""
  ) throws -> JSONValue {
    let reply = try call(
      .add, configuration, container: container, namespace: namespace ?? "/run/netns/\(container)",
      arguments: arguments)
    return try succeeded(reply)
  }

  /// The reply's JSON, or the error that it is.
  @discardableResult
  func succeeded(_ reply: PluginReply) throws -> JSONValue {
    if let error = CNIError.parse(reply.standardOutput) { throw error }
    #expect(reply.exitStatus == .exited(0))
    return reply.standardOutput.isEmpty ? .null : try JSONValue.parse(reply.standardOutput)
  }

  /// The error of a reply that must be one.
  func failed(_ reply: PluginReply) throws -> CNIError {
    #expect(reply.exitStatus == .exited(1))
    return try #require(CNIError.parse(reply.standardOutput), "the plugin succeeded")
  }

  /// `configuration` with the result of an ADD as `prevResult`.
  func after(_ result: JSONValue, _ configuration: String) throws -> String {
    var json = try JSONValue.parse(configuration).object!
    json.append("prevResult", result)
    return String(decoding: JSONValue.object(json).serialized(), as: UTF8.self)
  }

  /// Makes a container: a named namespace with a loopback interface that is up.
  func makeContainer(_ name: String = "c1") throws {
    try shell("ip netns add \(name); ip -n \(name) link set lo up")
  }

  /// Makes the bridge as an administrator would, with a port that stays: without one its carrier depends on its past.
  func makeBridge(address: String) throws {
    try shell(
      """
      ip link add cni0 type bridge; ip link add port0 type veth peer name port1
      ip link set port0 master cni0; for link in port0 port1 cni0; do ip link set $link up; done
      ip addr add \(address) dev cni0; sleep 0.3
      """)
  }

  /// Expects the host to be as it was when `before` was taken, and shows the lines that differ.
  func expectUnchanged(since before: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let (one, other) = (before.split(separator: "\n"), try snapshot().split(separator: "\n"))
    let differences =
      one.filter { !other.contains($0) }.map { "- \($0)" }
      + other.filter { !one.contains($0) }.map { "+ \($0)" }
    if !differences.isEmpty {
      Issue.record(
        "something is left:\n\(differences.joined(separator: "\n"))", sourceLocation: sourceLocation)
    }
  }

  /// For scripts: `settled` takes what `ip` prints without what settles at a moment of its own, the carrier and what hangs on it.
  static let settled =
    "settled() { sed -E 's/qdisc.*//; s/NO-CARRIER,//; s/,LOWER_UP//; s/ (linkdown|dead|tentative)//g'; }"

  /// All that plugins may leave behind: links, addresses, routes, rules and leases. Without what settles at a moment of its
  /// own: carriers, duplicate address detection, and the routes that follow from them.
  func snapshot() throws -> String {
    let kernel = try shell(
      """
      \(Self.settled)
      ip -o link | settled; ip -o addr | grep -v fe80: | settled; ip -4 route show table all | settled
      ip -6 route show table all | grep -v 'fe80\\|ff00::/8' | settled; nft list ruleset
      for n in $(ip netns list | cut -d' ' -f1 | sort); do echo "container $n"; ip -n $n -o link | settled; done
      """)
    let leases = try shell(
      "cd '\(dataDirectory)'; find . -type f ! -name lock ! -name 'last_reserved_ip*' ! -path './.*' -exec sh -c 'echo {}; cat {}' ';'"
    )
    return kernel + leases
  }
}
