import NetworkAddresses
import Testing

@testable import Netlink

/// Our transaction for a line is what nft sends for it.
@Suite struct NFTGoldenTests {
  private let cni = Table(.inet, "cni")

  private func expectEqual(_ name: String, _ transaction: NFTransaction) throws {
    let fixture = try NFTFixture(name)
    let ours = try ReceivedMessage.parse(transaction.encoded())
    #expect(ours.count == transaction.commands.count + 2)
    var messages: [[UInt8]] = []
    var rest = transaction.encoded()[...]
    while rest.count >= 4 {
      let length = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
      let padded = (length + 3) & ~3
      messages.append(Array(rest.prefix(padded)))
      rest = rest.dropFirst(padded)
    }
    messages.removeFirst()
    messages.removeLast()
    let (expected, found) = (NFTFixture.comparable(fixture.messages), NFTFixture.comparable(messages))
    #expect(expected.count == found.count)
    for (theirs, ours) in zip(expected, found) { #expect(ours == theirs) }
  }

  @Test func tables() throws {
    var transaction = NFTransaction()
    transaction.add(cni)
    transaction.add(Table(.ip6, "plain"))
    transaction.create(Table(.bridge, "guard", comment: "spoof check"))
    transaction.add(Table(.ip, "sleeping", flags: .dormant))
    try expectEqual("table", transaction)
  }

  @Test func chains() throws {
    let edge = Table(.netdev, "edge")
    let guardian = Table(.bridge, "guard")
    var transaction = NFTransaction()
    transaction.add(cni)
    transaction.add(Chain(cni, "regular"))
    transaction.add(Chain(cni, "postrouting", base: .init(.nat, hook: .postrouting, priority: .sourceNAT)))
    transaction.add(Chain(cni, "input", base: .init(.filter, hook: .input, priority: -10, policy: .drop)))
    transaction.add(Chain(cni, "described", comment: "a chain"))
    transaction.create(
      Chain(
        cni, "mangle", base: .init(.route, hook: .output, priority: .mangle, policy: .accept), comment: "both"
      ))
    transaction.add(edge)
    transaction.add(Chain(edge, "in", base: .init(.filter, hook: .ingress, priority: .filter, device: "lo")))
    transaction.add(guardian)
    transaction.add(
      Chain(guardian, "prerouting", base: .init(.filter, hook: .prerouting, priority: .bridgeDestinationNAT)))
    try expectEqual("chain", transaction)
  }

  @Test func sets() throws {
    var transaction = NFTransaction()
    transaction.add(cni)
    transaction.add(NFTSet(cni, "a4", key: [.ipv4Address]))
    transaction.add(NFTSet(cni, "a6", key: [.ipv6Address]))
    transaction.add(NFTSet(cni, "mac", key: [.etherAddress]))
    transaction.add(NFTSet(cni, "names", key: [.interfaceName]))
    transaction.add(NFTSet(cni, "ports", key: [.internetService]))
    transaction.add(NFTSet(cni, "protocols", key: [.internetProtocol]))
    transaction.add(NFTSet(cni, "marks", key: [.mark]))
    transaction.add(NFTSet(cni, "nets", key: [.ipv4Address], flags: .interval))
    transaction.add(NFTSet(cni, "fixed", key: [.ipv4Address], flags: .constant))
    transaction.add(NFTSet(cni, "brief", key: [.ipv4Address], flags: .timeout, timeout: 90_000))
    transaction.add(NFTSet(cni, "pair", key: [.interfaceName, .etherAddress]))
    transaction.add(NFTSet(cni, "triple", key: [.internetProtocol, .ipv4Address, .internetService]))
    transaction.add(NFTSet(cni, "described", key: [.ipv4Address], comment: "who may pass"))
    transaction.add(NFTSet(cni, "sized", key: [.ipv4Address], size: 1000))
    transaction.add(NFTSet(cni, "ranges", key: [.ipv4Address, .internetService], flags: .interval))
    transaction.create(NFTSet(cni, "six", key: [.ipv6Address, .internetService], flags: .timeout))
    try expectEqual("set", transaction)
    #expect(transaction.description.split(separator: "\n").map(String.init) == (try NFTFixture("set")).lines)
  }

  @Test func maps() throws {
    var transaction = NFTransaction()
    transaction.add(cni)
    transaction.add(NFTSet.map(cni, "sources4", [.ipv4Address], to: .verdict))
    transaction.add(NFTSet.map(cni, "sources6", [.ipv6Address], to: .verdict, comment: "by pod"))
    transaction.add(NFTSet.map(cni, "ports", [.internetProtocol, .internetService], to: .verdict))
    transaction.add(
      NFTSet.map(cni, "targets", [.internetService], to: .value([.ipv4Address, .internetService])))
    transaction.add(
      NFTSet.map(
        cni, "targets6", [.internetProtocol, .internetService], to: .value([.ipv6Address, .internetService])))
    transaction.add(NFTSet.map(cni, "marks", [.ipv4Address], to: .value([.mark])))
    transaction.add(NFTSet.map(cni, "nets", [.ipv4Address], to: .verdict, flags: .interval))
    try expectEqual("map", transaction)
    #expect(transaction.description.split(separator: "\n").map(String.init) == (try NFTFixture("map")).lines)
  }

  private func v4(_ last: UInt8) -> NFTValue { .ipv4(IPv4Address(10, 22, 0, last)) }

  @Test func elements() throws {
    let a4 = NFTSet(cni, "a4", key: [.ipv4Address])
    let pair = NFTSet(cni, "pair", key: [.interfaceName, .etherAddress])
    let triple = NFTSet(cni, "triple", key: [.internetProtocol, .ipv4Address, .internetService])
    let sources = NFTSet.map(cni, "sources4", [.ipv4Address], to: .verdict)
    let targets = NFTSet.map(
      cni, "targets", [.internetService], to: .value([.ipv4Address, .internetService]))
    let brief = NFTSet(cni, "brief", key: [.ipv4Address], flags: .timeout)
    let names = NFTSet(cni, "names", key: [.interfaceName])
    let marks = NFTSet.map(cni, "marks", [.ipv4Address], to: .value([.mark]))
    let mac = try #require(MACAddress("02:42:ac:11:00:02"))
    let net = "net-10.22.0.0-16"
    var transaction = NFTransaction()
    transaction.add(cni)
    transaction.add(Chain(cni, net))
    transaction.add(a4)
    transaction.add(Element(v4(5)), to: a4)
    transaction.add(Element(v4(6), comment: "network/container/eth0"), to: a4)
    transaction.add(Element(v4(7)), Element(v4(8)), to: a4)
    transaction.create(Element(v4(9)), in: a4)
    transaction.delete(Element(v4(6)), from: a4)
    transaction.add(pair)
    transaction.add(Element(.interface("veth1a2b"), .mac(mac), comment: "n/c/eth0"), to: pair)
    transaction.add(triple)
    transaction.add(Element(.protocol(.tcp), v4(5), .port(8080)), to: triple)
    transaction.add(sources)
    transaction.create(Element(v4(5), verdict: .goto(net), comment: "n/c/eth0"), in: sources)
    transaction.add(
      Element(v4(6), verdict: .accept), Element(v4(7), verdict: .drop), Element(v4(8), verdict: .return),
      Element(v4(9), verdict: .jump(net)), to: sources)
    transaction.add(targets)
    transaction.add(Element(.port(8080), value: [v4(5), .port(80)], comment: "c"), to: targets)
    transaction.add(brief)
    transaction.add(Element(key: [v4(1)], timeout: 60_000), to: brief)
    transaction.add(names)
    transaction.add(Element(.interface("veth1a2b")), to: names)
    transaction.add(marks)
    transaction.add(Element(v4(5), value: [.mark(0x2000)]), to: marks)
    try expectEqual("element", transaction)
    #expect(
      transaction.description.split(separator: "\n").map(String.init) == (try NFTFixture("element")).lines)
  }

