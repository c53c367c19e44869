import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import Logging

extension PodNetworking {
  /// Removes everything that belongs to no pod of the list: attachments that are remembered are detached, those to
  /// networks that are no longer configured included, and the plugins of each network are asked to remove what others
  /// have left (GC, where the version of the configuration knows it). Waits for all calls that are under way, and
  /// holds up those that come later.
  ///
  /// Everything that is remembered of a valid pod stays, whatever networks it names: it may have been set up with other
  /// ones. A network whose configuration says `disableGC` is left alone.
  ///
  /// - Parameters:
  ///   - validPods: the pods that exist. What counts is their IDs, and for attachments that nothing is remembered of their
  ///     networks.
  ///   - time: how long that may take, waiting included; `nil` is no limit.
  public func collectGarbage(
    keeping validPods: [Pod], within time: Duration? = nil
  ) async throws(PodNetworkError) {
    let operation = "collect the garbage of all networks"
    let deadline = time?.deadline
    try await pods.withExclusiveLock(
      until: deadline, otherwise: { PodNetworkError($0, operation: operation) }
    ) { () async throws(PodNetworkError) -> Void in
      try refuseAfterShutDown(operation)
      let inventory = try await blocking(until: deadline, operation) { [self] _ in
        takeInventory(keeping: validPods, operation)
      }
      var failures: [RuntimeError] = []
      for network in inventory.networks {
        do throws(RuntimeError) {
          try await runtime.collectGarbage(
            network.list, validAttachments: inventory.valid[network.name] ?? [], limits: limits(deadline))
        } catch { failures.append(error) }
      }
      for entry in inventory.orphans {
        do throws(RuntimeError) { try await runtime.delete(entry, limits: limits(deadline)) } catch {
          failures.append(error)
        }
      }
      if !failures.isEmpty { throw PodNetworkError(operation: operation, failures: failures) }
    }
  }

  private struct Inventory: Sendable {
    var networks: [LoadedNetwork] = []
    /// What is to stay, by network.
    var valid: [String: [Attachment]] = [:]
    /// What is remembered of networks that are not configured.
    var orphans: [CacheEntry] = []
  }

  /// Blocks.
  private func takeInventory(keeping validPods: [Pod], _ operation: String) -> Result<
    Inventory, PodNetworkError
  > {
    Result { () throws(PodNetworkError) in
      var inventory = Inventory()
      inventory.networks = configurations.contents.networks
      let ids = Set(validPods.map(\.id))
      let (entries, problems) = runtime.runtime.cache.entries()
      for problem in problems { options.logger.warning("\(problem)") }
      for entry in entries {
        let isConfigured = inventory.networks.contains { $0.name == entry.network }
        if ids.contains(entry.parameters.containerID) {
          inventory.valid[entry.network, default: []].append(entry.attachment)
        } else if entry.isBareLoopback {
          forgetLoopback(of: entry.parameters.containerID)
        } else if !isConfigured && (try? entry.configurationList())?.disableGC != true {
          inventory.orphans.append(entry)
        }
      }
      // One who has lost his memory still says which networks his pods have.
      let defaultNetwork = try? findDefaultNetwork(operation).get().name
      for pod in validPods {
        let plans: [AttachmentPlan]
        do throws(PodNetworkError) {
          plans = try pod.plans(operation: operation) { () throws(PodNetworkError) in
            guard let name = options.defaultNetwork ?? defaultNetwork else {
              throw PodNetworkError(.noDefaultNetwork, operation: operation)
            }
            return name
          }
        } catch {
          // Without a default network there is none whose attachments could be taken for garbage.
          if error.kind == .noDefaultNetwork { continue }
          throw error
        }
        for plan in plans where inventory.valid[plan.network]?.contains(plan.attachment) != true {
          inventory.valid[plan.network, default: []].append(plan.attachment)
        }
      }
      return inventory
    }
  }
}
