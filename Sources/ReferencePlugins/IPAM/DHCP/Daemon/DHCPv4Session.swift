import CLinux
import CNI
import DHCP
import Glibc
import LinuxNetworking
import NetworkAddresses
import Netlink
import SystemPackage

/// A DHCPv4 lease of one attachment.
final class DHCPv4Session: LeaseSession {
  let family = AddressFamily.ipv4
  private(set) var standing = LeaseStanding.acquiring

  private let interface: AttachedInterface
  private let wishes: LeaseWishes
  private let surroundings: LeaseSurroundings
  private weak var owner: (any LeaseSessionOwner)?
  private var client: DHCPv4Client
  /// Both are open only while an answer is waited for: an open socket keeps the namespace alive.
  private var packetSocket: Int32?
  private var datagramSocket: Int32?
  /// For how long an answer is waited for: the sockets are closed then, unless more was sent.
  private static let answerTime = Duration.seconds(5)
  private var closesAt: Duration?
  /// Where what the client has accepted last came from: the server, or the router on the way to it.
  private var serverHardware: MACAddress?
  private var sendFailure: Errno?
  /// What is kept on disk: also when it is over, because it is asked for again.
  private var lastLease: DHCPv4Lease?

  init(
    interface: AttachedInterface, clientIdentifier: [UInt8], wishes: LeaseWishes,
    surroundings: LeaseSurroundings, owner: any LeaseSessionOwner
  ) {
    self.interface = interface
    self.wishes = wishes
    self.surroundings = surroundings
    self.owner = owner
    var settings = DHCPv4Client.Settings(
      hardwareAddress: interface.mac,
      clientIdentifier: wishes.provided[.clientIdentifier] ?? clientIdentifier)
    settings.requested = wishes.requested
    settings.options = wishes.provided
    settings.options[.clientIdentifier] = nil
    settings.wantsBroadcast = surroundings.settings.broadcast
    settings.longestPause = surroundings.settings.longestPause
    settings.probing = surroundings.settings.probing
    client = DHCPv4Client(settings, seed: .random(in: .min ... .max))
  }

  deinit { closeSockets() }

  var nextDeadline: Duration? {
    guard let closesAt else { return client.nextDeadline }
    return min(client.nextDeadline ?? closesAt, closesAt)
  }

  var transcript: String {
    let failure = sendFailure.map { "; the last one could not be sent: \($0)" } ?? ""
    return "\(client.transcript) on \(interface.name) (\(interface.mac))" + failure
  }

  // MARK: The client's life

  func begin(at now: Duration) throws {
    try openPacketSocket()
    perform(client.start(at: now), at: now)
  }

  func advance(to now: Duration) {
    if let closesAt, closesAt <= now { closeSockets() }
    perform(client.advance(to: now), at: now)
  }

  func release(at now: Duration) {
    for action in client.release(at: now) {
      guard case .send(let message, .unicast(let server, let from)) = action else { continue }
      // A renewal may still wait for the server's hardware address: behind it, so that it is not what comes last.
      if let datagramSocket {
        let bytes = message.encode()
        _ = clinux_dhcp_udp_send(datagramSocket, server.rawValue, bytes, bytes.count)
      }
      // And by packet socket: the container's interface may have lost its address, and a neighbour that is not known yet would
      // have to be asked for, while the interface is about to go.
      do throws(Errno) {
        if packetSocket == nil { try interfaceErrno { try self.openPacketSocket() } }
        try sendPacket(message, from: from, to: server, hardware: serverHardware ?? .broadcast)
      } catch {
        end("the lease could not be given back: \(error)")
        return
      }
    }
    end("the lease was given back")
  }

  func close() {
    client.stop()
    closeSockets()
  }

  private func end(_ reason: String) {
    close()
    standing = .ended(reason)
    owner?.session(self, changed: reason)
  }

