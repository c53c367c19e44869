import CNI
import CNIExecution
import LinuxNetworking

extension CNIRuntime {
  /// Removes what belongs to no valid attachment of a network: first DEL for each one that the cache remembers and the
  /// list does not have, then GC of every plugin, if the version knows it. Goes through everything whatever fails, and throws
  /// one error with all failures at the end; an entry of the network's that may be in order, and cannot be read, is one. Where
  /// the cache cannot even be listed, it does nothing: what plugins remember may be what a later DEL needs. Does nothing for a
  /// list with `disableGC`.
  ///
  /// No ADD or DEL of the network may be under way meanwhile.
  /// - Parameter olderVersions: Whether GC is also for a list of a version before 1.1.0: in that version then, and of those
  ///   plugins that know it. What a runtime that was killed has not written into the cache is not found otherwise.
  /// - Returns: entries of the cache that could not be read, and so could not be judged.
  @discardableResult
  public func collectGarbage(
    _ list: NetworkConfigurationList, validAttachments: [Attachment], olderVersions: Bool = false,
    limits: ExecutionLimits? = nil
  ) throws(RuntimeError) -> [CacheProblem] {
    let operation = "collect the garbage of network \"\(list.name)\""
    try validate(list, nil, operation)
    if list.disableGC { return [] }
    let valid = Set(validAttachments)
    let entries: [CacheEntry]
    var problems: [CacheProblem]
    do throws(FileError) {
      let listing = try cache.list()
      (entries, problems) = (listing.entries, listing.problems)
    } catch {
      var failure = RuntimeError([], operation: operation, list: list, reason: "\(error)")
      failure.kind = .cache
      throw failure
    }
    var failures: [PluginFailure] = []
    let prefix = "\(cache.resultsDirectory)/\(list.name)-"
    var reasons = problems.filter { $0.isUnread && $0.file.hasPrefix(prefix) }.map(\.description)
    for entry in entries where entry.network == list.name && !valid.contains(entry.attachment) {
      do throws(RuntimeError) {
        problems += try deleteStale(entry, list, limits)
      } catch {
        failures += error.failures
        if error.failures.isEmpty { reasons.append("\(error)") }
      }
    }
    if list.version.supportsGC || olderVersions {
      let version = max(list.version, .v1_1_0)
      let runner = runner(limits)
      for plugin in list.plugins {
        let json = list.configuration(for: plugin, version: version, validAttachments: validAttachments)
        var request = request(.gc, list, nil, json)
        request.version = version
        do throws(PluginFailure) {
          if version != list.version, try !runner.version(plugin.type).supports(version) { continue }
          try runner.collectGarbage(plugin.type, request)
        } catch {
          failures.append(error)
        }
      }
    }
    if !failures.isEmpty || !reasons.isEmpty {
      var error = RuntimeError(
        failures, operation: operation, list: list, reason: reasons.joined(separator: "; "))
      if failures.isEmpty { error.kind = .cache }
      throw error
    }
    return problems
  }

  /// With the configuration that the attachment was made with, if that is still readable: plugins may have been removed
  /// from the list since, and what they made is to go as well. Where all that is in the way is that such a plugin is not
  /// installed any more, the list has to do.
  private func deleteStale(
    _ entry: CacheEntry, _ list: NetworkConfigurationList, _ limits: ExecutionLimits?
  ) throws(RuntimeError) -> [CacheProblem] {
    let parameters = entry.parameters.lasting
    guard let own = try? entry.configurationList(), own.name == list.name else {
      return try delete(list, parameters, limits: limits)
    }
    do throws(RuntimeError) { return try delete(own, parameters, limits: limits) } catch {
      guard error.lacksOnlyPlugins, own.plugins != list.plugins else { throw error }
      return try delete(list, parameters, limits: limits)
    }
  }
}

extension RuntimeError {
  /// Whether nothing has failed but that plugins are not installed (any more).
  package var lacksOnlyPlugins: Bool {
    !failures.isEmpty
      && failures.allSatisfy { if case .notFound = $0.cause { true } else { false } }
  }
}
