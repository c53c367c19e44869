import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import Glibc
import LinuxNetworking

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
  ///   `invalidParameter`. If plugins are not installed any more that the container was attached with, and the networks that are
  ///   loaded do without, those are used; otherwise ``forget(_:timeout:)`` is what remains.
  public func remove(
    _ id: String, namespace: String? = nil, labels: [String: String]? = nil,
    capabilities: [Capability]? = nil,
    timeout: Duration? = nil
  ) async throws(ContainerNetworkingError) {
    let operation = "remove container \"\(id)\""
    let deadline = timeout.map(Deadline.after)
    try validate(id, operation)
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

  /// Has the cache forget a container, and asks no plugin for anything: for one whose plugins will never be there again. What
  /// they have made of it stays.
  /// - Parameters:
  ///   - id: The container's ID.
  ///   - timeout: How long to wait for an earlier operation on the container; `nil` is no limit.
  /// - Throws: `invalidParameter`, `cache`, `timedOut`, `cancelled`.
  public func forget(_ id: String, timeout: Duration? = nil) async throws(ContainerNetworkingError) {
    let operation = "forget container \"\(id)\""
    let deadline = timeout.map(Deadline.after)
    try validate(id, operation)
    try await containers.withLock(
      id, until: deadline, otherwise: { ContainerNetworkingError(operation, $0) }
    ) { () async throws(ContainerNetworkingError) in
      var failures: [RuntimeError] = []
      for entry in try await remembered(of: id, until: deadline, operation) {
        do throws(RuntimeError) { try await runtime.forget(entry.network, entry.attachment, operation) } catch
        {
          failures.append(error)
        }
      }
      if !failures.isEmpty { throw ContainerNetworkingError(operation, failures: failures) }
    }
  }

  /// What the cache remembers to be attached, of one container if one is given. An entry without a result is that of a set-up
  /// which is under way, was killed, or failed and could not be undone.
  /// - Parameter id: The container's ID; `nil` is all of them.
  /// - Throws: `cancelled`.
  public func attachments(of id: String? = nil) async throws(ContainerNetworkingError) -> [CacheEntry] {
    try await remembered(of: id, until: nil, "read the cache")
  }

  func remembered(
    of id: String?, until deadline: Deadline?, _ operation: String
  ) async throws(ContainerNetworkingError) -> [CacheEntry] {
    do throws(RuntimeError) {
      return try await runtime.blocking(until: deadline, operation: operation) {
        $0.cachedAttachments(containerID: id)
      }
    } catch {
      throw ContainerNetworkingError(operation, failures: [error])
    }
  }
}

extension AsyncRuntime {
  /// Removes an entry of the cache.
  fileprivate func forget(
    _ network: String, _ attachment: Attachment, _ operation: String
  ) async throws(RuntimeError) {
    let removed = try await blocking(operation: operation) { runtime in
      Result { () throws(RuntimeError) in try runtime.forget(network, attachment, operation) }
    }
    try removed.get()
  }
}

extension CNIRuntime {
  fileprivate func forget(
    _ network: String, _ attachment: Attachment, _ operation: String
  ) throws(RuntimeError) {
    do throws(FileError) { try cache.remove(network: network, attachment) } catch {
      throw RuntimeError(
        kind: .cache, operation: operation, network: network, attachment: attachment, file: error.path,
        reason: "\(error)", remedy: "the cache directory \(cache.directory) has to be writable",
        code: .ioFailure)
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
      entry?.parameters.lasting
      ?? AttachmentParameters(containerID: id, namespace: "", interfaceName: interface)
    if let namespace { parameters.namespace = namespace }
    if let arguments { parameters.arguments = arguments }
    if let capabilities { parameters.capabilityArguments = capabilities }

    do throws(RuntimeError) {
      try await delete(network, parameters, list, entry)
    } catch {
      guard !error.failures.isEmpty,
        error.failures.allSatisfy({ $0.saysAlreadyGone(namespace: parameters.namespace) })
      else { throw error }
      runtime.logger.warning("\(error)", metadata: ["cni.container": "\(id)"])
      // In a namespace that is still there the plugin may have missed something else that it needs: then the note stays for the
      // next DEL or GC, as libcni has it. Otherwise nothing would ever be different.
      guard error.failures.allSatisfy({ !$0.missesProgram }) else { return }
      let namespace = parameters.namespace
      let isGone = try await runtime.blocking(operation: "look for namespace \(namespace)") { _ in
        namespace.isEmpty || (access(namespace, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
      }
      if isGone {
        try await runtime.forget(network, parameters.attachment, "forget container \"\(id)\"")
      }
    }
  }

  private func delete(
    _ network: String, _ parameters: AttachmentParameters, _ list: NetworkConfigurationList?,
    _ entry: CacheEntry?
  ) async throws(RuntimeError) {
    let runtime = runtime.for(network)
    // An entry that cannot be read any more leaves only what is loaded now.
    if var entry, list == nil || (try? entry.configurationList()) != nil {
      entry.parameters = parameters
      do throws(RuntimeError) { return try await runtime.delete(entry, limits: limits) } catch {
        // Nor does one whose plugins have been replaced by others.
        guard error.lacksOnlyPlugins, list != nil else { throw error }
        self.runtime.logger.warning(
          "trying with the configuration of today: \(error)", metadata: ["cni.container": "\(id)"])
      }
    }
    if let list { try await runtime.delete(list, parameters, limits: limits) }
  }
}

extension PluginFailure {
  /// Whether a DEL has failed because what it was to remove is not there, which should not be an error. Plugins that make
  /// it one anyway say so in these words; container runtimes have come to look for them.
  fileprivate func saysAlreadyGone(namespace: String) -> Bool {
    guard case .error = cause else { return false }
    return words.contains("not found") || (namespace.isEmpty && words.contains("no such file or directory"))
  }

  /// Whether a program is missing that the plugin was to execute: what that was to remove is still there.
  fileprivate var missesProgram: Bool { words.contains("executable file not found") }

  private var words: String {
    guard case .error(let error) = cause else { return "" }
    return "\(error.message) \(error.details)"
  }
}