  private func perform(_ actions: [DHCPv4Client.Action], at now: Duration) {
    for action in actions {
      switch action {
      case .send(let message, let destination): send(message, to: destination)
      case .probe(let address): sendARP(.probe(for: address, from: interface.mac))
      case .bound(let lease):
        let renewed = standing == .held
        lastLease = lease
        standing = .held
        closeSockets()
        owner?.session(self, changed: describe(lease, renewed: renewed))
      case .lost(let loss):
        closeSockets()
        standing = .lost(describe(loss))
        owner?.session(self, changed: describe(loss))
      }
      if case .ended = standing { return }
    }
  }

  private func describe(_ lease: DHCPv4Lease, renewed: Bool) -> String {
    let time = lease.length.map { "for \($0.components.seconds) s" } ?? "for ever"
    return "\(lease.address) from \(lease.server) \(renewed ? "renewed" : "leased") \(time)"
  }

  private func describe(_ loss: DHCPv4Client.Loss) -> String {
    switch loss {
    case .expired: "the lease has run out: no server has renewed it (\(client.transcript))"
    case .refused(let text): "a server has refused to renew the lease" + (text.map { ": \($0)" } ?? "")
    case .changed(let address): "the server gives the address \(address) instead"
    }
  }

  // MARK: Sending

  private func send(_ message: DHCPv4Message, to destination: DHCPv4Client.Destination) {
    do {
      switch destination {
      case .broadcast:
        if packetSocket == nil { try openPacketSocket() }
        try sendPacket(message, from: message.clientAddress, to: .broadcast, hardware: .broadcast)
      case .unicast(let server, let from): try sendUnicast(message, from: from, to: server)
      }
      sendFailure = nil
      // While nobody waits for it, the container may go at any time.
      if standing != .acquiring { closesAt = EventLoop.now + Self.answerTime }
    } catch let gone as AttachedInterface.Gone {
      end(gone.description)
    } catch {
      // It goes on: an interface that is down for a moment comes back, and the next attempt has its time already.
      let failure = error as? Errno ?? .ioError
      sendFailure = failure
      // An interface that is gone, or another one of that name: opening the socket anew tells.
      if [ENXIO, ENODEV, ENETDOWN].contains(failure.rawValue) { closeSockets() }
    }
  }

  /// The kernel knows the way to the server, unless the container has not got the address (any more).
  private func sendUnicast(_ message: DHCPv4Message, from: IPv4Address, to server: IPv4Address) throws {
    if datagramSocket == nil, packetSocket == nil {
      let socket = try inNamespace { clinux_dhcp_udp_socket(interface.name, from.rawValue) }
      if socket >= 0 {
        datagramSocket = socket
        try watch(socket) { [weak self] in self?.receiveDatagrams() }
      } else {
        try openPacketSocket()
      }
    }
    guard let socket = datagramSocket else {
      return try sendPacket(message, from: from, to: server, hardware: serverHardware ?? .broadcast)
    }
    let bytes = message.encode()
    guard clinux_dhcp_udp_send(socket, server.rawValue, bytes, bytes.count) == 0 else {
      throw Errno(rawValue: errno)
    }
  }

  private func sendPacket(
    _ message: DHCPv4Message, from: IPv4Address, to: IPv4Address, hardware: MACAddress
  ) throws(Errno) {
    let packet = UDPPacket(
      source: from, destination: to, sourcePort: 68, destinationPort: 67, payload: message.encode())
    try sendFrame(0x0800, packet.encode(), to: hardware)
  }

  private func sendARP(_ packet: ARPPacket) {
    // A probe that does not get out finds nobody: as good as one that nobody answers.
    try? sendFrame(0x0806, packet.encode(), to: .broadcast)
  }

  private func sendFrame(_ type: UInt16, _ bytes: [UInt8], to hardware: MACAddress) throws(Errno) {
    guard let packetSocket else { throw .badFileDescriptor }
    guard
      clinux_send_frame(packetSocket, interface.index, type, hardware.bytes, bytes, bytes.count) == 0
    else { throw Errno(rawValue: errno) }
  }

  // MARK: Receiving

