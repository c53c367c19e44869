import CLinux
import DHCP
import Glibc
import LinuxNetworking
import NetworkAddresses
import SystemPackage

/// The sockets by which a DHCPv4 client speaks on a container's interface. They are open only while an answer is waited
/// for: an open socket keeps the namespace alive.
final class DHCPv4Sockets {
  /// Called with each message that comes; from where, if that is known.
  var heard: (DHCPv4Message, MACAddress?) -> Void = { _, _ in }
  /// Called with each ARP packet.
  var heardARP: (ARPPacket) -> Void = { _ in }

  private let interface: AttachedInterface
  private let loop: EventLoop
  private let slowWork: SlowWork
  /// For frames of whatever kind, whether or not the interface has an address.
  private var packets: Int32?
  /// UDP, of the address that the container has.
  private var datagrams: Int32?

  init(interface: AttachedInterface, surroundings: LeaseSurroundings) {
    self.interface = interface
    loop = surroundings.loop
    slowWork = surroundings.slowWork
  }

  deinit { close() }

  /// Opens what frames are sent and received with, unless it is open.
  ///
  /// - Throws: ``AttachedInterface/Gone``, `Errno`.
  func openForPackets() throws {
    if packets != nil { return }
    let socket = try inNamespace { clinux_dhcp_packet_socket(interface.index) }
    guard socket >= 0 else { throw Errno(rawValue: errno) }
    packets = socket
    try loop.watch(socket) { [weak self] _ in self?.receivePackets() }
  }

  /// Closes what is open.
  func close() {
    for socket in [packets, datagrams].compactMap({ $0 }) {
      loop.stopWatching(socket)
      slowWork.close(socket)
    }
    packets = nil
    datagrams = nil
  }

  private func inNamespace<R>(_ body: () throws -> R) throws -> R {
    try interface.enter(from: NetworkNamespace.current(), body)
  }

  // MARK: Sending

  /// Sends a message to all of the link.
  func broadcast(_ message: DHCPv4Message) throws {
    try openForPackets()
    try send(message, from: message.clientAddress, to: .broadcast, hardware: .broadcast)
  }

  /// Sends a message to one server. The kernel knows the way to it, unless the container has not got the address (any
  /// more): then it goes to where the server was last, `hardware`.
  func send(
    _ message: DHCPv4Message, from: IPv4Address, to server: IPv4Address, elseAt hardware: MACAddress
  ) throws {
    if datagrams == nil, packets == nil {
      let socket = try inNamespace { clinux_dhcp_udp_socket(interface.name, from.rawValue) }
      if socket >= 0 {
        datagrams = socket
        try loop.watch(socket) { [weak self] _ in self?.receiveDatagrams() }
      } else {
        try openForPackets()
      }
    }
    if datagrams == nil { return try send(message, from: from, to: server, hardware: hardware) }
    guard sendDatagram(message, to: server) else { throw Errno(rawValue: errno) }
  }

  /// Sends a last message to a server.
  func sendLast(
    _ message: DHCPv4Message, from: IPv4Address, to server: IPv4Address, at hardware: MACAddress
  ) throws(Errno) {
    // A renewal may still wait for the server's hardware address: behind it, so that it is not what comes last.
    _ = sendDatagram(message, to: server)
    // And by packet socket: the container's interface may have lost its address, and a neighbour that is not known yet
    // would have to be asked for, while the interface is about to go.
    do { try openForPackets() } catch { throw error as? Errno ?? .noSuchAddressOrDevice }
    try send(message, from: from, to: server, hardware: hardware)
  }

  func send(_ packet: ARPPacket) {
    // A probe that does not get out finds nobody: as good as one that nobody answers.
    try? send(0x0806, packet.encode(), to: .broadcast)
  }

  private func sendDatagram(_ message: DHCPv4Message, to server: IPv4Address) -> Bool {
    guard let datagrams else { return false }
    let bytes = message.encode()
    return clinux_dhcp_udp_send(datagrams, server.rawValue, bytes, bytes.count) == 0
  }

  private func send(
    _ message: DHCPv4Message, from: IPv4Address, to: IPv4Address, hardware: MACAddress
  ) throws(Errno) {
    let packet = UDPPacket(
      source: from, destination: to, sourcePort: 68, destinationPort: 67, payload: message.encode())
    try send(0x0800, packet.encode(), to: hardware)
  }

  private func send(_ type: UInt16, _ bytes: [UInt8], to hardware: MACAddress) throws(Errno) {
    guard let packets else { throw .badFileDescriptor }
    guard clinux_send_frame(packets, interface.index, type, hardware.bytes, bytes, bytes.count) == 0 else {
      throw Errno(rawValue: errno)
    }
  }

  // MARK: Receiving

  private func receivePackets() {
    var buffer = [UInt8](repeating: 0, count: 2048)
    var type: UInt16 = 0
    var source = [UInt8](repeating: 0, count: 6)
    var isPending: UInt8 = 0
    // Bounded: others want their turn.
    for _ in 0..<64 {
      guard let socket = packets else { return }
      let count = clinux_dhcp_receive(socket, &buffer, buffer.count, &type, &source, &isPending)
      guard count > 0 else { return }
      if type == 0x0806 {
        if let packet = ARPPacket(decoding: buffer[..<count]) { heardARP(packet) }
      } else if let packet = UDPPacket(decoding: buffer[..<count], checksumIsComplete: isPending == 0),
        packet.sourcePort == 67, packet.destinationPort == 68,
        let message = DHCPv4Message(decoding: packet.payload)
      {
        heard(message, MACAddress(bytes: source))
      }
    }
  }

  private func receiveDatagrams() {
    var buffer = [UInt8](repeating: 0, count: 2048)
    for _ in 0..<64 {
      guard let socket = datagrams else { return }
      let count = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      // An ICMP error is reported here as well, once; the timer takes care of what follows from it.
      guard count > 0 else { return }
      if let message = DHCPv4Message(decoding: Array(buffer[..<count])) { heard(message, nil) }
    }
  }
}
