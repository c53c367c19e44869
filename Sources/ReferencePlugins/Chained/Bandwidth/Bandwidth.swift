import CNI
import CNIPluginKit
import Netlink

/// `bandwidth`: what a container receives and sends keeps to a rate.
///
/// Both are shaped on the host. What the container receives leaves the host's end of its interface: there is a token
/// bucket for it. What it sends arrives there, where nothing can wait: a filter leads it to an ifb, an interface of its
/// own, which has the bucket.
struct Bandwidth: ChainedPlugin {
  static let type = "bandwidth"
  static let summary = "keeps what a container receives and sends to a rate"
  static let changesNamespace = false

  private static let handle = TrafficHandle(major: 1)

  /// `nil` where only something is removed: a mistake in a rate must not keep anything from that.
  let limits: BandwidthConfiguration?

  init(_ call: PluginCall) throws {
    let keys = try call.configuration.object()
    limits = call.onlyRemoves ? try? BandwidthConfiguration(keys) : try BandwidthConfiguration(keys)
  }

  // MARK: ADD

  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws {
    guard let limits, limits.ingress != nil || limits.egress != nil else { return }
    let clock = try TrafficClock.running()
    var host = try RouteSocket()
    let end = try HostEnd.find(call, in: &host)
    try requireUnshaped(end, limits, call, clock, in: &host)

    var requests: [RouteRequest] = []
    if let egress = limits.egress {
      let device = try BandwidthDevice.create(call, mtu: end.link.mtu, in: &host, undo: &undo)
      result.interfaces.append(Interface(name: device.name, mac: device.mac?.description))
      // The bucket before the device is switched on: afterwards the kernel would wait until nobody sends.
      requests = [
        Self.addBucket(egress, on: device, mtu: end.link.mtu, clock),
        .changeLink(.index(device.index), call.owner.marking(isUp: true)),
      ]
      requests += try IngressRedirect.requests(end, to: device.index, in: &host)
    }
    if let ingress = limits.ingress {
      requests.append(Self.addBucket(ingress, on: end.link, mtu: end.link.mtu, clock))
    }
    try perform(requests, on: end, in: &host, undo: &undo)
  }

  private static func addBucket(
    _ limit: TrafficLimit, on link: Link, mtu: UInt32, _ clock: TrafficClock
  ) -> RouteRequest {
    let bucket = limit.tokenBucket(mtu: mtu, clock: clock)
    return .traffic(.addQdisc(Qdisc(link: link.index, handle: handle, kind: .tokenBucket(bucket))))
  }

  /// Sends all of them, registers how to take back what succeeded on the host's end, and throws for what did not. What is
  /// on the ifb goes with it.
  private func perform(
    _ requests: [RouteRequest], on end: HostEnd, in host: inout RouteSocket, undo: inout UndoLog
  ) throws {
    var failure: (any Error)?
    for (request, outcome) in zip(requests, try host.results(of: requests)) {
      switch outcome {
      case .success:
        switch request {
        case .traffic(.addQdisc(let qdisc, _)) where qdisc.link == end.link.index:
          undo.register("a qdisc") {
            try Self.deleting(
              .traffic(
                .deleteQdisc(
                  link: qdisc.link, parent: qdisc.parent, handle: qdisc.handle, kind: qdisc.kind.name)))
          }
        case .traffic(.addFilter(let filter, _)):
          // All of its priority, which was free.
          undo.register("a filter") { try Self.deleting(.traffic(.deleteFilter(filter.selector))) }
        default: break
        }
      case .failure(let error):
        if failure == nil { failure = KernelNeed.explanation(of: error, for: request) ?? error }
      }
    }
    if let failure { throw failure }
  }

  private static func deleting(_ request: RouteRequest) throws {
    var host = try RouteSocket()
    try delete([request], in: &host)
  }

  /// Throws when the attachment is shaped already, or somebody else has a say in what its link sends.
  private func requireUnshaped(
    _ end: HostEnd, _ limits: BandwidthConfiguration, _ call: PluginCall, _ clock: TrafficClock,
    in host: inout RouteSocket
  ) throws {
    let shaped = CNIError(
      .internalError,
      "\(call.interfaceName) of \(call.containerID) is shaped already (\(end.link.name) on the host)",
      details: "an earlier ADD was not followed by a DEL; call DEL first")
    if limits.ingress != nil, let root = end.root {
      if isOwn(root, clock) { throw shaped }
      throw CNIError(
        .internalError, "\(end.link.name) has a qdisc already: \(root.kind.name) \(root.handle)",
        details: "somebody else shapes what the container receives; remove it "
          + "(`tc qdisc delete dev \(end.link.name) root`), or leave ingressRate out")
    }
    guard limits.egress != nil, end.ingress != nil else { return }
    let devices = Set(try BandwidthDevice.find(call, in: &host).map(\.index))
    if try !IngressRedirect.filters(in: end.ingress, to: devices, in: &host).isEmpty { throw shaped }
  }

  /// Whether a qdisc is this plugin's, or the Go plugin's: they cannot be marked.
  private func isOwn(_ qdisc: Qdisc, _ clock: TrafficClock) -> Bool {
    guard qdisc.handle == Self.handle, let bucket = qdisc.tokenBucket else { return false }
    return bucket.rate == limits?.ingress?.rate || TrafficLimit.isFromPlugin(bucket, clock: clock)
  }

  // MARK: CHECK

