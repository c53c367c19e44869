import CNI
import NetworkAddresses

/// One family's lease of one attachment: a client of the protocol, and the sockets that it needs at the moment.
///
/// Everything happens on the loop's thread. Whatever changes is told to ``LeaseSessionOwner``.
protocol LeaseSession: AnyObject {
  /// The family.
  var family: AddressFamily { get }
  /// Where it stands.
  var standing: LeaseStanding { get }
  /// When to call ``advance(to:)`` at the latest.
  var nextDeadline: Duration? { get }
  /// What was said with servers, for an error.
  var transcript: String { get }
  /// What to keep on disk; `nil` while there is no lease.
  var record: JSONObject? { get }

  /// Starts to look for a lease.
  func begin(at now: Duration) throws
  /// Does what is due.
  func advance(to now: Duration)
  /// The addresses, routes and DNS settings of the lease.
  /// - Throws: `CNIError` if they cannot be expressed as a result.
  func result() throws(CNIError) -> AddResult
  /// Gives the lease back, or stops looking for one. It ends, perhaps a little later: ``LeaseStanding/ended``.
  func release(at now: Duration)
  /// Ends at once and without a word; what it holds open is closed.
  func close()
}

/// Where a session stands.
enum LeaseStanding: Sendable, Hashable {
  /// There is no lease yet.
  case acquiring
  /// There is one.
  case held
  /// There was one, and the attempts go on to get it back: why.
  case lost(String)
  /// There is nothing to be done any more: why. The interface is gone, or the lease was given back.
  case ended(String)
}

/// What a file says about a family's lease.
enum LeaseRecord {
  case ipv4(DHCPv4LeaseRecord)
  case ipv6(DHCPv6LeaseRecord)

  /// When it is over; `nil`: never.
  var end: Duration? {
    switch self {
    case .ipv4(let record): record.lease.expiresAt
    case .ipv6(let record): record.lease.validUntil
    }
  }
}

/// Who is told what becomes of a session.
protocol LeaseSessionOwner: AnyObject {
  /// The standing, or the lease, is another one now. `event` is for the log.
  func session(_ session: any LeaseSession, changed event: String)
}

/// What sessions work with.
struct LeaseSurroundings {
  let loop: EventLoop
  let slowWork: SlowWork
  let settings: DaemonSettings
}
