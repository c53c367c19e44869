import CNI
public import NetworkAddresses
import Netlink

/// Two containers that ask for the same port: the first one has it, as with iptables the first rule that fits decides.
extension ForeignPortMappings {
  /// Throws if another container has one of the ports in iptables, in a rule that comes before those of this one.
  ///
  /// A mapping of one address of the host's leaves the others to somebody else, and one under conditions leaves what does
  /// not meet them. The same container may have it in another network: then that one keeps it.
  ///
  /// - Throws: `CNIError` with code 100 that names the container.
  public func requireFree(_ mappings: [PortMapping], _ families: [AddressFamily]) throws {
    for family in families {
      for form in IPTablesTable.Form.allCases { try requireFree(mappings, family, form) }
    }
  }

  func requireFree(_ mappings: [PortMapping], _ family: AddressFamily, _ form: IPTablesTable.Form) throws {
    let wanted = mappings.filter { $0.serves(family) }
    guard let (mapping, holder) = try earlier(wanted, family, form) else { return }
    throw CNIError(
      CNIError.Code(rawValue: 100),
      "port \(mapping.hostDescription) of the host is taken by container \(holder.containerID), network "
        + "\(holder.network), in iptables",
      details:
        "map another port, or remove that container first; if it is gone already, its DEL or a GC frees the port"
    )
  }

  private func earlier(
    _ mappings: [PortMapping], _ family: AddressFamily, _ form: IPTablesTable.Form
  ) throws -> (PortMapping, ForeignPortMappings)? {
    var legacy: NATRules = [:]
    var entries: [NATRule] = []
    switch form {
    case .legacy:
      legacy = NATRules(legacy: family)
      entries = legacy[Self.entrance] ?? []
    case .nft:
      try PacketFilter.ifAvailable { socket in
        entries = try socket.rules(in: Chain(ForeignTables.nat(family), Self.entrance)).map(NATRule.init)
      }
    }
    for mapping in mappings {
      let transport = mapping.transport.number.rawValue
      for entry in entries where entry.takes(mapping.hostPort, transport) {
        guard let chain = entry.jump else { continue }
        // Whoever comes later gets nothing.
        if chain == chainName { break }
        guard !entry.isNarrowed, let holder = entry.comment.flatMap(Self.init(comment:)),
          holder.containerID != containerID
        else { continue }
        var rules = legacy[chain] ?? []
        if form == .nft {
          try PacketFilter.ifAvailable { socket in
            rules = try socket.rules(in: Chain(ForeignTables.nat(family), chain)).map(NATRule.init)
          }
        }
        let takesAll = rules.contains { rule in
          rule.translation != nil && !rule.isNarrowed && rule.takes(mapping.hostPort, transport)
            && (rule.destination == nil || rule.destination == mapping.hostAddress)
        }
        if takesAll { return (mapping, holder) }
      }
    }
    return nil
  }

  /// Whose a rule is that leads to a container's chain; nil if the comment says something else, or was cut.
  private init?(comment: String) {
    let parts = comment.split(separator: "\"", omittingEmptySubsequences: false)
    guard parts.count == 5, parts[0] == "dnat name: ", parts[2] == " id: " else { return nil }
    self.init(network: String(parts[1]), containerID: String(parts[3]))
  }
}
