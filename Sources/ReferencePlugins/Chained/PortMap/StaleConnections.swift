import CNI
import CNIPluginKit
import NetworkAddresses
import Netlink

/// Connections that the kernel tracks and that would go on to where a port led before.
///
/// It concerns UDP: the kernel keeps such a flow as long as packets come, and the client does not notice that nobody
/// answers. Whoever speaks TCP or SCTP begins anew.
enum StaleConnections {
  /// ADD: forgets the flows to the mapped ports that lead somewhere else.
  static func forget(to mappings: [PortMapping], _ addresses: [IPPrefix], _ call: PluginCall) {
    guard mappings.contains(where: { $0.transport == .udp }) else { return }
    reporting(call) { () throws(NetlinkError) in
      try ConntrackSocket.ifAvailable { socket throws(NetlinkError) in
        var locals = LocalAddresses()
        var stale: [ConntrackEntry] = []
        for container in addresses {
          for mapping in mappings where mapping.transport == .udp && mapping.canServe(container.family) {
            let filter = ConntrackFilter(
              container.family, .udp,
              original: .init(destination: mapping.hostAddress, destinationPort: mapping.hostPort))
            for entry in try socket.entriesIfSupported(matching: filter)
            where entry.reply.source != container.address || entry.reply.sourcePort != mapping.containerPort {
              // A flow through the host to the same port of somebody else is none of ours.
              if try locals.contains(entry.original.destination) { stale.append(entry) }
            }
          }
        }
        try socket.delete(stale)
      }
    }
  }

  /// DEL: forgets all flows from and to the container.
  ///
  /// - Parameter removed: What led to it, or hid who asked. Of another form nothing is known here: mappings and addresses
  ///   tell, too.
  static func forget(
    _ removed: [OwnedTable.Entry], _ mappings: [PortMapping], _ addresses: [IPPrefix], _ call: PluginCall
  ) {
    var containers: Set<IPAddress> = []
    for entry in removed where entry.element.key.contains(.protocol(.udp)) {
      var target = entry.element.key.dropLast(2).last
      if case .value(let value)? = entry.element.data { target = value.first }
      switch target {
      case .ipv4(let address)?: containers.insert(.v4(address))
      case .ipv6(let address)?: containers.insert(.v6(address))
      default: break
      }
    }
    if mappings.contains(where: { $0.transport == .udp }) { containers.formUnion(addresses.map(\.address)) }
    if containers.isEmpty { return }
    let filters = containers.flatMap { address in
      [
        ConntrackFilter(address.family, .udp, reply: .init(source: address)),
        ConntrackFilter(address.family, .udp, original: .init(source: address)),
      ]
    }
    reporting(call) { () throws(NetlinkError) in
      try ConntrackSocket.ifAvailable { socket throws(NetlinkError) in
        try socket.deleteAll(matching: filters)
      }
    }
  }

  /// The mappings are as they should be, whatever becomes of old flows: that they remain is worth a line in the log.
  private static func reporting(_ call: PluginCall, _ body: () throws(NetlinkError) -> Void) {
    do { try body() } catch { call.log("flows of UDP may go on to where they went before: \(error)") }
  }
}

/// Which addresses are the host's own, as the routing table has it; each is asked for once.
private struct LocalAddresses {
  private var known: [IPAddress: Bool] = [:]

  mutating func contains(_ address: IPAddress) throws(NetlinkError) -> Bool {
    if let answer = known[address] { return answer }
    var socket = try RouteSocket()
    let answer = try socket.route(to: address)?.type == .local
    known[address] = answer
    return answer
  }
}

extension ConntrackSocket {
  /// The connections that are meant; none in a kernel that tracks none.
  fileprivate mutating func entriesIfSupported(
    matching filter: ConntrackFilter
  ) throws(NetlinkError) -> [ConntrackEntry] {
    do {
      return try entries(matching: filter)
    } catch  where error.errno == .invalidArgument || error.isUnsupported {
      return []
    }
  }
}
