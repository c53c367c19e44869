import NetworkAddresses

/// What was said between a client and servers, for an error that has to explain itself.
public struct DHCPv6Transcript: Hashable, Sendable {
  /// One thing that happened.
  enum Entry: Hashable, Sendable {
    case sent(DHCPv6Message.Kind)
    case received(DHCPv6Message.Kind, from: DUID, outcome: DHCPv6Status)
    case inUse(IPv6Address)
  }

  private var conversation = Conversation<Entry>()

  mutating func note(_ entry: Entry) { conversation.note(entry) }
}

extension DHCPv6Transcript: CustomStringConvertible {
  /// In order: `4 SOLICIT sent, no answer`; `SOLICIT sent, ADVERTISE from 00:01:…: NoAddrsAvail (no addresses left)`.
  public var description: String {
    conversation.text(
      expectsAnswer: { if case .sent = $0 { true } else { false } },
      { entry, times in
        switch entry {
        case .sent(let kind): "\(times)\(kind.name) sent"
        case .received(let kind, let server, let outcome):
          "\(times)\(kind.name) from \(server)" + (outcome.isSuccess ? "" : ": \(outcome)")
        case .inUse(let address): "\(address) is in use by another host"
        }
      })
  }
}
