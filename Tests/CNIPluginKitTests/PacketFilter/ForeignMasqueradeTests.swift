import CNI
import NetworkAddresses
import TestSupport
import Testing

@testable import CNIPluginKit

@Suite("Masquerading of the Go plugins", .requiresRoot, .requiresProgram("iptables-legacy"))
struct ForeignMasqueradeTests {
  private func add(_ container: String, network: String) throws {
    let owner = Owner(network: network, containerID: container, interfaceName: "eth0")
    try ForeignMasquerade(owner).installIPTables([IPPrefix("10.22.0.5/16")!, IPPrefix("fd00:22::5/64")!])
  }

  private func rules(_ form: String) throws -> String {
    try shell(
      "for p in iptables ip6tables; do $p-\(form)-save -t nat | grep -v '^#' | sed -E 's/\\[[0-9:]+\\]//'; done"
    )
  }

  private func collect(_ network: String, valid: String...) throws {
    let attachments = valid.map { Attachment(containerID: $0, interfaceName: "eth0") }
    try Masquerade.removeAll(where: StaleMarks(network: network, valid: Set(attachments)))
  }

  @Test(
    "GC removes what the comments say is of the network and of no valid container",
    arguments: ["nft", "legacy"])
  func garbage(form: String) throws {
    try inNewNetworkNamespace {
      // Rules of the host's own choose the form.
      try shell("for p in iptables ip6tables; do $p-\(form) -t nat -A POSTROUTING -o lo -j RETURN; done")
      let before = try rules(form)
      try add("c2", network: "net")
      try add("c1", network: "network")
      let kept = try rules(form)
      #expect(kept != before)
      try add("c1", network: "net")
      try collect("net", valid: "c2", "c1")
      #expect(try rules(form) != kept)
      try collect("net", valid: "c2")
      #expect(try rules(form) == kept)
      try collect("net")
      try collect("network")
      #expect(try rules(form) == before)
    }
  }

  @Test("A rule that only speaks of the chain stays", arguments: ["nft", "legacy"])
  func mentioned(form: String) throws {
    try inNewNetworkNamespace {
      try add("c1", network: "net")
      let chain = try #require(
        try rules("nft").split(whereSeparator: \.isWhitespace).first { $0.hasPrefix(":CNI-") }
      ).dropFirst()
      try shell("nft flush ruleset")
      try shell(
        """
        for p in iptables ip6tables; do
          $p-\(form) -t nat -A POSTROUTING -m comment --comment "before \(chain) comes" -j RETURN
          $p-\(form) -t nat -A OUTPUT -m comment --comment "-j \(chain) " -j ACCEPT
        done
        """)
      let before = try rules(form)
      #expect(before.split(separator: "\n").count { $0.contains(chain) } == 4)
      try add("c1", network: "net")
      #expect(try rules(form) != before)
      try Masquerade(prefixes: [], owner: Owner(network: "net", containerID: "c1", interfaceName: "eth0"))
        .remove(knowsPrefixes: false)
      #expect(try rules(form) == before)
    }
  }
}
