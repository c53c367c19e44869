public import NetworkAddresses

/// A change or question to the route family, as a value: nothing happens until a `RouteSocket` performs it.
public enum RouteRequest: Hashable, Sendable {
  /// Fails with `EEXIST` if the name is taken.
  case createLink(LinkSpecification)
  /// Fails with `ENODEV` if there is no such link.
  case changeLink(LinkSelector, LinkChange)
  /// Changes the settings of a link as a port of its bridge.
  case bridgePort(LinkSelector, BridgePortSettings)
  /// The other end of a pair and what stands on the link go too.
  case deleteLink(LinkSelector)
  /// All links of a group (`IFLA_GROUP`) at once: the kernel's waiting, most of what a deletion takes, is done once.
  case deleteLinks(group: UInt32)
  /// Gives the link one more name, of at most 127 bytes (`RTM_NEWLINKPROP`, Linux 5.5). `EEXIST` if any link of the
  /// namespace has it. It goes with the link to another namespace.
  case addAlternativeName(LinkSelector, String)
  /// `ENOENT` if the link does not have it.
  case deleteAlternativeName(LinkSelector, String)
  /// Answered with `RouteReply.link`.
  case getLink(LinkSelector)
  /// Makes the port (or with `isSelf` the bridge) with that index a member. A membership that is there is changed.
  case addBridgeVLAN(index: Int32, BridgeVLAN)
  /// Ends memberships; those that are not there do not matter.
  case deleteBridgeVLAN(index: Int32, BridgeVLAN)
  /// To the interface with that index. `EEXIST` if it has the address, unless `replace`.
  case addAddress(InterfaceAddress, index: Int32, replace: Bool = false)
  /// `EADDRNOTAVAIL` if it is not there.
  case deleteAddress(InterfaceAddress, index: Int32)
  /// `EEXIST` if there is a route of the same destination, priority and table, unless `replace`, or unless that one leads
  /// another way and this one is to stand `beside` it (IPv4: before it; IPv6: both are used in turns).
  case addRoute(Route, replace: Bool = false, beside: Bool = false)
  /// The first that matches; `ESRCH` if none does.
  case deleteRoute(Route)
  /// Answered with `RouteReply.route`: the way that a packet of the host's own takes to the address.
  case getRoute(to: IPAddress)
  /// `EEXIST` if there is the same already.
  case addRule(RoutingRule)
  /// The first that matches; `ENOENT` if none does.
  case deleteRule(RoutingRule)
  /// `EEXIST` if there is one with that address, unless `replace`.
  case addNeighbour(Neighbour, replace: Bool = false)
  /// `ENOENT` if it is not there.
  case deleteNeighbour(Neighbour)
  /// Answered with `RouteReply.namespaceID`: the number by which this namespace knows the one that the descriptor
  /// refers to.
  case getNamespaceID(descriptor: Int32)
  /// Gives that namespace the next number that is free. `EEXIST` if it has one.
  case assignNamespaceID(descriptor: Int32)
  /// Qdiscs, classes and filters.
  case traffic(TrafficRequest)

  /// The bytes of the message.
  public func encoded(sequence: UInt32 = 0) -> [UInt8] {
    var builder = MessageBuilder(capacity: 256)
    encode(sequence: sequence, into: &builder)
    return builder.bytes
  }

