import Glibc
import NetworkAddresses

/// The kernel's routing and link configuration (`NETLINK_ROUTE`) of one network namespace.
public struct RouteSocket: ~Copyable, Sendable {
  private var socket: NetlinkSocket

  /// For the network namespace that the descriptor `namespace` refers to, or that of the calling thread. The
  /// socket keeps to it, wherever the thread goes later.
  public init(namespace: Int32? = nil) throws(NetlinkError) {
    socket = try NetlinkSocket(.route, namespace: namespace)
  }

  /// Sends all requests in one system call, waits until all are over, and returns what each was answered with.
  ///
  /// This is no transaction: the kernel carries them out in order, also those behind one that fails.
  ///
  /// - Throws: the first failure, with the index of its request, after all answers are in.
  @discardableResult
  public mutating func perform(_ requests: [RouteRequest]) throws(NetlinkError) -> [RouteReply] {
    var replies: [RouteReply] = []
    replies.reserveCapacity(requests.count)
    // The kernel answers in order; the first failure in the list is the first there was.
    for result in try results(of: requests) { replies.append(try result.get()) }
    return replies
  }

  /// As ``perform(_:)->[RouteReply]``, for who wants to know of each request what came of it.
  ///
  /// - Throws: only what kept all of them from being carried out.
  public mutating func results(
    of requests: [RouteRequest]
  ) throws(NetlinkError) -> [Result<RouteReply, NetlinkError>] {
    guard !requests.isEmpty else { return [] }
    let first = socket.reserveSequences(requests.count)
    var builder = MessageBuilder(capacity: 192 * requests.count)
    var awaiting: [NetlinkCompletion] = []
    awaiting.reserveCapacity(requests.count)
    for request in requests {
      let sequence = first + UInt32(awaiting.count)
      // A message has room for one name: that of the link, or its new one.
      if case .changeLink(.name(let name), let change) = request, change.name != nil {
        let index = try link(named: name).index
        RouteRequest.changeLink(.index(index), change).encode(sequence: sequence, into: &builder)
      } else {
        request.encode(sequence: sequence, into: &builder)
      }
      awaiting.append(request.completion)
    }
    let exchange = try socket.exchange(builder, first: first, awaiting: awaiting) { requests[$0].operation }
    var results = [Result<RouteReply, NetlinkError>](repeating: .success(.done), count: requests.count)
    for answer in exchange.answers {
      if let reply = RouteReply(answer) { results[Int(answer.sequence - first)] = .success(reply) }
    }
    for failure in exchange.failures {
      let index = Int(failure.sequence - first)
      results[index] = .failure(
        socket.error(
          failure, in: builder, operation: requests[index].operation, index: requests.count > 1 ? index : nil)
      )
    }
    return results
  }

  /// Performs one request.
  @discardableResult
  public mutating func perform(_ request: RouteRequest) throws(NetlinkError) -> RouteReply {
    try perform([request])[0]
  }

  /// The link with that name or alternative name; `isNotFound` (`ENODEV`) if there is none.
  public mutating func link(named name: String) throws(NetlinkError) -> Link {
    try link(.name(name))
  }

  /// The link with that index; `isNotFound` (`ENODEV`) if there is none.
  public mutating func link(index: Int32) throws(NetlinkError) -> Link {
    try link(.index(index))
  }

  /// The link meant; `isNotFound` (`ENODEV`) if there is none.
  public mutating func link(_ selector: LinkSelector) throws(NetlinkError) -> Link {
    let request = RouteRequest.getLink(selector)
    guard case .link(let link) = try perform(request) else {
      throw NetlinkError(
        errno: .init(rawValue: EPROTO), message: "the answer is not a link",
        operation: request.operation.description)
    }
    return link
  }

  /// Entries of a table, as far as they can be read.
  mutating func dump<T>(
    _ type: UInt16, _ action: String, _ header: (inout MessageBuilder) -> Void,
    _ decode: (ReceivedMessage) -> T?
  ) throws(NetlinkError) -> [T] {
    let request = NetlinkRequest(type: type, flags: [], operation: NetlinkOperation(action), header)
    return try socket.dump(request).compactMap(decode)
  }

  /// All links, or those of one kind, or the ports of one master.
  public mutating func links(kind: String? = nil, master: Int32? = nil) throws(NetlinkError) -> [Link] {
    let links = try dump(
      RouteMessageType.getLink, "list links",
      {
        $0.linkHeader()
        $0.attribute(LinkAttribute.extensionMask, UInt32(8))  // RTEXT_FILTER_SKIP_STATS
        $0.attribute(LinkAttribute.master, ifPresent: master)
        if let kind { LinkKind(kind).encode(into: &$0) }
      }, { Link($0) })
    // The kernel does not filter by a kind it has no driver for.
    return links.filter { (kind == nil || $0.kind == kind) && (master == nil || $0.master == master) }
  }

