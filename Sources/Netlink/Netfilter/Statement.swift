public import NetworkAddresses

/// One part of a rule, as nft writes it: a condition, or something that is done.
///
/// ```swift
/// Rule(in: chain, [.ipSource == address, .ipDestination != subnet, .masquerade], comment: "net/id/eth0")
/// ```
/// is the line `ip saddr 10.22.0.5 ip daddr != 10.22.0.0/16 masquerade comment "net/id/eth0"`. What has to be
/// known before a field means anything (`meta nfproto ipv4`, `meta l4proto tcp`) is added, as nft does.
public enum Statement: Hashable, Sendable {
  /// `==`, which nft leaves out, or `!=`.
  public enum Relation: Hashable, Sendable {
    /// Is it, or is among them.
    case equal
    /// Is not it, or is not among them.
    case notEqual
  }

  /// The right side of a condition.
  public enum Operand: Hashable, Sendable {
    /// One value.
    case value(NFTValue)
    /// Every address of a prefix.
    case prefix(IPPrefix)
    /// From the first to the second, both inclusive.
    case range(NFTValue, NFTValue)
    /// Every device whose name begins so: `"cni*"`.
    case interfacePrefix(String)
    /// After `& mask`, that value: `meta mark & 0x00002000 == 0x00002000`.
    case masked(UInt32, equals: UInt32)
    /// Any of these states; only for `.connectionState`.
    case states(ConnectionState)
    /// Any of these; only for `.connectionStatus`.
    case statuses(ConnectionStatus)
  }

  /// Where an address goes that is translated.
  public enum NATTarget: Hashable, Sendable {
    /// An address, and a port if that changes too.
    case address(IPAddress, port: UInt16? = nil)
    /// What a map says for these fields, which need look-ups of their own kind: an address of that family, or
    /// an address and a port.
    case map([Selector], NFTSet.Name, family: AddressFamily, hasPort: Bool)
  }

  /// `ip daddr != 10.22.0.0/16`.
  case match(Selector, Relation, Operand)
  /// `iifname . ether saddr != @allowed`.
  case lookup([Selector], Relation, NFTSet.Name)
  /// `ip saddr & 255.255.0.0 . ip daddr @neighbours`: of the first field, an address, only the prefix of that length
  /// counts.
  case prefixLookup([Selector], length: Int, NFTSet.Name)
  /// `accept`, `goto …`.
  case verdict(Verdict)
  /// `ip saddr vmap @sources4`.
  case verdictMap([Selector], NFTSet.Name)
  /// `counter`.
  case count(CounterExpression)
  /// `masquerade`.
  case masqueraded(NATFlags)
  /// `redirect to :81`.
  case redirect(port: UInt16?, NATFlags)
  /// `dnat to 10.22.0.5:80`.
  case destinationNAT(NATTarget, NATFlags)
  /// `snat to 192.0.2.1`.
  case sourceNAT(NATTarget, NATFlags)
  /// `meta mark set meta mark & 0xffffdfff | 0x00002000`, of `.mark` or `.connectionMark`: the bits kept, and the
  /// bits turned over afterwards.
  case setMark(Selector, keeping: UInt32, flipping: UInt32)
  /// `limit rate 10/second`.
  case limit(LimitExpression)
  /// `log prefix "…"`.
  case log(LogExpression)
  /// `reject`.
  case rejected(RejectExpression)
  /// `notrack`.
  case notrack
  /// An instruction that no statement here stands for.
  case raw(Expression)
}

extension NFTSet {
  /// How a rule refers to a set of its table: `@sources4`.
  public struct Name: Hashable, Sendable, ExpressibleByStringLiteral {
    /// The set's name.
    public var name: String
    /// A set by its name.
    public init(_ name: String) { self.name = name }
    /// A set by its name.
    public init(stringLiteral value: String) { name = value }
    /// A set by its value.
    public init(_ set: NFTSet) { name = set.name }
  }
}

// MARK: - What a rule is written with

