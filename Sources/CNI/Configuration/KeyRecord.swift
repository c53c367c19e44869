/// Which keys of a configuration were asked for, by all plugins that have read it: what remains is ignored by each of
/// them, and often a spelling mistake.
///
/// To be used by one thread at a time, as a linter does.
public final class KeyRecord: @unchecked Sendable {
  private var root: ConfigurationRecord?

  /// A record of a configuration that nobody has read yet.
  public init() {}

  /// The record of the configuration's outermost object; the same one for each of its readers.
  func root(_ members: JSONObject) -> ConfigurationRecord {
    if let root { return root }
    let record = ConfigurationRecord(members)
    root = record
    return record
  }

  /// The keys that nobody asked for, in every object that somebody opened, in the order of the text. Objects that were
  /// taken as they are (``ConfigurationValue/json``) are not looked into.
  public var unknownKeys: [UnknownKey] {
    root?.unknownKeys(below: ConfigurationPath(origin: .init(name: nil, code: .invalidConfiguration))) ?? []
  }
}

// Whether its keys are recorded says nothing of a configuration.
extension KeyRecord: Hashable {
  /// Always.
  public static func == (one: KeyRecord, other: KeyRecord) -> Bool { true }
  /// Adds nothing.
  public func hash(into hasher: inout Hasher) {}
}

/// A key that stands in a configuration and that nobody asked for.
public struct UnknownKey: Sendable, Hashable {
  /// Where it is in the configuration: `ipam.subnett`.
  public var path: String
  /// Where it is in the text.
  public var position: SourcePosition?
  /// A key that was asked for, is absent, and is spelled much like this one: `subnet`.
  public var suggestion: String?
}

/// Which keys of an object and of what is below it were asked for.
final class ConfigurationRecord {
  let object: JSONObject?
  var asked: Set<Int> = []
  /// Keys that were asked for and are not there.
  var absent: Set<String> = []
  private var children: [(component: ConfigurationPath.Component, record: ConfigurationRecord)] = []

  init(_ object: JSONObject?) { self.object = object }

  /// The record of a container below; the same one each time.
  func child(_ component: ConfigurationPath.Component, _ object: JSONObject?) -> ConfigurationRecord {
    if let known = children.first(where: { $0.component == component }) { return known.record }
    let record = ConfigurationRecord(object)
    children.append((component, record))
    return record
  }

  func unknownKeys(below path: ConfigurationPath) -> [UnknownKey] {
    var keys: [UnknownKey] = []
    collectUnknown(into: &keys, path)
    return keys.sorted {
      ($0.position ?? .init(line: 0, column: 0)) < ($1.position ?? .init(line: 0, column: 0))
    }
  }

  private func collectUnknown(into keys: inout [UnknownKey], _ path: ConfigurationPath) {
    if let object {
      for (index, member) in object.members.enumerated() where !asked.contains(index) {
        keys.append(
          UnknownKey(
            path: path.description(of: .key(member.key)), position: member.keyPosition,
            suggestion: absent.sorted().min(by: { one, other in
              Spelling.distance(one, member.key) < Spelling.distance(other, member.key)
            }).flatMap { Spelling.resembles($0, member.key) ? $0 : nil }))
      }
    }
    for child in children {
      child.record.collectUnknown(into: &keys, ConfigurationPath(path, child.component))
    }
  }
}

/// How much two keys look alike.
enum Spelling {
  /// Whether one can be a misspelling of the other: a third of its letters at most are wrong, and no more than three.
  static func resembles(_ one: String, _ other: String) -> Bool {
    let distance = distance(one, other)
    return distance <= 3 && distance * 3 <= max(one.utf8.count, other.utf8.count)
  }

  /// The number of letters to insert, remove, replace or swap with their neighbour; the case of letters is no matter
  /// (optimal string alignment distance).
  static func distance(_ one: String, _ other: String) -> Int {
    let a = Array(one.lowercased().utf8)
    let b = Array(other.lowercased().utf8)
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var least = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, beforeLast[j - 1] + 1) }
        row.append(least)
      }
      beforeLast = last
      last = row
    }
    return last[b.count]
  }
}
