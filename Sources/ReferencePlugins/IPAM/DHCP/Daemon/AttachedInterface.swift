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
  /// Its hardware address when it was attached, by which servers know it: a plugin that comes later may change it.
  var mac: MACAddress

  /// Why there is nothing to be done any more.
  struct Gone: Error, CustomStringConvertible {
    let description: String
    /// False if it may only be out of sight: nothing is at the namespace's path.
    var isCertain = true
  }

  /// Whether both are the same interface, whatever its name and hardware address are by now.
  func isSame(as other: AttachedInterface) -> Bool { namespace == other.namespace && index == other.index }

  /// Finds the interface, and sees to it that it is up, with what the families need.
  ///
  /// - Returns: The interface; if it was down, also what tells when it is up at last.
  /// - Throws: `NamespaceError`; `CNIError` if there is no such interface, or not one of Ethernet.
  static func find(
    path: String, name: String, families: [AddressFamily], home: borrowing NetworkNamespace
  ) throws -> (AttachedInterface, LinkWatch?) {
    let namespace = try NetworkNamespace.open(path)
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
    let isRunning = link.isUp && (link.operationalState == .up || link.operationalState == .unknown)
    var suspension: DuplicateDetectionSuspension?
    if families.contains(.ipv6) {
      suspension = try namespace.run(from: home) { prepareIPv6(name, isRunning: isRunning) }
    }
    let interface = AttachedInterface(
      path: path, namespace: try namespace.identity, name: name, index: link.index, mac: mac)
    if isRunning, suspension == nil { return (interface, nil) }
    if !link.isUp { try socket.perform(.changeLink(.index(link.index), LinkChange(isUp: true))) }
    return (interface, LinkWatch(socket: socket, index: link.index, suspension: suspension))
  }

  /// DHCPv6 is spoken from the link-local address, which the kernel makes when the interface goes up, and holds back for a
  /// second or two if it is to look for duplicates. An interface that has its address, or is getting it, is left as it is.
  /// What cannot be set shows when the address is not there.
  private static func prepareIPv6(_ name: String, isRunning: Bool) -> DuplicateDetectionSuspension? {
    let disabled = "net/ipv6/conf/\(name)/disable_ipv6"
    if isRunning, (try? Sysctl.read(disabled)) == "0" { return nil }
    let suspension = DuplicateDetectionSuspension(of: name)
    _ = try? Sysctl.ensure(disabled, is: "0")
    return suspension
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
      case .gone, .notANamespace: throw Gone(description: "the namespace \(path) is gone", isCertain: false)
      default: throw error
      }
    }
    guard try opened.identity == namespace else {
      throw Gone(description: "another namespace is at \(path) now")
    }
    return try opened.run(from: home) {
      var socket = try RouteSocket()
      guard try socket.find(.index(index)) != nil else {
        throw Gone(description: "the interface \(name) (\(mac)) is gone from \(path)")
      }
      return try body()
    }
  }
}

/// Whether a link that was set up has become so: the kernel works off the carrier event in the background, and what is
/// sent before is lost without an error. Where duplicate address detection is suspended, it is until this is let go of.
final class LinkWatch {
  private var socket: RouteSocket
  private let index: Int32
  private let suspension: DuplicateDetectionSuspension?

  init(socket: consuming RouteSocket, index: Int32, suspension: DuplicateDetectionSuspension?) {
    self.socket = socket
    self.index = index
    self.suspension = suspension
  }

  /// Also true if it cannot be found out.
  var isUp: Bool {
    guard let state = try? socket.link(index: index).operationalState else { return true }
    guard state == .up || state == .unknown else { return false }
    return suspension == nil || hasLinkLocalAddress
  }

  private var hasLinkLocalAddress: Bool {
    guard let addresses = try? socket.addresses(index: index, family: .ipv6) else { return true }
    return addresses.contains { $0.prefix.address.isLinkLocal && !$0.flags.contains(.tentative) }
  }
}
