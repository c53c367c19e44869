import Netlink

/// A device on its way from a container to the host.
struct ReturningLink {
  private let link: Link
  /// Where it may be found, the best first.
  private let names: [String]

  /// Moves the device, down, to the namespace `host`: under `name`, or, where that is taken, under one that follows from
  /// the owner. A namespace that is about to end keeps it no longer than this takes.
  init(
    _ link: Link, as name: String, owner: Owner, from container: inout RouteSocket, to host: Int32
  ) throws(NetlinkError) {
    self.link = link
    let emergency = owner.linkName(prefix: "dev")
    names = [name, emergency, link.name]
    let there = LinkSelector.index(link.index)
    // Renamed before the move where that is possible, so that whoever watches the host's links (udev, NetworkManager) sees
    // it come under its own name. Where the container uses that name, the kernel renames on the way.
    _ = try? container.perform([
      .changeLink(there, LinkChange(isUp: false)), .changeLink(there, LinkChange(name: name)),
    ])
    do {
      try container.perform(.changeLink(there, LinkChange(name: name, namespace: host)))
    } catch  where error.isExists {
      // The kernel moves first and renames then: it may be on the host already, under the name it had here.
      guard try container.find(there)?.hardwareAddress == link.hardwareAddress else { return }
      try container.perform([
        .changeLink(there, LinkChange(name: emergency)),
        .changeLink(there, LinkChange(namespace: host)),
      ])
    }
  }

  /// The device on the host.
  func find(in host: inout RouteSocket) throws(NetlinkError) -> Link? {
    for name in names {
      if let found = try host.find(.name(name)), found.alias == link.alias, found.kind == link.kind,
        found.hardwareAddress == link.hardwareAddress
      {
        return found
      }
    }
    return nil
  }
}
