import CNI
import CNIPluginKit
import Netlink

/// The ifb that what a container sends is led through: one for each attachment that has a limit on that.
///
/// Its name is that of the Go plugin, which follows from network and container, so that either implementation finds the
/// other's; a second interface of the container in the same network has one that follows from the interface, too. It
/// carries the attachment's mark, but for those that the Go plugin made.
enum BandwidthDevice {
  /// The names in the order in which they are tried.
  static func names(_ call: PluginCall) -> [String] {
    let owner = call.owner
    return [
      "bwp" + SHA512.hexadecimal(call.network + call.containerID, length: 12),
      owner.linkName(prefix: "bwp"), owner.linkName(prefix: "bwp", attempt: 1),
    ]
  }

  /// The attachment's devices that are there, those with its mark first; then one without any, of the Go plugin's name,
  /// which may be that of another interface of the container.
  static func find(_ call: PluginCall, in host: inout RouteSocket) throws -> [Link] {
    let links = try host.results(of: names(call).map { .getLink(.name($0)) })
      .compactMap { try $0.ifPresent()?.link }.filter { $0.kind == "ifb" }
    return links.filter(call.owner.owns)
      + links.prefix(1).filter { ($0.alias ?? "").isEmpty && !call.owner.isUnfinished($0) }
  }

  /// Makes one, still off and without its mark.
  static func create(
    _ call: PluginCall, mtu: UInt32, in host: inout RouteSocket, undo: inout UndoLog
  ) throws -> Link {
    let owner = call.owner
    let group = owner.unfinishedGroup
    for name in names(call) {
      for _ in 0..<2 {
        // Before it is there: what becomes of a request whose answer is lost, nobody knows.
        undo.register("creation of the ifb") {
          var host = try RouteSocket()
          guard let link = try host.find(.name(name)), owner.owns(link) else { return }
          try host.deleteIfPresent(.index(link.index))
        }
        let replies = try host.results(of: [
          .createLink(LinkSpecification(name: name, kind: .ifb, mtu: mtu, group: group)),
          .getLink(.name(name)),
        ])
        switch replies[0] {
        case .success:
          guard let link = try replies[1].get().link else { break }
          return link
        case .failure(let error) where error.isUnsupported: throw KernelNeed.ifb.missing
        case .failure(let error) where !error.isExists: throw error
        case .failure: undo.forget()
        }
        // Of an ADD that ended half-way: nothing leads to it, or the attachment would have been found shaped.
        guard let taken = try replies[1].ifPresent()?.link, taken.kind == "ifb",
          owner.owns(taken)
        else { break }
        try host.deleteIfPresent(.index(taken.index))
      }
    }
    throw CNIError(.internalError, "no free name for the ifb of \(call.interfaceName)")
  }
}
