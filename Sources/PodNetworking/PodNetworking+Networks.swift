import CNI
import CNIRuntime

extension PodNetworking {
  /// The default network: the one of the name that was chosen, or the first by file name whose plugins are all there.
  /// - Throws: `noDefaultNetwork`, with what is wrong with the files that are there.
  public func defaultNetwork() async throws(PodNetworkError) -> LoadedNetwork {
    let operation = "find the default network"
    return try await inquire(operation) { [self] () async throws(PodNetworkError) in
      try await blocking(operation) { [self] _ in findDefaultNetwork(operation) }
    }
  }

  /// Throws if pods cannot be set up at present: there is no default network, or one of its plugins says so (STATUS).
  /// Waits for no call about a pod.
  /// - Parameter time: How long that may take; `nil` is no limit.
  public func requireReady(within time: Duration? = nil) async throws(PodNetworkError) {
    let operation = "use the default network"
    let deadline = time?.deadline
    try await inquire(operation) { [self] () async throws(PodNetworkError) in
      let network = try await blocking(until: deadline, operation) { [self] _ in
        findDefaultNetwork(operation)
      }
      do throws(RuntimeError) {
        try await runtime.status(network.list, limits: limits(deadline))
      } catch { throw PodNetworkError(operation: operation, failures: [error]) }
    }
  }

  /// Blocks.
  func findDefaultNetwork(_ operation: String) -> Result<LoadedNetwork, PodNetworkError> {
    do throws(RuntimeError) {
      if let name = options.defaultNetwork { return .success(try configurations.network(named: name)) }
      let first = try configurations.defaultNetwork()
      guard options.passesOverNetworksWithoutPlugins else { return .success(first) }
      var missing: [(network: LoadedNetwork, problem: String)] = []
      var found: LoadedNetwork?
      for network in configurations.contents.networks where found == nil {
        if let problem = firstMissingPlugin(of: network) {
          missing.append((network, problem))
        } else {
          found = network
        }
      }
      warn(ofPassingOver: missing)
      if let found { return .success(found) }
      let reasons = missing.map { "\($0.network.file): \($0.problem)" }
      return .failure(
        PodNetworkError(
          .noDefaultNetwork, operation: operation,
          reason: "no network has all its plugins: \(reasons.joined(separator: "; "))"))
    } catch {
      return .failure(PodNetworkError(.noDefaultNetwork, operation: operation, failures: [error]))
    }
  }

  /// Says it once, and again when it has been different meanwhile.
  private func warn(ofPassingOver missing: [(network: LoadedNetwork, problem: String)]) {
    var now: [String: String] = [:]
    for (network, problem) in missing { now[network.file] = problem }
    let before = passedOver.withLock { known in
      defer { known = now }
      return known
    }
    for (network, problem) in missing where before[network.file] != problem {
      options.logger.warning(
        "network \"\(network.name)\" is passed over, and the next one is the default network: \(problem)",
        metadata: ["file": "\(network.file)"])
    }
  }

  private func firstMissingPlugin(of network: LoadedNetwork) -> String? {
    for plugin in network.list.plugins {
      do throws(CNIError) {
        _ = try runtime.runtime.runner.locate(plugin.type)
      } catch { return "plugin \"\(plugin.type)\": \(error)" }
    }
    return nil
  }

  /// The network of that name, from the directory. Blocks.
  func findNetwork(_ name: String, _ operation: String) -> Result<LoadedNetwork, PodNetworkError> {
    do throws(RuntimeError) { return .success(try configurations.network(named: name)) } catch {
      return .failure(PodNetworkError(.networkNotFound, operation: operation, failures: [error]))
    }
  }

  /// Takes note of the networks that there are.
  func noteNetworks() {
    let names = configurations.contents.networks.map(\.name)
    seenNetworks.withLock { $0.formUnion(names) }
  }
}
