import NetworkAddresses
import Netlink
import TestSupport
import Testing

@testable import CNIPluginKit

/// Both forms of iptables, for real, in namespaces of their own.
@Suite(
  "iptables: where rules live, and what they are", .requiresRoot, .requiresProgram("iptables-nft"),
  .requiresProgram("iptables-legacy"))
struct IPTablesTests {
  private static let everyForm = [AddressFamily.ipv4, .ipv6].flatMap { family in
    IPTablesTable.Form.allCases.map { (family, $0) }
  }

  private static func program(_ family: AddressFamily, _ form: IPTablesTable.Form) -> String {
    (family == .ipv4 ? "iptables-" : "ip6tables-") + form.rawValue
  }

  @Test("A host that nobody has set up has no rules, also after somebody has looked")
  func untouched() throws {
    try inNewNetworkNamespace {
      for family in [AddressFamily.ipv4, .ipv6] {
        for name in IPTablesTable.Name.allCases {
          #expect(try IPTablesTable(name, family).formsInUse() == [])
        }
      }
      try shell("for p in $(echo ip{,6}tables-{nft,legacy}); do $p -S; $p -t nat -S; done".bash)
      for family in [AddressFamily.ipv4, .ipv6] {
        #expect(try IPTablesTable(.filter, family).formsInUse() == [])
        #expect(try IPTablesTable(.nat, family).formsInUse() == [])
        #expect(try IPTablesTable(.nat, family).formForNewRules() == nil)
      }
    }
  }

  @Test("A rule or a policy is found in its form, its family, its table and its chain", arguments: everyForm)
  func found(family: AddressFamily, form: IPTablesTable.Form) throws {
    let program = Self.program(family, form)
    let table = IPTablesTable(.filter, family)
    for change in ["-P FORWARD DROP", "-A FORWARD -j DROP", "-A FORWARD -p tcp --dport 80 -j ACCEPT"] {
      try inNewNetworkNamespace {
        try shell("\(program) \(change)")
        #expect(try table.formsInUse() == [form], "\(change)")
        #expect(try table.formsInUse(chains: ["FORWARD"]) == [form])
        #expect(try table.formsInUse(chains: ["INPUT", "OUTPUT"]) == [])
        #expect(try table.formForNewRules() == form)
        #expect(try IPTablesTable(.nat, family).formsInUse() == [])
        #expect(try IPTablesTable(.filter, family == .ipv4 ? .ipv6 : .ipv4).formsInUse() == [])
      }
    }
  }

  @Test("Rules in both forms are found in both")
  func both() throws {
    try inNewNetworkNamespace {
      try shell(
        "iptables-nft -t nat -A POSTROUTING -j MASQUERADE; iptables-legacy -t nat -A OUTPUT -j RETURN")
      #expect(try IPTablesTable(.nat, .ipv4).formsInUse() == [.nft, .legacy])
      #expect(try IPTablesTable(.nat, .ipv4).formsInUse(chains: ["OUTPUT"]) == [.legacy])
      #expect(try IPTablesTable(.nat, .ipv4).formForNewRules() == .nft)
    }
  }

  @Test(
    "What the CNI plugins have made is nobody's own, be it more than one answer holds; one rule among it is",
    arguments: everyForm)
  func pluginsOwn(family: AddressFamily, form: IPTablesTable.Form) throws {
    let program = Self.program(family, form)
    try inNewNetworkNamespace {
      let table = IPTablesTable(.nat, family)
      var batch = IPTablesBatch()
      batch.create("CNI-0", in: .nat)
      for number in 1...500 {
        batch.append(
          "-m comment --comment \(IPTablesBatch.quoted("rule \(number)")) -j CNI-0", to: "POSTROUTING",
          of: .nat)
      }
      try IPTables(family).restore(batch, form: form)
      var socket = try NetfilterSocket()
      #expect(try table.chain("POSTROUTING", in: form, &socket)?.rules.count == 500)
      #expect(try table.formsInUse() == [])
      try shell("\(program) -t nat -A POSTROUTING -j RETURN")
      #expect(try table.formsInUse() == [form])
    }
  }

