import NetworkAddresses

@testable import Netlink

/// The way masquerading is laid out: one look-up of the source leads to a chain per subnet.
struct MasqueradeLayout {
  let table = Table(.inet, "cni_masquerade")
  var postrouting: Chain {
    Chain(
      table, "postrouting",
      base: .init(.nat, hook: .postrouting, priority: .sourceNAT, policy: .accept))
  }
  var sources4: NFTSet { .map(table, "sources4", [.ipv4Address], to: .verdict) }
  var sources6: NFTSet { .map(table, "sources6", [.ipv6Address], to: .verdict) }

  /// What is there once.
  func base(_ verb: NFTCommand.Verb) -> NFTransaction {
    var transaction = NFTransaction([
      .init(verb, .table(table)), .init(verb, .chain(postrouting)), .init(verb, .set(sources4)),
      .init(verb, .set(sources6)),
    ])
    transaction.add(Rule(in: postrouting, [.vmap(.ipSource, in: sources4)]))
    transaction.add(Rule(in: postrouting, [.vmap(.ip6Source, in: sources6)]))
    return transaction
  }

  /// What is there for each subnet.
  func chain(for subnet: IPPrefix, name: String, verb: NFTCommand.Verb) -> NFTransaction {
    let chain = Chain(table, name)
    let multicast = subnet.family == .ipv4 ? IPPrefix("224.0.0.0/4")! : IPPrefix("ff00::/8")!
    var transaction = NFTransaction([.init(verb, .chain(chain))])
    transaction.add(Rule(in: chain, [.destination(.equal, subnet), .return]))
    transaction.add(Rule(in: chain, [.destination(.equal, multicast), .return]))
    transaction.add(Rule(in: chain, [.masquerade]))
    return transaction
  }

  func everything(for subnet: IPPrefix, chain name: String) -> NFTransaction {
    base(.add) + chain(for: subnet, name: name, verb: .add)
  }

  /// What is there for each address.
  func source(_ address: IPAddress, chain: String, owner: String) -> NFTransaction {
    var transaction = NFTransaction()
    transaction.create(
      Element(NFTValue(address), verdict: .goto(chain), comment: owner),
      in: address.family == .ipv4 ? sources4 : sources6)
    return transaction
  }

  /// Adding an address: the element; else the chain too; else everything.
  func ladder(_ address: IPAddress, subnet: IPPrefix, chain name: String, owner: String) -> [NFTransaction] {
    let element = source(address, chain: name, owner: owner)
    let withChain = chain(for: subnet, name: name, verb: .create) + element
    return [element, withChain, base(.create) + withChain]
  }

  /// Takes everything away if nothing is in use, else nothing (`EBUSY`): a chain per subnet that is left keeps
  /// the table, an element keeps its map.
  func dismantle(chain name: String) -> NFTransaction {
    var transaction = NFTransaction()
    transaction.delete(Chain(table, name))
    transaction.delete(postrouting)
    transaction.delete(sources4, ifEmpty: true)
    transaction.delete(sources6, ifEmpty: true)
    transaction.delete(table, ifEmpty: true)
    return transaction
  }
}

/// The way the source addresses of frames are checked: two look-ups, however many ports there are.
struct SpoofGuardLayout {
  let table = Table(.bridge, "cni_guard")
  var guarded: NFTSet { NFTSet(table, "guarded", key: [.interfaceName]) }
  var allowed: NFTSet { NFTSet(table, "allowed", key: [.interfaceName, .etherAddress]) }
  var prerouting: Chain {
    Chain(
      table, "prerouting",
      base: .init(.filter, hook: .prerouting, priority: .bridgeDestinationNAT, policy: .accept))
  }

  var everything: NFTransaction {
    var transaction = NFTransaction()
    transaction.add(table)
    transaction.add(guarded)
    transaction.add(allowed)
    transaction.add(prerouting)
    transaction.add(
      Rule(
        in: prerouting,
        [
          .inputInterface(in: guarded), .fields(.inputInterface, .etherSource, notIn: allowed), .drop,
        ]))
    return transaction
  }

  func allow(_ port: String, _ mac: MACAddress, comment: String) -> NFTransaction {
    var transaction = NFTransaction()
    transaction.add(Element(.interface(port), comment: comment), to: guarded)
    transaction.add(Element(.interface(port), .mac(mac), comment: comment), to: allowed)
    return transaction
  }
}
