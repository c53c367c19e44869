import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

extension PodNetworking {
  /// What a pod has in the networks that it names, or if it names none in all that are remembered of it.
  ///
  /// Every plugin is asked whether its attachment is still as it was (CHECK), where the version of the configuration knows
  /// that; the configuration is the one that the pod was attached by. Then the results of the set-up count. Where they are not
  /// remembered, the address and MAC addresses that the interface has in the pod's namespace are told instead.
  ///
  /// - Throws: `namespace` if the loopback interface is down or the namespace cannot be entered; otherwise an error with
  ///   everything that is wrong with any of the networks.
  @discardableResult
  public func status(of pod: Pod, within time: Duration? = nil) async throws(PodNetworkError)
    -> [PodAttachment]
  {
    let operation = "tell the status of pod \(pod)"
    let deadline = time?.deadline
    return try await withTurn(of: pod, until: deadline, operation) {
      () async throws(PodNetworkError) -> [PodAttachment] in
      let known = try await blocking(until: deadline, operation) { [self] _ in
        Result { () throws(PodNetworkError) in
          let known = try remembered(of: pod, operation).get()
          try requireLoopback(pod, known, operation)
          return known
        }
      }
      var failures = known.failures
      var attachments: [PodAttachment] = []
      for each in known.attachments {
        do throws(RuntimeError) {
          attachments.append(try await status(each, deadline))
        } catch { failures.append(error) }
      }
      if !failures.isEmpty { throw PodNetworkError(operation: operation, failures: failures) }
      return attachments
    }
  }

  private func requireLoopback(
    _ pod: Pod, _ known: KnownAttachments, _ operation: String
  ) throws(PodNetworkError) {
    let path =
      pod.networkNamespace.isEmpty
      ? known.attachments.first?.parameters.namespace ?? "" : pod.networkNamespace
    guard !path.isEmpty else {
      throw PodNetworkError(
        .invalidRequest, operation: operation, reason: "the path of the pod's network namespace is needed")
    }
    do throws(PodNamespaceError) { try PodNamespace.requireLoopback(in: path) } catch {
      throw PodNetworkError(.namespace, operation: operation, reason: error.reason)
    }
  }

  private func status(
    _ known: KnownAttachment, _ deadline: Deadline?
  ) async throws(RuntimeError) -> PodAttachment {
    let list: NetworkConfigurationList
    var remembered: AddResult?
    let parameters = known.parameters
    switch known {
    case .configured(let configured, _): list = configured
    case .remembered(let entry):
      do throws(CNIError) { list = try entry.configurationList() } catch {
        throw RuntimeError(
          kind: .cache, operation: "read what is remembered of network \"\(entry.network)\"",
          network: entry.network, attachment: entry.attachment, reason: error.message, code: error.code)
      }
      remembered = entry.result.flatMap { try? AddResult.decode($0, version: list.version) }
    }
    if remembered != nil && list.version.supportsCheck {
      try await runtime.check(list, parameters, limits: limits(deadline))
    }
    var attachment = PodAttachment(
      network: known.network, interfaceName: parameters.interfaceName, result: AddResult(), source: .plugins)
    if let remembered {
      attachment.result = remembered
      return attachment
    }
    let operation = "find out what \"\(parameters.interfaceName)\" has in network \"\(list.name)\""
    let found = try await runtime.blocking(until: deadline, operation: operation) { _ in
      Result { () throws(PodNamespaceError) in
        try PodNamespace.result(for: parameters.interfaceName, in: parameters.namespace)
      }
    }
    do throws(PodNamespaceError) { attachment.result = try found.get() } catch {
      throw RuntimeError(
        kind: .cache, operation: operation, network: list.name, attachment: parameters.attachment,
        reason: "no result of a set-up is remembered, and \(error.reason)", code: .unknownContainer)
    }
    attachment.source = .namespace
    return attachment
  }
}
