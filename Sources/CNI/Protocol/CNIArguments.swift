/// The content of `CNI_ARGS`: `KEY=VALUE` pairs with semicolons between them.
public struct CNIArguments: Sendable, Hashable {
  /// One pair.
  public struct Pair: Sendable, Hashable {
    /// What stands before the first `=`.
    public var key: String
    /// What stands behind it; may be empty, and may contain more of them.
    public var value: String

    /// A pair.
    public init(key: String, value: String) {
      self.key = key
      self.value = value
    }
  }

  static let ignoreUnknownKey = "IgnoreUnknown"

  /// The pairs in order.
  public var pairs: [Pair]
  /// Whether keys that a plugin does not know are to be ignored: `IgnoreUnknown=1` or `true`, at any place.
  public private(set) var ignoreUnknown: Bool

  /// No arguments.
  public init() {
    pairs = []
    ignoreUnknown = false
  }

  /// Reads the value of `CNI_ARGS`; an empty one has no pairs, and empty parts between semicolons are skipped.
  /// - Throws: code 4 for a part without `=` or without a key, and for an `IgnoreUnknown` that is not a boolean.
  public init(parsing text: String) throws(CNIError) {
    self.init()
    for part in text.utf8.split(separator: UInt8(ascii: ";")) {
      guard let equals = part.firstIndex(of: UInt8(ascii: "=")), equals > part.startIndex else {
        throw CNIError(
          .invalidEnvironment, "CNI_ARGS: \(quoted(String(Substring(part)))) is not a pair",
          details: "write KEY=VALUE pairs with semicolons between them")
      }
      let pair = Pair(
        key: String(Substring(part[..<equals])), value: String(Substring(part[part.index(after: equals)...])))
      if pair.key == CNIArguments.ignoreUnknownKey {
        guard let flag = CNIArguments.boolean(pair.value) else {
          throw CNIError(
            .invalidEnvironment, "CNI_ARGS: \(quoted(pair.value)) is not a value for IgnoreUnknown",
            details: "write 1, true, 0 or false")
        }
        ignoreUnknown = flag
      }
      pairs.append(pair)
    }
  }

  private static func boolean(_ text: String) -> Bool? {
    if text == "1" || equalIgnoringCase(text, "true") { return true }
    if text == "0" || equalIgnoringCase(text, "false") { return false }
    return nil
  }

  /// The value of a key, of the last pair if there are several; upper and lower case differ.
  public subscript(key: String) -> String? { pairs.last { $0.key == key }?.value }

  /// The pairs as `CNI_ARGS` has them.
  public var serialized: String {
    var text = ""
    for pair in pairs {
      if !text.isEmpty { text += ";" }
      text += pair.key + "=" + pair.value
    }
    return text
  }

  /// Checks that a plugin knows every key, as far as the caller did not ask to ignore the others.
  /// - Throws: code 4 naming the unknown keys.
  public func validate(known allKnown: @autoclosure () -> Set<String>) throws(CNIError) {
    if pairs.isEmpty || ignoreUnknown { return }
    let known = allKnown()
    let unknown = pairs.filter { $0.key != CNIArguments.ignoreUnknownKey && !known.contains($0.key) }
    if unknown.isEmpty { return }
    let names = unknown.map { quoted($0.key) }.joined(separator: ", ")
    let all = known.sorted().joined(separator: ", ")
    throw CNIError(
      .invalidEnvironment, "CNI_ARGS: unknown key \(names)",
      details: (known.isEmpty ? "this plugin knows none" : "this plugin knows \(all)")
        + "; add IgnoreUnknown=1 if others may be ignored")
  }
}
