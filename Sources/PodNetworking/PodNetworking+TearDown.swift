import AsyncRuntime
import CNI
import CNIExecution
import CNIRuntime
import Logging

extension PodNetworking {
  /// Detaches a pod from the networks that it names, or if it names none from all that are remembered of it.
  ///
  /// Works with the configurations that it was attached by, whatever has become of them, and with the namespace gone. Only
  /// for what is not remembered the directory's configuration is used. Goes through all networks whatever fails, and throws
  /// one error at the end. May be called any number of times; what is gone already is no error.
  ///
  /// - Parameters:
  ///   - pod: the pod. Without the path of its network namespace (it is gone) the one of the set-up is used, unless another
  ///     process could have taken its place (`/proc/…`).
  ///   - time: how long that may take, waiting included; `nil` is no limit.
  /// - Throws: `networkNotFound` for a network that the pod names, that is neither remembered nor configured.
  public func tearDown(_ pod: Pod, within time: Duration? = nil) async throws(PodNetworkError) {
    let operation = "tear down the networks of pod \(pod)"
    let deadline = time?.deadline
    try await withTurn(of: pod, until: deadline, operation) { () async throws(PodNetworkError) -> Void in
      let known = try await blocking(until: deadline, operation) { [self] _ in
        forgetLoopback(of: pod.id)
        return remembered(of: pod, operation)
      }
      var failures = known.failures
      for each in known.attachments.reversed() {
        do throws(RuntimeError) {
          switch each {
          case .remembered(let entry): try await runtime.delete(entry, limits: limits(deadline))
          case .configured(let list, let parameters):
            try await runtime.delete(list, parameters, limits: limits(deadline))
          }
        } catch { failures.append(error) }
      }
      if !failures.isEmpty { throw PodNetworkError(operation: operation, failures: failures) }
    }
  }
}

/// An attachment of a pod, and what its plugins are to be called with.
enum KnownAttachment: Sendable {
  /// With what was remembered of its ADD.
  case remembered(CacheEntry)
  /// With what is in the directory now.
  case configured(NetworkConfigurationList, AttachmentParameters)

  var network: String {
    switch self {
    case .remembered(let entry): entry.network
    case .configured(let list, _): list.name
    }
  }
  var parameters: AttachmentParameters {
    switch self {
    case .remembered(let entry): entry.parameters
    case .configured(_, let parameters): parameters
    }
  }
}

/// The attachments of a pod that are known, and what could not be found out.
struct KnownAttachments: Sendable {
  var attachments: [KnownAttachment] = []
  var failures: [RuntimeError] = []
}

extension PodNetworking {
  /// The attachments that a pod names, or if it names none all that are remembered of it, or the one to the default network.
  /// Blocks.
  func remembered(of pod: Pod, _ operation: String) -> Result<KnownAttachments, PodNetworkError> {
    Result { () throws(PodNetworkError) in
      var known = KnownAttachments()
      if pod.networks.isEmpty {
        let (entries, problems) = runtime.runtime.cache.entries(containerID: pod.id)
        for problem in problems { options.logger.warning("\(problem)", metadata: ["pod": "\(pod)"]) }
        known.attachments = entries.filter { !$0.isBareLoopback }.map { remembered($0, pod) }
        known.attachments += unreadable(problems, pod)
        if !known.attachments.isEmpty { return known }
      }
      guard let plans = try self.plans(of: pod, operation) else { return known }
      var taken: [Attachment] = []
      for (index, plan) in plans.enumerated() {
        let hasName = pod.networks.isEmpty || pod.networks[index].interfaceName != nil
        if let entry = entry(for: plan, hasName: hasName, otherThan: taken) {
          taken.append(entry.attachment)
          known.attachments.append(remembered(entry, pod))
          continue
        }
        do throws(RuntimeError) {
          known.attachments.append(
            .configured(try configurations.network(named: plan.network).list, plan.parameters))
        } catch { known.failures.append(error) }
      }
      return known
    }
  }

  /// What is remembered of one attachment. Who has not said what its interface is called may mean one that was attached
  /// among others, and got another name there.
  private func entry(for plan: AttachmentPlan, hasName: Bool, otherThan taken: [Attachment]) -> CacheEntry? {
    let cache = runtime.runtime.cache
    if case .entry(let entry) = cache.read(network: plan.network, plan.attachment) {
      return (try? entry.configurationList()) == nil ? nil : entry
    }
    if hasName { return nil }
    return cache.entries(containerID: plan.parameters.containerID).entries.first {
      $0.network == plan.network && !taken.contains($0.attachment) && (try? $0.configurationList()) != nil
    }
  }

  private func remembered(_ entry: CacheEntry, _ pod: Pod) -> KnownAttachment {
    var entry = entry
    entry.parameters.namespace = namespace(of: pod, entry)
    return .remembered(entry)
  }

  /// `nil` if it is the default network alone that is meant, and there is none: then there is nothing that could be known.
  private func plans(of pod: Pod, _ operation: String) throws(PodNetworkError) -> [AttachmentPlan]? {
    do throws(PodNetworkError) {
      return try pod.plans(operation: operation) { () throws(PodNetworkError) in
        if let name = options.defaultNetwork { return name }
        return try findDefaultNetwork(operation).get().name
      }
    } catch {
      if error.kind == .noDefaultNetwork && pod.networks.isEmpty { return nil }
      throw error
    }
  }

  private func namespace(of pod: Pod, _ entry: CacheEntry) -> String {
    if !pod.networkNamespace.isEmpty { return pod.networkNamespace }
    return entry.lastingParameters.namespace
  }

  /// CRI-O once had the loopback interface brought up by a network of this name, and remembered that. There is nothing to take
  /// back. Blocks.
  func forgetLoopback(of containerID: String) {
    guard (try? Validation.containerID(containerID)) != nil else { return }
    let attachment = Attachment(containerID: containerID, interfaceName: "lo")
    _ = try? runtime.runtime.cache.remove(network: "cni-loopback", attachment)
  }

  /// Entries that no one can read (a power cut) still tell by their names what they were about.
  private func unreadable(_ problems: [CacheProblem], _ pod: Pod) -> [KnownAttachment] {
    problems.compactMap { problem -> KnownAttachment? in
      guard let slash = problem.file.lastIndex(of: "/") else { return nil }
      let name = problem.file[slash...].dropFirst()
      let parts = name.split(separator: "-\(pod.id)-", omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
        let network = try? configurations.network(named: String(parts[0]))
      else { return nil }
      return .configured(
        network.list,
        AttachmentParameters(
          containerID: pod.id, namespace: pod.networkNamespace, interfaceName: String(parts[1])))
    }
  }
}

extension CacheEntry {
  /// Whether it is what CRI-O once remembered of a loopback interface.
  var isBareLoopback: Bool { network == "cni-loopback" && parameters.interfaceName == "lo" }
}
