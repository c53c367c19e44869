import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// `firewall`: lets a container's packets pass the host's firewall, and keeps bridges apart.
struct Firewall: ChainedPlugin {
  static let type = "firewall"
  static let summary =
    "lets a container's packets pass the host's firewall, and says which containers may reach it"
  static let supportedVersions = SpecVersion.allCases.filter { $0 >= .v0_4_0 }
  static let changesNamespace = false
  static let neededPrivileges: [Privileges.Capability] = [.netAdmin]

  let configuration: FirewallConfiguration

  init(_ call: PluginCall) throws {
    configuration = try FirewallConfiguration(call)
  }

  // MARK: ADD

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    let addresses = result.addresses
    let policy = try policy(for: result)
    if addresses.isEmpty { return }
    let families = addresses.families
    let plan = try FirewallPlan(configuration, families: families)
    for warning in plan.warnings { call.log(warning) }

    // Ours first: it tells also whose the addresses are that the others have.
    if plan.hasNFTables {
      let native = native(addresses, plan.polices(families) ? policy : nil, call.owner)
      var socket = try NetfilterSocket()
      undo.register("elements of table inet cni_firewall") {
        try PacketFilter.ifAvailable { socket in _ = try native.remove(from: &socket) }
      }
      try native.install(in: &socket)
    }
    for family in families {
      let own = addresses.filter { $0.family == family }
      let chains = IPTablesFirewall(family: family, adminChain: configuration.adminChain)
      for form in plan.forms[family, default: []].sorted(by: { $0.rawValue < $1.rawValue }) {
        try chains.install(own, policy: policy, in: form)
        undo.register("rules of iptables") { try chains.remove(own) }
      }
    }
    if let policy, policy.isIsolated {
      let ports = IsolatedPorts(result, bridge: policy.bridge)
      if try ports.isolate(true) { undo.register("isolation of a port") { try ports.isolate(false) } }
    }
    if plan.usesFirewalld { try putIntoZone(call, addresses, &undo) }
  }

  private func native(
    _ addresses: [IPAddress], _ policy: IPTablesFirewall.Policy?, _ owner: Owner
  ) -> NativeFirewall {
    NativeFirewall(
      addresses: addresses, bridge: policy?.bridge, isIsolated: policy?.isIsolated ?? false, owner: owner)
  }

  /// The policy with the bridge that it is about: the first interface of the result that is on the host.
  ///
  /// - Throws: code 7 if there is a policy and no such interface.
  private func policy(for result: AddResult) throws(CNIError) -> IPTablesFirewall.Policy? {
    if configuration.ingressPolicy == .open { return nil }
    guard let bridge = result.interfaces.first(where: \.isOnHost)?.name else {
      throw CNIError(
        .invalidConfiguration,
        "ingressPolicy: \(configuration.ingressPolicy.rawValue) needs an interface on the host, and the result of the "
          + "plugins before has none",
        details: "put firewall behind bridge, or leave ingressPolicy out")
    }
    // It becomes a word of rules.
    try Validation.interfaceName(bridge, ofKey: "prevResult.interfaces")
    return .init(bridge: bridge, isIsolated: configuration.ingressPolicy == .isolated)
  }

  // MARK: CHECK

  func verify(_ call: PluginCall, against result: AddResult) throws {
    let addresses = result.addresses
    let policy = try policy(for: result)
    if addresses.isEmpty { return }
    let plan = try FirewallPlan(configuration, families: addresses.families)
    for family in addresses.families {
      let own = addresses.filter { $0.family == family }
      let chains = IPTablesFirewall(family: family, adminChain: configuration.adminChain)
      let forms = plan.forms[family, default: []]
      for form in forms { try chains.verify(own, policy: policy, in: form) }
      if !forms.isEmpty || plan.usesFirewalld && policy == nil { continue }
      do {
        var socket = try NetfilterSocket()
        try native(own, policy, call.owner).verify(&socket)
      } catch {
        // The Go plugins have put it into iptables.
        let isForeign = IPTablesTable.Form.allCases.contains {
          (try? chains.verify(own, policy: policy, in: $0)) != nil
        }
        if !isForeign { throw error }
      }
    }
    if let policy, policy.isIsolated { try IsolatedPorts(result, bridge: policy.bridge).verify() }
    guard plan.usesFirewalld else { return }
    var zone = try FirewalldZone(configuration.zone)
    for address in addresses where try !zone.contains(address) {
      throw CNIError(.internalError, "\(address) is not in zone \(configuration.zone) of firewalld any more")
    }
  }

  // MARK: DEL and GC

  func remove(_ call: PluginCall, previous: AddResult?) throws {
    var addresses = previous?.addresses ?? []
    let bridge = previous?.hostInterfaces.first
    let record = FirewalldRecord.of(call.owner)
    var steps = EveryStep()
    let policy = bridge.map {
      IPTablesFirewall.Policy(bridge: $0, isIsolated: configuration.ingressPolicy == .isolated)
    }
    let native = native(addresses, configuration.ingressPolicy == .open ? nil : policy, call.owner)
    steps.attempt {
      try PacketFilter.ifAvailable { socket in
        if previous == nil {
          addresses = try NativeFirewall.addresses(in: &socket) {
            call.owner.owns($0, limit: Owner.commentLimit)
          }
          return
        }
        // Who has got an address since then keeps it.
        let others = try native.addressesOfOthers(&socket)
        addresses.removeAll(where: others.contains)
      }
    }
    for family in addresses.families { steps.attempt { try removeChains(addresses, family) } }
    // Without a result, and GC never has one, only our own table says what the container has: while rules of it are left, it
    // has to know.
    if previous != nil || steps.hasSucceeded {
      var further: [IPAddress] = []
      steps.attempt {
        try PacketFilter.ifAvailable { socket in
          further = try native.remove(from: &socket).filter { !addresses.contains($0) }
        }
      }
      for family in further.families { steps.attempt { try removeChains(further, family) } }
      addresses += further
    }
    if let previous, let bridge, configuration.ingressPolicy == .isolated {
      steps.attempt { try IsolatedPorts(previous, bridge: bridge).isolate(false) }
    }
    steps.attempt { try takeOutOfZone(call, addresses, record) }
    try steps.finish()
  }

  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    var addresses: [IPAddress] = []
    var steps = EveryStep()
    steps.attempt {
      try PacketFilter.ifAvailable { socket in
        addresses = try NativeFirewall.addresses(in: &socket, where: stale.contains)
      }
    }
    for family in addresses.families { steps.attempt { try removeChains(addresses, family) } }
    // Only our own table says whose the addresses are: while rules of theirs are left, it has to know.
    if steps.hasSucceeded {
      steps.attempt {
        try PacketFilter.ifAvailable { socket in try NativeFirewall.removeAll(where: stale, from: &socket) }
      }
    }
    for record in FirewalldRecord.all() where stale.contains(record.owner.mark(limit: Owner.commentLimit)) {
      steps.attempt { try removeFromZone(call, record, []) }
    }
    try steps.finish()
  }

  private func removeChains(_ addresses: [IPAddress], _ family: AddressFamily) throws {
    try IPTablesFirewall(family: family, adminChain: configuration.adminChain)
      .remove(addresses.filter { $0.family == family })
  }

  // MARK: STATUS

  func checkRequirements(_ call: PluginCall) throws {
    switch configuration.backend {
    case .firewalld:
      _ = try FirewalldZone(configuration.zone, code: .notAvailable)
    case .nftables:
      try PacketFilter.checkAvailability(otherwise: "set \"backend\" to iptables")
      if let warning = try FirewallPlan.policies([.ipv4, .ipv6]).first {
        throw CNIError(
          .limitedConnectivity, "\"backend\" is nftables, and \(warning)",
          details: "leave \"backend\" out, or set it to iptables: then that chain is told, too")
      }
    case .iptables, nil:
      let plan = try FirewallPlan(configuration, families: [.ipv4, .ipv6])
      for family in [AddressFamily.ipv4, .ipv6] {
        for form in plan.forms[family, default: []] where !IPTables(family).restoreProgram(form).isInstalled {
          throw CNIError(
            .notAvailable,
            "\(family == .ipv4 ? "iptables-restore" : "ip6tables-restore") is not installed, and rules are needed in "
              + "iptables (\(form.rawValue))",
            details: configuration.backend == nil
              ? "install iptables: this host's rules live there"
              : "install iptables, or leave \"backend\" out")
        }
      }
    }
  }
}

extension AddResult {
  /// The container's addresses, each once.
  fileprivate var addresses: [IPAddress] {
    var addresses: [IPAddress] = []
    for ip in ips where !addresses.contains(ip.address.address) { addresses.append(ip.address.address) }
    return addresses
  }

  /// The names of the interfaces that are not in a container, without what cannot be one.
  var hostInterfaces: [String] {
    interfaces.filter(\.isOnHost).map(\.name).filter { (try? Validation.interfaceName($0)) != nil }
  }
}

extension Interface {
  /// Whether it is in no container, and has a name.
  fileprivate var isOnHost: Bool { (sandbox?.isEmpty ?? true) && !name.isEmpty }
}

extension [IPAddress] {
  /// The families there are addresses of, IPv4 first.
  fileprivate var families: [AddressFamily] {
    [.ipv4, .ipv6].filter { family in contains { $0.family == family } }
  }
}
