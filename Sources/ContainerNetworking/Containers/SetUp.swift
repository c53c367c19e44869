import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

/// Whether a container is attached to its networks at once or one after the other.
public enum SetUpOrder: Sendable, Hashable {
  /// To all at once.
  case parallel
  /// In the order in which they were loaded, each when the one before is done.
  case serial
}

extension ContainerNetworking {
  /// Attaches a container to all networks that are loaded.
  ///
  /// If one of them fails, the others are stopped, and what has been done is undone: the container is attached to all networks or
  /// to none. (Attachments that exist since an earlier call stay as they are.) The same is done if the task is cancelled, or the
  /// time is over. What could not be undone is in ``ContainerNetworkingError/undoFailures``; a linked-in plugin that
  /// did not stop in time is among that.
  /// - Parameters:
  ///   - id: The container's ID.
  ///   - namespace: The path of its network namespace.
  ///   - labels: What every plugin gets as `CNI_ARGS`. Plugins refuse keys that they do not know unless there is
  ///     `"IgnoreUnknown": "1"`.
  ///   - capabilities: What plugins get that have declared the capability.
  ///   - order: Whether to attach it to all networks at once.
  ///   - timeout: How long all of it may take, without the undoing; `nil` is no limit.
  /// - Throws: `notInitialized`, `noConfiguration`; `invalidParameter`; `pluginFailed`, `timedOut`, `cancelled`;
  ///   `invalidResult`; `invalidConfiguration`, `cache`.
  public func setUp(
    _ id: String, namespace: String, labels: [String: String] = [:], capabilities: [Capability] = [],
    order: SetUpOrder = .parallel, timeout: Duration? = nil
  ) async throws(ContainerNetworkingError) -> ContainerResult {
    let operation = "set up container \"\(id)\""
    let deadline = timeout.map(Deadline.after)
    let networks = try ready(operation).networks
    try validate(id, operation)
    let arguments = try CNIArguments(labels: labels, operation)
    let attachments = networks.map { network in
      PlannedAttachment(
        network: network,
        parameters: AttachmentParameters(
          containerID: id, namespace: namespace, interfaceName: network.interfaceName, arguments: arguments,
          capabilityArguments: JSONObject(capabilities)))
    }
    return try await containers.withLock(
      id, until: deadline, otherwise: { ContainerNetworkingError(operation, $0) }
    ) { () async throws(ContainerNetworkingError) in
      try await setUp(id, attachments, order, deadline, operation)
    }
  }

  private func setUp(
    _ id: String, _ attachments: [PlannedAttachment], _ order: SetUpOrder, _ deadline: Deadline?,
    _ operation: String
  ) async throws(ContainerNetworkingError) -> ContainerResult {
    let existing: [Bool]
    do throws(RuntimeError) {
      existing = try await runtime.blocking(until: deadline, operation: operation) { runtime in
        attachments.map { runtime.isAttached(network: $0.network.name, $0.parameters) }
      }
    } catch {
      throw ContainerNetworkingError(operation, failures: [error])
    }
    let limits = limits(until: deadline)
    let outcomes: [Result<AddResult, RuntimeError>?] =
      switch order {
      case .parallel: await addAtOnce(attachments, limits)
      case .serial: await addInOrder(attachments, limits)
      }
    var failures: [RuntimeError] = []
    var results: [ContainerResult.NetworkResult] = []
    for case (let attachment, let outcome?) in zip(attachments, outcomes) {
      switch outcome {
      case .success(let result):
        results.append(
          .init(
            network: attachment.network.name, interfaceName: attachment.network.interfaceName, result: result)
        )
      case .failure(let error): failures.append(error)
      }
    }
    var failed: ContainerNetworkingError
    if failures.isEmpty {
      do throws(ContainerNetworkingError) { return try ContainerResult(results, of: id) } catch {
        failed = error
      }
    } else {
      // Whoever was stopped because another one failed has no failure of its own to tell.
      let own = failures.filter { $0.kind != .cancelled }
      failed = ContainerNetworkingError(operation, failures: own.isEmpty || Task.isCancelled ? failures : own)
      failed.undoFailures = failures.filter { !$0.undoProblems.isEmpty }
    }
    let made = zip(zip(attachments, outcomes), existing).compactMap { pair, existed in
      if !existed, case .success? = pair.1 { pair.0 } else { nil }
    }
    failed.undoFailures += await undo(made)
    throw failed
  }

