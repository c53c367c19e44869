import NetworkAddresses
import Testing

@testable import Netlink

/// Our rule for a line is what nft sends for it, reads like it, and is understood when it comes back.
@Suite struct NFTRuleGoldenTests {
  /// Each rule against the message nft sent for it, and against its line.
  private func expectEqual(_ name: String, sets: [NFTSet] = [], _ rules: [Rule]) throws {
    let fixture = try NFTFixture(name)
    let lines = fixture.lines.filter { $0.hasPrefix("add rule ") }
    let messages = fixture.messages.filter { $0[4] == 6 }
    #expect(lines.count == rules.count && messages.count == rules.count)
    var numbers = SetNumbers()
    for set in sets { _ = numbers.number(of: set.name, in: set.table) }
    for ((line, message), rule) in zip(zip(lines, messages), rules) {
      var builder = MessageBuilder()
      NFTCommand(.add, .rule(rule)).encode(
        into: &builder, sequence: 0, acknowledged: false, numbers: &numbers)
      #expect(NFTFixture.comparable([builder.bytes]) == NFTFixture.comparable([message]), "\(line)")
      let text = "add rule \(rule.chain.reference) \(rule)"
      #expect(text.replacing(" packets 0 bytes 0", with: "") == line)
      let received = try ReceivedMessage.parse(builder.bytes)[0]
      #expect(Rule(received) == rule, "\(line)")
    }
  }

  private func v4(_ last: UInt8) -> IPAddress { .v4(IPv4Address(10, 22, 0, last)) }
  private func prefix(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }

  @Test func inet() throws {
    let table = Table(.inet, "cni")
    let chain = Chain(table, "c")
    let a4 = NFTSet(table, "a4", key: [.ipv4Address])
    let a6 = NFTSet(table, "a6", key: [.ipv6Address])
    let names = NFTSet(table, "names", key: [.interfaceName])
    let triple = NFTSet(table, "triple", key: [.internetProtocol, .ipv4Address, .internetService])
    let subnet = try prefix("10.22.0.0/16")
    let six = try #require(IPAddress("fd00:22::5"))
    try expectEqual(
      "rule-inet", sets: [a4, a6, names, triple],
      [
        Rule(in: chain, [.accept]),
        Rule(in: chain, [.counter, .drop]),
        Rule(in: chain, [.jump("d")]),
        Rule(in: chain, [.goto("d")], comment: "on to d"),
        Rule(in: chain, [.return]),
        Rule(in: chain, [.masquerade]),
        Rule(in: chain, [.masqueraded([.random, .persistent])]),
        Rule(in: chain, [.masqueraded(.fullyRandom)]),
        Rule(in: chain, [.ipSource == v4(5), .ipDestination != subnet, .masquerade], comment: "n/c/eth0"),
        Rule(in: chain, [.ipSource(in: a4), .accept]),
        Rule(in: chain, [.fields(.ipSource, notIn: a4), .accept]),
        Rule(in: chain, [.ip6Source(in: a6), .accept]),
        Rule(in: chain, [.ip6Destination == six, .accept]),
        Rule(in: chain, [.ip6Source == (try prefix("fd00:22::/65")), .accept]),
        Rule(in: chain, [.ipDestination == (try prefix("10.22.0.0/17")), .accept]),
        Rule(in: chain, [.ipDestination == (try prefix("10.22.0.0/20")), .accept]),
        Rule(in: chain, [.inputInterface == .interface("cni0"), .accept]),
        Rule(in: chain, [.inputInterface(prefix: "cni"), .accept]),
        Rule(in: chain, [.outputInterface != .interface("cni0"), .drop]),
        Rule(in: chain, [.inputInterface(in: names), .accept]),
        Rule(in: chain, [.family == .family(.ipv4), .accept]),
        Rule(in: chain, [.l4Protocol == .protocol(.tcp), .accept]),
        Rule(in: chain, [.l4Protocol != .protocol(.udp), .accept]),
        Rule(in: chain, [.mark == .mark(0x2000), .accept]),
        Rule(in: chain, [.match(.mark, .equal, .masked(0x2000, equals: 0x2000)), .masquerade]),
        Rule(in: chain, [.set(.mark, to: 0x2000)]),
        Rule(in: chain, [.set(.mark, or: 0x2000)]),
        Rule(in: chain, [.fields(.l4Protocol, .ipDestination, .destinationPort, in: triple), .accept]),
        Rule(in: chain, [.ipProtocol == .protocol(.tcp), .accept]),
        Rule(in: chain, [.notrack]),
      ])
  }

