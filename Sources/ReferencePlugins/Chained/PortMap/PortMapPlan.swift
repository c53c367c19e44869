import CNIPluginKit
import NetworkAddresses

/// Who keeps the port mappings of a container, on this host.
///
/// Where a host translates addresses by rules of iptables of its own, those of a container belong among them: there their
/// order can be seen, and changed. Each family is decided about by itself.
struct PortMapPlan {
  /// The addresses whose mappings are in our own table.
  var native: [IPPrefix] = []
  /// The addresses whose mappings are in iptables.
  var foreign: [IPPrefix] = []
  /// In which form of it; a family that is missing is asked for later.
  var forms: [AddressFamily: IPTablesTable.Form] = [:]
  /// Whether our own table keeps others from the host's loopback address also where the mappings are in iptables.
  ///
  /// Not if iptables was asked for: then nothing is left that the Go plugin does not remove.
  var guardsLoopback = false
  /// Those of our own table whose family has mappings of other containers in iptables.
  var shared: [AddressFamily] = []
  /// Whether the container has mappings in iptables from before.
  var hasOwnInIPTables = false

  /// What `backend` asks for, or else what the host needs. In the latter case the host is asked.
  init(_ configuration: PortMapConfiguration, _ addresses: [IPPrefix], _ owner: Owner) throws {
    switch configuration.backend {
    case .nftables: native = addresses
    case .iptables: foreign = addresses
    case nil:
      let surroundings = try ForeignPortMappings(owner).surroundings(addresses.map(\.family))
      forms = surroundings.forms
      guardsLoopback = surroundings.hasNFTables
      hasOwnInIPTables = surroundings.hasOwn
      native = addresses.filter { forms[$0.family] == nil }
      foreign = addresses.filter { forms[$0.family] != nil }
      shared = native.map(\.family).filter(surroundings.mapped.contains)
    }
  }

  /// The interface that loopback addresses have to pass, and cannot yet; nil if there is none.
  func linkToOpen(_ configuration: PortMapConfiguration) throws -> LocalRouting.Interface? {
    let addresses = (native + (guardsLoopback ? foreign : [])).filter { $0.family == .ipv4 }
    guard let address = addresses.first?.address,
      MappedPorts(configuration, addresses: addresses).needLocalRouting,
      let link = try LocalRouting.interface(to: address), link.needsEnabling
    else { return nil }
    return link
  }
}
