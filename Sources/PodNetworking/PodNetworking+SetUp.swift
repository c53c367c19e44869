import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime

extension PodNetworking {
  /// Attaches a pod to its networks, one after the other, and brings its loopback interface up.
  ///
  /// When one fails, or the task is cancelled, or the time is over, those that were attached by this call are detached again
  /// before the error is thrown: there is nothing to tear down then, unless the error says so
  /// (``PodNetworkError/needsTearDown``).
  ///
  /// A pod that has networks already gets further ones by another call: their interfaces get names that it does not have yet. A
  /// network that it has already is attached once more by the same interface, which plugins refuse as a rule, unless the
  /// selection gives it another name; what the earlier call has made stays.
  ///
  /// - Parameters:
  ///   - pod: the pod, with the path of its network namespace.
  ///   - time: how long it may take until all are attached, waiting included; `nil` is no limit. Taking back comes after that,
  ///     and may take a minute for each plugin.
  /// - Returns: what it has in each network, in the order of the selections.
  @discardableResult
  public func setUp(_ pod: Pod, within time: Duration? = nil) async throws(PodNetworkError) -> [PodAttachment]
  {
    let operation = "set up the networks of pod \(pod)"
    let deadline = time?.deadline
    return try await withTurn(of: pod, until: deadline, operation) {
      [self] () async throws(PodNetworkError) -> [PodAttachment] in
      do throws(PodNetworkError) {
        let prepared = try await blocking(until: deadline, operation) { [self] _ in prepare(pod, operation) }
        return try await attach(prepared, deadline, operation)
      } catch {
        var error = error
        error.needsTearDown = await isAnythingLeft(of: pod, operation)
        throw error
      }
    }
  }

  /// What cannot be found out counts as being there.
  private func isAnythingLeft(of pod: Pod, _ operation: String) async -> Bool {
    await shielded { [self] in
      do throws(PodNetworkError) {
        return try await blocking(operation) { [self] _ in
          Result { () throws(PodNetworkError) in
            try pod.validate(operation)
            return !(try recall(pod, operation).isEmpty)
          }
        }
      } catch { return error.kind != .invalidRequest }
    }
  }

  private struct Prepared: Sendable {
    var plan: AttachmentPlan
    var list: NetworkConfigurationList
    /// Whether an earlier call has attached it: then it is not this call's to take back.
    var isAttached: Bool
  }

  /// Everything that can be wrong before the first plugin runs. Blocks.
  private func prepare(_ pod: Pod, _ operation: String) -> Result<[Prepared], PodNetworkError> {
    Result { () throws(PodNetworkError) in
      guard !pod.networkNamespace.isEmpty else {
        throw PodNetworkError(
          .invalidRequest, operation: operation, reason: "the path of the pod's network namespace is needed")
      }
      var defaultNetwork: LoadedNetwork?
      try pod.validate(operation)
      let memory = try recall(pod, operation)
      let plans = try pod.plans(operation: operation, memory: memory) { () throws(PodNetworkError) in
        if let defaultNetwork { return defaultNetwork.name }
        let found = try findDefaultNetwork(operation).get()
        defaultNetwork = found
        return found.name
      }
      var prepared: [Prepared] = []
      for plan in plans {
        // What was chosen as the default network counts as it was then, although the directory may be another one by now.
        let network =
          plan.network == defaultNetwork?.name
          ? defaultNetwork! : try findNetwork(plan.network, operation).get()
        prepared.append(
          Prepared(
            plan: plan, list: network.list,
            isAttached: runtime.runtime.isAttached(network: plan.network, plan.parameters)))
      }
      seenNetworks.withLock { seen in for plan in plans { seen.insert(plan.network) } }
      do throws(PodNamespaceError) { try PodNamespace.bringUpLoopback(of: pod.networkNamespace) } catch {
        throw PodNetworkError(.namespace, operation: operation, reason: error.reason)
      }
      return prepared
    }
  }

  private func attach(
    _ prepared: [Prepared], _ deadline: Deadline?, _ operation: String
  ) async throws(PodNetworkError) -> [PodAttachment] {
    var attachments: [PodAttachment] = []
    for (index, next) in prepared.enumerated() {
      do throws(RuntimeError) {
        let result = try await runtime.add(next.list, next.plan.parameters, limits: limits(deadline))
        attachments.append(
          PodAttachment(
            network: next.plan.network, interfaceName: next.plan.parameters.interfaceName, result: result,
            source: .plugins))
      } catch {
        let done = Array(prepared[..<index].filter { !$0.isAttached }.reversed())
        let undoFailures = await shielded { [self] in await detach(done) }
        throw PodNetworkError(operation: operation, failures: [error], undoFailures: undoFailures)
      }
    }
    return attachments
  }

  private func detach(_ prepared: [Prepared]) async -> [RuntimeError] {
    var failures: [RuntimeError] = []
    for each in prepared {
      do throws(RuntimeError) {
        // Not within the limits of the call: they may be what has ended it.
        try await runtime.delete(
          each.list, each.plan.parameters, limits: ExecutionLimits(timeout: runtime.runtime.undoTimeout))
      } catch { failures.append(error) }
    }
    return failures
  }
}
