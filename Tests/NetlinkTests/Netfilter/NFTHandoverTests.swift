import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// What others left in the rule set is found and taken away.
@Suite(.requiresRoot, .requiresProgram("nft")) struct NFTHandoverTests {
  @Test func chainsOfSeveralTablesAtOnce() throws {
    try inNewNetworkNamespace {
      _ = try shell(
        "nft 'table ip a { chain one { }; chain two { jump one; }; }; table ip6 a { chain two { counter; counter; }; }'"
      )
      let (four, six) = (Table(.ip, "a"), Table(.ip6, "a"))
      let wanted = [
        Chain(four, "one"), Chain(six, "one"), Chain(four, "two"), Chain(six, "two"),
        Chain(Table(.inet, "a"), "two"),
      ]
      var socket = try NetfilterSocket()
      let found = try socket.chains(named: wanted)
      #expect(found.map { $0?.reference } == ["ip a one", nil, "ip a two", "ip6 a two", nil])
      #expect(found.map { $0?.useCount } == [1, nil, 1, 2, nil])
      #expect(try socket.chains(named: []).isEmpty)
      // More than one datagram's worth, and the socket is as before.
      let many = [Chain](repeating: wanted[3], count: 600) + [wanted[1]]
      #expect(try socket.chains(named: many).compactMap { $0 }.count == 600)
      #expect(try socket.tables().count == 2)
    }
  }

  @Test(.requiresProgram("iptables-nft"), arguments: ["iptables-nft", "ip6tables-nft"])
  func chainsOfIptables(program: String) throws {
    let isSix = program == "ip6tables-nft"
    let table = Table(isSix ? .ip6 : .ip, "nat")
    let subnet = isSix ? "fd00:22::/64" : "10.22.0.0/16"
    let multicast = isSix ? "ff00::/8" : "224.0.0.0/4"
    let source = isSix ? "fd00:22::5" : "10.22.0.5"
    let name = "CNI-0123456789abcdef01234567"
    let comment = "name: \\\"net\\\" id: \\\"one\\\""
    try inNewNetworkNamespace {
      _ = try shell(
        """
        for chain in \(name) CNI-other; do
          \(program) -t nat -N $chain
          \(program) -t nat -A $chain -d \(subnet) -j ACCEPT -m comment --comment "\(comment)"
          \(program) -t nat -A $chain ! -d \(multicast) -j MASQUERADE -m comment --comment "\(comment)"
          \(program) -t nat -A POSTROUTING -s \(source) -j $chain -m comment --comment "\(comment)"
        done
        """)
      let before = try shell("\(program) -t nat -S")
      #expect(before.contains("-j \(name)"))

      var socket = try NetfilterSocket()
      let postrouting = Chain(table, "POSTROUTING")
      let rules = try socket.rules(in: postrouting)
      #expect(rules.count == 2)
      #expect(rules.map(\.jumpTargets) == [[name], ["CNI-other"]])
      #expect(rules.allSatisfy { $0.isCommented(prefix: "name: \"net\"") })

      #expect(try socket.deleteChain(Chain(table, name), jumpsFrom: [postrouting]))
      let after = try shell("\(program) -t nat -S")
      let left = before.split(separator: "\n").filter { !$0.contains(name) }
      #expect(after.split(separator: "\n") == left)
      // Once more, and where there is nothing at all.
      #expect(try !socket.deleteChain(Chain(table, name), jumpsFrom: [postrouting]))
      #expect(try !socket.deleteChain(Chain(Table(.ip, "missing"), name), jumpsFrom: [postrouting]))
    }
  }

  @Test("A chain that somebody else calls, too, loses its rules and stays") func chainCalledElsewhere() throws
  {
    try inNewNetworkNamespace {
      try shell(
        """
        nft 'add table ip t; add chain ip t entrance; add chain ip t mine; add chain ip t own
          add rule ip t own accept; add rule ip t entrance jump own; add rule ip t mine jump own'
        """)
      var socket = try NetfilterSocket()
      let table = Table(.ip, "t")
      for _ in 0..<2 {
        #expect(try socket.deleteChain(Chain(table, "own"), jumpsFrom: [Chain(table, "entrance")]))
        #expect(try socket.rules(in: table).map(\.jumpTargets) == [["own"]])
      }
      try shell("nft flush chain ip t mine")
      #expect(try socket.deleteChain(Chain(table, "own"), jumpsFrom: [Chain(table, "entrance")]))
      #expect(try socket.chainIfPresent("own", in: table) == nil)
    }
  }

  @Test func rulesByTheirComment() throws {
    let table = Table(.inet, "cni_plugins_masquerade")
    let chain = Chain(table, "masq_checks")
    try inNewNetworkNamespace {
      _ = try shell(
        """
        nft -f - <<'END'
        add table inet cni_plugins_masquerade
        add chain inet cni_plugins_masquerade masq_checks
        add chain inet cni_plugins_masquerade postrouting { type nat hook postrouting priority 100; }
        add rule inet cni_plugins_masquerade postrouting ip daddr == 224.0.0.0/4 return
        add rule inet cni_plugins_masquerade postrouting goto masq_checks
        add rule inet cni_plugins_masquerade masq_checks ip saddr == 192.168.1.1 ip daddr != 192.168.1.0/24 masquerade comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"
        add rule inet cni_plugins_masquerade masq_checks ip6 saddr == 2001:db8::2 ip6 daddr != 2001:db8::/64 masquerade comment "6fd94d501e58f0aa-d750b2c8f0f25d5f, net: unit-test, if: eth0, id: two"
        add rule inet cni_plugins_masquerade masq_checks ip saddr == 192.168.1.2 ip daddr != 192.168.1.0/24 masquerade comment "6fd94d501e58f0aa-d750b2c8f0f25d5f, net: unit-test, if: eth0, id: two"
        END
        """)
      var socket = try NetfilterSocket()
      let rules = try socket.rules(in: chain)
      #expect(
        rules.map(\.description) == [
          "ip saddr 192.168.1.1 ip daddr != 192.168.1.0/24 masquerade comment \"6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one\"",
          "ip6 saddr 2001:db8::2 ip6 daddr != 2001:db8::/64 masquerade comment \"6fd94d501e58f0aa-d750b2c8f0f25d5f, net: unit-test, if: eth0, id: two\"",
          "ip saddr 192.168.1.2 ip daddr != 192.168.1.0/24 masquerade comment \"6fd94d501e58f0aa-d750b2c8f0f25d5f, net: unit-test, if: eth0, id: two\"",
        ])
      let prefix = "6fd94d501e58f0aa-d750b2c8f0f25d5f"
      #expect(try socket.deleteRules(in: chain) { $0.isCommented(prefix: prefix) } == 2)
      #expect(try socket.deleteRules(in: chain) { $0.isCommented(prefix: prefix) } == 0)
      #expect(try socket.rules(in: chain).count == 1)
      #expect(try socket.rules(in: table).count == 3)
      #expect(try socket.deleteRules(in: Chain(table, "missing")) { _ in true } == 0)
    }
  }
}
