import NetworkAddresses

/// What was said between a client and servers, for an error that has to explain itself.
public struct DHCPv6Transcript: Sendable, Hashable, CustomStringConvertible {
  /// One thing that happened.
  enum Entry: Sendable, Hashable {
    case sent(DHCPv6Message.Kind)
    case received(DHCPv6Message.Kind, from: DUID, outcome: DHCPv6Status)
    case inUse(IPv6Address)
  }

  private struct Line: Sendable, Hashable {
    var entry: Entry
    var count: Int
  }

  private var lines: [Line] = []
  private var isCut = false
  /// How much is kept: the end tells more than the beginning.
  private static let limit = 16

  mutating func note(_ entry: Entry) {
    if let last = lines.indices.last, lines[last].entry == entry {
      lines[last].count += 1
      return
    }
    lines.append(Line(entry: entry, count: 1))
    if lines.count > Self.limit {
      lines.removeFirst()
      isCut = true
    }
  }

  /// In order: `4 SOLICIT sent, no answer`; `SOLICIT sent, ADVERTISE from 00:01:…: NoAddrsAvail (no addresses left)`.
  public var description: String {
    var parts = isCut ? ["…"] : []
    for line in lines {
      let times = line.count == 1 ? "" : "\(line.count) "
      switch line.entry {
      case .sent(let kind): parts.append("\(times)\(kind.name) sent")
      case .received(let kind, let server, let outcome):
        parts.append("\(times)\(kind.name) from \(server)" + (outcome.isSuccess ? "" : ": \(outcome)"))
      case .inUse(let address): parts.append("\(address) is in use by another host")
      }
    }
    if case .sent? = lines.last?.entry { parts.append("no answer") }
    return parts.isEmpty ? "nothing was sent" : parts.joined(separator: ", ")
  }
}
