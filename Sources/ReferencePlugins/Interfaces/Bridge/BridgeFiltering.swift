import CNI
import CNIPluginKit
import LinuxNetworking
import Netlink

/// Whether a bridge keeps VLANs apart. Without that, VLANs can be given to its ports, and mean nothing.
enum BridgeFiltering {
  /// Lets a bridge filter that was made for a network without VLANs: its ports are members of the bridge's default
  /// VLAN, and go on seeing each other. Not taken back if ADD fails: another one may count on it by then.
  ///
  /// Whether somebody else's bridge filters is for them to say.
  static func ensure(_ bridge: Link, in host: inout RouteSocket) throws {
    if bridge.bridge?.vlanFiltering == true { return }
    guard knowsVLANs(bridge) else { throw unknown() }
    guard BridgeLink.isOurs(bridge) else { throw refusal(of: bridge, code: .invalidConfiguration) }
    try host.perform(
      .changeLink(.index(bridge.index), LinkChange(kind: .bridge(.init { $0.vlanFiltering = true }))))
  }

  /// What the kernel means with "not supported" where VLANs are asked for; other errors as they are.
  static func explain(_ error: NetlinkError) -> any Error {
    error.isUnsupported ? unknown(": \(error)") : error
  }

  /// STATUS: the bridge filters, or can be made to; where there is none, one could be made that does. That is tried
  /// in a namespace that ends right away.
  static func checkRequirements(_ bridge: Link?) throws {
    if let bridge {
      guard knowsVLANs(bridge) else { throw unknown() }
      guard bridge.bridge?.vlanFiltering == true || BridgeLink.isOurs(bridge) else {
        throw refusal(of: bridge, code: .notAvailable)
      }
      return
    }
    let namespace = try NetworkNamespace.createAnonymous()
    var socket = try RouteSocket(namespace: namespace.descriptor)
    do throws(NetlinkError) {
      try socket.perform(
        .createLink(LinkSpecification(name: "bridge", kind: .bridge(.init { $0.vlanFiltering = true }))))
    } catch {
      throw explain(error)
    }
  }

  /// Every kernel says of a bridge whether it filters; only one that can tells the protocol of the tags.
  private static func knowsVLANs(_ bridge: Link) -> Bool { bridge.bridge?.vlanProtocol != nil }

  private static func unknown(_ reason: String = "") -> CNIError {
    CNIError(
      .internalError, "this kernel's bridges know no VLANs\(reason)",
      details: "vlan and vlanTrunk need CONFIG_BRIDGE_VLAN_FILTERING")
  }

  private static func refusal(of bridge: Link, code: CNIError.Code) -> CNIError {
    CNIError(
      code, "the bridge \(bridge.name) does not filter VLANs, so that vlan and vlanTrunk would mean nothing",
      details: "it was made by somebody else: ip link set \(bridge.name) type bridge vlan_filtering 1")
  }
}
