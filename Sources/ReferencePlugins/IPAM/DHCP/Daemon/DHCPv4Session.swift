import CNI
import DHCP
import Glibc
import NetworkAddresses
import SystemPackage

/// A DHCPv4 lease of one attachment.
final class DHCPv4Session: LeaseSession {
  let family = AddressFamily.ipv4
  private(set) var standing = LeaseStanding.acquiring

  private let interface: AttachedInterface
  private let wishes: LeaseWishes
  private let sockets: DHCPv4Sockets
  private weak var owner: (any LeaseSessionOwner)?
  private var client: DHCPv4Client
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
    self.owner = owner
    sockets = DHCPv4Sockets(interface: interface, surroundings: surroundings)
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
    sockets.heard = { [weak self] message, sender in self?.hear(message, from: sender) }
    sockets.heardARP = { [weak self] packet in self?.hear(packet) }
  }

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
    try sockets.openForPackets()
    perform(client.start(at: now), at: now)
  }

  func advance(to now: Duration) {
    if let closesAt, closesAt <= now { closeSockets() }
    perform(client.advance(to: now), at: now)
  }

  func release(at now: Duration) {
    for action in client.release(at: now) {
      guard case .send(let message, .unicast(let server, let from)) = action else { continue }
      do throws(Errno) {
        try sockets.sendLast(message, from: from, to: server, at: serverHardware ?? .broadcast)
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
      case .probe(let address): sockets.send(.probe(for: address, from: interface.mac))
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
      case .broadcast: try sockets.broadcast(message)
      case .unicast(let server, let from):
        try sockets.send(message, from: from, to: server, elseAt: serverHardware ?? .broadcast)
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

  private func closeSockets() {
    sockets.close()
    closesAt = nil
  }

  // MARK: Receiving

  private func hear(_ packet: ARPPacket) {
    guard let address = client.probedAddress, packet.contests(address, of: interface.mac) else { return }
    let now = EventLoop.now
    perform(client.conflict(with: packet.senderHardware, at: now), at: now)
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
