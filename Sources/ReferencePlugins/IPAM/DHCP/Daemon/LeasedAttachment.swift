import CNI
import CNIPluginKit
import DHCP
import LinuxNetworking
import NetworkAddresses

/// One attachment that the daemon has leases for, or is looking for some: a session per family, and who waits for them.
final class LeasedAttachment: LeaseSessionOwner {
  let key: LeaseKey
  let interface: AttachedInterface
  let clientIdentifier: [UInt8]
  let wishes: LeaseWishes
  private(set) var sessions: [any LeaseSession] = []
  /// What has to be written to disk, and what to be told, is the daemon's business.
  private unowned let daemon: DHCPDaemon

  /// An ADD that waits: until when, and who is told how it ended.
  struct Waiting {
    let deadline: Duration
    let allowed: Duration
    /// False: nobody took the answer.
    let finish: (Result<AddResult, CNIError>) -> Bool
  }

  private var waiting: Waiting?
  /// A link that is not up yet, when to look again, and until when to wait for it.
  private var rising: (watch: LinkWatch, next: Duration, until: Duration)?
  /// Whether ADD has been answered: from then on the lease is a promise.
  private(set) var isEstablished = false
  private(set) var isOver = false

  init(
    key: LeaseKey, interface: AttachedInterface, clientIdentifier: [UInt8], wishes: LeaseWishes,
    daemon: DHCPDaemon
  ) {
    self.key = key
    self.interface = interface
    self.clientIdentifier = clientIdentifier
    self.wishes = wishes
    self.daemon = daemon
  }

  /// Option 61 as the Go daemon builds it, so that a server knows the container again: type 0 and the attachment's three
  /// names, unless they are too long.
  static func clientIdentifier(_ key: LeaseKey) -> [UInt8] {
    let name = "\(key.attachment.containerID)/\(key.network)/\(key.attachment.interfaceName)"
    // The option has room for no more: two interfaces are not to be the same for that.
    return [0] + (name.utf8.count > 254 ? key.owner.mark(limit: 254) : name).utf8
  }

  // MARK: Beginning

  /// Looks for leases, once the link is up; `waiting` is told when all are there, or that it took too long.
  func acquire(_ waiting: Waiting, after watch: LinkWatch?, at now: Duration) {
    self.waiting = waiting
    if let watch {
      rising = (watch, now + .milliseconds(1), now + .milliseconds(500))
    } else {
      begin(at: now)
    }
  }

  private func begin(at now: Duration) {
    rising = nil
    do {
      for family in wishes.families {
        let session = makeSession(family)
        sessions.append(session)
        try session.begin(at: now)
      }
    } catch {
      fail(CNIError(describing: error).prefixed("no DHCP lease for \(key)"))
    }
  }

  /// Takes up what a file says.
  func resume(_ records: [LeaseRecord], at now: Duration) {
    for record in records where !isOver {
      switch record {
      case .ipv4(let record):
        let session = makeIPv4Session()
        sessions.append(session)
        session.resume(record, at: now)
      case .ipv6(let record):
        let session = makeIPv6Session(clientID: record.clientID)
        sessions.append(session)
        session.resume(record.lease, at: now)
      }
    }
    // Not before all are there: what is written next must have each of them in it.
    isEstablished = true
  }

  private func makeSession(_ family: AddressFamily) -> any LeaseSession {
    switch family {
    case .ipv4: makeIPv4Session()
    case .ipv6: makeIPv6Session(clientID: DHCPv6Session.clientID(key))
    }
  }

  private func makeIPv4Session() -> DHCPv4Session {
    DHCPv4Session(
      interface: interface, clientIdentifier: clientIdentifier, wishes: wishes,
      surroundings: daemon.surroundings, owner: self)
  }

  private func makeIPv6Session(clientID: DUID) -> DHCPv6Session {
    DHCPv6Session(interface: interface, clientID: clientID, surroundings: daemon.surroundings, owner: self)
  }

  // MARK: What happens

  var nextDeadline: Duration? {
    var next = waiting?.deadline
    if let rising { next = min(next ?? rising.next, rising.next) }
    for deadline in sessions.compactMap(\.nextDeadline) { next = min(next ?? deadline, deadline) }
    return next
  }

