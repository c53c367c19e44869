/// The members of a JSON object in the order in which they were written, each key once.
///
/// Members are searched from first to last: objects of configurations are small, and building an index would cost
/// more than it saves.
public struct JSONObject: Sendable {
  /// One key with its value.
  public struct Member: Sendable, Hashable {
    /// The key.
    public let key: String
    /// The value.
    public var value: JSONValue
    /// Where the key stood; `nil` if it was not read from a text.
    public let keyPosition: SourcePosition?

    init(key: String, value: JSONValue, keyPosition: SourcePosition? = nil) {
      self.key = key
      self.value = value
      self.keyPosition = keyPosition
    }
  }

  /// The members in order.
  public internal(set) var members: [Member]

  /// An object without members.
  public init() { members = [] }

  /// An object with these members; of equal keys the last counts, at the place of the first.
  public init(_ elements: some Sequence<(String, JSONValue)>) {
    members = []
    for (key, value) in elements { self[key] = value }
  }

  /// An object of members that a caller knows to have different keys.
  init(members: [Member]) { self.members = members }

  /// Whether there are no members.
  public var isEmpty: Bool { members.isEmpty }
  /// The number of members.
  public var count: Int { members.count }
  /// The keys in order.
  public var keys: [String] { members.map(\.key) }

  /// The value of an exact key. Setting it replaces the value where it stands, or appends it; setting `nil` removes
  /// the member.
  public subscript(key: String) -> JSONValue? {
    get {
      for member in members where member.key == key { return member.value }
      return nil
    }
    set {
      let index = members.firstIndex { $0.key == key }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (let index?, nil): members.remove(at: index)
      case (nil, let value?): members.append(Member(key: key, value: value))
      case (nil, nil): break
      }
    }
  }

  /// The index of the member with exactly this key, otherwise of the last whose key differs only in the case of
  /// ASCII letters. Callers of plugins capitalise keys as they like.
  public func index(matching key: String) -> Int? {
    for index in members.indices where members[index].key == key { return index }
    for index in members.indices.reversed() where equalIgnoringCase(members[index].key, key) { return index }
    return nil
  }

  /// The member that ``index(matching:)`` finds.
  public func member(matching key: String) -> Member? { index(matching: key).map { members[$0] } }

  /// Puts a member behind all others; a member with the same key goes away.
  public mutating func append(_ key: String, _ value: JSONValue) {
    self[key] = nil
    members.append(Member(key: key, value: value))
  }

  /// Puts a member before all others; a member with the same key goes away.
  public mutating func prepend(_ key: String, _ value: JSONValue) {
    self[key] = nil
    members.insert(Member(key: key, value: value), at: 0)
  }

  /// Removes the member with exactly this key, and returns its value.
  @discardableResult
  public mutating func remove(_ key: String) -> JSONValue? {
    guard let index = members.firstIndex(where: { $0.key == key }) else { return nil }
    return members.remove(at: index).value
  }

  /// Removes every member whose key is this one but for the case of ASCII letters.
  public mutating func removeAll(matching key: String) {
    members.removeAll { $0.key == key || equalIgnoringCase($0.key, key) }
  }
}

extension JSONObject: Sequence {
  /// The members in order.
  public func makeIterator() -> IndexingIterator<[Member]> { members.makeIterator() }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  /// An object with these members; of equal keys the last counts.
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}

extension JSONObject: Hashable {
  /// Whether both have the same keys with equal values, in whatever order.
  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    guard a.count == b.count else { return false }
    // Mostly both have the same order, and then there is nothing to search.
    var different: [Int] = []
    for index in a.members.indices {
      if a.members[index].key != b.members[index].key {
        different.append(index)
      } else if a.members[index].value != b.members[index].value {
        return false
      }
    }
    if different.isEmpty { return true }
    var rest: [String: JSONValue] = [:]
    for index in different { rest[b.members[index].key] = b.members[index].value }
    return different.allSatisfy { rest[a.members[$0].key] == a.members[$0].value }
  }

  /// Feeds a sum over the members, which does not depend on their order.
  public func hash(into hasher: inout Hasher) {
    var sum = 0
    for member in members {
      var own = Hasher()
      own.combine(member.key)
      own.combine(member.value)
      sum &+= own.finalize()
    }
    hasher.combine(members.count)
    hasher.combine(sum)
  }
}

/// Whether two texts are the same but for the case of ASCII letters.
func equalIgnoringCase(_ a: String, _ b: String) -> Bool {
  guard a.utf8.count == b.utf8.count else { return false }
  for (x, y) in zip(a.utf8, b.utf8) where x != y {
    let letter = x | 0x20
    guard letter == y | 0x20, letter >= UInt8(ascii: "a"), letter <= UInt8(ascii: "z") else { return false }
  }
  return true
}
