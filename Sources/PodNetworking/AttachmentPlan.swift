import CNI
import CNIRuntime
import NetworkAddresses

/// What one selection of a pod comes to: a network by name, an interface, and what plugins are told.
struct AttachmentPlan: Sendable {
  var network: String
  var parameters: AttachmentParameters

  var attachment: Attachment { parameters.attachment }
}

extension Pod {
  /// What it wants: the default network if it names none.
  var selections: [NetworkSelection] { networks.isEmpty ? [NetworkSelection()] : networks }

  /// One plan for each selection, in their order.
  ///
  /// - Parameters:
  ///   - memory: What the pod has already: a network keeps its interface, and no other one gets that.
  ///   - defaultNetwork: Gives the name of the default network; called only where it is needed.
  func plans(
    operation: String, memory: PodMemory = .nothing, defaultNetwork: () throws(PodNetworkError) -> String
  ) throws(PodNetworkError) -> [AttachmentPlan] {
    try validate(operation)
    var networks: [String] = []
    for selection in selections {
      if let name = selection.network { networks.append(name) } else { networks.append(try defaultNetwork()) }
    }
    let present = memory.made(in: networkNamespace)
    let interfaces = try interfaceNames(selections, networks, present, operation)
    let aliases = aliasesByNetwork(selections, networks)
    var plans: [AttachmentPlan] = []
    for (index, selection) in selections.enumerated() {
      // By the path that is remembered, if it is there already: the same one by another path would be taken for a new one.
      let known = present.first {
        $0.network == networks[index] && $0.parameters.interfaceName == interfaces[index]
          && !$0.parameters.namespace.isEmpty
      }
      let parameters = AttachmentParameters(
        containerID: id, namespace: known?.parameters.namespace ?? networkNamespace,
        interfaceName: interfaces[index],
        arguments: try arguments(for: selection, operation),
        capabilityArguments: selection.capabilityArguments(aliases: aliases))
      plans.append(AttachmentPlan(network: networks[index], parameters: parameters))
    }
    return plans
  }

  func validate(_ operation: String) throws(PodNetworkError) {
    do throws(CNIError) {
      try Validation.containerID(id)
      for selection in networks {
        if let network = selection.network { try Validation.networkName(network) }
        if let name = selection.interfaceName { try Validation.interfaceName(name) }
      }
    } catch {
      throw PodNetworkError(
        .invalidRequest, operation: operation,
        reason: error.details.isEmpty ? error.message : "\(error.message): \(error.details)")
    }
    for (value, what) in [(name, "name"), (namespace, "namespace"), (uid, "UID")]
    where value.utf8.contains(where: { $0 == UInt8(ascii: ";") || $0 < 0x20 }) {
      throw PodNetworkError(
        .invalidRequest, operation: operation,
        reason: "the pod's \(what) has a character that cannot be passed on to plugins (CNI_ARGS)")
    }
  }

  /// Those asked for; for the others the one that the network has in this pod, or else the first of `eth0`, `eth1`, … that
  /// nobody has.
  private func interfaceNames(
    _ selections: [NetworkSelection], _ networks: [String], _ present: [RememberedAttachment],
    _ operation: String
  ) throws(PodNetworkError) -> [String] {
    var taken: Set<String> = []
    for (network, selection) in zip(networks, selections) {
      guard let name = selection.interfaceName else { continue }
      func refuse(_ why: String) -> PodNetworkError {
        PodNetworkError(
          .invalidRequest, operation: operation,
          reason: "the interface name \"\(name)\", asked for network \"\(network)\", \(why)")
      }
      guard taken.insert(name).inserted else { throw refuse("is asked for twice") }
      let holders = present.filter { $0.parameters.interfaceName == name }
      if let holder = holders.first, !holders.contains(where: { $0.network == network }) {
        throw refuse("is what the pod has network \"\(holder.network)\" by")
      }
    }
    let held = Set(present.map(\.parameters.interfaceName))
    var next = 0
    return zip(networks, selections).map { network, selection in
      if let name = selection.interfaceName { return name }
      for known in present where known.network == network {
        if taken.insert(known.parameters.interfaceName).inserted { return known.parameters.interfaceName }
      }
      while held.contains("eth\(next)") || !taken.insert("eth\(next)").inserted { next += 1 }
      return "eth\(next)"
    }
  }

  private func arguments(
    for selection: NetworkSelection, _ operation: String
  ) throws(PodNetworkError) -> CNIArguments {
    var pairs: [(String, String)] = [
      ("IgnoreUnknown", "1"), ("K8S_POD_NAMESPACE", namespace), ("K8S_POD_NAME", name),
      ("K8S_POD_INFRA_CONTAINER_ID", id), ("K8S_POD_UID", uid),
    ]
    pairs += arguments.pairs.map { ($0.key, $0.value) }
    if let address = selection.ipAddress { pairs.append(("IP", "\(address)")) }
    if let address = selection.macAddress { pairs.append(("MAC", "\(address)")) }
    do throws(CNIError) {
      return try CNIArguments(parsing: pairs.map { "\($0.0)=\($0.1)" }.joined(separator: ";"))
    } catch {
      throw PodNetworkError(.invalidRequest, operation: operation, reason: error.message)
    }
  }

  /// As other container managers say it: of all networks, by name.
  private func aliasesByNetwork(_ selections: [NetworkSelection], _ networks: [String]) -> JSONObject {
    var aliases: [(network: String, names: [JSONValue])] = []
    for (index, selection) in selections.enumerated() where !selection.aliases.isEmpty {
      let names = selection.aliases.map { JSONValue.string($0) }
      if let known = aliases.firstIndex(where: { $0.network == networks[index] }) {
        aliases[known].names += names
      } else {
        aliases.append((networks[index], names))
      }
    }
    return JSONObject(aliases.map { ($0.network, .array($0.names)) })
  }
}

extension NetworkSelection {
  /// What is said about the whole pod comes first: a capability of that name among ``capabilities`` is the more special one.
  fileprivate func capabilityArguments(aliases: JSONObject) -> JSONObject {
    var all: [Capability] = []
    if let macAddress { all.append(.mac(macAddress)) }
    if !aliases.isEmpty { all.append(Capability("aliases", .object(aliases))) }
    return JSONObject(all + capabilities)
  }
}