  func advance(to now: Duration) {
    if let rising, rising.next <= now {
      if now >= rising.until || rising.watch.isUp {
        begin(at: now)
      } else {
        self.rising?.next = now + .milliseconds(1)
      }
    }
    for session in sessions where session.nextDeadline.map({ $0 <= now }) == true { session.advance(to: now) }
    if let waiting, waiting.deadline <= now, !isOver { timeOut(waiting) }
  }

  func session(_ session: any LeaseSession, changed event: String) {
    if isOver { return }
    daemon.log(key, event)
    if case .ended(let reason) = session.standing {
      if waiting != nil { return fail(CNIError(.internalError, "no DHCP lease for \(key): \(reason)")) }
      sessions.removeAll { $0 === session }
      if sessions.isEmpty { return end() }
    }
    if waiting != nil {
      // `begin` adds one after the other: none may be missing.
      guard sessions.count == wishes.families.count, sessions.allSatisfy({ $0.standing == .held }) else {
        return
      }
      establish()
    } else if isEstablished {
      // A loss, too: whoever goes on after a restart must not take it for a lease.
      daemon.keep(self)
    }
  }

  private func establish() {
    guard let waiting else { return }
    do throws(CNIError) {
      let result = try result()
      if let failure = daemon.keep(self) {
        throw CNIError(.ioFailure, "the lease of \(key) cannot be kept: \(failure)")
      }
      self.waiting = nil
      isEstablished = true
      if !waiting.finish(.success(result)) { release(because: "nobody took the answer to the ADD") }
    } catch {
      fail(error)
    }
  }

  /// The result over all families.
  func result() throws(CNIError) -> AddResult {
    var result = AddResult()
    for session in sessions {
      let part = try session.result()
      result.ips += part.ips
      result.routes += part.routes
      for server in part.dns.nameservers where !result.dns.nameservers.contains(server) {
        result.dns.nameservers.append(server)
      }
      if result.dns.domain.isEmpty { result.dns.domain = part.dns.domain }
      for domain in part.dns.search where !result.dns.search.contains(domain) {
        result.dns.search.append(domain)
      }
    }
    return result
  }

  // MARK: End

  private func timeOut(_ waiting: Waiting) {
    let missing = sessions.filter { $0.standing != .held }
    let report = missing.map { "\($0.family == .ipv4 ? "DHCPv4" : "DHCPv6"): \($0.transcript)" }
    fail(
      CNIError(
        .tryAgainLater,
        "no DHCP lease for \(key) within \(Self.text(waiting.allowed)): "
          + report.joined(separator: "; "),
        details:
          "is there a DHCP server on the network of \(interface.name), and may it answer this container? "
          + "The time is the daemon's -timeout"))
  }

  private static func text(_ duration: Duration) -> String {
    duration.milliseconds % 1000 == 0 ? "\(duration.milliseconds / 1000) s" : "\(duration.milliseconds) ms"
  }

  private func fail(_ error: CNIError) {
    let waiting = waiting
    self.waiting = nil
    daemon.log(key, error.message)
    release(because: error.message)
    _ = waiting?.finish(.failure(error))
  }

  /// Gives back what there is, and ends.
  func release(because reason: String) {
    if isOver { return }
    isOver = true
    rising = nil
    let now = EventLoop.now
    for session in sessions { session.release(at: now) }
    if let waiting {
      self.waiting = nil
      _ = waiting.finish(.failure(CNIError(.tryAgainLater, "the ADD of \(key) has ended: \(reason)")))
    }
    daemon.remove(self)
  }

  /// Whether every lease has been given back: some protocols wait for an answer.
  var isDone: Bool {
    sessions.allSatisfy { if case .ended = $0.standing { true } else { false } }
  }

  /// Closes what is still open.
  func close() {
    for session in sessions { session.close() }
  }

  /// Ends without a word: the interface is gone.
  private func end() {
    isOver = true
    for session in sessions { session.close() }
    daemon.remove(self)
  }

  /// Ends and keeps what is on disk: the daemon stops.
  func suspend() {
    isOver = true
    for session in sessions { session.close() }
  }
}
