import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// The host's end of the container's interface, and what is on it: what the container receives is what it sends.
struct HostEnd {
  let link: Link
  /// What somebody has put there for what it sends; `nil`: nobody has.
  let root: Qdisc?
  /// ingress or clsact: what somebody has put there for what it receives.
  let ingress: Qdisc?

  /// Finds it through the container's interface.
  ///
  /// - Throws: `CNIError` if there is no such interface, or nothing of it on the host; `NamespaceError`, `NetlinkError`.
  static func find(_ call: PluginCall, in host: inout RouteSocket) throws -> HostEnd {
    let namespace = try call.containerNamespace()
    var container = try RouteSocket(namespace: namespace.descriptor)
    guard let inner = try container.find(.name(call.interfaceName)) else {
      throw CNIError(
        .invalidConfiguration, "the container has no interface \(call.interfaceName)",
        details: "in \"plugins\", bandwidth comes behind the plugin that makes the interface")
    }
    guard let index = inner.vethPeer else {
      throw CNIError(
        .invalidConfiguration,
        "\(call.interfaceName) is \(inner.kind.map { "of kind \($0)" } ?? "a device"), and has no other end on the host",
        details:
          "bandwidth works at the host's end of a veth pair, which the plugins bridge and ptp make; take it out of "
          + "the list, or use one of these")
    }
    if let end = try end(inner, index, namespace.descriptor, in: &host) { return end }
    throw CNIError(
      .invalidConfiguration, "the other end of \(call.interfaceName) is not on the host",
      details:
        "bandwidth works there; it cannot shape an interface whose other end is in another network namespace")
  }

  /// Finds it for what is to be removed: through the container's interface as long as there is one, else by its mark or by
  /// what ADD has reported. `nil` if it is gone, or cannot be told from others.
  static func findIfPresent(
    _ call: PluginCall, previous: AddResult?, in host: inout RouteSocket
  ) throws -> HostEnd? {
    if let namespace = try call.containerNamespaceIfPresent() {
      var container = try RouteSocket(namespace: namespace.descriptor)
      if let inner = try container.find(.name(call.interfaceName)), let index = inner.vethPeer {
        return try end(inner, index, namespace.descriptor, in: &host)
      }
    }
    let listed = (previous?.interfaces ?? []).filter { ($0.sandbox ?? "").isEmpty }
    let names = [call.owner.linkName()] + listed.map(\.name)
    let links = try host.results(of: names.map { .getLink(.name($0)) }).compactMap {
      try $0.ifPresent()?.link
    }
    let pairs = links.filter { $0.kind == "veth" }
    let own = pairs.first { call.owner.owns($0.alias ?? "", limit: OwnedLinks.aliasLimit) }
    // Without a mark: the only one that was reported, if it is still the same.
    let reported = pairs.filter { link in
      (link.alias ?? "").isEmpty
        && listed.contains { $0.name == link.name && $0.mac.flatMap({ MACAddress($0) }) == link.mac }
    }
    guard let link = own ?? (reported.count == 1 ? reported.first : nil) else { return nil }
    let qdiscs = try host.results(of: questions(link.index))
    return try HostEnd(link: link, qdiscs: qdiscs)
  }

  /// - Parameter qdiscs: The answers to ``questions(_:)``.
  private init(link: Link, qdiscs: [Result<RouteReply, NetlinkError>]) throws {
    self.link = link
    root = try qdiscs[0].ifPresent()?.qdisc
    ingress = try qdiscs[1].ifPresent()?.qdisc
  }

  private static func questions(_ index: Int32) -> [RouteRequest] {
    [
      .traffic(.getQdisc(link: index, parent: .root)), .traffic(.getQdisc(link: index, parent: .ingress)),
    ]
  }

  /// The link with that index on the host, if it is the other end of `inner` indeed: indices are a namespace's own, so the
  /// one must name the other, and its namespace.
  private static func end(
    _ inner: Link, _ index: Int32, _ namespace: Int32, in host: inout RouteSocket
  ) throws -> HostEnd? {
    guard index > 0 else { return nil }
    let answers = try host.results(
      of: questions(index) + [.getLink(.index(index)), .getNamespaceID(descriptor: namespace)])
    guard let link = try answers[2].ifPresent()?.link, link.vethPeer == inner.index,
      case .namespaceID(let id)? = try answers[3].ifPresent(), link.linkNamespaceID == id
    else { return nil }
    return try HostEnd(link: link, qdiscs: answers)
  }
}
