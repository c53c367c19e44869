import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

extension ContainerNetworking {
  /// What was loaded last, as it was read.
  public var configuration: NetworkingConfiguration { state.withLock { $0.configuration } }

  /// Loads networks, in place of those that were loaded before. Operations under way go on with what they began with. Of
  /// several calls at once the one that came last counts in the end.
  ///
  /// The interface of the first network gets the number 0, and so on; loopback and explicit indices apart. A file of the
  /// directory that is broken stops nobody: ``NetworkingConfiguration/problems`` tells. One that is being written is waited
  /// for, a fifth of a second at most.
  /// - Throws: `invalidConfiguration` for bytes or a file that cannot be used, `invalidParameter` for an index: then nothing has
  ///   changed. `noConfiguration` if there are fewer networks than there have to be, or the directory was asked for and has
  ///   none (unless `minimumNetworkCount` is 0): then those that there are are loaded. `cancelled`.
  public func load(_ sources: ConfigurationSource...) async throws(ContainerNetworkingError) {
    try await load(sources)
  }

  /// Loads networks; see ``load(_:)-(ConfigurationSource...)``.
  /// - Parameter sources: Where they come from, in the order in which their interfaces are numbered.
  public func load(_ sources: [ConfigurationSource]) async throws(ContainerNetworkingError) {
    let operation = "load networks"
    try await loadingAlone(operation) { () async throws(ContainerNetworkingError) in
      try await replace(by: sources, operation)
    }
  }

  /// Loads again what was loaded last, from the files as they are now.
  /// - Throws: `notInitialized` if nothing has been loaded yet; otherwise as ``load(_:)-(ConfigurationSource...)``.
  public func reload() async throws(ContainerNetworkingError) {
    let operation = "load networks again"
    try await loadingAlone(operation) { () async throws(ContainerNetworkingError) in
      guard let sources = state.withLock({ $0.sources }) else { throw notInitialized(operation) }
      try await replace(by: sources, operation)
    }
  }

  /// The networks after the directory has changed: what was loaded last, loaded again. `nil` if nothing has been loaded yet,
  /// the task is cancelled, or the directory is still (or again) as it was.
  /// - Parameter before: What the directory held when that was told last; `nil` if it never was.
  func update(
    since before: ConfigurationDirectory.Contents?
  ) async -> (ConfigurationUpdate, ConfigurationDirectory.Contents)? {
    let operation = "load networks again"
    do throws(ContainerNetworkingError) {
      return try await loadingAlone(operation) {
        () async throws(ContainerNetworkingError) -> (ConfigurationUpdate, ConfigurationDirectory.Contents)?
        in
        // Now, and not before: somebody may have loaded something else since the directory has changed.
        guard let sources = state.withLock({ $0.sources }) else { return nil }
        let contents: ConfigurationDirectory.Contents
        do throws(RuntimeError) {
          // What is being written makes itself known when it is done.
          contents = try await runtime.blocking(operation: operation) { [directory] _ in directory.contents }
        } catch {
          throw ContainerNetworkingError(operation, failures: [error])
        }
        var failure: ContainerNetworkingError?
        do throws(ContainerNetworkingError) {
          try await replace(by: sources, from: contents, operation)
        } catch {
          if error.kind == .cancelled { throw error }
          failure = error
        }
        if contents == before { return nil }
        let change = ConfigurationChange(from: before, to: contents)
        return (
          ConfigurationUpdate(configuration: configuration, change: change, failure: failure), contents
        )
      }
    } catch {
      return nil
    }
  }

  /// Runs `body` while nobody else loads anything, in the order in which they came: what is read later is also stored later.
  private func loadingAlone<R>(
    _ operation: String, _ body: () async throws(ContainerNetworkingError) -> R
  ) async throws(ContainerNetworkingError) -> R {
    do throws(NoTurn) { try await loading.enter(()) } catch {
      throw ContainerNetworkingError(operation, error)
    }
    defer { loading.leave(()) }
    return try await body()
  }

  /// - Parameter contents: What the directory holds; `nil`: it is read.
  private func replace(
    by sources: [ConfigurationSource], from contents: ConfigurationDirectory.Contents? = nil,
    _ operation: String
  ) async throws(ContainerNetworkingError) {
    let base = configuration
    let loaded: Result<NetworkingConfiguration, ContainerNetworkingError>
    do throws(RuntimeError) {
      loaded = try await runtime.blocking(operation: operation) { [directory] _ in
        Result { () throws(ContainerNetworkingError) in
          var configuration = base
          try configuration.load(sources) { contents.map { ($0, []) } ?? directory.settledContents() }
          return configuration
        }
      }
    } catch {
      throw ContainerNetworkingError(operation, failures: [error])
    }
    let configuration = try loaded.get()
    state.withLock {
      $0.configuration = configuration
      $0.sources = sources
    }
    for problem in configuration.problems { runtime.logger.warning("\(problem)") }
    try configuration.requireNetworks(operation)
  }

  /// The networks, if there are enough of them.
  func ready(_ operation: String) throws(ContainerNetworkingError) -> NetworkingConfiguration {
    let configuration = try loaded(operation)
    try configuration.requireNetworks(operation)
    return configuration
  }

  /// The networks, if any have been asked for.
  func loaded(_ operation: String) throws(ContainerNetworkingError) -> NetworkingConfiguration {
    let (configuration, isLoaded) = state.withLock { ($0.configuration, $0.sources != nil) }
    if !isLoaded { throw notInitialized(operation) }
    return configuration
  }

  private func notInitialized(_ operation: String) -> ContainerNetworkingError {
    ContainerNetworkingError(
      .notInitialized, operation, "no network configuration has been loaded", "call load(_:) first")
  }
}

extension NetworkingConfiguration {
  func requireNetworks(_ operation: String) throws(ContainerNetworkingError) {
    let reason: String
    if networks.count < minimumNetworkCount {
      reason =
        "\(minimumNetworkCount) networks have to be configured, and \(networks.count) are"
        + (networks.isEmpty ? "" : " (\(networks.map(\.name).joined(separator: ", ")))")
    } else if directoryIsEmpty, minimumNetworkCount > 0 {
      reason = "\(configurationDirectory) configures no network"
    } else {
      return
    }
    throw ContainerNetworkingError(
      .noConfiguration, operation, reason,
      problems.isEmpty ? "put a configuration into \(configurationDirectory)" : "", problems: problems)
  }
}
