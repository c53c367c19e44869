import CNI
import CNIPluginKit
import Netlink

/// `dummy`: an interface that is connected to nothing and holds addresses.
struct Dummy: InterfacePlugin {
  static let type = "dummy"
  static let summary = "gives containers an interface that holds addresses and is connected to nothing"

  let settings: InterfaceSettings
  private let link = ContainerLink(.dummy, announcement: .none)

  init(_ call: PluginCall) throws {
    settings = try InterfaceSettings(call)
    if !call.onlyRemoves { _ = try call.requiredIPAMType() }
  }

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    try link.create(in: attachment)
  }

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    try self.link.verify(link, in: attachment)
  }

  func checkRequirements(_ call: PluginCall) throws { try link.checkRequirements() }
}