  private func receivePackets() {
    var buffer = [UInt8](repeating: 0, count: 2048)
    var type: UInt16 = 0
    var source = [UInt8](repeating: 0, count: 6)
    var isPending: UInt8 = 0
    // Bounded: others want their turn.
    for _ in 0..<64 {
      guard let socket = packetSocket else { return }
      let count = clinux_dhcp_receive(socket, &buffer, buffer.count, &type, &source, &isPending)
      guard count > 0 else { return }
      let sender = MACAddress(bytes: source)
      if type == 0x0806 {
        hearARP(buffer[..<count])
      } else if let packet = UDPPacket(decoding: buffer[..<count], checksumIsComplete: isPending == 0),
        packet.sourcePort == 67, packet.destinationPort == 68,
        let message = DHCPv4Message(decoding: packet.payload)
      {
        hear(message, from: sender)
      }
    }
  }

  private func hearARP(_ bytes: ArraySlice<UInt8>) {
    guard let address = client.probedAddress,
      let packet = ARPPacket(decoding: bytes), packet.contests(address, of: interface.mac)
    else { return }
    let now = EventLoop.now
    perform(client.conflict(with: packet.senderHardware, at: now), at: now)
  }

  private func receiveDatagrams() {
    var buffer = [UInt8](repeating: 0, count: 2048)
    for _ in 0..<64 {
      guard let socket = datagramSocket else { return }
      let count = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      // An ICMP error is reported here as well, once; the timer takes care of what follows from it.
      guard count > 0 else { return }
      if let message = DHCPv4Message(decoding: Array(buffer[..<count])) {
        hear(message, from: nil)
      }
    }
  }

  private func hear(_ message: DHCPv4Message, from sender: MACAddress?) {
    let now = EventLoop.now
    let before = client.state
    let actions = client.receive(message, at: now)
    if client.state != before, [.requesting, .probing, .bound].contains(client.state) {
      // A datagram does not tell who has sent it; the server of before is where it was.
      let server = message.options.address(.serverIdentifier) ?? lastLease?.server
      if sender != nil || server != lastLease?.server { serverHardware = sender }
    }
    perform(actions, at: now)
  }

  // MARK: Sockets

  private func inNamespace<R>(_ body: () throws -> R) throws -> R {
    try interface.enter(from: NetworkNamespace.current(), body)
  }

  private func interfaceErrno(_ body: () throws -> Void) throws(Errno) {
    do { try body() } catch { throw error as? Errno ?? .noSuchAddressOrDevice }
  }

  private func openPacketSocket() throws {
    if packetSocket != nil { return }
    let socket = try inNamespace { clinux_dhcp_packet_socket(interface.index) }
    guard socket >= 0 else { throw Errno(rawValue: errno) }
    packetSocket = socket
    try watch(socket) { [weak self] in self?.receivePackets() }
  }

  private func watch(_ socket: Int32, _ handler: @escaping () -> Void) throws(Errno) {
    try surroundings.loop.watch(socket) { _ in handler() }
  }

  private func closeSockets() {
    for socket in [packetSocket, datagramSocket].compactMap({ $0 }) {
      surroundings.loop.stopWatching(socket)
      surroundings.slowWork.close(socket)
    }
    packetSocket = nil
    datagramSocket = nil
    closesAt = nil
  }

  // MARK: Result

  func result() throws(CNIError) -> AddResult {
    guard let lease = client.lease else {
      throw CNIError(.tryAgainLater, "there is no DHCPv4 lease at the moment")
    }
    return try lease.result(setsMTU: wishes.setsMTU)
  }

  // MARK: Record

  var record: JSONObject? {
    var reason: String?
    if case .lost(let why) = standing { reason = why }
    return lastLease.map {
      DHCPv4LeaseRecord(lease: $0, serverHardware: serverHardware, lost: reason).encode()
    }
  }

  /// Goes on with a lease that was kept.
  func resume(_ record: DHCPv4LeaseRecord, at now: Duration) {
    serverHardware = record.serverHardware
    lastLease = record.lease
    standing = .held
    if let end = record.lease.expiresAt, now >= end {
      standing = .lost("the lease ran out while the daemon was not running")
    }
    if let reason = record.lost {
      standing = .lost(reason)
      return perform(client.reclaim(record.lease.address, at: now), at: now)
    }
    perform(client.resume(record.lease, at: now), at: now)
  }
}
