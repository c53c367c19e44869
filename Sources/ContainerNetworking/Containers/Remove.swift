import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

extension ContainerNetworking {
  /// Takes a container off all networks: those that are loaded, and those that the cache remembers it to be attached to, by this
  /// program or another one that shares the cache. Works without anything loaded, and with configurations that have changed
  /// or gone since: each attachment is removed with the configuration that it was made with.
  ///
  /// Goes through everything whatever fails. May be called any number of times, also for a container that never was.
  /// - Parameters:
  ///   - id: The container's ID.
  ///   - namespace: The path of its network namespace; empty if that is gone. By default what the cache remembers, unless that
  ///     is a path in `/proc`, which may be another process's by now.
  ///   - labels: As for ``setUp(_:namespace:labels:capabilities:order:timeout:)``. By default what the cache remembers.
  ///   - capabilities: As for ``setUp(_:namespace:labels:capabilities:order:timeout:)``. By default what the cache
  ///     remembers.
  ///   - timeout: How long all of it may take; `nil` is no limit.
  /// - Throws: `pluginFailed` with all that has failed, `timedOut`, `cancelled`; the cache keeps a note then.
  ///   `invalidParameter`.
  public func remove(
    _ id: String, namespace: String? = nil, labels: [String: String]? = nil,
    capabilities: [Capability]? = nil,
    timeout: Duration? = nil
  ) async throws(ContainerNetworkingError) {
    let operation = "remove container \"\(id)\""
    let deadline = timeout.map(Deadline.after)
    do throws(CNIError) { try Validation.containerID(id) } catch {
      throw ContainerNetworkingError(.invalidParameter, operation, error.message, error.details)
    }
    let removal = Removal(
      runtime: runtime, id: id, namespace: namespace,
      arguments: try labels.map { (labels) throws(ContainerNetworkingError) in
        try CNIArguments(labels: labels, operation)
      }, capabilities: capabilities.map { JSONObject($0) }, limits: limits(until: deadline))
    let networks = configuration.networks
    try await containers.withLock(
      id, until: deadline, otherwise: { ContainerNetworkingError(operation, $0) }
    ) { () async throws(ContainerNetworkingError) in
      let failures = await removal.perform(networks)
      if !failures.isEmpty { throw ContainerNetworkingError(operation, failures: failures) }
    }
  }

  /// What the cache remembers to be attached, of one container if one is given. An entry without a result is that of a set-up
  /// which is under way, or was killed.
  public func attachments(of id: String? = nil) async throws(ContainerNetworkingError) -> [CacheEntry] {
    do throws(RuntimeError) {
      return try await runtime.blocking(operation: "read the cache") { $0.cachedAttachments(containerID: id) }
    } catch {
      throw ContainerNetworkingError("read the cache", failures: [error])
    }
  }
}

/// One container on its way off all networks.
private struct Removal {
  let runtime: AsyncRuntime
  let id: String
  let namespace: String?
  let arguments: CNIArguments?
  let capabilities: JSONObject?
  let limits: ExecutionLimits

  func perform(_ networks: [NetworkingConfiguration.Network]) async -> [RuntimeError] {
    var failures: [RuntimeError] = []
    var done: Set<String> = []
    func delete(
      _ network: String, _ interface: String, _ list: NetworkConfigurationList?, _ entry: CacheEntry?
    ) async {
      guard done.insert("\(network)/\(interface)").inserted else { return }
      do throws(RuntimeError) { try await self.delete(network, interface, list, entry) } catch {
        failures.append(error)
      }
    }
    do throws(RuntimeError) {
      let entries = try await remembered()
      for network in networks.reversed() {
        let entry = entries.first {
          $0.network == network.name && $0.parameters.interfaceName == network.interfaceName
        }
        await delete(network.name, network.interfaceName, network.list, entry)
      }
      // Read again: a plugin that attaches to further networks has taken its own off by now.
      for entry in try await remembered().reversed() {
        let list = networks.first { $0.name == entry.network }?.list
        await delete(entry.network, entry.parameters.interfaceName, list, entry)
      }
    } catch {
      failures.append(error)
    }
    return failures
  }

  private func remembered() async throws(RuntimeError) -> [CacheEntry] {
    let (entries, problems) = try await runtime.blocking(
      until: limits.deadline, operation: "look up container \"\(id)\" in the cache"
    ) { [id] in $0.cache.entries(containerID: id) }
    for problem in problems { runtime.logger.warning("\(problem)") }
    return entries
  }

  private func delete(
    _ network: String, _ interface: String, _ list: NetworkConfigurationList?, _ entry: CacheEntry?
  ) async throws(RuntimeError) {
    var parameters =
      entry?.parameters
      ?? AttachmentParameters(containerID: id, namespace: "", interfaceName: interface)
    if let namespace {
      parameters.namespace = namespace
    } else if parameters.namespace.hasPrefix("/proc/") {
      parameters.namespace = ""
    }
    if let arguments { parameters.arguments = arguments }
    if let capabilities { parameters.capabilityArguments = capabilities }

    let runtime = runtime.for(network)
    do throws(RuntimeError) {
      if var entry {
        // An entry that cannot be read any more leaves only what is loaded now.
        if list == nil || (try? entry.configurationList()) != nil {
          entry.parameters = parameters
          return try await runtime.delete(entry, limits: limits)
        }
      }
      if let list { try await runtime.delete(list, parameters, limits: limits) }
    } catch {
      guard error.failures.allSatisfy({ $0.saysAlreadyGone(namespace: parameters.namespace) }),
        !error.failures.isEmpty
      else { throw error }
      self.runtime.logger.warning("\(error)", metadata: ["cni.container": "\(id)"])
      // Nothing would ever be different.
      try await forget(network, parameters.attachment)
    }
  }

  private func forget(_ network: String, _ attachment: Attachment) async throws(RuntimeError) {
    try await runtime.blocking(operation: "forget container \"\(id)\"") { runtime in
      try? runtime.cache.remove(network: network, attachment)
    }
  }
}

extension PluginFailure {
  /// Whether a DEL has failed because what it was to remove is not there, which should not be an error. Plugins that make
  /// it one anyway say so in these words; container runtimes have come to look for them.
  fileprivate func saysAlreadyGone(namespace: String) -> Bool {
    guard case .error(let error) = cause else { return false }
    let text = "\(error.message) \(error.details)"
    return text.contains("not found") || (namespace.isEmpty && text.contains("no such file or directory"))
  }
}