  @Test("A chain reads the same in every form", arguments: everyForm)
  func chains(family: AddressFamily, form: IPTablesTable.Form) throws {
    let program = Self.program(family, form)
    let (host, subnet) = family == .ipv4 ? ("10.22.0.5", "10.22.0.0/16") : ("fd00:22::5", "fd00:22::/64")
    try inNewNetworkNamespace {
      try shell(
        """
        \(program) -N CNI-ONE; \(program) -N EMPTY; \(program) -P FORWARD DROP
        add() { \(program) -A "$@"; }
        add FORWARD -m comment --comment "a \\"quoted\\" comment" -j CNI-ONE
        add CNI-ONE -d \(host) -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        add CNI-ONE ! -s \(subnet) -j DROP
        add CNI-ONE -i cni0 ! -o cni0 -g EMPTY
        add CNI-ONE -o veth+ -p udp -j RETURN
        add CNI-ONE -j MARK --set-mark 1
        """)
      var socket = try NetfilterSocket()
      let table = IPTablesTable(.filter, family)
      let address = IPPrefix.host(IPAddress(host)!)
      let forward = try #require(try table.chain("FORWARD", in: form, &socket))
      #expect(forward.policy == .drop)
      #expect(
        forward.rules.map(\.plain) == [
          IPTablesRule(comment: "a \"quoted\" comment", target: .jump("CNI-ONE"))
        ])
      let one = try #require(try table.chain("CNI-ONE", in: form, &socket))
      #expect(one.policy == nil)
      let expected = [
        IPTablesRule(destination: .init(address), hasOtherConditions: true, target: .accept),
        IPTablesRule(source: .init(IPPrefix(subnet)!, isInverted: true), target: .drop),
        IPTablesRule(
          inputInterface: .init("cni0"), outputInterface: .init("cni0", isInverted: true),
          target: .goto("EMPTY")),
        IPTablesRule(outputInterface: .init("veth+"), hasOtherConditions: true, target: .return),
        IPTablesRule(target: .other("MARK")),
      ]
      for (rule, expected) in zip(one.rules, expected) { #expect(rule.plain == expected) }
      #expect(one.rules.count == expected.count)
      #expect(try table.chain("EMPTY", in: form, &socket)?.rules == [])
      // iptables-nft makes only those base chains that something is done to.
      #expect(try table.chain("INPUT", in: form, &socket)?.policy == (form == .nft ? nil : .accept))
      #expect(try table.chain("MISSING", in: form, &socket) == nil)
      let other: IPTablesTable.Form = form == .nft ? .legacy : .nft
      #expect(try table.chain("CNI-ONE", in: other, &socket) == nil)
    }
  }

  // MARK: Programs

  @Test("One call changes several tables, and creates a chain once", arguments: everyForm)
  func batches(family: AddressFamily, form: IPTablesTable.Form) throws {
    let program = Self.program(family, form)
    try inNewNetworkNamespace {
      var batch = IPTablesBatch()
      #expect(batch.isEmpty)
      batch.create("ONE", in: .filter)
      batch.append("-j ONE", to: "FORWARD", of: .filter)
      batch.insert(
        "-m comment --comment \(IPTablesBatch.quoted(#"a "b" \c"#)) -j ACCEPT", into: "ONE", of: .filter)
      batch.create("TWO", in: .nat)
      batch.append("-j TWO", to: "OUTPUT", of: .nat)
      try IPTables(family).restore(batch, form: form)
      let rules = try shell("\(program)-save | grep '^-A'")
      #expect(
        Set(rules.split(separator: "\n")) == [
          "-A FORWARD -j ONE", #"-A ONE -m comment --comment "a \"b\" \\c" -j ACCEPT"#, "-A OUTPUT -j TWO",
        ])
      // Somebody who comes later must not empty the chain.
      #expect(throws: (any Error).self) { try IPTables(family).restore(batch, form: form) }
      #expect(try shell("\(program)-save | grep '^-A'") == rules)

      var removal = IPTablesBatch()
      removal.delete("-j ONE", from: "FORWARD", of: .filter)
      removal.flush("ONE", in: .filter)
      removal.remove("ONE", from: .filter)
      try IPTables(family).restore(removal, form: form)
      #expect(try !shell("\(program)-save").contains("ONE"))
    }
  }
}

extension IPTablesRule {
  /// Without the number that the kernel gave it.
  fileprivate var plain: IPTablesRule {
    var rule = self
    rule.handle = nil
    return rule
  }
}

extension String {
  /// For braces, which `sh` does not know.
  fileprivate var bash: String { "bash -ec '\(self)'" }
}
