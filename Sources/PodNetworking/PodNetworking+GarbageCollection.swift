import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import LinuxNetworking
import Logging

extension PodNetworking {
  /// Removes everything that belongs to no pod of the list: attachments that are remembered are detached, and the plugins of
  /// each network are asked to remove what others have left (GC, where the version of the configuration knows it). Waits for all
  /// calls that are under way, and holds up those that come later.
  ///
  /// The networks are those of the directory, and those that were there as long as this value has existed. What is remembered
  /// of others stays, for it may be another manager's, unless ``Options/collectsGarbageOfUnknownNetworks`` says otherwise. A
  /// network whose configuration says `disableGC` is left alone.
  ///
  /// Everything that is remembered of a valid pod stays, whatever networks it names: it may have been set up with other
  /// ones. That includes what the cache has and nobody can read.
  ///
  /// - Parameters:
  ///   - validPods: the pods that exist. What counts is their IDs, and for attachments that nothing is remembered of their
  ///     networks.
  ///   - time: how long that may take, waiting included; `nil` is no limit.
  /// - Throws: one error with all that has failed, a pod of the list that makes no sense included: of that one everything that
  ///   is remembered stays. If what is remembered cannot be listed, nothing is done.
  public func collectGarbage(
    keeping validPods: [Pod], within time: Duration? = nil
  ) async throws(PodNetworkError) {
    let operation = "collect the garbage of all networks"
    let deadline = time?.deadline
    try await withAllTurns(until: deadline, operation) { [self] () async throws(PodNetworkError) in
      let inventory = try await blocking(until: deadline, operation) { [self] _ in
        takeInventory(keeping: validPods, operation)
      }
      var failures: [RuntimeError] = []
      for network in inventory.networks {
        do throws(RuntimeError) {
          try await runtime.collectGarbage(
            network.list, validAttachments: inventory.validAttachments(in: network.name),
            limits: limits(deadline))
        } catch { failures.append(error) }
      }
      for entry in inventory.orphans {
        do throws(RuntimeError) { try await runtime.delete(entry, limits: limits(deadline)) } catch {
          failures.append(error)
        }
      }
      failures += inventory.failures
      if !failures.isEmpty { throw PodNetworkError(operation: operation, failures: failures) }
    }
  }

  private struct Inventory: Sendable {
    init() {}

    var networks: [LoadedNetwork] = []
    /// What is to stay, by network.
    private var valid: [String: Set<Attachment>] = [:]
    /// What is remembered of networks that are not configured.
    var orphans: [CacheEntry] = []
    /// Of pods that make no sense.
    var failures: [RuntimeError] = []

    mutating func keep(_ attachment: Attachment, in network: String) {
      valid[network, default: []].insert(attachment)
    }

    func validAttachments(in network: String) -> [Attachment] {
      (valid[network] ?? []).sorted {
        ($0.containerID, $0.interfaceName) < ($1.containerID, $1.interfaceName)
      }
    }
  }

  /// Blocks.
  private func takeInventory(keeping validPods: [Pod], _ operation: String) -> Result<
    Inventory, PodNetworkError
  > {
    Result { () throws(PodNetworkError) in
      let listing: ResultCache.Listing
      do throws(FileError) { listing = try runtime.runtime.cache.list() } catch {
        throw PodNetworkError(operation: operation, failures: [cannotList(error)])
      }
      for problem in listing.problems { options.logger.warning("\(problem)") }
      var inventory = Inventory()
      inventory.networks = configurations.contents.networks
      noteNetworks()
      keepAndFindOrphans(of: listing, Set(validPods.map(\.id)), &inventory)
      keepPlans(of: validPods, operation, &inventory)
      return inventory
    }
  }

  private func keepAndFindOrphans(
    of listing: ResultCache.Listing, _ ids: Set<String>, _ inventory: inout Inventory
  ) {
    let configured = Set(inventory.networks.map(\.name))
    let seen = seenNetworks.withLock { $0 }
    var garbage: Set<String> = []
    for entry in listing.entries where !ids.contains(entry.parameters.containerID) && !entry.isBareLoopback {
      let isOurs = options.collectsGarbageOfUnknownNetworks || seen.contains(entry.network)
      if isOurs || configured.contains(entry.network) { garbage.insert(entry.parameters.containerID) }
      if isOurs, !configured.contains(entry.network), (try? entry.configurationList())?.disableGC != true {
        var orphan = entry
        orphan.parameters = entry.parameters.lasting
        inventory.orphans.append(orphan)
      }
    }
    for entry in listing.entries {
      let id = entry.parameters.containerID
      if ids.contains(id) {
        inventory.keep(entry.attachment, in: entry.network)
      } else if entry.isBareLoopback, options.collectsGarbageOfUnknownNetworks || garbage.contains(id) {
        forgetLoopback(of: id)
      }
    }
    // To keep one too many is harmless.
    for file in listing.problems.map(\.file) + listing.bareResults {
      for id in ids {
        for name in AttachmentName.readings(ofFile: file, containerID: id) {
          inventory.keep(Attachment(containerID: id, interfaceName: name.interfaceName), in: name.network)
        }
      }
    }
  }

  /// One who has lost his memory still says which networks his pods have.
  private func keepPlans(of validPods: [Pod], _ operation: String, _ inventory: inout Inventory) {
    let defaultNetwork = options.defaultNetwork ?? (try? findDefaultNetwork(operation).get().name)
    for pod in validPods {
      do throws(PodNetworkError) {
        // Without a default network there is none whose attachments could be taken for garbage.
        let plans = try pod.plans(operation: operation) { () throws(PodNetworkError) in defaultNetwork ?? "" }
        for plan in plans where !plan.network.isEmpty { inventory.keep(plan.attachment, in: plan.network) }
      } catch {
        inventory.failures.append(
          RuntimeError(
            kind: .invalidParameter, operation: "tell what pod \(pod) is to keep", reason: error.reason,
            code: error.code))
      }
    }
  }
}
