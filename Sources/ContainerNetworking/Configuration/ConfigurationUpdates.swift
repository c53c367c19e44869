import CNIRuntime

/// What has become of the networks after the configuration directory has changed.
public struct ConfigurationUpdate: Sendable {
  /// What is loaded now.
  public var configuration: NetworkingConfiguration
  /// Which networks of the directory have come, changed or gone, and what is wrong with its files.
  public var change: ConfigurationChange
  /// Why containers cannot be set up with what is loaded now; `nil` if they can.
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

  /// Begins to watch.
  public func makeAsyncIterator() -> Iterator { Iterator(networking: networking) }

  /// Goes from one change to the next.
  public struct Iterator: AsyncIteratorProtocol {
    let networking: ContainerNetworking
    private var watch: (live: LiveConfigurations, changes: ConfigurationChanges.Iterator)?

    init(networking: ContainerNetworking) { self.networking = networking }

    /// Waits for the next change, and loads it; `nil` when the task is cancelled.
    public mutating func next() async -> ConfigurationUpdate? { await next(isolation: nil) }

    /// The same, on an actor.
    public mutating func next(isolation actor: isolated (any Actor)?) async -> ConfigurationUpdate? {
      if watch == nil { watch = await networking.startWatch() }
      while let change = await watch?.changes.next(isolation: actor) {
        if let update = await networking.update(change) { return update }
      }
      return nil
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
    let path = configuration.configurationDirectory
    // Reads the directory and starts a thread.
    let live = try? await runtime.blocking(operation: "watch \(path)") { _ in
      LiveConfigurations(ConfigurationDirectory(path), mode: .watching)
    }
    guard let live else { return nil }
    if let failure = live.watchFailure { runtime.logger.warning("changes of \(path) show late: \(failure)") }
    return (live, live.changes.makeAsyncIterator())
  }

  /// `nil` if nothing has been loaded yet, or the task is cancelled.
  func update(_ change: ConfigurationChange) async -> ConfigurationUpdate? {
    guard let sources = state.withLock({ $0.sources }) else { return nil }
    do throws(ContainerNetworkingError) {
      try await load(sources, from: change.contents)
      return ConfigurationUpdate(configuration: configuration, change: change)
    } catch {
      if error.kind == .cancelled { return nil }
      return ConfigurationUpdate(configuration: configuration, change: change, failure: error)
    }
  }
}
