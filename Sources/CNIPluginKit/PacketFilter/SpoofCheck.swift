import CNI
import NetworkAddresses
import Netlink
import SystemPackage

/// Drops frames that a container sends with another source address than its own (`macspoofchk`).
///
/// ```
/// table bridge cni_spoofcheck {
///   map ports { type ifname : verdict
///     elements = { "veth1a2b3c4d" comment "cni:NETWORK/CONTAINER/eth0" : goto veth1a2b3c4d } }
///   chain prerouting { type filter hook prerouting priority dstnat
///     iifname vmap @ports }
///   chain veth1a2b3c4d {
///     ether saddr != 02:00:5e:10:00:01 drop }
/// }
/// ```
///
/// One look-up decides for every frame, however many ports are guarded.
public struct SpoofCheck: Sendable {
  let port: String
  let mac: MACAddress
  let owner: Owner

  /// The guard of one bridge port.
  public init(port: String, mac: MACAddress, owner: Owner) {
    self.port = port
    self.mac = mac
    self.owner = owner
  }

  private static let table = Table(.bridge, "cni_spoofcheck")
  private static let ports = NFTSet.map(table, "ports", [.interfaceName], to: .verdict)
  private static let prerouting = Chain(
    table, "prerouting",
    base: .init(.filter, hook: .prerouting, priority: .bridgeDestinationNAT, policy: .accept))

  /// Installs the guard.
  public func install() throws {
    var socket = try NetfilterSocket()
    let chain = Chain(Self.table, port)
    for attempt in 0..<50 {
      var transaction = NFTransaction()
      if try !Self.exists(Self.prerouting, &socket) {
        transaction.create(Self.table)
        transaction.create(Self.ports)
        transaction.create(Self.prerouting)
        transaction.add(Rule(in: Self.prerouting, [.vmap(.inputInterface, in: Self.ports)]))
      } else if try Self.exists(chain, &socket) {
        // The port's name follows from its owner: an earlier attachment of the same owner left it.
        try Self.removePort(port, from: &socket)
      }
      transaction.create(chain)
      transaction.add(Rule(in: chain, [.etherSource != .mac(mac), .drop]))
      let mark = owner.mark(limit: Masquerade.commentLimit)
      transaction.create(Element(.interface(port), verdict: .goto(port), comment: mark), in: Self.ports)
      // Somebody else may have made, or removed, the table meanwhile.
      if try socket.commit(transaction, unless: { ($0.isExists || $0.isNotFound) && attempt < 49 }) { return }
    }
  }

  /// Removes an owner's guard; also the one that the Go plugins made for it.
  public static func remove(_ owner: Owner) throws {
    var socket = try NetfilterSocket()
    for attempt in 0..<3 {
      let port = owner.linkName(attempt: attempt)
      guard let element = try find(port, &socket) else { break }
      guard owner.owns(element.comment ?? "", limit: Masquerade.commentLimit) else { continue }
      try removePort(port, from: &socket)
      break
    }
    try removeForeign(owner, &socket)
  }

  /// Removes the guards of stale attachments.
  public static func removeAll(where stale: StaleMarks) throws {
    var socket = try NetfilterSocket()
    let elements = try Masquerade.absentAsNil { () throws(NetlinkError) in try socket.elements(of: ports) }
    for element in elements ?? [] where element.comment.map(stale.contains) == true {
      if case .interface(let port)? = element.key.first { try removePort(port, from: &socket) }
    }
  }

  /// Throws unless the port is guarded.
  public static func verify(port: String, owner: Owner) throws {
    var socket = try NetfilterSocket()
    if let element = try find(port, &socket),
      owner.owns(element.comment ?? "", limit: Masquerade.commentLimit)
    {
      return
    }
    if try exists(foreignChain(owner), &socket) { return }
    throw CNIError(
      .internalError, "source addresses at \(port) are not checked any more, macspoofchk asks for it")
  }

  private static func find(_ port: String, _ socket: inout NetfilterSocket) throws(NetlinkError) -> Element? {
    do { return try socket.element([.interface(port)], of: ports) } catch  where error.isNotFound {
      return nil
    }
  }

  private static func exists(_ chain: Chain, _ socket: inout NetfilterSocket) throws(NetlinkError) -> Bool {
    do {
      _ = try socket.chain(chain.name, in: chain.table)
      return true
    } catch  where error.isNotFound {
      return false
    }
  }

  private static func removePort(_ port: String, from socket: inout NetfilterSocket) throws {
    var transaction = NFTransaction()
    transaction.delete(Element(.interface(port)), from: ports)
    transaction.delete(Chain(table, port))
    _ = try socket.commit(transaction, unless: \.isNotFound)
    try Masquerade.removeIfEmpty(table, but: prerouting, from: &socket)
  }

  // MARK: What the Go plugins make

  private static let foreignTable = Table(.bridge, "nat")

  /// Their chain of one attachment; its rules lead to a second one with `-mac` behind the name.
  private static func foreignChain(_ owner: Owner) -> Chain {
    let attachment = owner.attachment
    return Chain(
      foreignTable,
      "cni-br-iface-\(attachment?.containerID ?? "")-\(attachment?.interfaceName ?? "")")
  }

  private static func removeForeign(_ owner: Owner, _ socket: inout NetfilterSocket) throws {
    let chain = foreignChain(owner)
    let addresses = Chain(foreignTable, chain.name + "-mac")
    guard try socket.deleteChain(chain, jumpsFrom: [Chain(foreignTable, "PREROUTING")]) else { return }
    try socket.deleteChain(addresses, jumpsFrom: [])
  }
}