  func verify(_ call: PluginCall, against result: AddResult) throws {
    guard let limits, limits.ingress != nil || limits.egress != nil else { return }
    let clock = try TrafficClock.running()
    var host = try RouteSocket()
    let end = try HostEnd.find(call, in: &host)
    let name = call.interfaceName
    if let ingress = limits.ingress {
      try verify(ingress, end.root, on: end.link, mtu: end.link.mtu, clock, "\(name) receives", "ingressRate")
    }
    guard let egress = limits.egress else { return }
    let devices = try BandwidthDevice.find(call, in: &host)
    guard !devices.isEmpty else {
      throw CNIError(.internalError, "the ifb that limits what \(name) sends is gone")
    }
    let leading = try IngressRedirect.filters(in: end.ingress, to: Set(devices.map(\.index)), in: &host)
    guard let device = devices.first(where: { device in leading.contains { $0.leads(to: [device.index]) } })
    else {
      throw CNIError(
        .internalError,
        "nothing leads from \(end.link.name) to \(devices[0].name) any more: what \(name) sends is not limited"
      )
    }
    guard device.isUp else {
      throw CNIError(.internalError, "\(device.name) is down: what \(name) sends is lost")
    }
    let answer = try host.results(of: [.traffic(.getQdisc(link: device.index, parent: .root))])[0]
    try verify(
      egress, answer.ifPresent()?.qdisc, on: device, mtu: end.link.mtu, clock, "\(name) sends", "egressRate")
  }

  private func verify(
    _ limit: TrafficLimit, _ qdisc: Qdisc?, on link: Link, mtu: UInt32, _ clock: TrafficClock, _ what: String,
    _ key: String
  ) throws {
    guard let bucket = qdisc?.tokenBucket else {
      let found = qdisc.map { "it has \($0.kind.name) \($0.handle)" } ?? "it has no qdisc of anybody's"
      throw CNIError(
        .internalError, "what \(what) is not limited any more: tbf is gone from \(link.name)", details: found)
    }
    guard bucket.rate == limit.rate else {
      throw CNIError(
        .internalError,
        "\(what) at \(min(bucket.rate, .max / 8) * 8) bits per second (tbf on \(link.name)), \(key) is \(limit.rate * 8)"
      )
    }
    guard limit.matches(bucket, mtu: mtu, clock: clock) else {
      let expected = limit.tokenBucket(mtu: mtu, clock: clock)
      throw CNIError(
        .internalError, "the burst of what \(what) is not as ADD made it (tbf on \(link.name))",
        details:
          "it has buffer \(bucket.buffer) and limit \(bucket.limit), ADD gave it \(expected.buffer) and "
          + "\(expected.limit)")
    }
  }

  // MARK: DEL, GC, STATUS

  func remove(_ call: PluginCall, previous: AddResult?) throws {
    var host = try RouteSocket()
    var problem: (any Error)?
    var end: HostEnd?
    // What cannot be found must not keep the ifb.
    do { end = try HostEnd.findIfPresent(call, previous: previous, in: &host) } catch { problem = error }
    var devices = try BandwidthDevice.find(call, in: &host)
    var requests: [RouteRequest] = []
    if let end {
      if let unmarked = devices.last, (unmarked.alias ?? "").isEmpty,
        try isOther(unmarked, than: end, in: &host)
      {
        devices.removeLast()
      }
      if let root = end.root, isOwn(root, try TrafficClock.running()) {
        requests.append(.traffic(.deleteQdisc(link: root.link, parent: .root, handle: root.handle)))
      }
      if let ingress = end.ingress {
        requests += try IngressRedirect.removal(from: ingress, to: Set(devices.map(\.index)), in: &host)
      }
    }
    // The filter first: packets that it leads to nowhere are lost.
    requests += devices.map { .deleteLink(.index($0.index)) }
    try Self.delete(requests, in: &host)
    if let problem { throw problem }
  }

  /// Whether an ifb without a mark is that of another interface of the container, in the same network: another link leads
  /// to it.
  private func isOther(_ device: Link, than end: HostEnd, in host: inout RouteSocket) throws -> Bool {
    if try !IngressRedirect.filters(in: end.ingress, to: [device.index], in: &host).isEmpty { return false }
    for qdisc in try host.qdiscs() where qdisc.parent == .ingress && qdisc.link != end.link.index {
      if try !IngressRedirect.filters(in: qdisc, to: [device.index], in: &host).isEmpty { return true }
    }
    return false
  }

  /// What is not there any more is as good as deleted.
  private static func delete(_ requests: [RouteRequest], in host: inout RouteSocket) throws {
    for (request, outcome) in zip(requests, try host.results(of: requests)) {
      guard case .failure(let error) = outcome, !error.isNotFound else { continue }
      // In place of a qdisc that somebody else was faster to delete is the one that came with the link.
      if case .traffic(.deleteQdisc) = request, error.errno == .invalidArgument { continue }
      throw error
    }
  }

  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {
    var host = try RouteSocket()
    let devices = try host.links(kind: "ifb").filter { stale.contains($0) }.map(\.index)
    if devices.isEmpty { return }
    var requests: [RouteRequest] = []
    for qdisc in try host.qdiscs() where qdisc.parent == .ingress {
      requests += try IngressRedirect.removal(from: qdisc, to: Set(devices), in: &host)
    }
    requests += devices.map { .deleteLink(.index($0)) }
    try Self.delete(requests, in: &host)
  }

  func checkRequirements(_ call: PluginCall) throws { try KernelNeed.checkAll() }
}
