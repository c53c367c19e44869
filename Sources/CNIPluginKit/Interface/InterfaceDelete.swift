import CNI
import LinuxNetworking
import Netlink

extension InterfacePlugin {
  /// DEL: the link, the lease, whatever else there is; a step that fails does not keep the others from being done.
  ///
  /// The lease is given back after the link is gone, so that the address is never in two places; unless it has to be
  /// given back through the link.
  public func delete(_ call: PluginCall) throws {
    // In a list the interface's plugin is the last one to delete.
    defer { NetfilterRelease.catchUp() }
    var problems: [CNIError] = []
    func attempt(_ step: () throws -> Void) {
      do { try step() } catch { problems.append(CNIError(describing: error)) }
    }
    // A previous result that cannot be read must not keep anything from being removed.
    let previous = try? call.configuration.prevResult()
    func release() {
      if let ipamType = settings.ipamType { attempt { try call.delegate(to: ipamType, .del) } }
    }
    if settings.releasesThroughInterface { release() }
    attempt { try removeLink(call, previous: previous) }
    if !settings.releasesThroughInterface { release() }
    attempt { try disconnect(call, previous: previous) }
    guard var first = problems.first else { return }
    for other in problems.dropFirst() {
      first.details += (first.details.isEmpty ? "also: " : "; also: ") + other.description
    }
    throw first
  }

  /// Deletes it there, or what is left of it here.
  public func removeLink(_ call: PluginCall, previous: AddResult?) throws {
    if try deleteInContainer(call) { return }
    // The namespace is gone, or the link in it: what may be left is the host's end, under the name that follows
    // from the attachment.
    var host = try RouteSocket()
    try OwnedLinks.delete(call.owner, in: &host)
  }

  /// Whether there was a link in the container's namespace to delete. One of that name that the mark of its other end tells
  /// to be another attachment's is none of ours.
  private func deleteInContainer(_ call: PluginCall) throws -> Bool {
    guard let namespace = try call.containerNamespaceIfPresent() else { return false }
    var container = try RouteSocket(namespace: namespace.descriptor)
    guard let link = try container.find(.name(call.interfaceName)) else { return false }
    if let peer = link.vethPeer {
      var host = try RouteSocket()
      // Indices are a namespace's own: what has that index here need not be the other end. The mark tells.
      if let port = try host.find(.index(peer)), port.vethPeer == link.index, let mark = port.alias {
        if call.owner.owns(mark, limit: OwnedLinks.aliasLimit) {
          if try deleteTogether(port, in: &host, call) { return true }
        } else if Owner.isMark(mark) {
          return false
        }
      }
    }
    return try container.deleteIfPresent(.index(link.index))
  }

  /// Deletes the host's end together with what only it made necessary; false if there is no such thing.
  private func deleteTogether(_ port: Link, in host: inout RouteSocket, _ call: PluginCall) throws -> Bool {
    guard try !linksUnused(without: port, network: call.network).isEmpty else { return false }
    // Asked again with the lock: an ADD may have been faster.
    let lock = try NetworkNamespace.current()
    guard HostLock.tryExclusively(lock, attempts: 1) else { return false }
    let unused = try linksUnused(without: port, network: call.network)
    guard !unused.isEmpty else { return false }
    let group = UInt32.random(in: 0x4000_0000...0x7fff_ffff)
    try host.perform(
      ([port.index] + unused).map { .changeLink(.index($0), LinkChange(group: group)) } + [
        .deleteLinks(group: group)
      ])
    return true
  }
}

/// Links on the host that carry an owner's mark.
public enum OwnedLinks {
  /// The length of an alias that the kernel keeps (`IFALIASZ`, less the end mark).
  public static let aliasLimit = 255

  /// Deletes the link of one attachment, found by the name that follows from the owner and confirmed by its alias.
  static func delete(_ owner: Owner, in socket: inout RouteSocket) throws {
    for name in owner.linkNames {
      guard let link = try socket.find(.name(name)), owner.owns(link) else {
        continue
      }
      try socket.deleteIfPresent(.index(link.index))
      return
    }
  }

  /// Deletes every link that carries the mark of a stale attachment of a network.
  static func deleteStale(_ stale: StaleMarks, in socket: inout RouteSocket) throws {
    for link in try socket.links() where stale.contains(link) {
      try socket.deleteIfPresent(.index(link.index))
    }
  }
}
