/// A change or question to traffic control, as a value: `RouteRequest.traffic` carries it.
///
/// The kernel knows links by index only here: a request for a link that was made in the same batch needs one that was
/// chosen (`LinkSpecification.index`).
public enum TrafficRequest: Hashable, Sendable {
  /// `EEXIST` if there is one at the place already (other than the one that came with the link), unless `replace`; then
  /// one of the same kind and handle is changed in place.
  case addQdisc(Qdisc, replace: Bool = false)
  /// With its classes and filters. `ENOENT` if it is not there, `EINVAL` if another one is (the one that came with the link,
  /// say, and a handle is given).
  case deleteQdisc(
    link: Int32, parent: TrafficHandle, handle: TrafficHandle = .unspecified, kind: String = "")
  /// Answered with `RouteReply.qdisc`, or with `.done` if what is there is nothing that could be seen; `ENOENT` if there
  /// is none.
  case getQdisc(link: Int32, parent: TrafficHandle)
  /// `EEXIST` if there is one of that handle, unless `replace`.
  case addClass(TrafficClass, replace: Bool = false)
  /// `EBUSY` as long as filters or classes need it.
  case deleteClass(link: Int32, handle: TrafficHandle)
  /// `EEXIST` if there is one of that handle, unless `replace`. Without a handle it is added to those of its priority.
  case addFilter(TrafficFilter, replace: Bool = false)
  /// `ENOENT` if there is none.
  case deleteFilter(TrafficFilterSelector)
  /// Asks for a kind of qdisc and makes nothing: a kernel that knows it says `EINVAL`, one that does not `ENOENT`. Before
  /// that it may load what makes them.
  case probeQdisc(link: Int32, parent: TrafficHandle, kind: String)
  /// Asks for a kind of action, likewise.
  case probeAction(kind: String)

  func encode(sequence: UInt32, into builder: inout MessageBuilder) {
    let change: NetlinkMessageFlags = [.request, .acknowledge]
    func creating(_ replace: Bool) -> NetlinkMessageFlags {
      change.union(replace ? [.create, .replace] : [.create, .exclusive])
    }
    func message(_ type: UInt16, _ flags: NetlinkMessageFlags, _ body: (inout MessageBuilder) -> Void) {
      builder.message(type: type, flags: flags, sequence: sequence, body)
    }
    typealias T = RouteMessageType
    switch self {
    case .addQdisc(let qdisc, let replace): message(T.newQdisc, creating(replace)) { qdisc.encode(into: &$0) }
    case .deleteQdisc(let link, let parent, let handle, let kind):
      message(T.deleteQdisc, change) {
        $0.trafficHeader(link: link, handle: handle.rawValue, parent: parent)
        TrafficKind(kind).encode(into: &$0)
      }
    case .getQdisc(let link, let parent):
      // Before Linux 6.8 the answer is a notification, which its cause gets only if it asks for an echo.
      message(T.getQdisc, change.union(.echo)) { $0.trafficHeader(link: link, parent: parent) }
    case .addClass(let item, let replace):
      message(T.newClass, replace ? change.union(.create) : creating(false)) { item.encode(into: &$0) }
    case .deleteClass(let link, let handle):
      message(T.deleteClass, change) { $0.trafficHeader(link: link, handle: handle.rawValue) }
    case .addFilter(let filter, let replace):
      message(T.newFilter, creating(replace)) { filter.encode(into: &$0) }
    case .deleteFilter(let selector): message(T.deleteFilter, change) { selector.encode(into: &$0) }
    case .probeQdisc(let link, let parent, let kind):
      message(T.newQdisc, creating(false)) {
        $0.trafficHeader(link: link, parent: parent)
        TrafficKind(kind).encode(into: &$0)
        // Zero is no block: refused after the kind was found, and before anything is made.
        $0.attribute(TrafficAttribute.ingressBlock, UInt32(0))
      }
    case .probeAction(let kind):
      message(T.newAction, creating(false)) { message in
        message.append(UInt32(0))  // struct tcamsg
        // Without settings, which every kind insists on.
        message.nested(1) { $0.nested(1) { $0.attribute(1, string: kind) } }
      }
    }
  }

  var operation: NetlinkOperation {
    switch self {
    case .addQdisc(let qdisc, _):
      NetlinkOperation("add qdisc to link", index: qdisc.link, kind: qdisc.kind.name)
    case .deleteQdisc(let link, let parent, _, let kind):
      NetlinkOperation("delete qdisc \(parent.place) of link", index: link, kind: kind)
    case .getQdisc(let link, let parent):
      NetlinkOperation("look up qdisc \(parent.place) of link", index: link)
    case .addClass(let item, _):
      NetlinkOperation("add class \(item.handle) to link", index: item.link, kind: item.kind.name)
    case .deleteClass(let link, let handle): NetlinkOperation("delete class \(handle) of link", index: link)
    case .addFilter(let filter, _):
      NetlinkOperation("add filter to link", index: filter.link, kind: filter.kind.name)
    case .deleteFilter(let selector):
      NetlinkOperation("delete filter of link", index: selector.link, kind: selector.kind)
    case .probeQdisc(_, _, let kind): NetlinkOperation("find qdisc", kind)
    case .probeAction(let kind): NetlinkOperation("find action", kind)
    }
  }
}

extension TrafficHandle {
  fileprivate var place: String { self == .ingress ? "ingress" : "\(self)" }
}

extension RouteReply {
  init?(traffic message: ReceivedMessage) {
    guard let qdisc = Qdisc(message) else { return nil }
    self = .qdisc(qdisc)
  }

  /// The qdisc, if one was asked for and it came not with the link.
  public var qdisc: Qdisc? {
    if case .qdisc(let qdisc) = self, !qdisc.isDefault { qdisc } else { nil }
  }
}

extension RouteSocket {
  /// All qdiscs, or those of one link. Those that came with a link are among them, as far as they show.
  public mutating func qdiscs(link: Int32? = nil) throws(NetlinkError) -> [Qdisc] {
    let qdiscs = try dump(
      RouteMessageType.getQdisc, "list qdiscs", { $0.trafficHeader(link: link ?? 0) }, { Qdisc($0) })
    // Kernels that do not check requests strictly list those of all links.
    return qdiscs.filter { link == nil || $0.link == link }
  }

  /// All classes of a link, or those below one qdisc or class.
  public mutating func trafficClasses(
    link: Int32, parent: TrafficHandle = .unspecified
  ) throws(NetlinkError) -> [TrafficClass] {
    try dump(
      RouteMessageType.getClass, "list classes", { $0.trafficHeader(link: link, parent: parent) },
      { TrafficClass($0) })
  }

  /// The filters of one qdisc, in the order in which they are asked; none if there is no such qdisc.
  public mutating func filters(link: Int32, parent: TrafficHandle) throws(NetlinkError) -> [TrafficFilter] {
    try dump(
      RouteMessageType.getFilter, "list filters", { $0.trafficHeader(link: link, parent: parent) },
      { TrafficFilter($0) })
  }
}
