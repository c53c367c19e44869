import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// The settings of the host's end as a port of the bridge.
struct BridgePort {
  let configuration: BridgeConfiguration

  init(_ configuration: BridgeConfiguration) { self.configuration = configuration }

  /// Applies what differs from a new port's defaults.
  func apply(to index: Int32, of bridge: Link, in host: inout RouteSocket) throws {
    var requests: [RouteRequest] = []
    if configuration.hairpin || configuration.isolated {
      var settings = BridgePortSettings()
      if configuration.hairpin { settings.hairpin = true }
      if configuration.isolated { settings.isolated = true }
      requests.append(.bridgePort(.index(index), settings))
    }
    if let vlans = configuration.vlans { requests += Self.requests(for: vlans, port: index, of: bridge) }
    if !requests.isEmpty { try host.perform(requests) }
  }

  /// The VLANs of a new port. It was born into one, the bridge's default, if there is any.
  static func requests(for vlans: BridgePortVLANs, port index: Int32, of bridge: Link) -> [RouteRequest] {
    var requests: [RouteRequest] = []
    let born = bridge.bridge?.vlanDefaultPVID ?? 0
    if !vlans.preservesDefault, born != 0, born != vlans.native {
      requests.append(.deleteBridgeVLAN(index: index, BridgeVLAN(id: born)))
    }
    requests.append(
      .addBridgeVLAN(
        index: index, BridgeVLAN(id: vlans.native, isPVID: true, isUntagged: true)))
    for range in ranges(of: vlans.trunk.filter { $0 != vlans.native }) {
      requests.append(.addBridgeVLAN(index: index, BridgeVLAN(ids: range)))
    }
    return requests
  }

  /// Neighbouring VLAN numbers as ranges: a trunk of all 4094 is one message, not 4094.
  static func ranges(of ids: [UInt16]) -> [ClosedRange<UInt16>] {
    var ranges: [ClosedRange<UInt16>] = []
    for id in ids {
      if let last = ranges.last, last.upperBound + 1 == id {
        ranges[ranges.count - 1] = last.lowerBound...id
      } else {
        ranges.append(id...id)
      }
    }
    return ranges
  }

  /// Waits until the port forwards, so that the container's first packet already arrives.
  ///
  /// Current kernels settle the carrier state when they are asked for it; older ones do so within milliseconds.
  static func waitUntilUp(_ port: Link, in host: inout RouteSocket) throws {
    var state = port.operationalState
    let isUp = try Pause.until(within: 2500, longest: 200) {
      state = try host.link(index: port.index).operationalState
      return state == .up
    }
    if isUp { return }
    throw CNIError(
      .internalError, "the bridge port \(port.name) does not come up, its state is \(state)")
  }

  /// CHECK: the port is on the bridge, and has its settings.
  func verify(_ port: Link, on bridge: Link, in attachment: InterfaceAttachment) throws {
    guard port.master == bridge.index else {
      throw CNIError(.internalError, "\(port.name) is not a port of the bridge \(bridge.name) any more")
    }
    if let settings = port.bridgePort {
      if configuration.hairpin, settings.hairpin == false {
        throw CNIError(.internalError, "\(port.name) is not in hairpin mode any more")
      }
      if configuration.isolated, settings.isolated == false {
        throw CNIError(.internalError, "\(port.name) is not isolated any more")
      }
    }
    if let vlans = configuration.vlans {
      let present = try attachment.host.bridgeVLANs(index: port.index)
      for id in vlans.trunk + [vlans.native] where !present.contains(where: { $0.ids.contains(id) }) {
        throw CNIError(.internalError, "\(port.name) is not a member of VLAN \(id) any more")
      }
      guard present.contains(where: { $0.isPVID && $0.isUntagged && $0.ids.contains(vlans.native) }) else {
        throw CNIError(
          .internalError,
          "what \(port.name) sends without a tag does not belong to VLAN \(vlans.native) any more")
      }
    }
  }
}
