/// A log of what was said, for an error that has to explain itself. The same several times in a row is counted, and the
/// beginning is forgotten: the end tells more.
struct Conversation<Entry: Hashable & Sendable>: Hashable, Sendable {
  private struct Line: Hashable {
    let entry: Entry
    var count = 1
  }

  private var lines: [Line] = []
  private var isCut = false
  private static var limit: Int { 16 }

  mutating func note(_ entry: Entry) {
    if let last = lines.indices.last, lines[last].entry == entry {
      lines[last].count += 1
      return
    }
    lines.append(Line(entry: entry))
    if lines.count > Self.limit {
      lines.removeFirst()
      isCut = true
    }
  }

  /// In order, with commas.
  ///
  /// - Parameters:
  ///   - expectsAnswer: Whether it is worth saying that nothing came after this entry.
  ///   - text: The words for an entry; `times` is how often, with a space behind it, or nothing for once.
  func text(
    expectsAnswer: (Entry) -> Bool, _ text: (_ entry: Entry, _ times: String) -> String
  ) -> String {
    guard let last = lines.last else { return "nothing was sent" }
    var parts = isCut ? ["…"] : []
    for line in lines { parts.append(text(line.entry, line.count == 1 ? "" : "\(line.count) ")) }
    if expectsAnswer(last.entry) { parts.append("no answer") }
    return parts.joined(separator: ", ")
  }
}
