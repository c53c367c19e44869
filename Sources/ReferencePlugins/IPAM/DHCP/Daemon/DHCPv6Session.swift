import CNI
import CNIPluginKit
import DHCP
import NetworkAddresses
import SystemPackage

/// A DHCPv6 lease of one attachment.
final class DHCPv6Session: LeaseSession {
  let family = AddressFamily.ipv6
  private(set) var standing = LeaseStanding.acquiring

  private let interface: AttachedInterface
  private let sockets: DHCPv6Sockets
  private weak var owner: (any LeaseSessionOwner)?
  private var client: DHCPv6Client
  /// When to look again whether the interface can be spoken on; `nil` once the client has started.
  private var startAt: Duration?
  /// How long to wait before that look.
  private var pause = DHCPv6Session.firstPause
  private var obstacle: String?
  /// What is kept on disk: also when it is over, because it is asked for again.
  private var lastLease: DHCPv6Lease?

  private static let firstPause = Duration.milliseconds(10)
  private static let longestPause = Duration.milliseconds(500)

  init(
    interface: AttachedInterface, clientID: DUID, surroundings: LeaseSurroundings,
    owner: any LeaseSessionOwner
  ) {
    self.interface = interface
    self.owner = owner
    sockets = DHCPv6Sockets(interface: interface, surroundings: surroundings)
    var settings = DHCPv6Client.Settings()
    // Not the second of RFC 8415: few links have two servers, and every container would wait for the one that is not there.
    settings.selectionTime = .milliseconds(50)
    // As with DHCPv4: the first message often comes before the link's other end passes anything on.
    settings.firstPause = .milliseconds(250)
    settings.longestPause = surroundings.settings.longestPause
    settings.probing = surroundings.settings.probing
    client = DHCPv6Client(clientID: clientID, settings: settings)
    sockets.heard = { [weak self] message in self?.hear { $0.receive(message, at: $1) } }
    sockets.advertised = { [weak self] address in self?.hear { $0.conflict(over: address, at: $1) } }
  }

  private func hear(_ react: (inout DHCPv6Client, _ now: Duration) -> [DHCPv6Client.Action]) {
    perform(react(&client, EventLoop.now))
  }

  /// By what servers know an attachment: the same each time, and another one for each.
  static func clientID(_ key: LeaseKey) -> DUID {
    let name = "\(key.network)\0\(key.attachment.containerID)\0\(key.attachment.interfaceName)"
    return DUID(digest: SHA512.digest(name.utf8))
  }

  var nextDeadline: Duration? { startAt ?? client.nextDeadline }

  var transcript: String {
    "\(client.transcript) on \(interface.name) (\(interface.mac))" + (obstacle.map { "; \($0)" } ?? "")
  }

  // MARK: The client's life

  func begin(at now: Duration) throws {
    do {
      try sockets.open()
      startAt = nil
      obstacle = nil
      perform(client.start(at: now))
    } catch let reason as DHCPv6Sockets.NotReady {
      // The kernel gives it the address in the background, once there is a carrier.
      obstacle = reason.description
      startAt = now + pause
      pause = min(pause * 2, Self.longestPause)
    }
  }

  func advance(to now: Duration) {
    if startAt != nil {
      do { try begin(at: now) } catch { end("\(error)") }
    } else {
      perform(client.advance(to: now))
    }
  }

  func release(at now: Duration) {
    startAt = nil
    // It ends with the server's answer, or when its owner has waited long enough for that.
    perform(client.release(at: now))
    if client.state == .releasing, !sockets.isOpen {
      end("the lease could not be given back" + (obstacle.map { ": \($0)" } ?? ""))
    }
  }

  func close() {
    startAt = nil
    client.stop()
    sockets.close()
  }

  private func end(_ reason: String) {
    close()
    standing = .ended(reason)
    owner?.session(self, changed: reason)
  }

  /// What cannot be sent now may be sent the next time, unless there is nothing to send it on any more.
  private func fail(_ error: any Error) {
    if let gone = error as? AttachedInterface.Gone { return end(gone.description) }
    obstacle = "the last message could not be sent: \(error)"
  }

  private func perform(_ actions: [DHCPv6Client.Action]) {
    for action in actions {
      switch action {
      case .send(let message):
        do {
          try sockets.send(message)
          obstacle = nil
        } catch { fail(error) }
      case .probe(let addresses):
        // A probe that does not get out finds nobody: as good as one that nobody answers.
        for address in addresses { try? sockets.solicit(address) }
      case .bound(let lease):
        let event = describe(lease, renewed: standing == .held)
        lastLease = lease
        standing = .held
        sockets.close()
        owner?.session(self, changed: event)
      case .lost(let addresses, let loss): lose(addresses, loss)
      case .finished: end("the lease was given back")
      }
      if case .ended = standing { return }
    }
  }

  private func lose(_ addresses: [IPv6Address], _ loss: DHCPv6Client.Loss) {
    // Who takes it up from the disk is to know that it is over.
    for index in lastLease?.addresses.indices ?? 0..<0
    where addresses.contains(lastLease!.addresses[index].address) {
      lastLease!.addresses[index].validUntil = .zero
    }
    let event = describe(addresses, loss)
    if client.lease == nil { standing = .lost(event) }
    owner?.session(self, changed: event)
  }

  private func describe(_ lease: DHCPv6Lease, renewed: Bool) -> String {
    let end =
      lease.validUntil.map { "for \(max(($0 - EventLoop.now).components.seconds + 1, 0)) s" } ?? "for ever"
    return
      "\(text(lease.addresses.map(\.address))) from \(lease.serverID) \(renewed ? "renewed" : "leased") \(end)"
  }

  private func describe(_ addresses: [IPv6Address], _ loss: DHCPv6Client.Loss) -> String {
    switch loss {
    case .expired:
      "the lease of \(text(addresses)) has run out: no server has renewed it (\(client.transcript))"
    case .withdrawn: "a server has withdrawn \(text(addresses))"
    case .notOnLink: "\(text(addresses)) does not belong on this link, a server says"
    case .changed(let others): "a server gives \(text(others)) instead of \(text(addresses))"
    }
  }

  private func text(_ addresses: [IPv6Address]) -> String {
    addresses.map(\.description).joined(separator: ", ")
  }

  // MARK: Result

  func result() throws(CNIError) -> AddResult {
    guard let lease = client.lease else {
      throw CNIError(.tryAgainLater, "there is no DHCPv6 lease at the moment")
    }
    // DHCPv6 does not say what else is on the link, nor where a router is: router advertisements do.
    return AddResult(
      ips: lease.addresses.map { IPConfiguration(address: .host(.v6($0.address))) },
      dns: DNSConfiguration(
        nameservers: lease.dnsServers.map(\.description), search: lease.domainSearch))
  }

  // MARK: Record

  var record: JSONObject? {
    lastLease.map { DHCPv6LeaseRecord(clientID: client.clientID, lease: $0).encode() }
  }

  /// Goes on with a lease that was kept.
  func resume(_ lease: DHCPv6Lease, at now: Duration) {
    lastLease = lease
    standing = .held
    if let end = lease.validUntil, now >= end {
      standing = .lost("the lease ran out while the daemon was not running")
    }
    perform(client.resume(lease, at: now))
  }
}
