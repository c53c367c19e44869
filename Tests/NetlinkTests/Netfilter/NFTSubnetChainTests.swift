import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// A base chain and a plain set for each subnet. The kernel walks a whole verdict map on each commit that adds a
/// `goto` or `jump` to it (about 0.14 µs per element); a plain set it does not, so an address costs the same
/// however many there are. And nothing has to be listed to take the chain away.
@Suite(.requiresRoot, .requiresProgram("nft")) struct NFTSubnetChainTests {
  private let table = Table(.inet, "cni_masquerade")
  private let subnet = IPPrefix("10.22.0.0/16")!
  private var sources: NFTSet { NFTSet(table, "net-10.22.0.0-16", key: [.ipv4Address]) }
  private var chain: Chain {
    Chain(table, "net-10.22.0.0-16", base: .init(.nat, hook: .postrouting, priority: .sourceNAT))
  }

  private func element(_ index: Int) -> Change {
    let element = Element(
      .ipv4(IPv4Address(rawValue: 0x0a16_0000 + UInt32(index))), comment: "n/c\(index)/eth0")
    var add = Change()
    add.adding.create(element, in: sources)
    add.deleting.delete(element, from: sources)
    return add
  }

  private struct Change {
    var adding = NFTransaction()
    var deleting = NFTransaction()
  }

  private var layout: NFTransaction {
    var transaction = NFTransaction()
    transaction.add(table)
    transaction.create(sources)
    transaction.create(chain)
    transaction.add(Rule(in: chain, [.fields(.ipSource, notIn: sources), .return]))
    transaction.add(Rule(in: chain, [.destination(.equal, subnet), .return]))
    transaction.add(Rule(in: chain, [.destination(.equal, IPPrefix("224.0.0.0/4")!), .return]))
    transaction.add(Rule(in: chain, [.masquerade]))
    return transaction
  }

  private var dismantling: NFTransaction {
    var transaction = NFTransaction()
    transaction.delete(chain)
    transaction.delete(sources, ifEmpty: true)
    return transaction
  }

  @Test func comesAndGoesUnderFiftyAtOnce() throws {
    try inNewNetworkNamespace {
      for _ in 0..<3 {
        let failures = concurrently(50) { index in
          var socket = try NetfilterSocket()
          let element = element(index)
          try socket.commit(firstPossible: [element.adding, layout + element.adding])
          try socket.commit(element.deleting)
          for transaction in [dismantling, NFTransaction([.init(.deleteEmpty, .table(table))])] {
            _ = try socket.commit(transaction) { $0.errno.rawValue == EBUSY || $0.isNotFound }
          }
        }
        let left = try shell("nft list ruleset")
        #expect(failures == [] && left == "")
      }
    }
  }

  @Test func staysWhileAnAddressIsLeft() throws {
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      #expect(try socket.commit(firstPossible: [element(5).adding, layout + element(5).adding]) == 1)
      #expect(try socket.commit(firstPossible: [element(6).adding, layout + element(6).adding]) == 0)
      try socket.commit(element(5).deleting)
      let error = try #require(throws: NetlinkError.self, performing: { try socket.commit(dismantling) })
      #expect(error.errno.rawValue == EBUSY)
      #expect(try socket.rules(in: chain).count == 4)
      let list = try shell("nft -j list ruleset >/dev/null; nft list chain inet cni_masquerade \(chain.name)")
      for rule in try socket.rules(in: chain) { #expect(list.contains("\t\t\(rule)\n")) }
      try socket.commit(element(6).deleting)
      try socket.commit(dismantling)
      try socket.commit(NFTransaction([.init(.deleteEmpty, .table(table))]))
      #expect(try shell("nft list ruleset") == "")
    }
  }
}