extension Statement {
  /// `accept`.
  public static var accept: Statement { .verdict(.accept) }
  /// `drop`.
  public static var drop: Statement { .verdict(.drop) }
  /// `return`.
  public static var `return`: Statement { .verdict(.return) }
  /// `jump CHAIN`.
  public static func jump(_ chain: String) -> Statement { .verdict(.jump(chain)) }
  /// `goto CHAIN`.
  public static func goto(_ chain: String) -> Statement { .verdict(.goto(chain)) }
  /// `counter`.
  public static var counter: Statement { .count(CounterExpression()) }
  /// `masquerade`.
  public static var masquerade: Statement { .masqueraded([]) }
  /// `reject`.
  public static var reject: Statement { .rejected(.portUnreachable) }
  /// `log`, or `log prefix "…"`.
  public static func log(prefix: String? = nil) -> Statement { .log(LogExpression(prefix: prefix)) }
  /// `limit rate 10/second`; `per` in seconds.
  public static func limit(_ rate: UInt64, per seconds: UInt64 = 1) -> Statement {
    .limit(LimitExpression(rate: rate, unit: seconds))
  }
  /// `redirect`, or `redirect to :81`.
  public static func redirect(to port: UInt16? = nil) -> Statement { .redirect(port: port, []) }
  /// `dnat to …`.
  public static func destinationNAT(to target: NATTarget) -> Statement { .destinationNAT(target, []) }
  /// `snat to …`.
  public static func sourceNAT(to target: NATTarget) -> Statement { .sourceNAT(target, []) }
  /// `ip saddr vmap @sources4`.
  public static func vmap(_ fields: Selector..., in map: NFTSet) -> Statement {
    .verdictMap(fields, .init(map))
  }
  /// `ip saddr @allowed`, `iifname . ether saddr @allowed`.
  public static func fields(_ fields: Selector..., in set: NFTSet) -> Statement {
    .lookup(fields, .equal, .init(set))
  }
  /// `ip saddr != @allowed`, `iifname . ether saddr != @allowed`.
  public static func fields(_ fields: Selector..., notIn set: NFTSet) -> Statement {
    .lookup(fields, .notEqual, .init(set))
  }
  /// `ct state established,related`.
  public static func connection(_ states: ConnectionState) -> Statement {
    .match(.connectionState, .equal, .states(states))
  }
  /// `ct status dnat`.
  public static func connection(status: ConnectionStatus) -> Statement {
    .match(.connectionStatus, .equal, .statuses(status))
  }
  /// `meta mark set 0x00002000`.
  public static func set(_ field: Selector, to mark: UInt32) -> Statement {
    .setMark(field, keeping: 0, flipping: mark)
  }
  /// `meta mark set meta mark | 0x00002000`.
  public static func set(_ field: Selector, or bits: UInt32) -> Statement {
    .setMark(field, keeping: ~bits, flipping: bits)
  }
  /// `ip saddr @allowed`.
  public static func ipSource(in set: NFTSet) -> Statement { fields(.ipSource, in: set) }
  /// `ip6 saddr @allowed`.
  public static func ip6Source(in set: NFTSet) -> Statement { fields(.ip6Source, in: set) }
  /// `iifname @guarded`.
  public static func inputInterface(in set: NFTSet) -> Statement { fields(.inputInterface, in: set) }
  /// `iifname "cni*"`.
  public static func inputInterface(prefix: String) -> Statement {
    .match(.inputInterface, .equal, .interfacePrefix(prefix))
  }
  /// The source address of either family: `ip saddr …` or `ip6 saddr …`.
  public static func source(_ relation: Relation = .equal, _ prefix: IPPrefix) -> Statement {
    .match(prefix.family == .ipv4 ? .ipSource : .ip6Source, relation, .prefix(prefix))
  }
  /// The destination address of either family: `ip daddr …` or `ip6 daddr …`.
  public static func destination(_ relation: Relation = .equal, _ prefix: IPPrefix) -> Statement {
    .match(prefix.family == .ipv4 ? .ipDestination : .ip6Destination, relation, .prefix(prefix))
  }
}

extension Selector {
  /// `ip daddr 10.22.0.0/16`.
  public static func == (field: Selector, prefix: IPPrefix) -> Statement {
    .match(field, .equal, .prefix(prefix))
  }
  /// `ip daddr != 10.22.0.0/16`.
  public static func != (field: Selector, prefix: IPPrefix) -> Statement {
    .match(field, .notEqual, .prefix(prefix))
  }
  /// `ip saddr 10.22.0.5`.
  public static func == (field: Selector, address: IPAddress) -> Statement {
    .match(field, .equal, .value(NFTValue(address)))
  }
  /// `ip saddr != 10.22.0.5`.
  public static func != (field: Selector, address: IPAddress) -> Statement {
    .match(field, .notEqual, .value(NFTValue(address)))
  }
  /// `tcp dport 8080`, `iifname "cni0"`, `meta l4proto tcp`.
  public static func == (field: Selector, value: NFTValue) -> Statement {
    .match(field, .equal, .value(value))
  }
  /// `oifname != "cni0"`.
  public static func != (field: Selector, value: NFTValue) -> Statement {
    .match(field, .notEqual, .value(value))
  }
  /// `udp sport 1000-2000`.
  public static func == (field: Selector, ports: ClosedRange<UInt16>) -> Statement {
    .match(field, .equal, .range(.port(ports.lowerBound), .port(ports.upperBound)))
  }
}
