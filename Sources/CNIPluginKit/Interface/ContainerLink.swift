import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

/// A link that is made in the container's namespace, on another one or on none.
///
/// It is born there, in one request and under its final name: at no time is there anything that only its maker
/// could remove.
public struct ContainerLink: Sendable {
  /// What it is.
  public var kind: LinkKind
  /// What it stands on; `nil` for a link that stands by itself.
  public var parent: ParentLink?
  /// Its hardware address; `nil` for one that the kernel chooses.
  public var mac: MACAddress?
  /// How its addresses are announced.
  public var announcement: CreatedLink.AnnouncementWay

  /// A link of that kind.
  public init(
    _ kind: LinkKind, on parent: ParentLink? = nil, mac: MACAddress? = nil,
    announcement: CreatedLink.AnnouncementWay = .bySettingMAC
  ) {
    self.kind = kind
    self.parent = parent
    self.mac = mac
    self.announcement = announcement
  }

  // MARK: ADD

  /// Makes the link, still down.
  ///
  /// - Throws: `CNIError` when the container has an interface of that name, the parent is missing or does not suit,
  ///   or the kernel has no such links; `NetlinkError`, `EEXIST` only for what collides otherwise (a VLAN).
  public func create(in attachment: InterfaceAttachment) throws -> CreatedLink {
    let call = attachment.call
    let name = call.interfaceName
    let parent = try parent?.find(in: attachment)
    let specification = LinkSpecification(
      name: name, kind: kind, mtu: self.parent?.mtu, mac: mac, link: parent?.index)
    do {
      try create(specification, in: attachment)
    } catch let error as NetlinkError {
      throw try explained(error, on: parent, in: &attachment.host)
    }
    attachment.undo.register("creation of the interface") { [unowned attachment] in
      _ = try attachment.inContainer { try $0.deleteIfPresent(.name(name)) }
    }
    let link = try attachment.inContainer { socket in
      let link = try socket.link(named: name)
      guard let mac, link.mac != mac else { return link }
      // A macvlan that takes its master over is born with the master's address, and gives it another one when asked.
      try socket.perform(.changeLink(.index(link.index), LinkChange(mac: mac)))
      return try socket.link(index: link.index)
    }
    return CreatedLink(
      interfaces: [Interface(name: name, mac: link.mac?.description, sandbox: call.namespacePath)],
      position: 0, index: link.index, mac: link.mac, announcement: announcement)
  }

  private func create(_ link: LinkSpecification, in attachment: InterfaceAttachment) throws {
    guard let parent, !parent.isInContainer else {
      return try attachment.inContainer { socket in
        if try socket.createIfAbsent(link) { return }
        try Self.requireFree(link.name, in: &socket)
        // Not the name, but something that only the kernel knows of: it says it again.
        try socket.perform(.createLink(link))
      }
    }
    var link = link
    link.namespace = attachment.namespace.descriptor
    if try attachment.host.createIfAbsent(link) { return }
    try Self.requireFree(link.name, in: attachment)
    // Kernels before 6.14 also mind an interface of that name on the host, and almost every host has an eth0. They do not
    // look at the name where an index is given; then that must be free in both places.
    for _ in 0..<3 {
      link.index = .random(in: 10_000..<1_000_000)
      if try attachment.host.createIfAbsent(link) { return }
    }
    try attachment.host.perform(.createLink(link))
  }

  /// Checks that the container has no interface of that name.
  ///
  /// - Throws: `CNIError` when it has.
  public static func requireFree(_ name: String, in attachment: InterfaceAttachment) throws {
    try attachment.inContainer { try requireFree(name, in: &$0) }
  }

  private static func requireFree(_ name: String, in container: inout RouteSocket) throws {
    guard try container.find(.name(name)) != nil else { return }
    throw CNIError(
      .internalError, "the container already has an interface \(name)",
      details: "call DEL for it first, or choose another CNI_IFNAME")
  }

  private func explained(
    _ error: NetlinkError, on parent: Link?, in host: inout RouteSocket
  ) throws -> any Error {
    if error.isUnsupported, try !host.supports(kind) { return kind.missingInKernel }
    guard let parent, let details = ParentLink.details(for: error, kind: kind, on: parent) else {
      return error
    }
    return CNIError(.internalError, error.description, details: details)
  }

  // MARK: CHECK

  /// Checks that `link` is of this kind, and stands where it should.
  ///
  /// - Throws: `CNIError`; `NetlinkError`.
  public func verify(_ link: Link, in attachment: InterfaceAttachment) throws {
    guard link.kind == kind.name else {
      throw CNIError(
        .internalError, "\(link.name) is a \(link.kind ?? "device"), ADD made a \(kind.name) of that name")
    }
    try parent?.verify(link, in: attachment)
  }

  // MARK: STATUS

  /// Checks that the kernel has such links, and that there is what they stand on.
  ///
  /// - Parameter includingParent: False where only ADD is told what the parent is.
  /// - Throws: `CNIError` with code 50, or 51 when the parent is down; `NetlinkError`.
  public func checkRequirements(includingParent: Bool = true) throws {
    var host = try RouteSocket()
    guard try host.supports(kind) else { throw kind.missingInKernel }
    if includingParent { try parent?.checkRequirements(in: &host) }
  }
}

extension LinkKind {
  /// The error that the kernel has no such links.
  public var missingInKernel: CNIError {
    let module = name == "vlan" ? "8021q" : name
    return CNIError(
      .internalError, "this kernel has no \(name) interfaces",
      details: "load its module \(module) (`modprobe \(module)`), or run a kernel that has it")
  }
}
