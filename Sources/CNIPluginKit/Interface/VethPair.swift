import CNI
import NetworkAddresses
import Netlink

/// A pair of virtual Ethernet interfaces, one end on the host, the other in the container.
public struct VethPair {
  /// The host's end.
  public let host: Link
  /// The hardware address of the container's end.
  public let mac: MACAddress
  /// The index of the container's end, in the container.
  public let containerIndex: Int32

  /// Makes the pair in one request: each end is born in its own namespace, the host's end, if wanted, as a port of
  /// `master`. The host's end is named after the attachment, carries its mark, and is up. Both have one queue.
  ///
  /// - Throws: `CNIError` when the container already has an interface of that name; `NetlinkError`.
  public static func create(
    in attachment: InterfaceAttachment, mtu: UInt32?, mac: MACAddress?, master: Int32? = nil
  ) throws -> VethPair {
    let call = attachment.call
    let owner = call.owner
    var generator = SystemRandomNumberGenerator()
    var container = LinkSpecification(name: call.interfaceName, kind: nil)
    container.mtu = mtu
    container.mac = mac ?? MACAddress.random(using: &generator)
    container.namespace = attachment.namespace.descriptor
    container.setQueues(1)
    for name in owner.linkNames {
      var pair = LinkSpecification(name: name, kind: .veth(VethSettings(peer: container)))
      pair.mtu = mtu
      pair.mac = MACAddress.random(using: &generator)
      pair.master = master
      pair.setQueues(1)
      pair.group = owner.unfinishedGroup
      // Before it is there: what becomes of a request whose answer is lost, nobody knows.
      attachment.undo.register("creation of the veth pair") { [unowned attachment] in
        guard let link = try attachment.host.find(.name(name)), owner.owns(link) else { return }
        try attachment.host.deleteIfPresent(.index(link.index))
      }
      guard try attachment.host.createIfAbsent(pair) else {
        attachment.undo.forget()
        try requireFree(call.interfaceName, owner: owner, hostName: name, in: attachment)
        continue
      }
      // The mark comes in a message of its own: in the first one it would also reach a stranger's link of that name. Up
      // only now: of a link that is up and has no carrier yet, the kernel waits for a grace period when it is asked.
      let replies = try attachment.host.perform([
        .getLink(.name(name)),
        .changeLink(.name(name), owner.marking(isUp: true)),
      ])
      guard let host = replies.first?.link, let index = host.vethPeer else {
        throw CNIError(.internalError, "the kernel does not say what the other end of \(name) is")
      }
      return VethPair(host: host, mac: container.mac!, containerIndex: index)
    }
    throw CNIError(.internalError, "no free name for the host's end of \(call.interfaceName)")
  }

  /// CHECK: the host's end of the container's interface, which is the one of `result`.
  ///
  /// - Throws: `CNIError` when `link` is no veth, its other end is gone, or is not as ADD reported it.
  public static func hostEnd(
    of link: Link, in result: AddResult, _ attachment: InterfaceAttachment
  ) throws -> Link {
    guard link.kind == "veth", let peer = link.vethPeer else {
      throw CNIError(
        .internalError,
        "\(link.name) is a \(link.kind ?? "device"), \(attachment.call.configuration.type) made a veth of that name"
      )
    }
    guard let host = try attachment.host.find(.index(peer)) else {
      throw CNIError(.internalError, "the host's end of \(link.name) (interface \(peer)) is gone")
    }
    guard let listed = result.interfaces.first(where: { $0.name == host.name && ($0.sandbox ?? "").isEmpty })
    else {
      throw CNIError(
        .internalError, "\(link.name) ends in \(host.name) on the host, which prevResult does not list")
    }
    if let mac = listed.mac.flatMap({ MACAddress($0) }), mac != host.mac {
      throw CNIError(
        .internalError,
        "\(host.name) has the address \(host.mac?.description ?? "none"), at ADD it had \(mac)")
    }
    return host
  }

  /// Returns when it is the host's name that is taken, by somebody else; throws when it is the attachment itself.
  private static func requireFree(
    _ name: String, owner: Owner, hostName: String, in attachment: InterfaceAttachment
  ) throws {
    try ContainerLink.requireFree(name, in: attachment)
    let taken = try attachment.host.link(named: hostName)
    guard owner.owns(taken) else { return }
    throw CNIError(
      .internalError, "\(hostName) on the host already belongs to this attachment (\(owner))",
      details: "an earlier ADD was not followed by a DEL; call DEL first")
  }
}
