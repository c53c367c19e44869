import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

extension PodNetworking {
  /// What a pod has in the networks that it names, or if it names none in all that are remembered of it.
  ///
  /// Every plugin is asked whether its attachment is still as it was (CHECK), where the version of the configuration knows
  /// that; the configuration is the one that the pod was attached by. Then the results of the set-up count. Where nothing is
  /// remembered of an attachment (or, below version 0.4.0, a result that cannot be read), the addresses and the MAC address
  /// that the interface has in the pod's namespace are told instead. A set-up that was not finished is an error.
  ///
  /// - Throws: `namespace` if the loopback interface is down or the namespace cannot be entered; `noDefaultNetwork` if the pod
  ///   names no network, has none, and none is configured; otherwise an error with everything that is wrong with any of the
  ///   networks.
  @discardableResult
  public func status(of pod: Pod, within time: Duration? = nil) async throws(PodNetworkError)
    -> [PodAttachment]
  {
    let operation = "tell the status of pod \(pod)"
    let deadline = time?.deadline
    return try await withTurn(of: pod, until: deadline, operation) {
      [self] () async throws(PodNetworkError) -> [PodAttachment] in
      let known = try await blocking(until: deadline, operation) { [self] _ in
        Result { () throws(PodNetworkError) in
          let known = try attachmentsMeant(by: pod, operation)
          if known.attachments.isEmpty { throw known.nothing(operation) }
          try requireLoopback(pod, known, operation)
          return known
        }
      }
      var failures = known.allFailures
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
    let (list, parameters) = (known.list, known.parameters)
    let operation = "find out what \"\(parameters.interfaceName)\" has in network \"\(list.name)\""
    let content = try await runtime.blocking(until: deadline, operation: operation) { runtime in
      runtime.cache.read(network: list.name, parameters.attachment)
    }
    var attachment = PodAttachment(
      network: list.name, interfaceName: parameters.interfaceName, result: AddResult(), source: .plugins)
    if let remembered = try result(in: content, of: known, operation) {
      if list.version.supportsCheck {
        try await runtime.check(list, parameters, limits: limits(deadline))
      }
      attachment.result = remembered
      return attachment
    }
    let found = try await runtime.blocking(until: deadline, operation: operation) { _ in
      Result { () throws(PodNamespaceError) in
        try PodNamespace.result(for: parameters.interfaceName, in: parameters.namespace)
      }
    }
    do throws(PodNamespaceError) { attachment.result = try found.get() } catch {
      throw known.failure(
        operation, "no result of a set-up is remembered, and \(error.reason)", .unknownContainer)
    }
    attachment.source = .namespace
    return attachment
  }

  /// The result of the set-up; `nil` if nothing of it is remembered.
  private func result(
    in content: ResultCache.Content, of known: KnownAttachment, _ operation: String
  ) throws(RuntimeError) -> AddResult? {
    let json: JSONValue
    switch content {
    case .absent, .foreign: return nil
    case .unusable(let problem):
      throw known.failure(operation, "what is remembered cannot be read: \(problem)", .decodingFailure)
    case .bareResult(let result): json = result
    case .entry(let entry):
      guard let result = entry.result else {
        throw known.failure(operation, "its set-up has not come to its end", .unknownContainer)
      }
      json = result
    }
    do throws(CNIError) { return try AddResult.decode(json, version: known.list.version) } catch {
      if !known.list.version.supportsCheck { return nil }
      throw known.failure(
        operation, "the result of its set-up cannot be read: \(error)", .decodingFailure)
    }
  }
}

extension KnownAttachment {
  fileprivate func failure(_ operation: String, _ reason: String, _ code: CNIError.Code) -> RuntimeError {
    RuntimeError(
      kind: .cache, operation: operation, network: list.name, attachment: parameters.attachment,
      reason: reason, remedy: "tear the pod down, and set it up again", code: code)
  }
}

extension KnownAttachments {
  /// All that speaks against the pod's being attached as it says.
  fileprivate var allFailures: [RuntimeError] {
    var all = failures + missing
    if let noDefaultNetwork {
      all.append(
        RuntimeError(
          kind: .noConfiguration, operation: "find the default network",
          reason: noDefaultNetwork.reason.isEmpty
            ? noDefaultNetwork.failures.map(\.reason).joined(separator: "; ") : noDefaultNetwork.reason,
          code: .invalidConfiguration))
    }
    return all
  }

  /// The error for a pod that has nothing.
  fileprivate func nothing(_ operation: String) -> PodNetworkError {
    if let noDefaultNetwork, failures.isEmpty, missing.isEmpty { return noDefaultNetwork }
    return PodNetworkError(operation: operation, failures: allFailures)
  }
}
