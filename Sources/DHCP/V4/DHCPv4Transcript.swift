import NetworkAddresses

/// What was said between a client and servers, for an error that has to explain itself.
public struct DHCPv4Transcript: Hashable, Sendable {
  /// One thing that happened.
  enum Entry: Hashable, Sendable {
    case sent(DHCPv4Message.Kind)
    case received(DHCPv4Message.Kind, address: IPv4Address?, server: IPv4Address?, text: String?)
    case inUse(IPv4Address, by: MACAddress)
    case ignored(DHCPv4Message.Kind, why: String)
  }

  private var entries: [(entry: Entry, count: Int)] = []
  private var omitted = 0
  /// How much is kept: the end tells more than the beginning.
  private static let limit = 16

  /// How many DISCOVER and REQUEST were sent.
  public private(set) var sent = 0
  /// How many answers came, of whatever kind.
  public private(set) var received = 0

  mutating func note(_ entry: Entry) {
    switch entry {
    case .sent: sent += 1
    case .received, .ignored: received += 1
    case .inUse: break
    }
    if let last = entries.indices.last, entries[last].entry == entry {
      entries[last].count += 1
      return
    }
    entries.append((entry, 1))
    if entries.count > Self.limit {
      entries.removeFirst()
      omitted += 1
    }
  }

  /// Whether both read the same.
  public static func == (a: Self, b: Self) -> Bool { a.description == b.description }
  /// Feeds what it reads as.
  public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

extension DHCPv4Transcript: CustomStringConvertible {
  /// In order: `4 DISCOVER sent, no answer`; `DISCOVER sent, OFFER 10.0.0.5 from 10.0.0.1, REQUEST sent, NAK from 10.0.0.1: no`.
  public var description: String {
    var parts = omitted > 0 ? ["…"] : []
    for (entry, count) in entries {
      let times = count == 1 ? "" : "\(count) "
      switch entry {
      case .sent(let kind): parts.append("\(times)\(kind.name) sent")
      case .received(let kind, let address, let server, let text):
        parts.append(
          times + kind.name + (address.map { " \($0)" } ?? "") + (server.map { " from \($0)" } ?? "")
            + (text.map { ": \($0)" } ?? ""))
      case .inUse(let address, let mac): parts.append("\(address) is in use by \(mac)")
      case .ignored(let kind, let why): parts.append("\(times)\(kind.name) ignored: \(why)")
      }
    }
    if case .sent(let kind)? = entries.last?.entry, kind != .decline { parts.append("no answer") }
    return parts.isEmpty ? "nothing was sent" : parts.joined(separator: ", ")
  }
}
