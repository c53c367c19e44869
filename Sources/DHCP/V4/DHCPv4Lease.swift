public import NetworkAddresses

/// What a server has promised: an address, and until when.
///
/// Times are on the clock that counts from the start of the machine, sleep included (`CLOCK_BOOTTIME`).
public struct DHCPv4Lease: Hashable, Sendable {
  /// The address.
  public var address: IPv4Address
  /// The server that gave it (option 54).
  public var server: IPv4Address
  /// When it was asked for, which is when it began.
  public var start: Duration
  /// How long it lasts; `nil`: for ever.
  public var length: Duration?
  /// T1: after how long the client asks its server to go on.
  public var renewal: Duration
  /// T2: after how long it asks any server.
  public var rebinding: Duration
  /// The options of the acknowledgement.
  public var options: DHCPv4Options

  /// A lease read from where it was kept.
  public init(
    address: IPv4Address, server: IPv4Address, start: Duration, length: Duration?, renewal: Duration,
    rebinding: Duration, options: DHCPv4Options
  ) {
    self.address = address
    self.server = server
    self.start = start
    self.length = length
    self.renewal = renewal
    self.rebinding = rebinding
    self.options = options
  }

  /// The shortest time that is believed: a server that says less would be asked without a pause.
  static let shortest = Duration.seconds(2)
  /// What is taken for granted where an acknowledgement does not say how long.
  static let unstated = Duration.seconds(3600)

  /// What an acknowledgement says; `nil` if it gives no address that a host can have.
  ///
  /// Where it does not say when to renew, or what it says cannot be, half and seven eighths of the time count (RFC 2131,
  /// section 4.4.5). `fuzz`, from 0 to 1, brings the renewal forward by up to a fortieth then, so that those who came
  /// together do not always come together.
  init?(acknowledgement: DHCPv4Message, requestedAt start: Duration, fuzz: Double) {
    let address = acknowledgement.yourAddress
    guard address.isUnicast, !address.isLoopback, address.rawValue >> 24 != 0 else { return nil }
    let options = acknowledgement.options
    let seconds = options.number(.leaseTime, as: UInt32.self)
    let length =
      seconds == .max ? nil : max(seconds.map { Duration.seconds(Int64($0)) } ?? Self.unstated, Self.shortest)
    let whole = length ?? .seconds(Int64(UInt32.max))
    var rebinding = options.number(.rebindingTime, as: UInt32.self).map { Duration.seconds(Int64($0)) }
    if let given = rebinding, given >= whole || given < .seconds(1) { rebinding = nil }
    let second = rebinding ?? whole * 7 / 8
    var renewal = options.number(.renewalTime, as: UInt32.self).map { Duration.seconds(Int64($0)) }
    if let given = renewal, given >= second || given < .seconds(1) { renewal = nil }
    self.init(
      address: address, server: options.address(.serverIdentifier) ?? .any, start: start, length: length,
      renewal: renewal ?? min(whole / 2 * (1 - fuzz / 40), second), rebinding: second, options: options)
  }

  /// The address in its network, by option 1; `nil` if that is absent or no mask.
  public var prefix: IPPrefix? {
    options.prefixLength.flatMap { IPPrefix(address: .v4(address), length: $0) }
  }

  /// Whether a host can have the address in that network: it is neither the network's own nor the one for everybody, and
  /// the network is none that would swallow all others.
  public var isUsable: Bool {
    guard let prefix, prefix.length >= 8 else { return false }
    return prefix.length > 30 || !prefix.isNetwork && prefix.broadcast != address
  }

  /// When to ask the server to go on; `nil`: never.
  public var renewsAt: Duration? { length == nil ? nil : start + renewal }
  /// When to ask any server.
  public var rebindsAt: Duration? { length == nil ? nil : start + rebinding }
  /// When the address is no longer the client's.
  public var expiresAt: Duration? { length.map { start + $0 } }
}

extension IPv4Address {
  /// Whether it can be that of a single host.
  var isUnicast: Bool { !isUnspecified && !isMulticast && self != .broadcast }
}
