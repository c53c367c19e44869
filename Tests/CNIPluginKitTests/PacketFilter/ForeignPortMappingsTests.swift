import CNI
import NetworkAddresses
import Netlink
import TestSupport
import Testing

@testable import CNIPluginKit

/// Each test on a host of its own. What `iptables-restore` is there is asked of the machine; the tables of
/// iptables-legacy are filled with the same text by its own program.
@Suite("Port mappings of the Go plugin", .requiresRoot, .requiresProgram("iptables-legacy-restore"))
struct ForeignPortMappingsTests {
  typealias Settings = ForeignPortMappings.Settings

  let one = ForeignPortMappings(network: "net", containerID: "c1")
  let two = ForeignPortMappings(network: "net", containerID: "c2")
  let ports = [
    PortMapping(hostPort: 8080, containerPort: 80),
    PortMapping(hostPort: 8081, containerPort: 81, transport: .udp, hostIP: IPAddress("127.0.0.1")!),
    PortMapping(hostPort: 8082, containerPort: 82, transport: .sctp),
  ]
  let otherPorts = [PortMapping(hostPort: 8090, containerPort: 80)]
  let addresses = [IPPrefix("10.22.0.5/16")!, IPPrefix("fd00:22::5/64")!]
  let otherAddresses = [IPPrefix("10.22.0.6/16")!, IPPrefix("fd00:22::6/64")!]

  private enum Kind: CaseIterable { case nft, legacy }

  /// Installs one container's, and for iptables-legacy the same text by its program.
  private func install(
    _ mappings: ForeignPortMappings, _ ports: [PortMapping], _ addresses: [IPPrefix], _ kind: Kind
  ) throws {
    guard kind == .legacy else { return try mappings.installIPTables(ports, to: addresses, Settings()) }
    for address in addresses {
      let family = address.family
      let program = family == .ipv4 ? "iptables-legacy-restore" : "ip6tables-legacy-restore"
      var batch = IPTablesBatch()
      let common = ForeignPortMappings.commonRules(
        Settings(), unless: CommonRules(NATRules(legacy: family), mark: 0x2000))
      for line in common + mappings.containerRules(ports, to: address, Settings()) {
        batch.add(line, to: .nat)
      }
      try HostProgram(program).run(["--wait", "--noflush"], input: batch.text)
    }
  }

  /// All rule sets as text: nf_tables' and iptables-legacy's.
  private func ruleSets() throws -> String {
    try shell(
      """
      nft list ruleset 2>/dev/null
      for p in iptables ip6tables; do $p-legacy-save -t nat | grep -v '^#' | sed 's/\\[.*//'; done
      """)
  }

  private func verify(_ mappings: ForeignPortMappings, _ ports: [PortMapping], _ addresses: [IPPrefix]) throws
  {
    for address in addresses { try mappings.verify(ports, to: address.address, Settings()) }
  }

  private func expectBroken(_ what: String, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(throws: CNIError.self, "\(what)", sourceLocation: sourceLocation) {
      try verify(one, ports, addresses)
    }
  }

  // MARK: What comes, and goes

