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

  private var conversation = Conversation<Entry>()

  mutating func note(_ entry: Entry) { conversation.note(entry) }
}

extension DHCPv4Transcript: CustomStringConvertible {
  /// In order: `4 DISCOVER sent, no answer`; `DISCOVER sent, OFFER 10.0.0.5 from 10.0.0.1, REQUEST sent, NAK from 10.0.0.1: no`.
  public var description: String {
    conversation.text(
      expectsAnswer: { if case .sent(let kind) = $0 { kind != .decline } else { false } },
      { entry, times in
        switch entry {
        case .sent(let kind): "\(times)\(kind.name) sent"
        case .received(let kind, let address, let server, let text):
          times + kind.name + (address.map { " \($0)" } ?? "") + (server.map { " from \($0)" } ?? "")
            + (text.map { ": \($0)" } ?? "")
        case .inUse(let address, let mac): "\(address) is in use by \(mac)"
        case .ignored(let kind, let why): "\(times)\(kind.name) ignored: \(why)"
        }
      })
  }
}
