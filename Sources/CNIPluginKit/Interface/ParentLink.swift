import CNI
import LinuxNetworking
import Netlink

/// The link that a container's interface stands on, as the keys `master`, `linkInContainer` and `mtu` describe it.
public struct ParentLink: Sendable {
  /// `master`; `nil` for the link of the default route.
  public var name: String?
  /// `linkInContainer`: it is in the container's namespace, not on the host.
  public var isInContainer = false
  /// `mtu` of the container's interface, at most that of this link; `nil` for the same.
  public var mtu: UInt32?
  /// Whether it has to be up for the container's interface to come up.
  public var mustBeUp = false

  /// The link of the host's default route.
  public init() {}

  /// Reads the keys.
  ///
  /// - Throws: code 7 for a value that is none.
  public init(_ keys: ConfigurationObject) throws(CNIError) {
    name = try keys.string("master")
    // Alternative names are longer than those of interfaces (ALTIFNAMSIZ).
    if let name,
      name.utf8.count > 127
        || name.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f || $0 == UInt8(ascii: "/") })
    {
      throw keys.failure(
        "master", "is not the name of an interface",
        remedy: "write a name that `ip link` lists, or leave it out for the interface of the default route")
    }
    isInContainer = try keys.flag("linkInContainer")
    mtu = try keys.mtu()
  }

  /// Takes the one interface of the plugin before, in the call's `prevResult`, for a `master` that is not given.
  ///
  /// - Throws: code 7 when it lists none or several, 6 when it is no result.
  public mutating func follow(_ call: PluginCall) throws(CNIError) {
    guard name == nil, let previous = try call.configuration.prevResult() else { return }
    guard previous.interfaces.count == 1, let interface = previous.interfaces.first, !interface.name.isEmpty
    else {
      throw CNIError(
        .invalidConfiguration,
        "master is not given, and prevResult lists \(previous.interfaces.count) interfaces where one would be it",
        details: "name the interface under the key master")
    }
    name = interface.name
    if interface.sandbox == call.namespacePath { isInContainer = true }
  }

  // MARK: ADD

  /// Finds the link, and checks `mtu` against it.
  ///
  /// - Throws: `CNIError` with code 7 when there is none, or its MTU is too small; `NetlinkError`.
  public func find(in attachment: InterfaceAttachment) throws -> Link {
    let link =
      isInContainer
      ? try attachment.inContainer {
        try find(in: &$0, "in the container (\(attachment.call.namespacePath))")
      }
      : try find(in: &attachment.host, "on the host")
    if mustBeUp, !link.isUp { throw isDown(link, .internalError) }
    return link
  }

  private func find(in socket: inout RouteSocket, _ place: @autoclosure () -> String) throws -> Link {
    let link = try self.link(in: &socket, place())
    if let mtu, mtu > link.mtu {
      throw CNIError(
        .invalidConfiguration,
        "mtu: \(mtu) is above the MTU of the master \(link.name), which is \(link.mtu)",
        details: "write a number from 0 to \(link.mtu), or raise the master's MTU")
    }
    return link
  }

  private func isDown(_ link: Link, _ code: CNIError.Code) -> CNIError {
    CNIError(
      code, "the master \(link.name) is down", details: "`ip link set \(link.name) up` mends it")
  }

  private func link(in socket: inout RouteSocket, _ place: @autoclosure () -> String) throws -> Link {
    if let name {
      if let link = try socket.find(.name(name)) { return link }
      throw CNIError(
        .invalidConfiguration, "master: there is no interface \(name) \(place())",
        details: "name one that `ip link` lists there, or leave master out for that of the default route"
          + (isInContainer ? "" : "; linkInContainer looks in the container"))
    }
    if let index = try socket.defaultRouteInterface(), let link = try socket.find(.index(index)) {
      return link
    }
    throw CNIError(
      .invalidConfiguration,
      "master is not given, and there is no default route \(place()) whose interface would be it",
      details: "name the interface under the key master")
  }

  // MARK: CHECK

  /// Checks that the container's interface still stands on the link that the keys describe.
  ///
  /// The default route may have moved since ADD; then it is enough that there is a link.
  ///
  /// - Throws: `CNIError`; `NetlinkError`.
  public func verify(_ link: Link, in attachment: InterfaceAttachment) throws {
    let place = isInContainer ? "in the container" : "on the host"
    // An index says nothing without the namespace that it counts in.
    let namespace: Int32? =
      isInContainer
      ? nil
      : try attachment.inContainer { try $0.namespaceID(of: attachment.hostNamespace.descriptor) }
    guard let index = link.link, index != 0, link.linkNamespaceID == namespace else {
      throw CNIError(
        .internalError, "the master of \(link.name) is not \(place) any more",
        details: "somebody has moved \(name ?? "it") to another network namespace")
    }
    guard let name else { return try verifyMTU(of: link) }
    let actual =
      isInContainer
      ? try attachment.inContainer { try $0.find(.name(name)) } : try attachment.host.find(.name(name))
    guard let actual else {
      throw CNIError(.internalError, "the master \(name) of \(link.name) is not \(place) any more")
    }
    guard actual.index == index else {
      throw CNIError(
        .internalError,
        "\(link.name) does not stand on \(name), its master, but on interface \(index) \(place)",
        details: "\(name) is interface \(actual.index)")
    }
    try verifyMTU(of: link)
  }

  private func verifyMTU(of link: Link) throws(CNIError) {
    guard let mtu, mtu != link.mtu else { return }
    throw CNIError(.internalError, "\(link.name) has the MTU \(link.mtu), ADD gave it \(mtu)")
  }

  // MARK: STATUS

  /// Checks that an ADD would find the link, and that it is up.
  ///
  /// A link in the container is there only with the container: nothing to check.
  ///
  /// - Throws: `CNIError` with code 50, or 51 when it is down; `NetlinkError`.
  public func checkRequirements(in host: inout RouteSocket) throws {
    if isInContainer { return }
    let link: Link
    do {
      link = try find(in: &host, "on the host")
    } catch var error as CNIError {
      error.code = .notAvailable
      throw error
    }
    if !link.isUp { throw isDown(link, .limitedConnectivity) }
  }

  // MARK: Errors

  /// What to say beyond the kernel's words when it refuses to put something on `parent`.
  static func details(for error: NetlinkError, kind: LinkKind, on parent: Link) -> String? {
    switch error.errno {
    case .resourceBusy where parent.master != nil:
      "\(parent.name) is a port of a \(parent.portKind ?? "link"): name that as master, or set \(parent.name) free"
    case .resourceBusy:
      "\(parent.name) carries interfaces of another kind: on one master there can be macvlan or ipvlan, not both"
    case .invalidArgument where parent.flags.contains(.loopback) || parent.hardwareType != 1:
      "\(parent.name) is not an Ethernet interface, which a \(kind.name) has to stand on"
    default: nil
    }
  }
}
