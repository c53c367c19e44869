import CNI
import CNIPluginKit
import NetworkAddresses

/// The keys of the `bridge` plugin's configuration.
struct BridgeConfiguration: Sendable {
  /// `bridge`: the bridge's name.
  var bridge = "cni0"
  /// `isGateway`, or `isDefaultGateway`, which implies it: the bridge has the gateway's address.
  var isGateway = false
  /// `isDefaultGateway`: the container's default route goes through the bridge.
  var isDefaultGateway = false
  /// `forceAddress`: an address of the bridge that is in the way is replaced.
  var forceAddress = false
  /// `ipMasq` and `ipMasqBackend`.
  var masquerade: Masquerade.Backend?
  /// `mtu`; `nil` for the kernel's default.
  var mtu: UInt32?
  /// `hairpinMode`: traffic may return through the port it came from.
  var hairpin = false
  /// `promiscMode` of the bridge.
  var promiscuous = false
  /// `portIsolation`: the port reaches non-isolated ports only.
  var isolated = false
  /// `vlan`, `vlanTrunk`, `preserveDefaultVlan`.
  var vlans: BridgePortVLANs?
  /// `macspoofchk`: frames with another source address than the container's are dropped.
  var checksSourceMAC = false
  /// `enabledad`: IPv6 duplicate address detection.
  var detectsDuplicateAddresses = false
  /// `disableContainerInterface`: the container's interface stays down.
  var leavesInterfaceDown = false
  /// The container's hardware address: `runtimeConfig.mac`, `args.cni.mac` or `MAC` of `CNI_ARGS`.
  var mac: MACAddress?

  init(_ call: PluginCall) throws(CNIError) {
    let keys = try call.configuration.object()
    if let name = try keys.string("bridge") {
      try Validation.interfaceName(name, ofKey: "bridge")
      bridge = name
    }
    masquerade = try Masquerade.Backend(keys)
    checksSourceMAC = try keys.flag("macspoofchk")
    // That is all that removing needs. A mistake in the rest must not keep anything from being removed.
    if call.command == .del || call.command == .gc {
      vlans = try? BridgePortVLANs(keys)
      return
    }

    isDefaultGateway = try keys.flag("isDefaultGateway")
    isGateway = try keys.flag("isGateway") || isDefaultGateway
    forceAddress = try keys.flag("forceAddress")
    mtu = try keys.mtu()
    hairpin = try keys.flag("hairpinMode")
    promiscuous = try keys.flag("promiscMode")
    isolated = try keys.flag("portIsolation")
    vlans = try BridgePortVLANs(keys)
    detectsDuplicateAddresses = try keys.flag("enabledad")
    leavesInterfaceDown = try keys.flag("disableContainerInterface")
    mac = try call.requestedMAC()

    if isGateway, call.configuration.ipamType != nil, let name = gatewayName, name.utf8.count > 15 {
      throw CNIError(
        .invalidConfiguration, "the gateway's interface \(name) would have a name of more than 15 bytes",
        details: "with vlan and isGateway it is called BRIDGE.VLAN; give the bridge a shorter name")
    }
    if hairpin, promiscuous {
      throw CNIError(
        .invalidConfiguration, "hairpinMode and promiscMode exclude each other",
        details: "a promiscuous bridge already returns traffic to its port; remove one of the two")
    }
    if leavesInterfaceDown, call.configuration.ipamType != nil {
      throw CNIError(
        .invalidConfiguration, "disableContainerInterface and ipam exclude each other",
        details: "an interface that stays down has no use for addresses; remove one of the two")
    }
  }
}

extension BridgeConfiguration {
  /// The host's own interface in the VLAN, which has the gateway's address; `nil` without `vlan`: then the bridge has it.
  var gatewayName: String? { vlans?.access.map { "\(bridge).\($0)" } }
}

/// The VLANs of a bridge port: `vlan` (untagged, the port's own) and `vlanTrunk` (tagged).
struct BridgePortVLANs: Sendable, Equatable {
  /// `vlan`: 1–4094; `nil` for none.
  var access: UInt16?
  /// `vlanTrunk`, in ascending order without duplicates.
  var trunk: [UInt16]
  /// `preserveDefaultVlan`: the VLANs that the bridge gave to the port stay.
  var preservesDefault: Bool

  /// `nil` where the configuration speaks of no VLAN.
  init?(_ keys: ConfigurationObject) throws(CNIError) {
    let access = try keys.integer("vlan", in: 0...4094) ?? 0
    preservesDefault = try keys.flag("preserveDefaultVlan")
    self.access = access == 0 ? nil : UInt16(access)
    var members: Set<UInt16> = []
    let entries = try keys.objects("vlanTrunk")
    for entry in entries {
      let id = try entry.integer("id", in: 1...4094)
      let lower = try entry.integer("minID", in: 1...4094)
      let upper = try entry.integer("maxID", in: 1...4094)
      if let id { members.insert(UInt16(id)) }
      switch (lower, upper) {
      case (nil, nil): break
      case (let lower?, let upper?) where lower <= upper:
        for member in lower...upper { members.insert(UInt16(member)) }
      case (let lower?, let upper?):
        throw entry.failure("minID \(lower) is above maxID \(upper)", remedy: "exchange the two")
      case (_?, nil):
        throw entry.failure("minID stands without maxID", remedy: "give both, or id for a single VLAN")
      case (nil, _?):
        throw entry.failure("maxID stands without minID", remedy: "give both, or id for a single VLAN")
      }
    }
    trunk = members.sorted()
    if self.access == nil, trunk.isEmpty { return nil }
  }

  /// The VLAN that untagged frames of the port belong to: `vlan`, or 1 for a trunk that names none.
  var native: UInt16 { access ?? 1 }
}
