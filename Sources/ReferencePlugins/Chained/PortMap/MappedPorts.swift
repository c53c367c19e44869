import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// The port mappings of an attachment, with the addresses that they lead to, as elements of ``PortMapTable``.
struct MappedPorts {
  let mappings: [PortMapping]
  /// With the length of its subnet, at most one of each family.
  let addresses: [IPPrefix]
  let translatesSource: Bool
  let masqueradesAll: Bool
  let conditions: MappingConditions

  init(_ configuration: PortMapConfiguration, addresses: [IPPrefix]) {
    mappings = configuration.mappings ?? []
    self.addresses = addresses
    translatesSource = configuration.translatesSource
    masqueradesAll = configuration.masqueradesAll
    conditions = configuration.conditions ?? .none
  }

  /// The elements that translate destinations: each mapping once for each family that it serves.
  func destinations() -> [(mapping: PortMapping, entry: OwnedTable.Entry)] {
    let suffix = conditions.suffix
    var entries: [(mapping: PortMapping, entry: OwnedTable.Entry)] = []
    for prefix in addresses {
      for mapping in mappings where mapping.canServe(prefix.family) {
        let address = mapping.hostAddress
        let map = PortMapTable.ports(prefix.family, addressed: address != nil, suffix: suffix)
        var key: [NFTValue] = [.protocol(mapping.transport.number), .port(mapping.hostPort)]
        if let address { key.insert(NFTValue(address), at: 0) }
        let target: [NFTValue] = [NFTValue(prefix.address), .port(mapping.containerPort)]
        entries.append((mapping, .init(Element(key: key, data: .value(target)), in: map)))
      }
    }
    return entries
  }

  /// The elements that hide sources: each once, also where several mappings lead to the same port.
  func sources() -> [OwnedTable.Entry] {
    guard translatesSource else { return [] }
    var entries: [OwnedTable.Entry] = []
    var seen: Set<[NFTValue]> = []
    for prefix in addresses {
      for mapping in mappings where mapping.canServe(prefix.family) {
        let target: [NFTValue] = [
          NFTValue(prefix.address), .protocol(mapping.transport.number), .port(mapping.containerPort),
        ]
        for source in hidden(from: mapping, prefix) {
          let key = source.isDefault ? target : [NFTValue(source.network.address)] + target
          let set: NFTSet = PortMapTable.source(prefix.family, length: source.length)
          if seen.insert([.port(UInt16(source.length))] + key).inserted {
            entries.append(.init(Element(key: key), in: set))
          }
        }
      }
    }
    return entries
  }

  /// Whoever connects from there has to be hidden from the container, so that it answers by way of the host.
  private func hidden(from mapping: PortMapping, _ container: IPPrefix) -> [IPPrefix] {
    if masqueradesAll { return [.everything(container.family)] }
    var sources: [IPPrefix] = []
    // Itself, and its neighbours; they do not reach a loopback address of the host's.
    if mapping.hostAddress?.isLoopback != true { sources.append(container) }
    if mapping.reachesLoopback(container.family) { sources.append(IPPrefix("127.0.0.0/8")!) }
    return sources
  }

  /// Whether the host's loopback address has to lead to a container.
  var needLocalRouting: Bool {
    translatesSource && addresses.contains { $0.family == .ipv4 }
      && mappings.contains { $0.reachesLoopback(.ipv4) }
  }

  /// The layouts of all these elements.
  func layouts(_ entries: [OwnedTable.Entry]) -> [OwnedTable.Layout] {
    var layouts: [OwnedTable.Layout] = []
    var seen: Set<String> = []
    for entry in entries where entry.set.name.hasPrefix("from") && seen.insert(entry.set.name).inserted {
      if let layout = PortMapTable.owned.layout(of: entry.set.name) { layouts.append(layout) }
    }
    return addresses.isEmpty ? layouts : [PortMapTable.layout(conditions)] + layouts
  }
}

extension PortMapping {
  /// Whether there is a way to map it: there is none from the loopback address of IPv6.
  func canServe(_ family: AddressFamily) -> Bool { serves(family) && !isUnreachable }

  /// Asks for ::1, which the kernel does not let lead anywhere.
  var isUnreachable: Bool { hostAddress?.family == .ipv6 && hostAddress?.isLoopback == true }

  /// Whether it can be reached by the host's loopback address.
  func reachesLoopback(_ family: AddressFamily) -> Bool {
    family == .ipv4 && canServe(family) && hostAddress?.isLoopback ?? true
  }
}

extension AddResult {
  /// The addresses of an interface in the container, the first of each family.
  func containerAddresses(_ interfaceName: String) -> [IPPrefix] {
    var addresses: [IPPrefix] = []
    for ip in ips where !addresses.contains(where: { $0.family == ip.address.family }) {
      if let index = ip.interface, interfaces.indices.contains(index) {
        let interface = interfaces[index]
        guard interface.name == interfaceName, interface.sandbox?.isEmpty == false else { continue }
      }
      addresses.append(ip.address)
    }
    return addresses
  }
}
