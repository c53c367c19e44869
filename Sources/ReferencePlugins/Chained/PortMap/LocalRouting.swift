import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

/// The kernel setting that lets packets from and to 127.0.0.1 leave by an interface other than `lo` (`route_localnet`): what
/// makes a mapped port reachable by the host's loopback address.
enum LocalRouting {
  /// The interface behind which a container is.
  struct Interface {
    let name: String
    /// Whether it goes with the container.
    let isOfContainer: Bool
    /// Whether it has to be opened for loopback addresses; not where all interfaces are. One that is open itself counts as
    /// closed: whoever opened it may be gone, with the rules that keep such packets from coming in, or about to close it.
    let needsEnabling: Bool
  }

  private static func setting(_ name: String) -> String { "net/ipv4/conf/\(name)/route_localnet" }

  /// The interface by which the host reaches the address; nil if it does not.
  static func interface(to address: IPAddress) throws -> Interface? {
    var socket = try RouteSocket()
    guard let index = try socket.route(to: address)?.interface, let link = try socket.find(.index(index))
    else {
      return nil
    }
    let isOpen = try Sysctl.read(setting("all")) != "0"
    return Interface(name: link.name, isOfContainer: link.kind == "veth", needsEnabling: !isOpen)
  }

  /// Whether the interface itself lets loopback addresses pass.
  static func isEnabled(_ name: String) throws -> Bool { try Sysctl.read(setting(name)) != "0" }

  /// Lets loopback addresses pass the interface.
  static func enable(_ name: String?) throws {
    guard let name else { return }
    do {
      try Sysctl.ensure(setting(name), is: "1")
    } catch {
      throw CNIError(
        .ioFailure, "127.0.0.1 cannot lead to the container: \(error)",
        details:
          "make /proc/sys writable, set net.ipv4.conf.all.route_localnet, or set \"snat\" to false to do without"
      )
    }
  }

  /// Keeps them in again, unless somebody has come meanwhile who needs them: whoever does enters the interface first and
  /// sets it then.
  static func disable(_ name: String) {
    do {
      try Sysctl.ensure(setting(name), is: "0")
      var socket = try NetfilterSocket()
      guard try socket.element([.interface(name)], of: PortMapTable.localRouting) != nil else { return }
      try Sysctl.ensure(setting(name), is: "1")
    } catch {
      // The interface is gone, or is not ours to change: then there is nothing to close.
    }
  }
}
