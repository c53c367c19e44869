import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

extension PortMapTable {
  /// Removes an owner's elements, those with these keys first of all. What goes with the table is undone.
  @discardableResult
  static func remove(
    _ keys: [(key: [NFTValue], set: NFTSet)], of owner: Owner
  ) throws -> [OwnedTable.Entry] {
    var removal = OwnedTable.Removal()
    try PacketFilter.ifAvailable { socket in
      removal = try owned.remove(keys, spare: waiting, of: owner, from: &socket)
    }
    closeLoopback(removal)
    return removal.entries
  }

  /// Removes the elements of all owners that are meant.
  static func removeAll(where isMeant: (String) -> Bool) throws -> [OwnedTable.Entry] {
    var removal = OwnedTable.Removal()
    try PacketFilter.ifAvailable { socket in removal = try owned.removeAll(from: &socket, where: isMeant) }
    closeLoopback(removal)
    return removal.entries
  }

  private static func closeLoopback(_ removal: OwnedTable.Removal) {
    for entry in removal.extra {
      if case .interface(let name)? = entry.element.key.first { LocalRouting.disable(name) }
    }
  }

  /// Throws unless all elements are there, and the rules that look them up.
  static func verify(_ ports: MappedPorts, of owner: Owner) throws {
    let destinations = ports.destinations()
    if destinations.isEmpty { return }
    let sources = ports.sources()
    let layouts = ports.layouts(sources)
    let chains = layouts.flatMap(\.chains)
    let entries = destinations.map(\.entry) + sources
    var socket = try NetfilterSocket()
    let view = try socket.look(
      at: table, chains: chains, elements: entries.map { (key: $0.element.key, set: $0.set) })

    var hasWaited = false
    for (destination, element) in zip(destinations, view.elements) {
      var element = element
      if element == nil, let set = waiting.set(destination.entry.set) {
        element = try socket.element(destination.entry.element.key, of: set)
        hasWaited = true
      }
      guard let element, let holder = element.comment else {
        throw missing("\(destination.mapping) is not mapped any more")
      }
      let isOwn = owner.owns(holder, limit: Owner.commentLimit)
      // Another network of the same container may have it; then it leads to an address of that one.
      if !isOwn, let id = Owner(holder)?.attachment?.containerID, id == owner.attachment?.containerID {
        continue
      }
      guard isOwn, element.data == destination.entry.element.data else {
        throw missing(
          "\(destination.mapping) leads to \(element.data.map { "\($0)" } ?? "nowhere") of \(holder)")
      }
    }
    for (source, element) in zip(sources, view.elements.dropFirst(destinations.count)) where element == nil {
      throw missing(
        "connections to \(source.element.key.map(\.description).joined(separator: " ")) are not masqueraded any more"
      )
    }
    try verify(rules: layouts.flatMap(\.rules), of: chains, are: view.chains)
    if hasWaited {
      let chains = waiting.layout.chains
      try verify(rules: waiting.layout.rules, of: chains, are: socket.look(at: table, chains: chains).chains)
    }
    if ports.needLocalRouting, let address = ports.addresses.first(where: { $0.family == .ipv4 })?.address {
      try verifyLoopback(to: address, &socket)
    }
  }

  private static func verify(rules: [Rule], of chains: [Chain], are found: [Chain?]) throws {
    for (chain, found) in zip(chains, found) {
      let expected = rules.count { $0.chain.name == chain.name }
      if Int(found?.useCount ?? 0) < expected { throw missing("chain \(chain.reference) lacks rules") }
    }
  }

  /// Throws unless 127.0.0.1 leads to the container, and nothing comes in that way.
  private static func verifyLoopback(to address: IPAddress, _ socket: inout NetfilterSocket) throws {
    guard let link = try LocalRouting.interface(to: address), link.needsEnabling else { return }
    guard try socket.element([.interface(link.name)], of: localRouting) != nil else {
      throw missing(
        "\(link.name) is not in \(localRouting.reference) any more, which guards the host's 127.0.0.1")
    }
    if try !LocalRouting.isEnabled(link.name) {
      throw missing("127.0.0.1 does not lead to \(address) any more: route_localnet of \(link.name) is 0")
    }
  }

  private static func missing(_ what: String) -> CNIError {
    CNIError(.internalError, what, details: "delete and add the attachment again")
  }

  /// Throws code 50 when nf_tables lacks something that port mappings need.
  ///
  /// If the table is there, everything is. If not, one is made with all that belongs to it, dormant, and removed, in one
  /// transaction: nothing of it ever takes effect, and nothing remains.
  static func checkAvailability() throws(CNIError) {
    do {
      var socket = try NetfilterSocket()
      guard try socket.look(at: table).table == nil else { return }
      var trial = Table(.inet, "cni_portmap_trial")
      trial.flags = .dormant
      let targets = NFTSet.map(
        trial, "ports", [.internetProtocol, .internetService], to: .value([.ipv4Address, .internetService]))
      let chain = Chain(trial, "trial")
      var transaction = NFTransaction()
      transaction.add(trial)
      transaction.add(targets)
      transaction.add(chain)
      transaction.add(
        Chain(trial, "base", base: .init(.nat, hook: .prerouting, priority: .destinationNAT, policy: .accept))
      )
      transaction.add(
        Rule(
          in: chain,
          [
            .destinationType == .addressType(.local),
            .destinationNAT(
              to: .map([.l4Protocol, .destinationPort], .init(targets), family: .ipv4, hasPort: true)),
          ]))
      transaction.add(Rule(in: chain, [.connection(status: .destinationNAT), .masquerade]))
      transaction.delete(trial)
      try socket.commit(transaction)
    } catch {
      throw CNIError(
        .notAvailable, "nf_tables is not usable for port mappings: \(error)",
        details:
          "load the kernel modules nf_tables, nft_chain_nat, nft_fib_inet and nft_masq, or set backend to iptables"
      )
    }
  }
}
