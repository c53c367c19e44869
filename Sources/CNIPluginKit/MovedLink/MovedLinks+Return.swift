import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

extension MovedLinks {
  /// Which device an attachment has that bears no mark: one that the Go plugin moved, which leaves nothing but the
  /// device's name in its alias.
  public struct Unmarked {
    /// Whether a link with a name in its alias is the configured device.
    public let isConfigured: (Link) -> Bool
    /// The configured device's name on the host, where the configuration tells.
    public let name: String?

    /// How to know it.
    public init(name: String?, isConfigured: @escaping (Link) -> Bool) {
      self.name = name
      self.isConfigured = isConfigured
    }
  }

  /// DEL: brings the attachment's device back, from the container's namespace or, where that has gone, from under
  /// whatever name the kernel has given it on the host.
  ///
  /// It comes down, under its old name, with its old alias, hardware address and MTU. Nothing to bring back is no error.
  ///
  /// - Throws: `CNIError` when the device is back and its name is taken; `NetlinkError`.
  public func release(_ call: PluginCall, previous: AddResult?, unmarked: Unmarked) throws {
    let record = MovedLinkRecord.read(call.owner, in: directory)
    var host = try RouteSocket()
    var link: Link?
    var isGone = true
    if let namespace = try call.containerNamespaceIfPresent() {
      isGone = false
      link = try bringBack(from: namespace, to: &host, call.owner, record) { container in
        try find(unmarked, call, previous, in: &container)
      }
    }
    if link == nil, let record, record.namespace != call.namespacePath {
      link = try bringBack(to: &host, record)
    }
    let hasJustCome = link != nil
    if link == nil { link = try findOnHost(call.owner, record, waiting: isGone, in: &host) }
    if link == nil, isGone, let name = unmarked.name {
      link = try findUnmarked(name, record, in: &host)
    }
    guard let link else {
      // Hardware does not vanish with a namespace. Something holds that, unseen; GC and the next ADD will find the device.
      if isGone, let record, record.kind == nil {
        return call.log("\(record.name) has not come back to the host yet from the namespace that is gone")
      }
      return try MovedLinkRecord.remove(call.owner, in: directory)
    }
    let name = record?.name ?? link.nameInAlias ?? unmarked.name
    try settle(link, as: name, record, owner: call.owner, in: &host, call, hasJustCome: hasJustCome)
  }

  /// GC: brings back the devices of stale attachments, wherever they are.
  public func releaseStale(_ stale: StaleMarks) throws {
    var problem: (any Error)?
    var host = try RouteSocket()
    for record in MovedLinkRecord.all(in: directory) where stale.contains(record) {
      do { try release(record, to: &host) } catch { problem = problem ?? error }
    }
    for link in try host.links() where stale.contains(deviceOf: link) {
      do {
        try settle(link, as: link.nameInAlias, nil, owner: nil, in: &host)
      } catch {
        problem = problem ?? error
      }
    }
    if let problem { throw problem }
  }

  private func release(_ record: MovedLinkRecord, to host: inout RouteSocket) throws {
    let owner = record.owner
    var link = try bringBack(to: &host, record)
    if link == nil { link = try findOnHost(owner, record, waiting: false, in: &host) }
    guard let link else { return try MovedLinkRecord.remove(owner, in: directory) }
    try settle(link, as: record.name, record, owner: owner, in: &host)
  }

  /// ADD: a device that is on the host although it bears an attachment's mark is what a container has left that has
  /// gone. It gets its name and alias back.
  ///
  /// - Throws: `CNIError` with code 11 when the attachment's namespace is still there: its ADD or DEL is under way.
  public func recover(_ link: Link, in host: inout RouteSocket) throws -> Link {
    guard let mark = link.marks.first else { return link }
    let record = MovedLinkRecord.all(in: directory).first { $0.owner.alternativeName == mark }
    if let record, Self.hasNamespace(record) {
      throw CNIError(
        .tryAgainLater, "\(record.name) is on its way to or from container \(record.owner)",
        details: "if no ADD or DEL of it is running, call DEL for it")
    }
    try settle(link, as: record?.name ?? link.nameInAlias, record, owner: record?.owner, in: &host)
    return try host.link(index: link.index)
  }
}

// MARK: Finding

extension MovedLinks {
  private func bringBack(
    from namespace: borrowing NetworkNamespace, to host: inout RouteSocket, _ owner: Owner,
    _ record: MovedLinkRecord?, otherwise: (inout RouteSocket) throws -> Link? = { _ in nil }
  ) throws -> Link? {
    var container = try RouteSocket(namespace: namespace.descriptor)
    let link =
      if let record { try find(record, in: &container) } else {
        try Self.find(owner, in: &container) ?? otherwise(&container)
      }
    guard let link else { return nil }
    let home = try NetworkNamespace.current()
    let name = record?.name ?? link.nameInAlias ?? owner.linkName(prefix: "dev")
    return try ReturningLink(link, as: name, owner: owner, from: &container, to: home.descriptor)
      .find(in: &host)
  }

  private static func hasNamespace(_ record: MovedLinkRecord) -> Bool {
    do {
      _ = try NetworkNamespace.open(record.namespace)
      return true
    } catch {
      return false
    }
  }

  /// The same from the namespace that ADD was called with, if it is still there.
  private func bringBack(to host: inout RouteSocket, _ record: MovedLinkRecord) throws -> Link? {
    guard let namespace = try? NetworkNamespace.open(record.namespace), try !namespace.isCurrent else {
      return nil
    }
    return try bringBack(from: namespace, to: &host, record.owner, record)
  }

