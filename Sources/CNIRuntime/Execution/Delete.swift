import CNI
import CNIExecution
import Glibc
import LinuxNetworking
import Netlink

extension CNIRuntime {
  /// Detaches a container from a network: runs DEL of all plugins in reverse order, with the result of ADD if there is
  /// one. Goes through all of them whatever fails, and throws one error with all failures at the end. The cache forgets
  /// the attachment once all have succeeded; where it cannot, and that will not pass by itself, that is a problem and no
  /// error. May be called any number of times.
  ///
  /// Plugins that the attachment was made with, as the cache remembers, and that the list has no more, are asked first:
  /// nobody else would remove what they made.
  /// - Returns: what was odd about the cache and did not matter.
  @discardableResult
  public func delete(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) -> [CacheProblem] {
    try NetfilterRelease.postponed { () throws(RuntimeError) in try detach(list, parameters, limits) }
  }

  private func detach(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, _ limits: ExecutionLimits?
  ) throws(RuntimeError) -> [CacheProblem] {
    let operation = parameters.describe("detach", "from", list.name)
    try validate(list, parameters, operation)
    awaitEnd(of: cache.file(network: list.name, parameters.attachment), limits ?? runner.limits)
    var problems: [CacheProblem] = []
    var result: JSONValue?
    let content = cache.read(network: list.name, parameters.attachment)
    do throws(CacheFailure) { result = try cachedJSON(list, parameters.attachment, in: content) } catch {
      problems.append(error.problem)
    }
    if !list.version.passesPrevResultOnDel { result = nil }
    var failures = deleteDropped(from: list, content, parameters, &problems, runner(limits))
    failures += delete(list, list.plugins[...], parameters, result, runner(limits))
    guard failures.isEmpty else {
      throw RuntimeError(failures, operation: operation, list: list, attachment: parameters.attachment)
    }
    if case .foreign = content { return problems }
    do throws(FileError) { try cache.remove(network: list.name, parameters.attachment) } catch {
      if error.errno.passes {
        throw RuntimeError(
          kind: .cache, operation: operation, network: list.name, attachment: parameters.attachment,
          file: error.path, reason: "\(error)",
          remedy: "the plugins have removed everything; once more, and this goes, too", code: .tryAgainLater)
      }
      // Who waited for what may never be allowed could not delete the container.
      problems.append(CacheProblem(file: error.path, reason: "\(error)"))
    }
    return problems
  }

  /// Detaches a container from the network that a single plugin's configuration describes.
  @discardableResult
  public func delete(
    _ plugin: PluginConfiguration, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) -> [CacheProblem] {
    let list = try wrap(plugin, parameters.describe("detach", "from", plugin.name))
    return try delete(list, parameters, limits: limits)
  }

  /// Detaches what the cache remembers, from that alone: no configuration has to be loaded, and one that has changed
  /// since does not matter.
  @discardableResult
  public func delete(_ entry: CacheEntry, limits: ExecutionLimits? = nil) throws(RuntimeError)
    -> [CacheProblem]
  {
    let list: NetworkConfigurationList
    do throws(CNIError) { list = try entry.configurationList() } catch {
      throw RuntimeError(
        kind: .cache, operation: entry.parameters.describe("detach", "from", entry.network),
        network: entry.network, attachment: entry.attachment,
        file: cache.file(network: entry.network, entry.attachment), reason: error.message,
        remedy: "detach it with the network's configuration instead", code: error.code)
    }
    return try delete(list, entry.parameters, limits: limits)
  }

  /// Runs DEL of the plugins that were in the list at the time of ADD only. One that is not installed any more is no
  /// failure: it would be one for ever.
  private func deleteDropped(
    from list: NetworkConfigurationList, _ content: ResultCache.Content, _ parameters: AttachmentParameters,
    _ problems: inout [CacheProblem], _ runner: PluginRunner
  ) -> [PluginFailure] {
    guard case .entry(let entry) = content, let own = try? entry.configurationList(), own.name == list.name
    else { return [] }
    let dropped = own.plugins.filter { plugin in !list.plugins.contains { $0.type == plugin.type } }
    if dropped.isEmpty { return [] }
    let result =
      own.version.passesPrevResultOnDel ? try? cachedJSON(own, parameters.attachment, in: content) : nil
    return delete(own, dropped[...], parameters, result, runner).filter { failure in
      guard case .notFound = failure.cause else { return true }
      problems.append(
        CacheProblem(
          file: cache.file(network: list.name, parameters.attachment),
          reason: "it remembers a plugin that is not there any more: \(failure)"))
      return false
    }
  }

  /// Waits while an ADD of the attachment holds its entry: a plugin process that outlives the one who started it must not
  /// come after the DEL. Not for longer than ten seconds, or than the limits are.
  private func awaitEnd(of file: String, _ limits: ExecutionLimits) {
    guard FileHold.isHeld(file) else { return }
    let own = Deadline.after(min(limits.timeout ?? .seconds(10), .seconds(10)))
    let deadline = min(limits.deadline ?? own, own)
    var pause: UInt32 = 500
    repeat {
      usleep(pause)
      pause = min(pause * 2, 20_000)
    } while FileHold.isHeld(file) && !deadline.hasPassed && limits.cancellation?.isCancelled != true
  }

  /// Runs DEL of these plugins from the last to the first and collects what fails.
  func delete(
    _ list: NetworkConfigurationList, _ plugins: ArraySlice<PluginConfiguration>,
    _ parameters: AttachmentParameters, _ result: JSONValue?, _ runner: PluginRunner
  ) -> [PluginFailure] {
    var failures: [PluginFailure] = []
    for plugin in plugins.reversed() {
      let json = list.configuration(
        for: plugin, prevResult: result, runtimeConfig: parameters.capabilityArguments)
      do throws(PluginFailure) {
        try runner.delete(plugin.type, request(.del, list, parameters, json))
      } catch {
        failures.append(error)
      }
    }
    return failures
  }
}
