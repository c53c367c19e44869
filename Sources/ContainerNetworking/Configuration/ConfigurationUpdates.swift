import CNIRuntime

/// What has become of the networks after the configuration directory has changed.
public struct ConfigurationUpdate: Sendable {
  /// What is loaded now.
  public var configuration: NetworkingConfiguration
  /// Which networks of the directory have come, changed or gone, and what is wrong with its files.
  public var change: ConfigurationChange
  /// Why not everything could be loaded; `nil` if it could. For `noConfiguration` no container can be set up now; otherwise
  /// (a file that was named and cannot be used, say) what was loaded before still counts.
  public var failure: ContainerNetworkingError?
}

/// Loads the networks anew each time the configuration directory changes; see
/// ``ContainerNetworking/configurationUpdates``.
public struct ConfigurationUpdates: AsyncSequence, Sendable {
  /// One change.
  public typealias Element = ConfigurationUpdate
  /// It does not fail.
  public typealias Failure = Never

  let networking: ContainerNetworking

  /// For another walk through the changes; its first ``Iterator/next()`` begins to watch.
  public func makeAsyncIterator() -> Iterator { Iterator(networking: networking) }

  /// Goes from one change to the next.
  public struct Iterator: AsyncIteratorProtocol {
    let networking: ContainerNetworking
    private var watch: (live: LiveConfigurations, changes: ConfigurationChanges.Iterator)?
    /// What the directory held when it was told last.
    private var told: ConfigurationDirectory.Contents?
    private var reportedFailure: String?

    init(networking: ContainerNetworking) { self.networking = networking }

    /// Waits for the next change, and loads it; `nil` when the task is cancelled.
    public mutating func next() async -> ConfigurationUpdate? { await next(isolation: nil) }

    /// The same, on an actor.
    public mutating func next(isolation actor: isolated (any Actor)?) async -> ConfigurationUpdate? {
      if watch == nil { watch = await networking.startWatch() }
      while await watch?.changes.next(isolation: actor) != nil {
        reportFailure()
        guard let (update, contents) = await networking.update(since: told) else { continue }
        told = contents
        return update
      }
      return nil
    }

    /// The kernel may have no watch to give any more at any time.
    private mutating func reportFailure() {
      let failure = watch?.live.watchFailure.map { "\($0)" }
      if let failure, failure != reportedFailure {
        networking.runtime.logger.warning("configuration changes show late: \(failure)")
      }
      reportedFailure = failure
    }
  }
}

extension ContainerNetworking {
  /// Follows the configuration directory: each time it changes, loads again what ``load(_:)-(ConfigurationSource...)`` was
  /// told last, and says so. The first element comes at once. Files that are being written or broken count with what they held
  /// before; changes that come together are one.
  ///
  /// ```swift
  /// for await update in networking.configurationUpdates {
  ///   print("networks: \(update.configuration.networks.map(\.name))", update.failure ?? "ready")
  /// }
  /// ```
  ///
  /// The directory is watched as long as somebody iterates; who loses interest cancels the task. Changes that come before the
  /// first ``load(_:)-(ConfigurationSource...)`` are not told.
  public var configurationUpdates: ConfigurationUpdates { ConfigurationUpdates(networking: self) }

  func startWatch() async -> (live: LiveConfigurations, changes: ConfigurationChanges.Iterator)? {
    // Reads the directory and starts a thread.
    let live = try? await runtime.blocking(operation: "watch the configuration directory") { [directory] _ in
      directory.watched()
    }
    return live.map { ($0, $0.changes.makeAsyncIterator()) }
  }
}
