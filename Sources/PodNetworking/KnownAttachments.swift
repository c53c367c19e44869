import AsyncRuntime
import CNI
import CNIRuntime
import Logging

/// An attachment of a pod, and what its plugins are to be called with.
struct KnownAttachment: Sendable {
  /// What was remembered of its ADD; where that is of no use, what is in the directory now.
  var list: NetworkConfigurationList
  var parameters: AttachmentParameters

  init(_ list: NetworkConfigurationList, _ parameters: AttachmentParameters) {
    self.list = list
    self.parameters = parameters
  }
}

/// The attachments that a pod means, and what cannot be done with others.
struct KnownAttachments: Sendable {
  /// In the order of its selections.
  var attachments: [KnownAttachment] = []
  /// Of attachments that are there, and nobody can do anything with.
  var failures: [RuntimeError] = []
  /// Of selections that mean nothing that is there.
  var missing: [RuntimeError] = []
  /// Why there is no default network, if one is needed to say what is meant.
  var noDefaultNetwork: PodNetworkError?
}

extension PodNetworking {
  /// The attachments that a pod means: those that its selections stand for, or without any all that are remembered of it. Only if
  /// nothing at all is remembered the directory says what it would have. Blocks.
  func attachmentsMeant(by pod: Pod, _ operation: String) throws(PodNetworkError) -> KnownAttachments {
    try pod.validate(operation)
    let memory = try recall(pod, operation)
    if memory.isEmpty { return try configured(pod, operation) }
    guard !pod.networks.isEmpty else {
      var known = KnownAttachments()
      for each in memory.attachments { known.add(resolve(each, pod, memory)) }
      return known
    }
    return find(pod, in: memory, operation)
  }

  /// What a pod would have of which nothing is remembered.
  private func configured(_ pod: Pod, _ operation: String) throws(PodNetworkError) -> KnownAttachments {
    var known = KnownAttachments()
    let plans = try pod.plans(operation: operation) { () throws(PodNetworkError) in
      do throws(PodNetworkError) { return try defaultNetworkName(operation) } catch {
        known.noDefaultNetwork = error
        return ""
      }
    }
    for plan in plans where !plan.network.isEmpty {
      do throws(RuntimeError) {
        known.attachments.append(
          KnownAttachment(try configurations.network(named: plan.network).list, plan.parameters))
      } catch { known.missing.append(error) }
    }
    return known
  }

  private func defaultNetworkName(_ operation: String) throws(PodNetworkError) -> String {
    try findDefaultNetwork(operation).get().name
  }

  /// Which of the attachments that are remembered the selections stand for.
  private func find(_ pod: Pod, in memory: PodMemory, _ operation: String) -> KnownAttachments {
    var known = KnownAttachments()
    var rest = memory.attachments
    var found: [RememberedAttachment?] = pod.networks.map { _ in nil }

    /// Those who say exactly what they mean choose first.
    func claim(
      _ isMeant: (NetworkSelection) -> Bool,
      _ fits: (NetworkSelection, Int, RememberedAttachment) -> Bool
    ) {
      for (index, selection) in pod.networks.enumerated() where found[index] == nil && isMeant(selection) {
        guard let place = rest.firstIndex(where: { fits(selection, index, $0) }) else { continue }
        found[index] = rest.remove(at: place)
      }
    }
    claim({ $0.network != nil && $0.interfaceName != nil }) { selection, _, each in
      each.network == selection.network && each.parameters.interfaceName == selection.interfaceName
    }
    /// Whether it has the interface, and is no left-over of one that once had it.
    func has(_ name: String?, _ each: RememberedAttachment) -> Bool {
      each.parameters.interfaceName == name
        && memory.holder(of: each.parameters.interfaceName, in: pod.networkNamespace)?.network == each.network
    }
    claim({ $0.network == nil && $0.interfaceName != nil }) { selection, _, each in
      has(selection.interfaceName, each)
    }
    claim({ $0.network != nil && $0.interfaceName == nil }) { selection, _, each in
      each.network == selection.network
    }
    if zip(pod.networks, found).contains(where: { $0.network == nil && $1 == nil }) {
      // What is the default network today may not have been it when the pod was set up, but mostly was.
      let name: String?
      do throws(PodNetworkError) { name = try defaultNetworkName(operation) } catch { name = nil }
      claim({ $0.network == nil && $0.interfaceName == nil }) { _, _, each in each.network == name }
      let names = pod.namesInNewPod(operation)
      claim({ $0.network == nil && $0.interfaceName == nil }) { _, index, each in
        index < names.count && has(names[index], each)
      }
    }

    for (selection, each) in zip(pod.networks, found) {
      if let each {
        known.add(resolve(each, pod, memory))
      } else {
        known.add(configured(selection, pod, memory, operation))
      }
    }
    return known
  }

