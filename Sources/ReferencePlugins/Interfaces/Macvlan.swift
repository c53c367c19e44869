import CNI
import CNIPluginKit
import Netlink

/// `macvlan`: an interface with a hardware address of its own on an interface of the host.
struct Macvlan: InterfacePlugin {
  static let type = "macvlan"
  static let summary = "puts containers on a network of the host, each with a hardware address of its own"

  /// The values of `mode`.
  private enum Mode: String, CaseIterable {
    case bridge, `private`, vepa, passthru

    var setting: MacvlanMode {
      switch self {
      case .bridge: .bridge
      case .private: .private
      case .vepa: .vepa
      case .passthru: .passthru
      }
    }
  }

  let settings: InterfaceSettings
  /// `mode` and `bcqueuelen`.
  private var macvlan = MacvlanSettings()
  private var link: ContainerLink

  init(_ call: PluginCall) throws {
    settings = try InterfaceSettings(call)
    link = ContainerLink(.macvlan())
    if call.onlyRemoves { return }
    let keys = try call.configuration.object()
    macvlan.mode = (try keys.choice("mode", Mode.self) ?? .bridge).setting
    let length = try keys.unsigned("bcqueuelen", in: 0...UInt64(UInt32.max)) ?? 0
    macvlan.broadcastQueueLength = length == 0 ? nil : UInt32(length)
    link = try ContainerLink(
      .macvlan(macvlan), on: ParentLink(keys), mac: call.requestedMAC(elseKey: "mac"))
  }

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    do {
      return try link.create(in: attachment)
    } catch let error as NetlinkError where error.errno == .invalidArgument {
      throw CNIError(
        .internalError, error.description,
        details:
          "on one master there is either a single macvlan in mode passthru, or any number in other modes")
    }
  }

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    try self.link.verify(link, in: attachment)
    guard let actual = link.macvlan, actual.mode == macvlan.mode else {
      throw CNIError(
        .internalError,
        "\(link.name) is in mode \(link.macvlan?.mode.map { "\($0)" } ?? "?"), the configuration says \(macvlan.mode!)"
      )
    }
    if let length = macvlan.broadcastQueueLength, let actual = actual.broadcastQueueLength, actual != length {
      throw CNIError(.internalError, "\(link.name) has the bcqueuelen \(actual), ADD gave it \(length)")
    }
  }

  func checkRequirements(_ call: PluginCall) throws { try link.checkRequirements() }
}