  @Test func intervals() throws {
    let nets = NFTSet(cni, "nets", key: [.ipv4Address], flags: .interval)
    let nets6 = NFTSet(cni, "nets6", key: [.ipv6Address], flags: .interval)
    let ports = NFTSet(cni, "ports", key: [.internetService], flags: .interval)
    let ranges = NFTSet(cni, "ranges", key: [.ipv4Address, .internetService], flags: .interval)
    let prefix = try #require(IPPrefix("10.22.0.0/16"))
    var transaction = NFTransaction()
    transaction.add(ranges)
    transaction.add(Element(prefix), to: nets)
    transaction.add(
      Element(
        key: [.ipv4(IPv4Address(10, 30, 0, 5))], end: [.ipv4(IPv4Address(10, 30, 0, 9))], comment: "range"),
      to: nets)
    transaction.add(Element(.ipv4(IPv4Address(192, 168, 1, 1))), to: nets)
    transaction.add(Element(try #require(IPPrefix("fd00:22::/64"))), to: nets6)
    transaction.add(Element(key: [.port(1000)], end: [.port(2000)]), to: ports)
    transaction.delete(Element(prefix), from: nets)
    transaction.add(
      Element(
        key: [v4(0), .port(80)], end: [.ipv4(IPv4Address(10, 22, 255, 255)), .port(90)], comment: "web"),
      to: ranges)
    try expectEqual("interval", transaction)
    #expect(
      transaction.description.split(separator: "\n").map(String.init) == (try NFTFixture("interval")).lines)
  }

  @Test func masquerade() throws {
    var transaction = MasqueradeLayout().everything(
      for: try #require(IPPrefix("10.22.0.0/16")), chain: "net-10.22.0.0-16")
    transaction =
      transaction
      + MasqueradeLayout().chain(
        for: try #require(IPPrefix("fd00:22::/64")), name: "net-fd00-22", verb: .add)
    transaction.create(
      Element(v4(5), verdict: .goto("net-10.22.0.0-16"), comment: "n/c/eth0"), in: MasqueradeLayout().sources4
    )
    try expectEqual("masquerade", transaction)
  }

  @Test func spoofGuard() throws {
    let layout = SpoofGuardLayout()
    var transaction = layout.everything
    transaction =
      transaction
      + layout.allow(
        "veth1a2b", try #require(MACAddress("02:42:ac:11:00:02")), comment: "n/c/eth0")
    try expectEqual("spoof-guard", transaction)
    #expect(
      transaction.commands[4].description
        == "add rule bridge cni_guard prerouting iifname @guarded iifname . ether saddr != @allowed drop")
  }

  @Test func changes() throws {
    let chain = Chain(cni, "c")
    let sources = NFTSet.map(cni, "m", [.ipv4Address], to: .verdict)
    let a4 = NFTSet(cni, "a4", key: [.ipv4Address])
    var transaction = NFTransaction()
    transaction.delete(Rule(in: chain, handle: 3))
    transaction.insert(Rule(in: chain, [.counter]))
    transaction.add(Rule(in: chain, [.accept], position: 4))
    transaction.insert(Rule(in: chain, [.accept], position: 4))
    transaction.delete(Element(v4(5), verdict: .accept), from: sources)
    transaction.flush(a4)
    transaction.flush(chain)
    transaction.delete(Chain(cni, "d"))
    transaction.delete(a4)
    transaction.delete(sources)
    transaction.flush(cni)
    transaction.delete(cni)
    try expectEqual("delete", transaction)

    transaction = NFTransaction()
    let sources4 = NFTSet.map(cni, "sources4", [.ipv4Address], to: .verdict)
    transaction.add(Rule(in: chain, [.vmap(.ipSource, in: sources4)]))
    transaction.insert(Rule(in: chain, [.accept], comment: "first", position: 2))
    transaction.create(Element(v4(5), verdict: .accept), in: sources4)
    transaction.create(Chain(cni, "d"))
    try expectEqual("existing", transaction)
  }
}