  @Test func ports() throws {
    let chain = Chain(Table(.inet, "cni"), "c")
    try expectEqual(
      "rule-port",
      [
        Rule(in: chain, [.tcpDestinationPort == .port(8080), .accept]),
        Rule(in: chain, [.ipDestination == v4(5), .udpDestinationPort == .port(53), .accept]),
        Rule(in: chain, [.udpSourcePort == 1000...2000, .accept]),
        Rule(in: chain, [.tcpDestinationPort != .port(22), .drop]),
        Rule(in: chain, [.sctpDestinationPort == .port(9), .accept]),
        Rule(in: chain, [.destinationPort == .port(80), .accept]),
      ])
  }

  @Test func addressTranslation() throws {
    let cni = Table(.ip, "cni")
    let pre = Chain(cni, "pre")
    let post = Chain(cni, "post")
    let six = Chain(Table(.inet, "six"), "pre")
    let targets = NFTSet(cni, "targets", key: [])
    let both = NFTSet(cni, "both", key: [])
    let targets6 = NFTSet(six.table, "targets6", key: [])
    let targets4 = NFTSet(six.table, "targets4", key: [])
    let local: Statement = .destinationType == .addressType(.local)
    func map(_ fields: [Selector], _ set: NFTSet, _ family: AddressFamily) -> Statement {
      .destinationNAT(to: .map(fields, .init(set), family: family, hasPort: true))
    }
    try expectEqual(
      "rule-nat", sets: [targets, both, targets6, targets4],
      [
        Rule(
          in: pre, [.tcpDestinationPort == .port(8080), .destinationNAT(to: .address(v4(5), port: 80))]),
        Rule(in: pre, [.destinationNAT(to: .address(v4(5)))]),
        Rule(in: post, [.sourceNAT(to: .address(try #require(IPAddress("192.0.2.1"))))]),
        Rule(in: pre, [.tcpDestinationPort == .port(8081), .redirect(to: 81)]),
        Rule(in: pre, [.redirect()]),
        Rule(in: post, [.ipSource == v4(5), .masquerade]),
        Rule(in: pre, [local, .accept]),
        Rule(in: pre, [map([.tcpDestinationPort], targets, .ipv4)]),
        Rule(in: pre, [map([.l4Protocol, .destinationPort], both, .ipv4)]),
        Rule(
          in: six,
          [
            .tcpDestinationPort == .port(8080),
            .destinationNAT(to: .address(try #require(IPAddress("fd00:22::5")), port: 80)),
          ]),
        Rule(
          in: six, [.tcpDestinationPort == .port(8080), .destinationNAT(to: .address(v4(5), port: 80))]),
        Rule(in: six, [map([.l4Protocol, .destinationPort], targets6, .ipv6)]),
        Rule(in: six, [local, map([.l4Protocol, .destinationPort], targets4, .ipv4)]),
        Rule(in: six, [.destinationType != .addressType(.local), .accept]),
      ])
  }

  @Test func state() throws {
    let chain = Chain(Table(.inet, "cni"), "c")
    try expectEqual(
      "rule-state",
      [
        Rule(in: chain, [.connection([.established, .related]), .accept]),
        Rule(in: chain, [.connection(.invalid), .drop]),
        Rule(in: chain, [.connection(status: .destinationNAT), .accept]),
        Rule(in: chain, [.connectionMark == .mark(1), .accept]),
        Rule(in: chain, [.set(.connectionMark, to: 1)]),
        Rule(in: chain, [.limit(10), .accept]),
        Rule(in: chain, [.limit(LimitExpression(rate: 5, unit: 60, burst: 7, isInverted: true)), .drop]),
        Rule(in: chain, [.log(prefix: "cni: ")]),
        Rule(in: chain, [.log()]),
        Rule(in: chain, [.reject]),
      ])
  }

  @Test func ethernet() throws {
    let table = Table(.bridge, "guard")
    let chain = Chain(table, "c")
    let mac = NFTValue.mac(try #require(MACAddress("02:42:ac:11:00:02")))
    let macs = NFTSet(table, "mac", key: [.etherAddress])
    try expectEqual(
      "rule-ether", sets: [macs],
      [
        Rule(in: chain, [.etherSource == mac, .accept]),
        Rule(in: chain, [.etherSource != mac, .drop]),
        Rule(
          in: chain, [.inputInterface == .interface("veth1a2b"), .fields(.etherSource, notIn: macs), .drop]),
        Rule(in: chain, [.ipSource == v4(5), .accept]),
        Rule(in: chain, [.ip6Source == (try #require(IPAddress("fd00:22::5"))), .accept]),
      ])
  }

  @Test func portMappings() throws {
    let cni = Table(.inet, "cni")
    let pre = Chain(cni, "pre")
    let post = Chain(cni, "post")
    let service: [NFTType] = [.internetProtocol, .internetService]
    func map(_ name: String, _ key: [NFTType], _ address: NFTType) -> NFTSet {
      .map(cni, name, key + service, to: .value([address, .internetService]))
    }
    let ports4 = map("ports4", [], .ipv4Address)
    let addressed4 = map("addressed4", [.ipv4Address], .ipv4Address)
    let ports6 = map("ports6", [], .ipv6Address)
    let addressed6 = map("addressed6", [.ipv6Address], .ipv6Address)
    let from4 = NFTSet(cni, "from4", key: [.ipv4Address, .ipv4Address] + service)
    let from6 = NFTSet(cni, "from6", key: [.ipv6Address, .ipv6Address] + service)
    let any4 = NFTSet(cni, "any4", key: [.ipv4Address] + service)
    func translate(_ fields: [Selector], _ set: NFTSet, _ family: AddressFamily) -> Statement {
      .destinationNAT(
        to: .map(fields + [.l4Protocol, .destinationPort], .init(set), family: family, hasPort: true))
    }
    func address(_ last: UInt8) -> NFTValue { .ipv4(IPv4Address(192, 0, 2, last)) }
    let dnat: Statement = .connection(status: .destinationNAT)
    let near: [Selector] = [.ipSource, .ipDestination, .l4Protocol, .destinationPort]
    let near6: [Selector] = [.ip6Source, .ip6Destination, .l4Protocol, .destinationPort]
    try expectEqual(
      "rule-portmap", sets: [ports4, addressed4, ports6, addressed6, from4, from6, any4],
      [
        Rule(in: pre, [translate([.ipDestination], addressed4, .ipv4)]),
        Rule(in: pre, [translate([], ports4, .ipv4)]),
        Rule(in: pre, [translate([.ip6Destination], addressed6, .ipv6)]),
        Rule(in: pre, [translate([], ports6, .ipv6)]),
        Rule(
          in: pre,
          [.match(.ipSource, .equal, .range(address(1), address(9))), translate([], ports4, .ipv4)]),
        Rule(
          in: pre,
          [
            .match(.ipDestination, .notEqual, .range(address(1), address(9))),
            .inputInterface != .interface("lo"), .match(.mark, .equal, .masked(0xff00, equals: 0x100)),
            translate([], ports4, .ipv4),
          ]),
        Rule(in: post, [.ipSource == (try prefix("127.0.0.0/8")), .drop]),
        Rule(in: post, [dnat, .prefixLookup(near, length: 16, .init(from4)), .masquerade]),
        Rule(in: post, [dnat, .prefixLookup(near, length: 23, .init(from4)), .masquerade]),
        Rule(in: post, [dnat, .lookup(near, .equal, .init(from4)), .masquerade]),
        Rule(in: post, [dnat, .prefixLookup(near6, length: 64, .init(from6)), .masquerade]),
        Rule(
          in: post,
          [dnat, .fields(.ipDestination, .l4Protocol, .destinationPort, in: any4), .masquerade]),
      ])
  }
}
