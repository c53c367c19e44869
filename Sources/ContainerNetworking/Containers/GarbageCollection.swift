import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

extension ContainerNetworking {
  /// Removes from the loaded networks what belongs to no container that is to be kept: DEL for each attachment that the cache
  /// remembers, then GC of every plugin. Goes through everything whatever fails.
  ///
  /// No other operation runs meanwhile: it waits for those that are under way, and those that come later wait for it. So a plugin
  /// that hangs holds up all of them, until the time given here, or its own (`pluginTimeout`), is over.
  ///
  /// Other programs that attach containers to the same networks, with the same cache, have to be counted in.
  /// - Parameters:
  ///   - ids: The containers to keep.
  ///   - everyNetwork: Whether to remove, from the cache alone, also what is attached to networks that are not loaded (any
  ///     more). Those may be another program's, unless the cache directory is this one's own.
  ///   - timeout: How long all of it may take; `nil` is no limit.
  /// - Throws: `notInitialized` if nothing has been loaded, unless `everyNetwork` is to be done; `pluginFailed` with all that has
  ///   failed, `timedOut`, `cancelled`.
  public func collectGarbage(
    keeping ids: Set<String>, everyNetwork: Bool = false, timeout: Duration? = nil
  ) async throws(ContainerNetworkingError) {
    let operation = "collect garbage"
    let deadline = timeout.map(Deadline.after)
    let networks = everyNetwork ? configuration.networks : try loaded(operation).networks
    let limits = limits(until: deadline)
    try await containers.withExclusiveLock(
      until: deadline, otherwise: { ContainerNetworkingError(operation, $0) }
    ) { () async throws(ContainerNetworkingError) in
      let entries = try await remembered(of: nil, until: deadline, operation)
      var failures: [RuntimeError] = []
      var names: Set<String> = []
      for network in networks where names.insert(network.name).inserted {
        let interfaces = networks.filter { $0.name == network.name }.map(\.interfaceName)
        var valid = ids.flatMap { id in interfaces.map { Attachment(containerID: id, interfaceName: $0) } }
        // By another interface, under an earlier configuration.
        for entry in entries where entry.network == network.name && ids.contains(entry.parameters.containerID)
        {
          if !interfaces.contains(entry.parameters.interfaceName) { valid.append(entry.attachment) }
        }
        do throws(RuntimeError) {
          try await runtime.for(network.name)
            .collectGarbage(network.list, validAttachments: valid, limits: limits)
        } catch {
          failures.append(error)
        }
      }
      for entry in entries where everyNetwork && !names.contains(entry.network) {
        guard !ids.contains(entry.parameters.containerID) else { continue }
        var stale = entry
        stale.parameters = entry.parameters.lasting
        do throws(RuntimeError) { try await runtime.for(entry.network).delete(stale, limits: limits) } catch {
          failures.append(error)
        }
      }
      if !failures.isEmpty { throw ContainerNetworkingError(operation, failures: failures) }
    }
  }
}
