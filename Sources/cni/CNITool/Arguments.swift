/// A mistake on the command line, said in one line.
struct UsageError: Error {
  let message: String
}

/// The words of one subcommand's command line, taken apart by what the subcommand declares.
///
/// The executable is also every plugin, and a plugin's start-up and size are what its users pay for on each call:
/// swift-argument-parser would double the executable. What is needed of it here is this file.
struct Arguments {
  /// An option that takes a value, or a flag that takes none.
  struct Option {
    let names: [String]
    let value: String?
    let help: String

    init(_ names: String..., value: String? = nil, help: String) {
      self.names = names
      self.value = value
      self.help = help
    }
  }

  /// The words that are not options, in order.
  private(set) var positional: [String] = []
  /// What follows `--`; `nil` without one.
  private(set) var afterDashes: [String]?
  private var values: [String: [String]] = [:]

  /// Takes `words` apart. Options may stand anywhere before `--`; a value follows its option, or its `=`.
  init(_ words: [String], options: [Option]) throws(UsageError) {
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--" {
        afterDashes = Array(rest)
        return
      }
      guard word.hasPrefix("-"), word != "-" else {
        positional.append(word)
        continue
      }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let option = options.first(where: { $0.names.contains(String(parts[0])) }) else {
        throw UsageError(
          message: "unknown option \(word)"
            + (positional.isEmpty ? "" : " (what belongs to a command stands after --)"))
      }
      var value = parts.count > 1 ? String(parts[1]) : nil
      if option.value == nil {
        guard value == nil else { throw UsageError(message: "\(parts[0]) takes no value") }
        value = ""
      } else if value == nil {
        guard let next = rest.popFirst() else { throw UsageError(message: "\(word) needs a value") }
        value = next
      }
      values[option.names[0], default: []].append(value!)
    }
  }

  /// The last value given for an option, by the option's first name.
  subscript(option: String) -> String? { values[option]?.last }
  /// All values given for an option that may be repeated.
  func all(_ option: String) -> [String] { values[option] ?? [] }
  /// Whether a flag was given.
  func has(_ option: String) -> Bool { values[option] != nil }
}
