/// What has become of the networks of a directory since one has looked last.
public struct ConfigurationChange: Sendable, Hashable {
  /// All that there is now.
  public let contents: ConfigurationDirectory.Contents
  /// The names of networks that have come, in the order of their files.
  public let added: [String]
  /// The names of networks whose configuration is another one, in the order of their files.
  public let changed: [String]
  /// The names of networks that have gone, in the order of their files before.
  public let removed: [String]
  /// Whether another network comes first than before, or none does any more.
  public let changesDefault: Bool

  /// The way from one state to another; from nothing without the first.
  public init(from before: ConfigurationDirectory.Contents?, to now: ConfigurationDirectory.Contents) {
    let old = before?.networks ?? []
    contents = now
    added = now.networks.map(\.name).filter { name in !old.contains { $0.name == name } }
    removed = old.map(\.name).filter { now[$0] == nil }
    changed = now.networks.filter { network in
      old.contains {
        $0.name == network.name
          && ($0.list.json != network.list.json || $0.list.plugins != network.list.plugins)
      }
    }.map(\.name)
    changesDefault = old.first?.name != now.networks.first?.name
  }
}

/// The changes of a configuration directory, for `for await`.
///
/// The first one is what there is at that time. Who is slow misses none: what has changed meanwhile is told as one. Ends with
/// ``LiveConfigurations/close()``, or with the task. Where nothing watches the directory, changes show when it is read.
public struct ConfigurationChanges: AsyncSequence, Sendable {
  /// One change.
  public typealias Element = ConfigurationChange
  /// It does not fail.
  public typealias Failure = Never

  let state: LiveConfigurations.State

  /// Looks from now on.
  public func makeAsyncIterator() -> Iterator {
    let (stream, continuation) = AsyncStream.makeStream(
      of: ConfigurationDirectory.Contents.self, bufferingPolicy: .bufferingNewest(1))
    let number = state.add(observe: { continuation.yield($0) }, finish: { continuation.finish() })
    if let number {
      continuation.onTermination = { [weak state] _ in state?.removeObserver(number) }
    }
    return Iterator(contents: stream.makeAsyncIterator())
  }

  /// Goes from one change to the next.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate var contents: AsyncStream<ConfigurationDirectory.Contents>.Iterator
    fileprivate var before: ConfigurationDirectory.Contents?

    /// Waits for the next change; `nil` when there will be none.
    public mutating func next() async -> ConfigurationChange? { await next(isolation: nil) }

    /// The same, on an actor.
    public mutating func next(isolation actor: isolated (any Actor)?) async -> ConfigurationChange? {
      guard let now = await contents.next(isolation: actor) else { return nil }
      defer { before = now }
      return ConfigurationChange(from: before, to: now)
    }
  }
}

extension LiveConfigurations {
  /// The changes from now on, beginning with what there is. Any number of tasks may wait for them, each on its own.
  public var changes: ConfigurationChanges { ConfigurationChanges(state: state) }
}
