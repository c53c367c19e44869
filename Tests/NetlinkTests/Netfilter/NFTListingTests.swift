import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// Lines that nft made come back to us as the same lines that nft lists.
@Suite(.requiresRoot, .requiresProgram("nft")) struct NFTListingTests {
  @Test(arguments: [
    ("rule-inet", "inet cni c"), ("rule-port", "inet cni c"), ("rule-nat", "ip cni pre"),
    ("rule-nat", "ip cni post"), ("rule-nat", "inet six pre"), ("rule-state", "inet cni c"),
    ("rule-ether", "bridge guard c"), ("masquerade", "inet cni_masquerade postrouting"),
    ("masquerade", "inet cni_masquerade net-10.22.0.0-16"), ("spoof-guard", "bridge cni_guard prerouting"),
  ])
  func rules(fixture: String, chain: String) throws {
    let lines = try NFTFixture(fixture).lines.joined(separator: "\n")
    let words = chain.split(separator: " ").map(String.init)
    let families: [String: NetfilterFamily] = ["inet": .inet, "ip": .ip, "bridge": .bridge]
    try inNewNetworkNamespace {
      let list = try shell("nft -f - <<'END'\n\(lines)\nEND\nnft list chain \(chain)")
      let listed = list.split(separator: "\n").filter { $0.hasPrefix("\t\t") && !$0.contains(" hook ") }
        .map { String($0.dropFirst(2)) }
      var socket = try NetfilterSocket()
      let value = Chain(Table(try #require(families[words[0]]), words[1]), words[2])
      let ours = try socket.rules(in: value)
      #expect(ours.map(\.description) == listed)
      #expect(ours.allSatisfy { $0.handle != nil })

      // Put back by us, they are listed as before.
      var transaction = NFTransaction([.init(.flush, .chain(value))])
      for var rule in ours {
        rule.handle = nil
        rule.position = nil
        transaction.add(rule)
      }
      try socket.commit(transaction)
      #expect(try shell("nft -j list ruleset >/dev/null; nft list chain \(chain)") == list)
    }
  }

  @Test(arguments: ["set", "map", "element", "interval", "table", "chain"])
  func setsAndChains(fixture: String) throws {
    let lines = try NFTFixture(fixture).lines.filter { $0.hasPrefix("add") || $0.hasPrefix("create") }
    try inNewNetworkNamespace {
      var setup = ""
      if fixture == "interval" {
        setup = """
          add table inet cni
          add set inet cni nets { type ipv4_addr; flags interval; }
          add set inet cni nets6 { type ipv6_addr; flags interval; }
          add set inet cni ports { type inet_service; flags interval; }

          """
      }
      let input = setup + lines.joined(separator: "\n")
      let list = try shell("ip link set lo up\nnft -f - <<'END'\n\(input)\nEND\nnft -s list ruleset")
      var socket = try NetfilterSocket()
      var transaction = NFTransaction()
      var elements = NFTransaction()
      for table in try socket.tables() {
        transaction.add(table)
        for chain in try socket.chains(in: table) { transaction.add(chain) }
        for set in try socket.sets(in: table) {
          transaction.add(set)
          // One by one: what is in a set comes in no order.
          for element in try socket.elements(of: set) { elements.add(element, to: set) }
        }
      }
      _ = try shell("nft flush ruleset")
      try socket.commit(transaction + elements)
      func sorted(_ list: String) -> [String] {
        list.split(whereSeparator: { "\n,".contains($0) }).map {
          $0.replacing("elements = {", with: "").replacing("\t", with: "").replacing(" }", with: "")
            .replacing(#/expires \d+[a-z0-9]+/#, with: "")
            .split(separator: " ").joined(separator: " ")
        }.sorted()
      }
      #expect(sorted(try shell("nft -s list ruleset")) == sorted(list))
    }
  }

  @Test func elementsOfIntervals() throws {
    let table = Table(.inet, "cni")
    let nets = NFTSet(table, "nets", key: [.ipv4Address], flags: .interval)
    let ranges = NFTSet(table, "ranges", key: [.ipv4Address, .internetService], flags: .interval)
    func v4(_ text: String) throws -> NFTValue { NFTValue(try #require(IPAddress(text))) }
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      let prefix = try #require(IPPrefix("10.22.0.0/16"))
      let elements = [
        Element(prefix, comment: "pods"),
        Element(try #require(IPPrefix("10.23.0.0/16"))),
        Element(key: [try v4("10.30.0.5")], end: [try v4("10.30.0.9")]),
        Element(try v4("192.168.1.1")),
        Element(try #require(IPPrefix("255.255.255.0/24"))),
      ]
      let web = Element(
        key: [try v4("10.22.0.0"), .port(80)], end: [try v4("10.22.255.255"), .port(90)], comment: "web")
      var transaction = NFTransaction()
      transaction.add(table)
      transaction.add(nets)
      transaction.add(ranges)
      transaction.add(elements, to: nets)
      transaction.add(web, to: ranges)
      try socket.commit(transaction)
      #expect(try socket.elements(of: nets) == elements)
      #expect(try socket.elements(of: ranges) == [web])
      let list = try shell("nft list set inet cni nets; nft list set inet cni ranges")
      for element in elements + [web] { #expect(list.contains(element.description)) }

      #expect(try socket.element([try v4("10.22.7.7")], of: nets)?.comment == "pods")
      #expect(try socket.element([try v4("10.99.7.7")], of: nets) == nil)
      #expect(try socket.element([try v4("10.22.7.7"), .port(85)], of: ranges) == web)
      transaction = NFTransaction()
      transaction.delete(elements[0], from: nets)
      transaction.delete(web, from: ranges)
      try socket.commit(transaction)
      #expect(try socket.elements(of: nets) == Array(elements.dropFirst()))
      #expect(try socket.elements(of: ranges).isEmpty)
    }
  }
}
