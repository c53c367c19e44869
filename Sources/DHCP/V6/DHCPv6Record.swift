/// What a client has sent and what came back, in few words: for the error at the end of a wait.
public struct DHCPv6Record: Sendable, Hashable, CustomStringConvertible {
  /// Messages of one type, one after the other, and the answers to them.
  struct Entry: Sendable, Hashable {
    var kind: DHCPv6Message.Kind
    var count: Int
    var first: Duration
    var last: Duration
    var answers: [Answer] = []
  }

  struct Answer: Sendable, Hashable {
    var kind: DHCPv6Message.Kind
    var server: DUID
    var outcome: DHCPv6Status
    var count: Int
  }

  private(set) var entries: [Entry] = []
  /// Whoever answers with ever new names fills no memory.
  private static let limit = 8

  mutating func sent(_ kind: DHCPv6Message.Kind, at now: Duration) {
    if let last = entries.indices.last, entries[last].kind == kind {
      entries[last].count += 1
      entries[last].last = now
    } else {
      if entries.count == Self.limit { entries.removeFirst() }
      entries.append(Entry(kind: kind, count: 1, first: now, last: now))
    }
  }

  mutating func received(_ message: DHCPv6Message, from server: DUID, outcome: DHCPv6Status, at now: Duration)
  {
    guard let last = entries.indices.last else { return }
    let answer = Answer(kind: message.kind, server: server, outcome: outcome, count: 1)
    if let known = entries[last].answers.firstIndex(where: {
      $0.kind == answer.kind && $0.server == answer.server && $0.outcome == answer.outcome
    }) {
      entries[last].answers[known].count += 1
    } else if entries[last].answers.count < Self.limit {
      entries[last].answers.append(answer)
    }
  }

  /// `SOLICIT sent 3 times: no answer`, or `SOLICIT sent once: ADVERTISE of 00:01:…: NoAddrsAvail (no addresses left)`.
  public var description: String {
    guard !entries.isEmpty else { return "nothing was sent" }
    return entries.map { entry in
      let times = entry.count == 1 ? "once" : "\(entry.count) times"
      let answers = entry.answers.map { "\($0.kind.name) of \($0.server): \($0.outcome)" }
      return
        "\(entry.kind.name) sent \(times): \(answers.isEmpty ? "no answer" : answers.joined(separator: ", "))"
    }.joined(separator: "; ")
  }
}