  private func addAtOnce(
    _ attachments: [PlannedAttachment], _ limits: ExecutionLimits
  ) async -> [Result<AddResult, RuntimeError>?] {
    await withTaskGroup(of: (Int, Result<AddResult, RuntimeError>).self) { group in
      for (index, attachment) in attachments.enumerated() {
        group.addTask { [runtime] in (index, await runtime.outcome(of: attachment, limits)) }
      }
      var outcomes = [Result<AddResult, RuntimeError>?](repeating: nil, count: attachments.count)
      for await (index, outcome) in group {
        outcomes[index] = outcome
        if case .failure = outcome { group.cancelAll() }
      }
      return outcomes
    }
  }

  private func addInOrder(
    _ attachments: [PlannedAttachment], _ limits: ExecutionLimits
  ) async -> [Result<AddResult, RuntimeError>?] {
    var outcomes = [Result<AddResult, RuntimeError>?](repeating: nil, count: attachments.count)
    for (index, attachment) in attachments.enumerated() {
      outcomes[index] = await runtime.outcome(of: attachment, limits)
      if case .failure? = outcomes[index] { break }
    }
    return outcomes
  }

  /// Takes attachments back, from the last to the first, whatever fails. Neither a cancellation nor the deadline stops
  /// that: they may be what has ended the set-up.
  private func undo(_ attachments: [PlannedAttachment]) async -> [RuntimeError] {
    if attachments.isEmpty { return [] }
    let limits = ExecutionLimits(
      timeout: runtime.runtime.undoTimeout, gracePeriod: runtime.runtime.runner.limits.gracePeriod)
    return await Task { [runtime] in
      var failures: [RuntimeError] = []
      for attachment in attachments.reversed() {
        do throws(RuntimeError) {
          try await runtime.for(attachment.network.name)
            .delete(attachment.network.list, attachment.parameters, limits: limits)
        } catch {
          failures.append(error)
        }
      }
      return failures
    }.value
  }
}

/// One network of one container.
struct PlannedAttachment: Sendable {
  var network: NetworkingConfiguration.Network
  var parameters: AttachmentParameters
}

extension AsyncRuntime {
  fileprivate func outcome(
    of attachment: PlannedAttachment, _ limits: ExecutionLimits
  ) async -> Result<AddResult, RuntimeError> {
    do throws(RuntimeError) {
      let runtime = self.for(attachment.network.name)
      return .success(try await runtime.add(attachment.network.list, attachment.parameters, limits: limits))
    } catch {
      return .failure(error)
    }
  }
}

extension ContainerNetworkingError {
  /// A wait for the container's turn that ended without it.
  init(_ operation: String, _ reason: NoTurn) {
    self.init(operation, failures: [RuntimeError(reason, operation: operation)])
  }
}

extension CNIArguments {
  /// Labels in the order of their keys.
  init(labels: [String: String], _ operation: String) throws(ContainerNetworkingError) {
    var parts: [String] = []
    for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
      if key.isEmpty || key.utf8.contains(where: { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: ";") })
        || value.utf8.contains(UInt8(ascii: ";"))
      {
        throw ContainerNetworkingError(
          .invalidParameter, operation,
          "CNI_ARGS cannot have the label \"\(key)\" with the value \"\(value)\"",
          "there must be no semicolon in either, and no equals sign in the key")
      }
      parts.append("\(key)=\(value)")
    }
    do throws(CNIError) { try self.init(parsing: parts.joined(separator: ";")) } catch {
      throw ContainerNetworkingError(.invalidParameter, operation, error.message, error.details)
    }
  }
}
