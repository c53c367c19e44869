public import NetworkAddresses

/// Which tracked connections are meant: those for which all that is said here is true.
public struct ConntrackFilter: Hashable, Sendable {
  /// What is said of one direction; what is nil may be anything.
  public struct Direction: Hashable, Sendable {
    /// Who sends.
    public var source: IPAddress?
    /// To whom.
    public var destination: IPAddress?
    /// From where; together with the filter's `transport`.
    public var sourcePort: UInt16?
    /// To where; together with the filter's `transport`.
    public var destinationPort: UInt16?

    /// What is said of one direction.
    public init(
      source: IPAddress? = nil, destination: IPAddress? = nil, sourcePort: UInt16? = nil,
      destinationPort: UInt16? = nil
    ) {
      self.source = source
      self.destination = destination
      self.sourcePort = sourcePort
      self.destinationPort = destinationPort
    }

    var isEmpty: Bool { self == Direction() }

    func matches(_ tuple: ConntrackTuple) -> Bool {
      source.map { $0 == tuple.source } ?? true && destination.map { $0 == tuple.destination } ?? true
        && sourcePort.map { $0 == tuple.sourcePort } ?? true
        && destinationPort.map { $0 == tuple.destinationPort } ?? true
    }
  }

  /// IPv4 or IPv6.
  public var family: AddressFamily
  /// The protocol above IP.
  public var transport: InternetProtocol?
  /// What the first packet was.
  public var original: Direction
  /// What an answer is.
  public var reply: Direction
  /// What happened to it: all of these.
  public var status: ConnectionStatus

  /// Connections of a family.
  public init(
    _ family: AddressFamily, _ transport: InternetProtocol? = nil, original: Direction = Direction(),
    reply: Direction = Direction(), status: ConnectionStatus = []
  ) {
    self.family = family
    self.transport = transport
    self.original = original
    self.reply = reply
    self.status = status
  }

  /// Whether the connection is meant.
  public func matches(_ entry: ConntrackEntry) -> Bool {
    entry.original.source.family == family && (transport.map { $0 == entry.original.transport } ?? true)
      && original.matches(entry.original) && reply.matches(entry.reply) && entry.status.isSuperset(of: status)
  }

  /// What of it the kernel may be told. Of IPv6 addresses it would take the contrary: it leaves out what has them, and means
  /// all else (seen in Linux 6.18).
  var forKernel: ConntrackFilter {
    guard family == .ipv6 else { return self }
    var filter = self
    filter.original.source = nil
    filter.original.destination = nil
    filter.reply.source = nil
    filter.reply.destination = nil
    return filter
  }

  /// Whether something is said of a tuple. Only then may a request to delete carry the filter: a kernel that does not
  /// know filters refuses half a tuple, but takes a request without any for one to delete everything.
  var namesTuple: Bool { transport != nil || !original.isEmpty || !reply.isEmpty }

  /// Appends header and attributes of a request about all connections that are meant.
  ///
  /// The kernel compares addresses and ports since Linux 5.8 in a dump, and since 6.11 to delete. A dump before that takes
  /// no notice of them.
  func encode(into builder: inout MessageBuilder) {
    builder.append(family.netfilter)
    // In version 0 a request to delete is for both families.
    builder.append(UInt8(1))
    builder.append(bigEndian: UInt16(0))
    if !status.isEmpty {
      builder.attribute(3, bigEndian: status.rawValue)
      builder.attribute(26, bigEndian: status.rawValue)
    }
    guard namesTuple else { return }
    let needsOriginal = transport != nil || !original.isEmpty
    if needsOriginal { builder.nested(1) { encode(original, into: &$0) } }
    if !reply.isEmpty { builder.nested(2) { encode(reply, into: &$0) } }
    builder.nested(25) {
      if needsOriginal { $0.attribute(1, flags(original)) }
      if !reply.isEmpty { $0.attribute(2, flags(reply)) }
    }
  }

  /// `CTA_FILTER_F_*`: which attributes of the tuple count. Unlike the rest, in host byte order.
  private func flags(_ direction: Direction) -> UInt32 {
    var flags: UInt32 = 0
    if direction.source != nil { flags |= 1 << 0 }
    if direction.destination != nil { flags |= 1 << 1 }
    if transport != nil { flags |= 1 << 3 }
    if direction.sourcePort != nil { flags |= 1 << 4 }
    if direction.destinationPort != nil { flags |= 1 << 5 }
    return flags
  }

  private func encode(_ direction: Direction, into builder: inout MessageBuilder) {
    let four = family == .ipv4
    if direction.source != nil || direction.destination != nil {
      builder.nested(1) {
        if let source = direction.source { $0.attribute(four ? 1 : 3, bytes: source.bytes) }
        if let destination = direction.destination { $0.attribute(four ? 2 : 4, bytes: destination.bytes) }
      }
    }
    guard let transport else { return }
    builder.nested(2) {
      $0.attribute(1, transport.rawValue)
      if let port = direction.sourcePort { $0.attribute(2, bigEndian: port) }
      if let port = direction.destinationPort { $0.attribute(3, bigEndian: port) }
    }
  }
}
