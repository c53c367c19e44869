import CNI
import CNIPluginKit
import LinuxNetworking
import Netlink

/// `vlan`: a VLAN of an interface of the host.
struct VLAN: InterfacePlugin {
  static let type = "vlan"
  static let summary = "gives a container one VLAN of an interface of the host"

  let settings: InterfaceSettings
  /// `vlanId`.
  private var id: UInt16 = 0
  private var parent = ParentLink()
  private var link: ContainerLink

  init(_ call: PluginCall) throws {
    settings = try InterfaceSettings(call)
    link = ContainerLink(.vlan(VLANSettings()))
    if call.onlyRemoves { return }
    _ = try call.requiredIPAMType()
    let keys = try call.configuration.object()
    guard let id = try keys.integer("vlanId", in: 0...4094) else {
      throw keys.missing(
        "vlanId", remedy: "write the number of the VLAN, 1 to 4094; 0 for frames without one")
    }
    self.id = UInt16(id)
    parent = try ParentLink(keys)
    parent.mustBeUp = true
    // The hardware address follows the master's, as long as nobody sets it.
    link = ContainerLink(.vlan(VLANSettings(id: self.id)), on: parent, announcement: .bySending)
  }

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    do {
      return try link.create(in: attachment)
    } catch let error as NetlinkError where error.isExists {
      throw try taken(in: attachment)
    }
  }

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    try self.link.verify(link, in: attachment)
    guard let actual = link.vlan, actual.id == id, actual.protocol == 0x8100 else {
      throw CNIError(
        .internalError,
        "\(link.name) is VLAN \(link.vlan?.id.map(String.init) ?? "?"), the configuration says \(id)")
    }
  }

  func checkRequirements(_ call: PluginCall) throws { try link.checkRequirements() }

  // MARK: Somebody else has the VLAN

  private func taken(in attachment: InterfaceAttachment) throws -> CNIError {
    let master = try parent.find(in: attachment)
    if let holder = try? holder(on: master, in: attachment) {
      return CNIError(
        .internalError, "VLAN \(id) of \(master.name) is taken: it is \(holder)",
        details:
          "the kernel allows one interface for a VLAN of a master; for several containers put a bridge or macvlan "
          + "on one VLAN interface of the host")
    }
    return CNIError(
      .tryAgainLater, "VLAN \(id) of \(master.name) is taken",
      details:
        "by an interface in a network namespace without a name, or in one that the kernel is just clearing away"
    )
  }

  /// The interface that has the VLAN, where it can be found: on the host, in the container, in a named namespace.
  private func holder(on master: Link, in attachment: InterfaceAttachment) throws -> String? {
    func name(_ socket: inout RouteSocket, _ namespace: Int32?) throws -> String? {
      try socket.links(kind: "vlan").first {
        $0.link == master.index && $0.linkNamespaceID == namespace && $0.vlan?.id == id
          && $0.vlan?.protocol == 0x8100
      }?.name
    }
    if parent.isInContainer {
      return try attachment.inContainer { try name(&$0, nil) }.map { "\($0) in the container" }
    }
    if let name = try name(&attachment.host, nil) { return "\(name) on the host" }
    for entry in try StateFile.names(in: NetworkNamespace.directory) {
      let path = NetworkNamespace.directory + "/" + entry
      guard let namespace = try? NetworkNamespace.open(path),
        var socket = try? RouteSocket(namespace: namespace.descriptor),
        let host = try socket.namespaceID(of: attachment.hostNamespace.descriptor),
        let name = try name(&socket, host)
      else { continue }
      return "\(name) in \(path)"
    }
    return nil
  }
}
