import CNI
import Glibc
import LinuxNetworking
import NetworkAddresses
import Netlink

/// Why something in a pod's network namespace could not be done.
struct PodNamespaceError: Error {
  var reason: String
}

/// A pod's network namespace, asked without any plugin.
enum PodNamespace {
  private static let loopback = "lo"

  /// Whether two paths lead to the same namespace (`/run` and `/var/run` do), or once did.
  static func isSame(_ one: String, _ other: String) -> Bool {
    if one == other { return true }
    if one.isEmpty || other.isEmpty { return false }
    var first = stat()
    var second = stat()
    guard stat(one, &first) == 0, stat(other, &second) == 0 else { return false }
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino
  }

  /// Brings `lo` up.
  static func bringUpLoopback(of path: String) throws(PodNamespaceError) {
    try inside(path) { (socket) throws(NetlinkError) in
      try socket.perform(.changeLink(.name(loopback), LinkChange(isUp: true)))
    }
  }

  /// Throws if `lo` is down.
  static func requireLoopback(in path: String) throws(PodNamespaceError) {
    let isUp = try inside(path) { (socket) throws(NetlinkError) in try socket.link(named: loopback).isUp }
    if !isUp { throw PodNamespaceError(reason: "the loopback interface in \(path) is down") }
  }

  /// What an interface has: its MAC address and its addresses that are valid beyond its link, in the shape of a result.
  static func result(for interface: String, in path: String) throws(PodNamespaceError) -> AddResult {
    let result = try inside(path) { (socket) throws(NetlinkError) -> AddResult? in
      guard let link = try socket.find(.name(interface)) else { return nil }
      let addresses = try socket.addresses(index: link.index).filter { $0.scope == .universe }
      return AddResult(
        interfaces: [
          Interface(name: interface, mac: link.mac.map { "\($0)" }, mtu: Int(link.mtu), sandbox: path)
        ],
        ips: addresses.map { IPConfiguration(address: $0.prefix, interface: 0) })
    }
    guard let result else {
      throw PodNamespaceError(reason: "there is no interface \"\(interface)\" in \(path)")
    }
    guard !result.ips.isEmpty else {
      throw PodNamespaceError(reason: "interface \"\(interface)\" in \(path) has no address")
    }
    return result
  }

  @discardableResult
  private static func inside<R>(
    _ path: String, _ body: (inout RouteSocket) throws(NetlinkError) -> R
  ) throws(PodNamespaceError) -> R {
    let namespace: NetworkNamespace
    do throws(NamespaceError) { namespace = try NetworkNamespace.open(path) } catch {
      throw PodNamespaceError(reason: "\(error)")
    }
    do throws(NetlinkError) {
      var socket = try RouteSocket(namespace: namespace.descriptor)
      return try body(&socket)
    } catch { throw PodNamespaceError(reason: "\(error) (in \(path))") }
  }
}