  /// The device that the Go plugin moved into the container: under `CNI_IFNAME`; or, where the runtime tells what ADD
  /// gave, under any name.
  private func find(
    _ unmarked: Unmarked, _ call: PluginCall, _ previous: AddResult?, in container: inout RouteSocket
  ) throws -> Link? {
    func isMeant(_ link: Link) -> Bool {
      link.marks.isEmpty && link.nameInAlias != nil && unmarked.isConfigured(link)
    }
    if let link = try container.find(.name(call.interfaceName)), isMeant(link) { return link }
    guard
      let mac = previous?.interfaces.first(where: {
        $0.name == call.interfaceName && $0.sandbox == call.namespacePath
      })?.mac.flatMap({ MACAddress($0) })
    else { return nil }
    return try container.links().first { $0.mac == mac && isMeant($0) }
  }

  /// The device on the host, where the kernel puts hardware whose namespace has ended. It takes its time for that.
  private func findOnHost(
    _ owner: Owner, _ record: MovedLinkRecord?, waiting: Bool, in host: inout RouteSocket
  ) throws -> Link? {
    var waited: UInt32 = 0
    while true {
      if let link = try Self.find(owner, in: &host) { return link }
      guard let record else { return nil }
      // Without mark: one that has its own name, and not in its alias, somebody else has brought back.
      if let link = try host.links().first(where: {
        record.describes($0) && ($0.alias == record.name || $0.name != record.name && waiting)
      }) {
        return link
      }
      guard waiting, record.kind == nil, waited < 2000 else { return nil }
      Pause.milliseconds(20)
      waited += 20
    }
  }

  /// A device without mark on the host whose alias is the name that it should have, and that nothing has.
  private func findUnmarked(
    _ name: String, _ record: MovedLinkRecord?, in host: inout RouteSocket
  ) throws -> Link? {
    guard record == nil, try host.find(.name(name)) == nil else { return nil }
    return try host.links().first { $0.alias == name && $0.marks.isEmpty }
  }
}

extension StaleMarks {
  fileprivate func contains(_ record: MovedLinkRecord) -> Bool {
    guard record.owner.network == network, let attachment = record.owner.attachment else { return false }
    return !valid.contains(attachment)
  }
}

// MARK: Settling

extension MovedLinks {
  /// Makes of a device that is on the host again what it was: down, name, alias, hardware address, MTU. Its mark and its
  /// record go last.
  ///
  /// - Parameters:
  ///   - name: What it was called; nil if nobody knows any more: then it keeps the name it has.
  ///   - hasJustCome: Whether it is this call that has brought it.
  func settle(
    _ link: Link, as name: String?, _ record: MovedLinkRecord?, owner: Owner?, in host: inout RouteSocket,
    _ call: PluginCall? = nil, hasJustCome: Bool = true
  ) throws {
    let here = LinkSelector.index(link.index)
    if link.isUp { try host.perform(.changeLink(here, LinkChange(isUp: false))) }
    if let name, name != link.name {
      guard try Self.rename(link, name, in: &host) else {
        return try leave(link, without: name, owner: owner, in: &host, call, hasJustCome: hasJustCome)
      }
    } else if name == nil {
      call?.log("nothing says what \(link.name) was called on the host before")
    }
    if let record {
      if let mac = record.mac, mac != link.mac {
        _ = try? host.perform(.changeLink(here, LinkChange(mac: mac)))
      }
      if record.mtu != 0, record.mtu != link.mtu {
        _ = try? host.perform(.changeLink(here, LinkChange(mtu: record.mtu)))
      }
    }
    try unmark(link, alias: record?.alias, in: &host)
    if let owner { try MovedLinkRecord.remove(owner, in: directory) }
  }

  /// Whether the name was free.
  private static func rename(
    _ link: Link, _ name: String, in host: inout RouteSocket
  ) throws(NetlinkError) -> Bool {
    do {
      try host.perform(.changeLink(.index(link.index), LinkChange(name: name)))
      return true
    } catch  where error.isExists {
      return false
    }
  }

  func unmark(_ link: Link, alias: String?, in host: inout RouteSocket) throws {
    try host.perform(
      [.changeLink(.index(link.index), LinkChange(alias: alias ?? ""))]
        + link.marks.map { .deleteAlternativeName(.index(link.index), $0) })
  }

  /// Another interface has the name. The device keeps its mark and its record, for a GC or an ADD when the name is free, and
  /// gets a name that tells. The first time, that is an error; a runtime that tries again must not be kept from its end.
  private func leave(
    _ link: Link, without name: String, owner: Owner?, in host: inout RouteSocket, _ call: PluginCall?,
    hasJustCome: Bool
  ) throws {
    let emergency = owner?.linkName(prefix: "dev") ?? link.name
    let holder = try host.find(.name(name))
    let message =
      "\(name) is back on the host, but another interface "
      + (holder.map { "(index \($0.index)) " } ?? "") + "has its name now: it is called \(emergency)"
    if link.name == emergency {
      if !hasJustCome { return call?.log(message) ?? () }
    } else {
      try host.perform(.changeLink(.index(link.index), LinkChange(name: emergency)))
    }
    throw CNIError(
      .internalError, message,
      details: "rename the other one, then: ip link set \(emergency) name \(name)")
  }
}
