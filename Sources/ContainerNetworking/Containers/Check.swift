import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

extension ContainerNetworking {
  /// Asks every plugin whether the container's attachments are still as ADD has left them. Goes through all networks that are
  /// loaded.
  /// - Parameters:
  ///   - id: The container's ID.
  ///   - namespace: The path of its network namespace. By default what the cache remembers, unless that is a path in `/proc`,
  ///     which may be another process's by now.
  ///   - labels: As for ``setUp(_:namespace:labels:capabilities:order:timeout:)``. By default what the cache remembers.
  ///   - capabilities: As for ``setUp(_:namespace:labels:capabilities:order:timeout:)``. By default what the cache
  ///     remembers.
  ///   - timeout: How long all of it may take; `nil` is no limit.
  /// - Throws: `pluginFailed` with all that is wrong; `notInitialized`, `noConfiguration`, `invalidParameter`; `cache` if no
  ///   ADD is remembered, `checkNotSupported` for a configuration before 0.4.0; `timedOut`, `cancelled`.
  public func check(
    _ id: String, namespace: String? = nil, labels: [String: String]? = nil,
    capabilities: [Capability]? = nil, timeout: Duration? = nil
  ) async throws(ContainerNetworkingError) {
    let operation = "check container \"\(id)\""
    let deadline = timeout.map(Deadline.after)
    let networks = try ready(operation).networks
    try validate(id, operation)
    let arguments = try labels.map { (labels) throws(ContainerNetworkingError) in
      try CNIArguments(labels: labels, operation)
    }
    let limits = limits(until: deadline)
    try await containers.withLock(
      id, until: deadline, otherwise: { ContainerNetworkingError(operation, $0) }
    ) { () async throws(ContainerNetworkingError) in
      let entries = try await remembered(of: id, until: deadline, operation)
      var failures: [RuntimeError] = []
      for network in networks {
        let entry = entries.first {
          $0.network == network.name && $0.parameters.interfaceName == network.interfaceName
        }
        var parameters =
          entry?.parameters.lasting
          ?? AttachmentParameters(containerID: id, namespace: "", interfaceName: network.interfaceName)
        if let namespace { parameters.namespace = namespace }
        if let arguments { parameters.arguments = arguments }
        if let capabilities { parameters.capabilityArguments = JSONObject(capabilities) }
        if entry != nil, parameters.namespace.isEmpty {
          throw ContainerNetworkingError(
            .invalidParameter, operation, "it is not known for sure in which network namespace it is",
            "give its path as namespace:")
        }
        do throws(RuntimeError) {
          try await runtime.for(network.name).check(network.list, parameters, limits: limits)
        } catch {
          failures.append(error)
        }
      }
      if !failures.isEmpty { throw ContainerNetworkingError(operation, failures: failures) }
    }
  }
}
