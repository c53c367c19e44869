import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// A container's interface, known by what finds it again and tells it from another: nothing of it is held open, so that
/// the namespace can go.
struct AttachedInterface: Sendable, Hashable {
  /// The path of the namespace, as the daemon sees it.
  var path: String
  /// Which namespace is to be there.
  var namespace: NamespaceIdentity
  /// The interface's name.
  var name: String
  /// Its index in the namespace.
  var index: Int32
  /// Its hardware address.
  var mac: MACAddress

  /// Why there is nothing to be done any more.
  struct Gone: Error, CustomStringConvertible {
    let description: String
  }

  /// Finds the interface, and sees to it that it is up.
  ///
  /// - Throws: `NamespaceError`; `CNIError` if there is no such interface, or not one of Ethernet.
  init(path: String, name: String, home: borrowing NetworkNamespace) throws {
    let namespace = try NetworkNamespace.open(path)
    self.path = path
    self.namespace = try namespace.identity
    self.name = name
    var socket = try namespace.run(from: home) { try RouteSocket() }
    guard let link = try socket.find(.name(name)) else {
      throw CNIError(
        .invalidConfiguration, "there is no interface \(name) in the namespace \(path)",
        details:
          "dhcp needs the interface that the plugin which calls it has made; it cannot be used on its own")
    }
    guard link.hardwareType == 1, let mac = link.mac else {
      throw CNIError(
        .invalidConfiguration, "\(name) in the namespace \(path) is no Ethernet interface: DHCP needs one")
    }
    index = link.index
    self.mac = mac
    if !link.isUp { try socket.perform(.changeLink(.index(link.index), LinkChange(isUp: true))) }
  }

  init(path: String, namespace: NamespaceIdentity, name: String, index: Int32, mac: MACAddress) {
    self.path = path
    self.namespace = namespace
    self.name = name
    self.index = index
    self.mac = mac
  }

  /// Runs `body` in the namespace.
  ///
  /// - Throws: ``Gone`` if the namespace, or the interface in it, is another one by now or none; what `body` throws.
  func enter<R>(from home: borrowing NetworkNamespace, _ body: () throws -> R) throws -> R {
    let opened: NetworkNamespace
    do throws(NamespaceError) { opened = try NetworkNamespace.open(path) } catch {
      switch error {
      case .gone, .notANamespace: throw Gone(description: "the namespace \(path) is gone")
      default: throw error
      }
    }
    guard try opened.identity == namespace else {
      throw Gone(description: "another namespace is at \(path) now")
    }
    return try opened.run(from: home) {
      var socket = try RouteSocket()
      guard let link = try socket.find(.index(index)), link.mac == mac else {
        throw Gone(description: "the interface \(name) (\(mac)) is gone from \(path)")
      }
      return try body()
    }
  }
}
