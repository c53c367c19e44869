import CLinux
import CNI
import DHCP
import Glibc
import LinuxNetworking
import NetworkAddresses
import Netlink
import SystemPackage

/// The sockets by which a DHCPv6 client speaks on a container's interface. They are open only while an answer is waited
/// for: an open socket keeps the namespace alive.
final class DHCPv6Sockets {
  /// Called with each message that comes.
  var heard: (DHCPv6Message) -> Void = { _ in }
  /// Called with each address that another host says it has.
  var advertised: (IPv6Address) -> Void = { _ in }

  private let interface: AttachedInterface
  private let loop: EventLoop
  private let slowWork: SlowWork
  /// UDP, port 546 of the link-local address.
  private var datagrams: Int32?
  /// ICMPv6, for neighbour discovery.
  private var neighbours: Int32?

  /// Why the interface cannot be spoken on yet; it may, a little later.
  struct NotReady: Error, CustomStringConvertible {
    let description: String
  }

  init(interface: AttachedInterface, surroundings: LeaseSurroundings) {
    self.interface = interface
    loop = surroundings.loop
    slowWork = surroundings.slowWork
  }

  deinit { close() }

  /// Whether there is anything to hear an answer with.
  var isOpen: Bool { datagrams != nil }

  /// Opens what messages are sent and received with.
  ///
  /// - Throws: ``NotReady`` while the interface has no link-local address to speak from; `CNIError` if it will not get
  ///   one; ``AttachedInterface/Gone``; `Errno`.
  func open() throws {
    if datagrams != nil { return }
    let socket = try interface.enter(from: NetworkNamespace.current()) {
      let address = try linkLocalAddress()
      return clinux_dhcp6_udp_socket(interface.index, address.bytes)
    }
    guard socket >= 0 else { throw Errno(rawValue: errno) }
    datagrams = socket
    try loop.watch(socket) { [weak self] _ in self?.receiveDatagrams() }
  }

  /// Servers answer to it, and RFC 8415, section 17, wants messages to come from it.
  private func linkLocalAddress() throws -> IPv6Address {
    var socket = try RouteSocket()
    let addresses = try socket.addresses(index: interface.index, family: .ipv6)
      .filter { $0.prefix.address.isLinkLocal }
    if let usable = addresses.first(where: { $0.flags.isDisjoint(with: [.tentative, .dadFailed]) }) {
      return usable.prefix.address.ipv6!
    }
    guard let address = addresses.first else {
      try requireIPv6()
      throw NotReady(
        description: "\(interface.name) has no link-local IPv6 address; net.ipv6.conf.\(interface.name)."
          + "disable_ipv6 and addr_gen_mode have to be 0")
    }
    throw NotReady(
      description: address.flags.contains(.dadFailed)
        ? "another host has the link-local address \(address.prefix.address) of \(interface.name), too"
        : "the link-local address \(address.prefix.address) of \(interface.name) is not usable yet")
  }

  /// Nothing is to be waited for where the kernel makes no IPv6 addresses at all.
  private func requireIPv6() throws(CNIError) {
    let setting = "net/ipv6/conf/\(interface.name)/disable_ipv6"
    do throws(FileError) {
      guard try Sysctl.read(setting) != "0" else { return }
    } catch {
      // It may have another name by now. The loopback interface has IPv6 wherever the kernel has.
      guard error.errno == .noSuchFileOrDirectory else { return }
      if (try? Sysctl.read("net/ipv6/conf/lo/disable_ipv6")) != nil { return }
      throw CNIError(
        .invalidEnvironment, "the kernel has no IPv6, which DHCPv6 is spoken by",
        details: "start it without ipv6.disable=1, or leave ipv6 out of families")
    }
    throw CNIError(
      .invalidEnvironment, "IPv6 is switched off on \(interface.name), and cannot be switched on",
      details: "\(setting) is not 0 and not writable: make it so, or leave ipv6 out of families")
  }

  /// Sends a message to all servers and relay agents of the link.
  func send(_ message: DHCPv6Message) throws {
    try open()
    guard let datagrams else { return }
    let bytes = message.encode()
    guard clinux_dhcp6_udp_send(datagrams, interface.index, bytes, bytes.count) == 0 else {
      throw Errno(rawValue: errno)
    }
  }

  /// Asks the link who has an address.
  func solicit(_ address: IPv6Address) throws {
    if neighbours == nil {
      let socket = try interface.enter(from: NetworkNamespace.current()) {
        clinux_neighbour_socket(interface.index)
      }
      guard socket >= 0 else { throw Errno(rawValue: errno) }
      neighbours = socket
      try loop.watch(socket) { [weak self] _ in self?.receiveAdvertisements() }
    }
    guard let neighbours else { return }
    guard clinux_neighbour_solicit(neighbours, interface.index, address.bytes, interface.mac.bytes) == 0
    else {
      throw Errno(rawValue: errno)
    }
  }

  /// Closes what is open.
  func close() {
    for socket in [datagrams, neighbours].compactMap({ $0 }) {
      loop.stopWatching(socket)
      slowWork.close(socket)
    }
    datagrams = nil
    neighbours = nil
  }

  private func receiveDatagrams() {
    var buffer = [UInt8](repeating: 0, count: 65536)
    // Bounded: others want their turn.
    for _ in 0..<64 {
      guard let socket = datagrams else { return }
      let count = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      guard count > 0 else { return }
      if let message = DHCPv6Message(decoding: Array(buffer[..<count])) { heard(message) }
    }
  }

  private func receiveAdvertisements() {
    var target = [UInt8](repeating: 0, count: 16)
    for _ in 0..<64 {
      guard let socket = neighbours, clinux_neighbour_take(socket, &target) > 0 else { return }
      if let address = IPv6Address(bytes: target) { advertised(address) }
    }
  }
}
