import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// `portmap`: ports of the host that lead to ports of the container.
struct PortMap: ChainedPlugin {
  static let type = "portmap"
  static let summary = "makes ports of the container reachable by ports of the host"
  static let changesNamespace = false

  let configuration: PortMapConfiguration

  init(_ call: PluginCall) throws {
    configuration = try PortMapConfiguration(call)
  }

  // MARK: ADD

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    guard let mappings = configuration.mappings, !mappings.isEmpty else { return }
    let addresses = result.containerAddresses(call.interfaceName)
    for mapping in mappings where !addresses.contains(where: { mapping.canServe($0.family) }) {
      call.log(
        mapping.isUnreachable
          ? "\(mapping) is left out: from ::1 the kernel lets nothing lead to a container, use 127.0.0.1"
          : "\(mapping) is left out: \(call.interfaceName) has no address of that family")
    }
    if addresses.isEmpty { return }
    let plan = try PortMapPlan(configuration, addresses, call.owner)
    try applyNatively(plan, call.owner, &undo)
    try applyToIPTables(plan, mappings, call.owner, &undo)
    // Only now: a flow that is forgotten earlier could be back before the rules are.
    StaleConnections.forget(to: mappings, addresses, call)
  }

  private func applyNatively(_ plan: PortMapPlan, _ owner: Owner, _ undo: inout UndoLog) throws {
    let ports = MappedPorts(configuration, addresses: plan.native)
    let destinations = ports.destinations()
    var entries = destinations.map(\.entry) + ports.sources()
    var shared: [OwnedTable.Entry] = []
    let link = try plan.linkToOpen(configuration)
    if let link {
      let entry = OwnedTable.Entry(Element(.interface(link.name)), in: PortMapTable.localRouting)
      // The host's end of a pair goes with the container; a bridge stays.
      if link.isOfContainer { entries.append(entry) } else { shared.append(entry) }
      entries += MappedPorts(configuration, addresses: plan.foreign.filter { $0.family == .ipv4 }).sources()
    }
    if plan.hasOwnInIPTables, !plan.native.isEmpty { try ForeignPortMappings(owner).remove() }
    if !plan.shared.isEmpty, !configuration.hasConditions {
      try ForeignPortMappings(owner).requireFree(configuration.mappings ?? [], plan.shared)
    }
    // Of an ADD whose DEL never came.
    if entries.isEmpty {
      try PortMapTable.remove([], of: owner)
      return
    }

    var socket = try NetfilterSocket()
    try PortMapTable.owned.install(
      entries, layouts: ports.layouts(entries), extra: shared, spare: PortMapTable.waiting, owner: owner,
      in: &socket
    ) { taken in
      try resolve(taken, destinations, owner)
    }
    undo.register("port mappings") { try PortMapTable.remove([], of: owner) }
    if let link { try LocalRouting.enable(link.name) }
  }

  private func applyToIPTables(
    _ plan: PortMapPlan, _ mappings: [PortMapping], _ owner: Owner, _ undo: inout UndoLog
  ) throws {
    if plan.foreign.isEmpty { return }
    try requireFreeInTable(plan, owner)
    undo.register("port mappings of iptables") { try ForeignPortMappings(owner).remove() }
    try ForeignPortMappings(owner).installIPTables(
      mappings, to: plan.foreign, configuration.foreignSettings, forms: plan.forms)
    if !plan.guardsLoopback, configuration.translatesSource,
      let address = plan.foreign.first(where: { $0.family == .ipv4 })?.address
    {
      try LocalRouting.enable(LocalRouting.interface(to: address)?.name)
    }
  }

  /// Throws if somebody has one of the ports in our own table, from a time when that was the place.
  private func requireFreeInTable(_ plan: PortMapPlan, _ owner: Owner) throws {
    if configuration.hasConditions { return }
    let destinations = MappedPorts(configuration, addresses: plan.foreign).destinations()
    let places = destinations.flatMap { destination in
      [destination.entry.set, PortMapTable.waiting.set(destination.entry.set)].compactMap { $0 }.map {
        (key: destination.entry.element.key, set: $0)
      }
    }
    try PacketFilter.ifAvailable { socket in
      let view = try socket.look(at: PortMapTable.table, elements: places)
      for (place, taken) in zip(places, view.elements) {
        if let taken { _ = try resolve(.init(taken, in: place.set), destinations, owner) }
      }
    }
  }

  /// Somebody else has the port.
  private func resolve(
    _ taken: OwnedTable.Entry, _ wanted: [(mapping: PortMapping, entry: OwnedTable.Entry)], _ owner: Owner
  ) throws -> OwnedTable.Resolution {
    let holder = taken.element.comment.flatMap { Owner($0) }
    // The same container in another network: callers ask each of its networks for all of its ports.
    if let attachment = holder?.attachment, attachment.containerID == owner.attachment?.containerID {
      return .wait
    }
    // What is no port was left by somebody who had the container's address before.
    guard case .value? = taken.element.data else { return .replace }
    let mapping = wanted.first { $0.entry.element.key == taken.element.key }?.mapping
    var who = "somebody else (\(taken.element.comment ?? "without a name"))"
    if let holder, let attachment = holder.attachment {
      who =
        "container \(attachment.containerID), network \(holder.network), interface \(attachment.interfaceName)"
    }
    throw CNIError(
      CNIError.Code(rawValue: 100),
      "port \(mapping?.hostDescription ?? taken.element.description) of the host is taken by \(who)",
      details:
        "map another port, or remove that container first; if it is gone already, its DEL or a GC frees the port"
    )
  }

  // MARK: DEL and GC

  func remove(_ call: PluginCall, previous: AddResult?) throws {
    var removed: [OwnedTable.Entry] = []
    var steps = EveryStep()
    steps.attempt { removed = try PortMapTable.remove(keys(call, previous), of: call.owner) }
    steps.attempt { try ForeignPortMappings(call.owner).remove() }
    StaleConnections.forget(
      removed, configuration.mappings ?? [], previous?.containerAddresses(call.interfaceName) ?? [], call)
    try steps.finish()
  }

  /// Where the attachment's elements are; not all of them, if the configuration has changed or little is known.
  private func keys(_ call: PluginCall, _ previous: AddResult?) -> [(key: [NFTValue], set: NFTSet)] {
    guard let previous, configuration.conditions != nil else { return [] }
    let ports = MappedPorts(configuration, addresses: previous.containerAddresses(call.interfaceName))
    var entries = ports.destinations().map(\.entry) + ports.sources()
    if !entries.isEmpty {
      entries += previous.interfaces.filter { $0.sandbox?.isEmpty ?? true }.map {
        .init(Element(.interface($0.name)), in: PortMapTable.localRouting)
      }
    }
    return entries.map { (key: $0.element.key, set: $0.set) }
  }

  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    var steps = EveryStep()
    steps.attempt {
      StaleConnections.forget(try PortMapTable.removeAll(where: stale.contains), [], [], call)
    }
    steps.attempt { try ForeignPortMappings.removeAll(where: stale) }
    try steps.finish()
  }

  // MARK: CHECK and STATUS

  func verify(_ call: PluginCall, against result: AddResult) throws {
    guard let mappings = configuration.mappings, !mappings.isEmpty else { return }
    let addresses = result.containerAddresses(call.interfaceName)
    var failure: (any Error)?
    if configuration.conditions != nil {
      do {
        return try PortMapTable.verify(MappedPorts(configuration, addresses: addresses), of: call.owner)
      } catch { failure = error }
    }
    // Each family may be in a form of its own, and another implementation may have added the container.
    for address in addresses {
      let served = mappings.filter { $0.serves(address.family) }
      if served.isEmpty { continue }
      do {
        try ForeignPortMappings(call.owner).verify(
          served, to: address.address, configuration.foreignSettings)
      } catch {
        let own = MappedPorts(configuration, addresses: [address])
        if failure != nil, (try? PortMapTable.verify(own, of: call.owner)) != nil { continue }
        throw failure ?? error
      }
    }
  }

  func checkRequirements(_ call: PluginCall) throws {
    switch configuration.backend {
    case .nftables: try PortMapTable.checkAvailability()
    case .iptables:
      if HostProgram("iptables-restore").isInstalled { return }
      throw CNIError(
        .notAvailable, "iptables-restore is not installed, and the configuration asks for it",
        details: "install iptables, or leave out backend and externalSetMarkChain: nf_tables needs no program"
      )
    case nil:
      let families: [AddressFamily] = [.ipv4, .ipv6]
      let forms = try ForeignPortMappings(call.owner).surroundings(families).forms
      if forms.count < families.count { try PortMapTable.checkAvailability() }
    }
  }
}

extension PortMapConfiguration {
  /// Whether ports are mapped under conditions: then they are ports of their own.
  fileprivate var hasConditions: Bool { (conditionsV4 + conditionsV6).contains { !$0.isEmpty } }

  /// The same for the iptables form.
  var foreignSettings: ForeignPortMappings.Settings {
    .init(
      masquerades: translatesSource, masqueradesAll: masqueradesAll, markBit: markBit,
      externalMarkChain: setMarkChain, conditionsV4: conditionsV4.filter { !$0.isEmpty },
      conditionsV6: conditionsV6.filter { !$0.isEmpty })
  }
}
