import CNI
import CNIExecution
import ContainerNetworking
import Glibc
import ReferencePlugins
import TestSupport
import Testing

/// A host of the test's own (the calling thread's namespaces), with real networks.
struct Host: Sendable {
  let fixture: Fixture

  /// Runs `body` on a host of its own.
  static func run<R: Sendable>(_ body: @escaping @Sendable (Host) throws -> R) async throws -> R {
    try await inNewNetworkNamespace {
      try shell("ip link set lo up; mkdir -p /run/netns")
      return try body(Host(fixture: Fixture()))
    }
  }

  /// Two networks: a bridge with port mappings, and point-to-point links.
  func configureTwoNetworks() {
    fixture.configure(
      "10-bridge.conflist",
      """
      {"cniVersion":"1.1.0","name":"podnet","plugins":[
       {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,
        "ipam":{"type":"host-local","dataDir":"\(fixture.directory.file("leases"))",
         "ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
       {"type":"portmap","capabilities":{"portMappings":true}}]}
      """)
    fixture.configure(
      "20-ptp.conflist",
      """
      {"cniVersion":"1.1.0","name":"side","plugins":[
       {"type":"ptp","ipam":{"type":"host-local","dataDir":"\(fixture.directory.file("leases"))",
         "ranges":[[{"subnet":"10.99.0.0/16"}]]}}]}
      """)
  }

  /// The calling thread's namespaces are those in which plugins run.
  func networking(embedded: EmbeddedPlugins = ReferencePlugins.all, minimumNetworkCount: Int = 1) throws
    -> ContainerNetworking
  {
    try ContainerNetworking(
      minimumNetworkCount: minimumNetworkCount, configurationDirectory: fixture.configurations,
      pluginDirectories: [fixture.plugins], embedded: embedded, cacheDirectory: fixture.cache, logger: quiet)
  }

  func makeContainers(_ names: [String]) throws {
    // One process for many.
    fixture.write(names.map { "netns add \($0)\n" }.joined(), "batch")
    try shell("ip -batch '\(fixture.directory.file("batch"))'", timeout: 120)
  }

  /// What plugins have left, by lines; links of the host that belong to no container (the bridge) do not count, nor does what
  /// tables hold as long as nothing is in it.
  func leftovers(_ containers: [String]) throws -> [String] {
    let names = containers.joined(separator: " ")
    let found = try shell(
      """
      ip -o link | grep -v ': lo:\\|: cni0:' || true
      for c in \(names); do ip -n $c -o link | grep -v ': lo:' | sed "s/^/$c /" || true; done
      for c in \(names); do ip -n $c -o addr | grep -v ' lo ' | sed "s/^/$c /" || true; done
      cd '\(fixture.directory.path)'
      find leases -type f ! -name lock ! -name 'last_reserved_ip*' ! -path '*/.*' 2>/dev/null || true
      find cache -type f 2>/dev/null || true
      nft list ruleset 2>/dev/null | grep -e 'elements' -e '/c[0-9]' -e dnat || true
      """, timeout: 120)
    return found.split(separator: "\n").map(String.init)
  }
}
