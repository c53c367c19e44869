import CNI
import CNIPluginKit
import LinuxNetworking
import Netlink

/// `host-device`: a device of the host's moves into the container, and comes back at DEL.
struct HostDevice: InterfacePlugin {
  static let type = "host-device"
  static let summary = "moves a network device of the host into the container, and back"

  let settings: InterfaceSettings
  private let selector: DeviceSelector?
  private let tree = DeviceTree()
  private let moved = MovedLinks(pluginType: HostDevice.type)

  init(_ call: PluginCall) throws {
    let keys = try call.configuration.object()
    var settings = try InterfaceSettings(call)
    switch call.command {
    case .del, .gc:
      // What was moved has a mark. A mistake in the configuration must not keep anything from coming back.
      selector = (try? DeviceSelector(keys, in: tree)).flatMap { $0 }
    case .add, .check, .status, .version:
      selector = try DeviceSelector(keys, in: tree)
      settings.hasKernelInterface = selector?.userspaceDriver(in: tree) == nil
    }
    self.settings = settings
    // Of a device that the runtime allocates the configuration itself says nothing.
    if selector == nil, [.add, .check].contains(call.command),
      !call.configuration.capabilities.contains("deviceID")
    {
      throw Self.unspecified
    }
  }

  private static let unspecified = CNIError(
    .invalidConfiguration, "the configuration names no device",
    details:
      "give one of device, hwaddr, kernelpath and pciBusID; or let the runtime give one, with the capability "
      + "deviceID")

  private func search() throws -> DeviceSearch {
    guard let selector else { throw Self.unspecified }
    return DeviceSearch(selector: selector, tree: tree, moved: moved)
  }

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    let call = attachment.call
    var interface = Interface(name: call.interfaceName, sandbox: call.namespacePath)
    guard settings.hasKernelInterface else {
      return CreatedLink(interfaces: [interface], position: 0, index: 0, mac: nil)
    }
    let search = try search()
    try refuseTwice(attachment)
    let found = try search.find(in: &attachment.host, log: call.log)
    let link = try moved.move(moved.recover(found, in: &attachment.host), in: attachment)
    if !link.hardwareAddress.isEmpty { interface.mac = hexadecimal(link.hardwareAddress) }
    return CreatedLink(interfaces: [interface], position: 0, index: link.index, mac: link.mac)
  }

  private func refuseTwice(_ attachment: InterfaceAttachment) throws {
    let owner = attachment.call.owner
    guard let link = try attachment.inContainer({ try MovedLinks.find(owner, in: &$0) }) else { return }
    throw CNIError(
      .internalError, "the device is already in the container, as \(link.name)",
      details: "an earlier ADD of \(owner) was not followed by a DEL; call DEL first")
  }

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    guard link.hasMark(of: attachment.call.owner) || link.nameInAlias != nil else {
      throw CNIError(
        .internalError, "\(link.name) is not the device that ADD moved into the container",
        details: "it has neither the alias nor the alternative name that says where it belongs")
    }
  }

  func removeLink(_ call: PluginCall, previous: AddResult?) throws {
    let search = try? search()
    var name: String?
    if case .name(let device) = selector { name = device }
    try moved.release(
      call, previous: previous, unmarked: .init(name: name) { search?.isMeant($0) ?? false })
  }

  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    try moved.releaseStale(stale)
  }

  func checkRequirements(_ call: PluginCall) throws {
    guard selector != nil, settings.hasKernelInterface else { return }
    var host = try RouteSocket()
    _ = try search().find(in: &host) { _ in }
  }
}