  fileprivate enum Finding {
    case known(KnownAttachment)
    /// It is there, and nobody can do anything with it.
    case unusable(RuntimeError)
    /// It is not there.
    case missing(RuntimeError)
  }

  /// What is not remembered, though other attachments of the pod are, is gone; and an interface that one of the others has is
  /// theirs, whoever asks for it. There remains one of which the memory was lost, and of which all is said.
  private func configured(
    _ selection: NetworkSelection, _ pod: Pod, _ memory: PodMemory, _ operation: String
  ) -> Finding {
    func gone(_ reason: String) -> Finding {
      .missing(
        RuntimeError(
          kind: .cache, operation: "find what the pod has in \(selection.networkForText)",
          network: selection.network ?? "", reason: reason, code: .unknownContainer))
    }
    guard let network = selection.network, let interface = selection.interfaceName else {
      return gone("nothing is remembered of it, but of other networks of the pod")
    }
    if let holder = memory.holder(of: interface, in: pod.networkNamespace) {
      return gone("\"\(interface)\" is what the pod has network \"\(holder.network)\" by")
    }
    do throws(RuntimeError) {
      let list = try configurations.network(named: network).list
      var alone = pod
      alone.networks = [selection]
      do throws(PodNetworkError) {
        let plan = try alone.plans(operation: operation) { () throws(PodNetworkError) in network }[0]
        return .known(KnownAttachment(list, plan.parameters))
      } catch { return gone(error.description) }
    } catch { return .missing(error) }
  }

  /// By what is remembered to be attached; by what is configured if that is of no use.
  private func resolve(_ each: RememberedAttachment, _ pod: Pod, _ memory: PodMemory) -> Finding {
    var parameters = each.parameters
    parameters.namespace = namespace(of: each, pod, memory)
    if let list = each.list { return .known(KnownAttachment(list, parameters)) }
    do throws(RuntimeError) {
      return .known(KnownAttachment(try configurations.network(named: each.network).list, parameters))
    } catch {
      return .unusable(
        RuntimeError(
          kind: .cache, operation: "find out how \"\(each.parameters.interfaceName)\" was attached",
          network: each.network, attachment: each.attachment, file: each.file,
          reason: each.complaint?.message ?? "its configuration is not remembered",
          remedy: "put a configuration of network \"\(each.network)\" into \(configurations.directory.path)",
          code: .invalidConfiguration))
    }
  }

  /// Where an attachment is to be looked for; empty for nowhere.
  private func namespace(of each: RememberedAttachment, _ pod: Pod, _ memory: PodMemory) -> String {
    // By now another network has the interface: there, nothing of this one is left.
    let path = pod.networkNamespace.isEmpty ? each.parameters.namespace : pod.networkNamespace
    if let holder = memory.holder(of: each.parameters.interfaceName, in: path),
      holder.network != each.network
    {
      return ""
    }
    if !pod.networkNamespace.isEmpty {
      // By the path that plugins were told at first, if it is the same: results have it.
      let isSame = PodNamespace.isSame(each.parameters.namespace, pod.networkNamespace)
      return isSame ? each.parameters.namespace : pod.networkNamespace
    }
    return each.parameters.lasting.namespace
  }
}

extension KnownAttachments {
  fileprivate mutating func add(_ finding: PodNetworking.Finding) {
    switch finding {
    case .known(let attachment): attachments.append(attachment)
    case .unusable(let error): failures.append(error)
    case .missing(let error): missing.append(error)
    }
  }
}

extension Pod {
  /// What its interfaces would be called if it had none yet.
  fileprivate func namesInNewPod(_ operation: String) -> [String] {
    let plans = try? self.plans(operation: operation) { () throws(PodNetworkError) in "" }
    return plans?.map(\.parameters.interfaceName) ?? []
  }
}

extension NetworkSelection {
  fileprivate var networkForText: String { network.map { "network \"\($0)\"" } ?? "the default network" }
}
