import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

/// Devices of the host's that a plugin moves into containers: in at ADD, and back at DEL.
///
/// On the way a device has its name on the host in its alias and its attachment in an alternative name, both before
/// the move and until it is back under its name: whenever a plugin is killed, the next DEL, ADD or GC goes on from there.
public struct MovedLinks: Sendable {
  /// Where the records are.
  let directory: String

  /// Those of one plugin.
  public init(pluginType: String) { directory = "/run/cni/" + pluginType }

  /// The record of the device that `isMeant` means: who has it.
  public func record(where isMeant: (MovedLinkRecord) -> Bool) -> MovedLinkRecord? {
    MovedLinkRecord.all(in: directory).first(where: isMeant)
  }

  /// ADD: moves a link of the host's into the container, where it has the name `CNI_IFNAME` and is down.
  ///
  /// Should a later step fail, it comes back as it was: name, alias, state, master, addresses and routes.
  ///
  /// - Returns: The link as it is in the container.
  /// - Throws: `CNIError` for a name that is taken in the container, and for a link that cannot be moved;
  ///   `NetlinkError`.
  public func move(_ link: Link, in attachment: InterfaceAttachment) throws -> Link {
    let call = attachment.call
    let name = call.interfaceName
    guard try attachment.inContainer({ try $0.find(.name(name)) }) == nil else {
      throw CNIError(
        .internalError, "the container already has an interface \(name)",
        details: "call DEL for it first, or choose another CNI_IFNAME")
    }
    let use = try LinkUse(link, in: &attachment.host)

    let record = MovedLinkRecord(link, owner: call.owner, namespace: call.namespacePath)
    attachment.undo.register("the move of the device") { [unowned attachment] in
      try takeBack(record, use, in: attachment)
    }
    do {
      try record.write(in: directory)
    } catch {
      call.log("\(link.name) will come back without its alias: \(CNIError(describing: error))")
    }
    try mark(link, owner: call.owner, in: &attachment.host)
    do {
      try attachment.host.perform(
        .changeLink(.index(link.index), LinkChange(name: name, namespace: attachment.namespace.descriptor)))
    } catch {
      throw explained(error, link)
    }
    for warning in use.warnings { call.log(warning) }
    return try attachment.inContainer { try $0.link(named: name) }
  }

  private func mark(_ link: Link, owner: Owner, in host: inout RouteSocket) throws(CNIError) {
    do {
      try host.perform([
        .changeLink(.index(link.index), LinkChange(alias: link.name)),
        .addAlternativeName(.index(link.index), owner.alternativeName),
      ])
    } catch {
      // Before Linux 5.5; the record has to do.
      if error.isUnsupported { return }
      guard error.isExists else { throw CNIError(describing: error) }
      throw CNIError(
        .internalError, "another interface of the host already belongs to this attachment (\(owner))",
        details: "an earlier ADD was not followed by a DEL; call DEL first")
    }
  }

  private func explained(_ error: NetlinkError, _ link: Link) -> CNIError {
    switch error.errno {
    case .invalidArgument:
      CNIError(
        .internalError, "\(link.name) (\(link.kind ?? "a device")) cannot be moved into a container",
        details:
          "\(error); the kernel keeps some interfaces in the namespace they were made in: bridges, bonds, "
          + "loopback, Wi-Fi")
    case .fileExists:
      CNIError(
        .internalError, "\(link.name) cannot be moved into the container: a name of its is taken there",
        details: error.description)
    default: CNIError(describing: error)
    }
  }

  /// Undoes a move, however far it came.
  private func takeBack(_ record: MovedLinkRecord, _ use: LinkUse, in attachment: InterfaceAttachment) throws
  {
    let home = attachment.hostNamespace.descriptor
    let moved = try attachment.inContainer { container -> ReturningLink? in
      try find(record, in: &container).map {
        try ReturningLink($0, as: record.name, owner: record.owner, from: &container, to: home)
      }
    }
    if let link = try moved?.find(in: &attachment.host) {
      try settle(link, as: record.name, record, owner: record.owner, in: &attachment.host)
      return try use.restore(index: link.index, in: &attachment.host)
    }
    // It has not moved; or somebody else was faster with it.
    if let link = try attachment.host.find(.index(use.link.index)), link.name == record.name {
      try unmark(link, alias: record.alias, in: &attachment.host)
    }
    try MovedLinkRecord.remove(record.owner, in: directory)
  }

  /// The device of a record in the namespace of a socket, by its mark or what else the record knows.
  func find(_ record: MovedLinkRecord, in socket: inout RouteSocket) throws -> Link? {
    try Self.find(record.owner, in: &socket) ?? socket.links().first(where: record.describes)
  }

  /// The device with the mark of an attachment in the namespace of a socket.
  public static func find(_ owner: Owner, in socket: inout RouteSocket) throws -> Link? {
    guard let link = try socket.find(.name(owner.alternativeName)),
      // Kernels before 6.6 leave alternative names behind when they move a link, and show the one that has gone.
      let same = try socket.find(.index(link.index)), same.hasMark(of: owner)
    else { return nil }
    return same
  }
}