  /// Appends the message.
  public func encode(sequence: UInt32, into builder: inout MessageBuilder) {
    let change: NetlinkMessageFlags = [.request, .acknowledge]
    func creating(_ replace: Bool) -> NetlinkMessageFlags {
      change.union(replace ? [.create, .replace] : [.create, .exclusive])
    }
    func message(
      _ type: UInt16, _ flags: NetlinkMessageFlags, _ body: (inout MessageBuilder) -> Void
    ) {
      builder.message(type: type, flags: flags, sequence: sequence, body)
    }
    typealias T = RouteMessageType
    switch self {
    case .createLink(let link): message(T.newLink, creating(false)) { link.encode(into: &$0) }
    case .changeLink(let link, let settings): message(T.newLink, change) { settings.encode(link, into: &$0) }
    case .bridgePort(let link, let settings): message(T.newLink, change) { settings.encode(link, into: &$0) }
    case .deleteLink(let link):
      message(T.deleteLink, change) {
        $0.linkHeader(index: link.index)
        link.encodeName(into: &$0)
      }
    case .deleteLinks(let group):
      message(T.deleteLink, change) {
        $0.linkHeader()
        $0.attribute(LinkAttribute.group, group)
      }
    case .addAlternativeName(let link, let name):
      message(T.newLinkProperty, change) { link.encode(alternativeName: name, into: &$0) }
    case .deleteAlternativeName(let link, let name):
      message(T.deleteLinkProperty, change) { link.encode(alternativeName: name, into: &$0) }
    case .getLink(let link):
      // The answer is the acknowledgement.
      message(T.getLink, .request) {
        $0.linkHeader(index: link.index)
        $0.attribute(LinkAttribute.extensionMask, UInt32(8))  // RTEXT_FILTER_SKIP_STATS
        link.encodeName(into: &$0)
      }
    case .addBridgeVLAN(let index, let vlan):
      message(T.setLink, change) { vlan.encode(index: index, into: &$0) }
    case .deleteBridgeVLAN(let index, let vlan):
      message(T.deleteLink, change) { vlan.encode(index: index, into: &$0) }
    case .addAddress(let address, let index, let replace):
      message(T.newAddress, creating(replace)) { address.encode(index: index, into: &$0) }
    case .deleteAddress(let address, let index):
      message(T.deleteAddress, change) { address.encode(index: index, into: &$0) }
    case .addRoute(let route, let replace, let beside):
      message(T.newRoute, beside ? change.union(.create) : creating(replace)) {
        route.encode(deleting: false, into: &$0)
      }
    case .deleteRoute(let route):
      message(T.deleteRoute, change) { route.encode(deleting: true, into: &$0) }
    case .getRoute(let address):
      message(T.getRoute, .request) {
        // struct rtmsg
        $0.append(address.family.number)
        $0.append(UInt8(address.family.bitWidth))
        $0.append(UInt16(0))
        $0.append(UInt64(0))
        $0.attribute(RouteAttribute.destination, address)
      }
    case .addRule(let rule):
      message(T.newRule, creating(false)) { rule.encode(deleting: false, into: &$0) }
    case .deleteRule(let rule): message(T.deleteRule, change) { rule.encode(deleting: true, into: &$0) }
    case .addNeighbour(let neighbour, let replace):
      message(T.newNeighbour, creating(replace)) { neighbour.encode(into: &$0) }
    case .deleteNeighbour(let neighbour):
      message(T.deleteNeighbour, change) { neighbour.encode(into: &$0) }
    case .getNamespaceID(let descriptor):
      message(T.getNamespaceID, .request) { $0.namespaceIDHeader(descriptor: descriptor) }
    case .assignNamespaceID(let descriptor):
      message(T.newNamespaceID, change) {
        $0.namespaceIDHeader(descriptor: descriptor)
        $0.attribute(NamespaceIDAttribute.id, Int32(-1))
      }
    case .traffic(let request): request.encode(sequence: sequence, into: &builder)
    }
  }

  /// When it is over.
  var completion: NetlinkCompletion {
    switch self {
    case .getLink, .getRoute, .getNamespaceID: .answer
    default: .acknowledgement
    }
  }

