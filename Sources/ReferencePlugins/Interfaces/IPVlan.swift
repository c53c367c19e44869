import CNI
import CNIPluginKit
import Netlink

/// `ipvlan`: an interface that shares the hardware address of an interface of the host.
struct IPVlan: InterfacePlugin {
  static let type = "ipvlan"
  static let summary =
    "puts containers on a network of the host, all of them with the hardware address of its interface"

  /// The values of `mode`.
  private enum Mode: String, CaseIterable {
    case l2, l3, l3s

    var setting: IPVlanMode {
      switch self {
      case .l2: .l2
      case .l3: .l3
      case .l3s: .l3s
      }
    }
  }

  let settings: InterfaceSettings
  private var mode = Mode.l2
  private var link: ContainerLink

  init(_ call: PluginCall) throws {
    // Behind another plugin it may do with that one's addresses.
    settings = try InterfaceSettings(call, inheritsAddresses: true)
    link = ContainerLink(.ipvlan())
    if call.onlyRemoves { return }
    let keys = try call.configuration.object()
    mode = try keys.choice("mode", Mode.self) ?? .l2
    var parent = try ParentLink(keys)
    if parent.name == nil, call.command == .add { try parent.follow(call) }
    // In the other modes nobody asks for hardware addresses, and nobody is told.
    link = ContainerLink(
      .ipvlan(IPVlanSettings(mode: mode.setting)), on: parent,
      announcement: mode == .l2 ? .bySending : .byKernel)
  }

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    try link.create(in: attachment)
  }

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    try self.link.verify(link, in: attachment)
    guard let actual = link.ipvlan?.mode, actual != mode.setting else { return }
    throw CNIError(
      .internalError, "\(link.name) is in mode \(actual), the configuration says \(mode.rawValue)",
      details: "all ipvlan interfaces of a master have the mode of the one that was made last: "
        + "give the networks on it the same mode")
  }

  func checkRequirements(_ call: PluginCall) throws {
    // Without addresses of its own it comes behind another plugin, whose interface is the master.
    try link.checkRequirements(includingParent: settings.ipamType != nil)
  }
}
