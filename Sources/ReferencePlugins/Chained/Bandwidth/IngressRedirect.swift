import CNI
import CNIPluginKit
import Netlink

/// What leads the packets that a link receives to an ifb: a filter in the qdisc ingress, or in one that somebody else has
/// put there.
///
/// A link has one such qdisc, ingress or clsact, for everybody, and it cannot be marked. The filter's priority says who
/// made it: with 1, as the Go plugin has it, the qdisc was made for the filter, and goes with it unless others have
/// come to use it. In somebody else's the filter has a priority behind theirs: what they take, drop or count is taken,
/// dropped and counted first.
enum IngressRedirect {
  private static let ownPriority: UInt16 = 1
  /// Behind 49152, where the kernel begins for those who do not choose.
  private static let guestPriority: UInt16 = 50_000

  /// The filters in a qdisc, if there is one, that lead to one of the links.
  static func filters(
    in qdisc: Qdisc?, to devices: Set<Int32>, in host: inout RouteSocket
  ) throws -> [TrafficFilter] {
    guard let qdisc else { return [] }
    return try host.filters(link: qdisc.link, parent: .received).filter { $0.leads(to: devices) }
  }

  /// What makes the filter.
  static func requests(_ end: HostEnd, to device: Int32, in host: inout RouteSocket) throws -> [RouteRequest]
  {
    guard end.ingress != nil else {
      return [
        .traffic(.addQdisc(.ingress(link: end.link.index))),
        .traffic(.addFilter(filter(end, device, parent: .ingressQdisc, priority: ownPriority))),
      ]
    }
    let taken = Set(try host.filters(link: end.link.index, parent: .received).map(\.priority))
    guard let priority = (guestPriority...).first(where: { !taken.contains($0) }) else {
      throw CNIError(
        .internalError, "\(end.link.name) has filters of every priority from \(guestPriority) on")
    }
    return [.traffic(.addFilter(filter(end, device, parent: .received, priority: priority)))]
  }

  private static func filter(
    _ end: HostEnd, _ device: Int32, parent: TrafficHandle, priority: UInt16
  ) -> TrafficFilter {
    TrafficFilter(
      link: end.link.index, parent: parent, priority: priority,
      kind: .u32(matchingAllInto: TrafficHandle(major: 1, minor: 1), actions: [.redirect(to: device)]))
  }

  /// What removes the filters of a link's qdisc that lead to one of the devices, or to one that is gone: packets that
  /// such a filter takes are lost. With them goes the qdisc that was made for them.
  static func removal(
    from qdisc: Qdisc, to devices: Set<Int32>, in host: inout RouteSocket
  ) throws -> [RouteRequest] {
    let all = try host.filters(link: qdisc.link, parent: .received).filter { !$0.isStructure }
    let goners = all.filter { $0.leads(to: devices) || $0.isFromPlugin && $0.leads(to: [0]) }
    if goners.isEmpty { return [] }
    let priorities = Set(goners.map(\.priority))
    if qdisc.kind.name == "ingress", goners.count == all.count, priorities == [ownPriority] {
      return [
        .traffic(.deleteQdisc(link: qdisc.link, parent: .ingress, handle: .ingressQdisc, kind: "ingress"))
      ]
    }
    // A priority of its own goes as a whole. Where others have chosen the same, theirs stay.
    let shared = Set(all.map(\.priority).filter(priorities.contains)).filter { priority in
      all.contains { $0.priority == priority && !goners.contains($0) }
    }
    var selectors: [TrafficFilterSelector] = []
    for filter in goners {
      var selector = filter.selector
      if !shared.contains(filter.priority) {
        selector.handle = 0
        selector.kind = ""
      }
      if !selectors.contains(selector) { selectors.append(selector) }
    }
    return selectors.map { .traffic(.deleteFilter($0)) }
  }
}

extension TrafficFilter {
  func leads(to devices: Set<Int32>) -> Bool {
    actions.contains { action in
      if case .redirect(let link) = action { devices.contains(link) } else { false }
    }
  }

  /// Whether it has the form of this plugin's, and of the Go plugin's.
  fileprivate var isFromPlugin: Bool {
    kind.name == "u32" && kind.attributes[1]?.integer() == TrafficHandle(major: 1, minor: 1).rawValue
  }
}
