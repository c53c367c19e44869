import CNI
import CNIRuntime

extension PodNetworking {
  /// The default network: the one of the name that was chosen, or the first by file name whose plugins are all there.
  /// - Throws: `noDefaultNetwork`, with what is wrong with the files that are there.
  public func defaultNetwork() async throws(PodNetworkError) -> LoadedNetwork {
    try await blocking("find the default network") { [self] _ in
      findDefaultNetwork("find the default network")
    }
  }

  /// Throws if pods cannot be set up at present: there is no default network, or one of its plugins says so (STATUS).
  /// - Parameter time: How long that may take; `nil` is no limit.
  public func readiness(within time: Duration? = nil) async throws(PodNetworkError) {
    let operation = "use the default network"
    let deadline = time?.deadline
    try refuseAfterShutDown(operation)
    let network = try await blocking(until: deadline, operation) { [self] _ in findDefaultNetwork(operation) }
    do throws(RuntimeError) {
      try await runtime.status(network.list, limits: limits(deadline))
    } catch { throw PodNetworkError(operation: operation, failures: [error]) }
  }

  /// Blocks.
  func findDefaultNetwork(_ operation: String) -> Result<LoadedNetwork, PodNetworkError> {
    do throws(RuntimeError) {
      if let name = options.defaultNetwork { return .success(try configurations.network(named: name)) }
      let first = try configurations.defaultNetwork()
      guard options.passesOverNetworksWithoutPlugins else { return .success(first) }
      var missing: [String] = []
      for network in configurations.contents.networks {
        guard let problem = firstMissingPlugin(of: network) else { return .success(network) }
        missing.append("\(network.file): \(problem)")
      }
      return .failure(
        PodNetworkError(
          .noDefaultNetwork, operation: operation,
          reason: "no network has all its plugins: \(missing.joined(separator: "; "))"))
    } catch {
      return .failure(PodNetworkError(.noDefaultNetwork, operation: operation, failures: [error]))
    }
  }

  private func firstMissingPlugin(of network: LoadedNetwork) -> CNIError? {
    for plugin in network.list.plugins {
      do throws(CNIError) {
        _ = try runtime.runtime.runner.locate(plugin.type)
      } catch { return error }
    }
    return nil
  }

  /// The network of that name, from the directory. Blocks.
  func findNetwork(_ name: String, _ operation: String) -> Result<LoadedNetwork, PodNetworkError> {
    do throws(RuntimeError) { return .success(try configurations.network(named: name)) } catch {
      return .failure(PodNetworkError(.networkNotFound, operation: operation, failures: [error]))
    }
  }
}