  @Test("What iptables saves is what it saves after the Go plugin")
  func saved() throws {
    try inNewNetworkNamespace {
      try one.installIPTables(ports, to: addresses, Settings())
      let saved = try shell("iptables-save -t nat | grep '^-A'").split(separator: "\n").map(String.init)
      let chain = one.chainName
      let comment = #"-m comment --comment "dnat name: \"net\" id: \"c1\"""#
      #expect(
        saved == [
          "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
          "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
          #"-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ"#,
          "-A \(chain) -s 10.22.0.0/16 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
          "-A \(chain) -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
          "-A \(chain) -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.22.0.5:80",
          "-A \(chain) -s 10.22.0.0/16 -d 127.0.0.1/32 -p udp -m udp --dport 8081 -j CNI-HOSTPORT-SETMARK",
          "-A \(chain) -s 127.0.0.1/32 -d 127.0.0.1/32 -p udp -m udp --dport 8081 -j CNI-HOSTPORT-SETMARK",
          "-A \(chain) -d 127.0.0.1/32 -p udp -m udp --dport 8081 -j DNAT --to-destination 10.22.0.5:81",
          "-A \(chain) -s 10.22.0.0/16 -p sctp -m sctp --dport 8082 -j CNI-HOSTPORT-SETMARK",
          "-A \(chain) -s 127.0.0.1/32 -p sctp -m sctp --dport 8082 -j CNI-HOSTPORT-SETMARK",
          "-A \(chain) -p sctp -m sctp --dport 8082 -j DNAT --to-destination 10.22.0.5:82",
          "-A CNI-HOSTPORT-DNAT -p sctp \(comment) -m multiport --dports 8082 -j \(chain)",
          "-A CNI-HOSTPORT-DNAT -p tcp \(comment) -m multiport --dports 8080 -j \(chain)",
          "-A CNI-HOSTPORT-DNAT -p udp \(comment) -m multiport --dports 8081 -j \(chain)",
          "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
          #"-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000"#,
        ])
    }
  }

  @Test("Two containers, removed one by one: the host is as before", arguments: [false, true])
  func twoContainers(isLegacy: Bool) throws {
    let kind: Kind = isLegacy ? .legacy : .nft
    try inNewNetworkNamespace {
      // iptables-legacy's own table cannot be removed any more once it is there.
      if isLegacy { try shell("iptables-legacy -t nat -S; ip6tables-legacy -t nat -S") }
      let before = try ruleSets()
      try install(one, ports, addresses, kind)
      let single = try ruleSets()
      try install(two, otherPorts, otherAddresses, kind)
      try verify(one, ports, addresses)
      try verify(two, otherPorts, otherAddresses)
      try two.remove()
      #expect(try ruleSets() == single)
      try verify(one, ports, addresses)
      #expect(throws: CNIError.self) { try verify(two, otherPorts, otherAddresses) }
      try one.remove()
      #expect(try ruleSets() == before)
      try one.remove()
    }
  }

  @Test("Ports that an ADD without DEL has left go with the next ADD")
  func leftovers() throws {
    try inNewNetworkNamespace {
      try one.installIPTables(otherPorts, to: addresses, Settings())
      try one.installIPTables(ports, to: addresses, Settings())
      #expect(try !shell("iptables-save -t nat").contains("8090"))
      try verify(one, ports, addresses)
      try one.remove()
      #expect(try shell("nft list ruleset").isEmpty)
    }
  }

  @Test("Base chains that an administrator has made stay, rules of others anyway")
  func administrator() throws {
    try inNewNetworkNamespace {
      try shell(
        """
        nft 'table ip nat { chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; }; }'
        ip6tables -t nat -A PREROUTING -p tcp --dport 1 -j REDIRECT
        """)
      let before = try shell("nft list ruleset 2>/dev/null")
      try one.installIPTables(ports, to: addresses, Settings())
      try one.remove()
      #expect(try shell("nft list ruleset 2>/dev/null") == before)
    }
  }

  @Test(
    "An external chain is called, and must be there; a condition must make sense; nothing is left otherwise")
  func external() throws {
    try inNewNetworkNamespace {
      let settings = Settings(externalMarkChain: "ELSEWHERE")
      #expect(throws: CNIError.self) { try one.installIPTables(ports, to: addresses, settings) }
      try one.remove()
      #expect(throws: CNIError.self) {
        try one.installIPTables(ports, to: addresses, Settings(conditionsV4: ["--no-such-condition"]))
      }
      try one.remove()
      try shell("iptables -t nat -N ELSEWHERE; ip6tables -t nat -N ELSEWHERE")
      let before = try shell("iptables-save -t nat | grep -v '^#'")
      try one.installIPTables(ports, to: addresses, settings)
      for address in addresses { try one.verify(ports, to: address.address, settings) }
      #expect(try shell("iptables-save -t nat").contains("--dport 8080 -j ELSEWHERE"))
      #expect(try !shell("iptables-save -t nat").contains("CNI-HOSTPORT-MASQ"))
      try one.remove()
      #expect(try shell("iptables-save -t nat | grep -v '^#'") == before)
    }
  }

  @Test("Many at once, each with its own")
  func parallel() throws {
    try inNewNetworkNamespace {
      _ = try concurrently(6) { number in
        for round in 0..<3 {
          let mappings = ForeignPortMappings(network: "net", containerID: "p\(number)")
          let port = [PortMapping(hostPort: UInt16(9000 + number), containerPort: UInt16(80 + round))]
          try mappings.installIPTables(port, to: [IPPrefix("10.22.0.\(10 + number)/16")!], Settings())
          try mappings.verify(port, to: IPAddress("10.22.0.\(10 + number)")!, Settings())
          try mappings.remove()
        }
      }
      // A base chain may have been made anew by iptables itself, which leaves it.
      #expect(try !shell("nft list ruleset 2>/dev/null").contains("CNI-"))
    }
  }

  // MARK: CHECK

  @Test("What is missing is found", arguments: [false, true])
  func tampered(isLegacy: Bool) throws {
    let program = isLegacy ? "iptables-legacy" : "iptables-nft"
    let chain = one.chainName
    let damage = [
      "-D PREROUTING 1", "-D OUTPUT 1", "-D POSTROUTING 1", "-F CNI-HOSTPORT-SETMARK", "-F CNI-HOSTPORT-MASQ",
      "-D CNI-HOSTPORT-DNAT 1", "-D \(chain) 3",
      "-R \(chain) 3 -p tcp --dport 8080 -j DNAT --to-destination 10.22.0.5:81",
      "-R \(chain) 3 -p tcp --dport 8088 -j DNAT --to-destination 10.22.0.5:80",
      "-R \(chain) 3 -p tcp --dport 8080 -j DNAT --to-destination 10.22.0.9:80",
    ]
    for command in damage {
      try inNewNetworkNamespace {
        try install(one, ports, addresses, isLegacy ? .legacy : .nft)
        try verify(one, ports, addresses)
        try shell("\(program) -t nat \(command)")
        expectBroken(command)
        try one.remove()
        #expect(try !ruleSets().contains("CNI-"), "\(command)")
      }
    }
  }

  // MARK: The Go plugin's nf_tables form

  /// As v1.9.1 lays it out.
  private static func hostPortTables(_ containers: [(id: String, last: Int, port: Int)]) -> String {
    [(family: "ip", net: "10.22.0.", local: true), ("ip6", "fd00:22::", false)].map { family, net, local in
      func rules(_ body: ((id: String, last: Int, port: Int)) -> String) -> String {
        containers.map { body($0) + " comment \"\($0.id)\"" }.joined(separator: "\n    ")
      }
      func target(_ last: Int) -> String { family == "ip" ? "\(net)\(last)" : "[\(net)\(last)]" }
      return """
        table \(family) cni_hostport {
          comment "CNI portmap plugin"
          chain hostports {
            \(rules { "tcp dport \($0.port) dnat to \(target($0.last)):80" })
            \(rules { "sctp dport \($0.port) dnat to \(target($0.last)):81" })
          }
          chain hostip_hostports { }
          chain hostports_all {
            jump hostip_hostports
            jump hostports
          }
          chain prerouting {
            type nat hook prerouting priority dstnat; policy accept;
            fib daddr type local jump hostports_all
          }
          chain output {
            type nat hook output priority -100; policy accept;
            fib daddr type local jump hostports_all
          }
          chain masquerading {
            type nat hook postrouting priority srcnat; policy accept;
            \(rules { "\(family) saddr \(net)\($0.last) \(family) daddr \(net)\($0.last) masquerade" })
            \(local ? rules { "ip saddr 127.0.0.1 ip daddr \(net)\($0.last) masquerade" } : "")
          }
        }
        """
    }.joined(separator: "\n")
  }

  private func load(_ text: String) throws { try HostProgram("nft").run(["-f", "-"], input: text) }

  @Test("Of the Go plugin's tables a container's part goes, and with the last one the rest")
  func hostPortTables() throws {
    try inNewNetworkNamespace {
      try load(Self.hostPortTables([("c2", 6, 8090)]))
      let single = try shell("nft list ruleset")
      try shell("nft flush ruleset")
      try load(Self.hostPortTables([("c1", 5, 8080), ("c2", 6, 8090)]))
      let mapping = [
        PortMapping(hostPort: 8080, containerPort: 80),
        PortMapping(hostPort: 8080, containerPort: 81, transport: .sctp),
      ]
      try verify(one, mapping, addresses)
      #expect(throws: CNIError.self) { try verify(one, otherPorts, addresses) }
      #expect(throws: CNIError.self) { try verify(one, mapping, otherAddresses) }
      try one.remove()
      #expect(try shell("nft list ruleset") == single)
      try ForeignPortMappings(network: "net", containerID: "c").remove()
      #expect(try shell("nft list ruleset") == single)
      try two.remove()
      #expect(try shell("nft list ruleset").isEmpty)
    }
  }

  @Test("A rule of somebody else's in one of them keeps the table")
  func strangers() throws {
    try inNewNetworkNamespace {
      try load(Self.hostPortTables([("c1", 5, 8080)]))
      try shell("nft add rule ip cni_hostport hostports tcp dport 1 drop")
      try one.remove()
      let left = try shell("nft list ruleset")
      #expect(left.contains("tcp dport 1 drop") && !left.contains("8080") && !left.contains("ip6"))
    }
  }

  // MARK: GC

  @Test("GC removes what belongs to no valid attachment of the network", arguments: [false, true])
  func garbage(isLegacy: Bool) throws {
    let kind: Kind = isLegacy ? .legacy : .nft
    let elsewhere = ForeignPortMappings(network: "network", containerID: "c1")
    try inNewNetworkNamespace {
      if isLegacy { try shell("iptables-legacy -t nat -S; ip6tables-legacy -t nat -S") }
      let before = try ruleSets()
      try install(two, otherPorts, otherAddresses, kind)
      try install(elsewhere, [PortMapping(hostPort: 8070, containerPort: 80)], addresses, kind)
      let kept = try ruleSets()
      try install(one, ports, addresses, kind)
      let valid = [Attachment(containerID: "c2", interfaceName: "eth0")]
      try ForeignPortMappings.removeAll(where: StaleMarks(network: "net", valid: Set(valid)))
      #expect(try ruleSets() == kept)
      try ForeignPortMappings.removeAll(where: StaleMarks(network: "net", valid: []))
      try ForeignPortMappings.removeAll(where: StaleMarks(network: "network", valid: []))
      #expect(try ruleSets() == before)
    }
  }

  @Test("Chains that plugins before v0.8 left go with the rest")
  func oldChains() throws {
    try inNewNetworkNamespace {
      try one.installIPTables(ports, to: addresses, Settings())
      try shell(
        """
        iptables -t nat -N CNI-HOSTPORT-SNAT; iptables -t nat -A POSTROUTING -j CNI-HOSTPORT-SNAT
        iptables -t nat -N \(one.oldChainName)
        iptables -t nat -A \(one.oldChainName) -p tcp -s 127.0.0.1 -d 10.22.0.5 --dport 80 -j MASQUERADE
        iptables -t nat -A CNI-HOSTPORT-SNAT -m comment --comment 'snat name: "net" id: "c1"' -j \(one.oldChainName)
        """)
      try one.remove()
      #expect(try shell("nft list ruleset 2>/dev/null").isEmpty)
    }
  }
}