  /// What it is for, in errors.
  public var operation: NetlinkOperation {
    switch self {
    case .createLink(let link): NetlinkOperation("create link", link.name, kind: link.kind?.name ?? "")
    case .changeLink(let link, let change): link.operation(change.action)
    case .bridgePort(let link, _): link.operation("change bridge port")
    case .deleteLink(let link): link.operation("delete link")
    case .deleteLinks(let group): NetlinkOperation("delete links of group \(group)")
    case .addAlternativeName(let link, let name): link.operation("add the name \(name) to link")
    case .deleteAlternativeName(let link, let name): link.operation("take the name \(name) from link")
    case .getLink(let link): link.operation("look up link")
    case .addBridgeVLAN(let index, let vlan): NetlinkOperation("add VLAN \(vlan.text) to link", index: index)
    case .deleteBridgeVLAN(let index, let vlan):
      NetlinkOperation("delete VLAN \(vlan.text) of link", index: index)
    case .addAddress(let address, let index, _):
      NetlinkOperation("add address \(address.prefix) to link", index: index)
    case .deleteAddress(let address, let index):
      NetlinkOperation("delete address \(address.prefix) of link", index: index)
    case .addRoute(let route, _, _): NetlinkOperation("add route \(route.text)")
    case .deleteRoute(let route): NetlinkOperation("delete route \(route.text)")
    case .getRoute(let address): NetlinkOperation("find the route to \(address)")
    case .addRule(let rule): NetlinkOperation("add routing rule \(rule.text)")
    case .deleteRule(let rule): NetlinkOperation("delete routing rule \(rule.text)")
    case .addNeighbour(let neighbour, _):
      NetlinkOperation("add neighbour \(neighbour.text) to link", index: neighbour.interface)
    case .deleteNeighbour(let neighbour):
      NetlinkOperation("delete neighbour \(neighbour.text) of link", index: neighbour.interface)
    case .getNamespaceID: "look up the number of a network namespace"
    case .assignNamespaceID: "give a number to a network namespace"
    case .traffic(let request): request.operation
    }
  }
}

/// What a request was answered with.
public enum RouteReply: Hashable, Sendable {
  /// It is done.
  case done
  /// The link that was asked for.
  case link(Link)
  /// The route that was asked for; its destination is the address.
  case route(Route)
  /// The number that was asked for; nil if there is none.
  case namespaceID(Int32?)
  /// The qdisc that was asked for.
  case qdisc(Qdisc)

  /// What an answer of the kernel's says; nil for what is none of these.
  init?(_ message: ReceivedMessage) {
    if let link = Link(message) {
      self = .link(link)
    } else if let route = Route(message) {
      self = .route(route)
    } else if let reply = RouteReply(namespaceID: message) ?? RouteReply(traffic: message) {
      self = reply
    } else {
      return nil
    }
  }

  /// The link, if one was asked for.
  public var link: Link? {
    if case .link(let link) = self { link } else { nil }
  }
}

// What errors say of the things meant.

extension LinkChange {
  /// A change of one thing is named by it.
  fileprivate var action: String {
    if namespace != nil { return "move to another network namespace link" }
    if name != nil { return "rename link" }
    if master != nil {
      return master == 0 ? "release from its master link" : "attach to link \(master!) link"
    }
    if kind != nil { return "change settings of link" }
    switch isUp {
    case true?: return "set up link"
    case false?: return "set down link"
    case nil: return "change link"
    }
  }
}

extension BridgeVLAN {
  fileprivate var text: String {
    ids.count == 1 ? "\(ids.lowerBound)" : "\(ids.lowerBound)-\(ids.upperBound)"
  }
}

extension Route {
  fileprivate var text: String {
    var text = destination.isDefault ? "default" : "\(destination)"
    if let gateway { text += " via \(gateway)" }
    if let interface { text += " on link \(interface)" }
    if let table { text += " in table \(table)" }
    return text
  }
}

extension RoutingRule {
  fileprivate var text: String {
    var text = priority.map { "\($0)" } ?? "without priority"
    if let source { text += " from \(source)" }
    if let destination { text += " to \(destination)" }
    if let table { text += " in table \(table)" }
    return text
  }
}

extension Neighbour {
  fileprivate var text: String { address.map { "\($0)" } ?? mac.map { "\($0)" } ?? "" }
}