  /// Some of a master's ports, and whether these are all: the first few tell whether it has any, however many there
  /// are. The socket ends with this.
  public consuming func somePorts(of master: Int32) throws(NetlinkError) -> (ports: [Link], areAll: Bool) {
    let request = NetlinkRequest(type: RouteMessageType.getLink, flags: [], operation: "list ports") {
      $0.linkHeader()
      $0.attribute(LinkAttribute.extensionMask, UInt32(8))  // RTEXT_FILTER_SKIP_STATS
      $0.attribute(LinkAttribute.master, master)
    }
    let (messages, isWhole) = try socket.beginningOfDump(request)
    return (messages.compactMap { Link($0) }.filter { $0.master == master }, isWhole)
  }

  /// All addresses, or those of one interface or family.
  public mutating func addresses(
    index: Int32? = nil, family: AddressFamily? = nil
  ) throws(NetlinkError) -> [InterfaceAddress] {
    let addresses = try dump(
      RouteMessageType.getAddress, "list addresses",
      {
        $0.append(family?.number ?? 0)
        $0.append(bytes: [0, 0, 0])
        $0.append(index ?? 0)
      }, { InterfaceAddress($0) })
    return addresses.filter { index == nil || $0.index == index }
  }

  /// All routes, or those of one family, table or interface; of a table that is not there, none. The routes of
  /// the cache are not among them.
  public mutating func routes(
    family: AddressFamily? = nil, table: UInt32? = nil, interface: Int32? = nil
  ) throws(NetlinkError) -> [Route] {
    var routes: [Route] = []
    for family in family.map({ [$0] }) ?? AddressFamily.allCases {
      do {
        routes += try dump(
          RouteMessageType.getRoute, "list routes",
          {
            $0.append(family.number)
            $0.append(bytes: [UInt8](repeating: 0, count: 11))
            $0.attribute(RouteAttribute.table, ifPresent: table)
            $0.attribute(RouteAttribute.outputInterface, ifPresent: interface)
          }, { Route($0) })
      } catch  where table != nil && error.errno.rawValue == ENOENT {
        continue
      }
    }
    return routes.filter {
      (table == nil || $0.table == table)
        && (interface == nil || $0.interface == interface
          || $0.nextHops.contains { hop in hop.interface == interface })
    }
  }

  /// All routing rules, or those of one family.
  public mutating func rules(family: AddressFamily? = nil) throws(NetlinkError) -> [RoutingRule] {
    try dump(
      RouteMessageType.getRule, "list routing rules",
      {
        $0.append(family?.number ?? 0)
        $0.append(bytes: [UInt8](repeating: 0, count: 11))
      }, { RoutingRule($0) })
  }

  /// All neighbours, or those on one interface.
  public mutating func neighbours(
    index: Int32? = nil, family: AddressFamily? = nil
  ) throws(NetlinkError) -> [Neighbour] {
    let neighbours = try dump(
      RouteMessageType.getNeighbour, "list neighbours",
      {
        $0.append(family?.number ?? 0)
        $0.append(bytes: [UInt8](repeating: 0, count: 11))
        $0.attribute(8, ifPresent: index)  // NDA_IFINDEX
      }, { Neighbour($0) })
    return neighbours.filter { !$0.isForwardingEntry && (index == nil || $0.interface == index) }
  }

  /// All forwarding entries, or those of one port.
  public mutating func forwardingEntries(port: Int32? = nil) throws(NetlinkError) -> [Neighbour] {
    let entries = try dump(
      RouteMessageType.getNeighbour, "list forwarding entries",
      {
        $0.append(bridgeFamily)
        $0.append(bytes: [0, 0, 0])
        $0.append(port ?? 0)
        $0.append(UInt32(0))
      }, { Neighbour($0) })
    return entries.filter { port == nil || $0.interface == port }
  }

  /// The VLANs of one port or bridge.
  public mutating func bridgeVLANs(index: Int32) throws(NetlinkError) -> [BridgeVLAN] {
    let ports = try dump(
      RouteMessageType.getLink, "list bridge VLANs",
      {
        $0.linkHeader(family: bridgeFamily)
        $0.attribute(LinkAttribute.extensionMask, UInt32(4))  // RTEXT_FILTER_BRVLAN_COMPRESSED
      }, { BridgeVLAN.decode($0) })
    return ports.first { $0.index == index && !$0.vlans.isEmpty }?.vlans ?? []
  }
}
