/// `ct`: reads what connection tracking knows, or with `source` sets it (`enum nft_ct_attributes`).
public struct ConntrackExpression: Hashable, Sendable {
  /// `enum nft_ct_keys`, without those that need a direction.
  public struct Key: RawRepresentable, Hashable, Sendable {
    /// The number on the wire.
    public var rawValue: UInt32
    /// The number on the wire.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// New, established, …
    public static let state = Self(rawValue: 0)
    /// Translated, confirmed, … (`enum ip_conntrack_status`).
    public static let status = Self(rawValue: 2)
    /// The connection's mark.
    public static let mark = Self(rawValue: 3)
  }

  /// Which property.
  public var key: Key
  /// Of which direction (`NFTA_CT_DIRECTION`), for keys that need it.
  public var direction: UInt8?
  /// Where it is read to.
  public var destination: Register?
  /// Where it is set from.
  public var source: Register?

  /// Reads.
  public init(_ key: Key, into destination: Register = .first) {
    self.key = key
    self.destination = destination
  }

  /// Sets.
  public init(set key: Key, from source: Register = .first) {
    self.key = key
    self.source = source
  }

  init?(_ fields: Attributes) {
    guard let key: UInt32 = fields[2]?.bigEndian() else { return nil }
    self.key = Key(rawValue: key)
    destination = fields.register(1)
    direction = fields[3]?.integer()
    source = fields.register(4)
  }

  func encode(into builder: inout MessageBuilder) {
    builder.attribute(2, bigEndian: key.rawValue)
    if let destination { builder.register(1, destination) }
    if let direction { builder.attribute(3, direction) }
    if let source { builder.register(4, source) }
  }
}

/// What connection tracking makes of a packet (`NF_CT_STATE_BIT`).
public struct ConnectionState: OptionSet, Hashable, Sendable {
  /// The bits as on the wire.
  public var rawValue: UInt32
  /// The bits as on the wire.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// It belongs to no connection and cannot begin one.
  public static let invalid = Self(rawValue: 1)
  /// Of a connection that both sides know of.
  public static let established = Self(rawValue: 2)
  /// Begins a connection that belongs to another.
  public static let related = Self(rawValue: 4)
  /// Begins a connection.
  public static let new = Self(rawValue: 8)
  /// Exempt from tracking.
  public static let untracked = Self(rawValue: 64)

  /// As nft writes it: `established,related`.
  var text: String {
    [
      (Self.invalid, "invalid"), (.established, "established"), (.related, "related"), (.new, "new"),
      (.untracked, "untracked"),
    ].filter { contains($0.0) }.map(\.1).joined(separator: ",")
  }
}

/// What happened to a connection (`enum ip_conntrack_status`), those of interest to rules.
public struct ConnectionStatus: OptionSet, Hashable, Sendable {
  /// The bits as on the wire.
  public var rawValue: UInt32
  /// The bits as on the wire.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Packets went in both directions.
  public static let seenReply = Self(rawValue: 2)
  /// Its source is translated.
  public static let sourceNAT = Self(rawValue: 16)
  /// Its destination is translated.
  public static let destinationNAT = Self(rawValue: 32)

  /// As nft writes it: `dnat`.
  var text: String {
    [(Self.seenReply, "seen-reply"), (.sourceNAT, "snat"), (.destinationNAT, "dnat")]
      .filter { contains($0.0) }.map(\.1).joined(separator: ",")
  }
}
