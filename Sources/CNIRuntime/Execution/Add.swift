import CNI
import CNIExecution
import LinuxNetworking
import Netlink

extension CNIRuntime {
  /// Attaches a container to a network: runs ADD of all plugins in order, each with the result of the one before, and
  /// remembers the last result.
  ///
  /// When a plugin fails, those that ran (that one included) are asked for DEL in reverse order with what is known of
  /// the result, and the error tells both. Nothing remains in the cache then, unless undoing failed too: the note stays so
  /// that a later DEL or GC finds what is left. An attachment that exists since an earlier ADD is not undone.
  /// - Returns: the result, and the same in the version of the configuration is in the cache.
  public func add(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) -> AddResult {
    try add(list, parameters, configuration: list.effectiveJSON, limits)
  }

  /// Attaches a container to the network that a single plugin's configuration describes.
  public func add(
    _ plugin: PluginConfiguration, _ parameters: AttachmentParameters, limits: ExecutionLimits? = nil
  ) throws(RuntimeError) -> AddResult {
    let list = try wrap(plugin, parameters.describe("attach", "to", plugin.name))
    return try add(list, parameters, configuration: plugin.json, limits)
  }

  private func add(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, configuration: JSONValue,
    _ limits: ExecutionLimits?
  ) throws(RuntimeError) -> AddResult {
    // What linked-in plugins leave to the kernel for later is handed over at once for all of them.
    try NetfilterRelease.postponed { () throws(RuntimeError) in
      try attach(list, parameters, configuration, limits)
    }
  }

  private func attach(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, _ configuration: JSONValue,
    _ limits: ExecutionLimits?
  ) throws(RuntimeError) -> AddResult {
    try validate(list, parameters, parameters.describe("attach", "to", list.name))
    var entry = CacheEntry(
      network: list.name, parameters: parameters, configuration: configuration.serialized(), result: nil)
    let existedBefore = isAttached(network: list.name, parameters)
    if notesAttempts && !existedBefore {
      // A cache that cannot be written fails the ADD while there is nothing to undo yet.
      do throws(FileError) { try cache.write(entry) } catch { throw notStored(list, parameters, error) }
    }

    // Plugin processes hold the entry, too: a DEL waits for those that outlive us (``awaitEnd(of:_:_:)``).
    let hold = FileHold(cache.file(network: list.name, parameters.attachment))
    var runner = runner(limits)
    runner.sharedDescriptor = hold.descriptor
    var result: AddResult?
    var encoded: JSONValue?
    for (index, plugin) in list.plugins.enumerated() {
      let json = list.configuration(
        for: plugin, prevResult: encoded, runtimeConfig: parameters.capabilityArguments)
      do throws(PluginFailure) {
        let next = try runner.add(plugin.type, request(.add, list, parameters, json))
        do throws(CNIError) { encoded = try next.encode(as: list.version) } catch {
          throw PluginFailure(
            plugin: plugin.type, network: list.name, command: .add,
            cause: .unreadableReply(reason: "its result does not fit version \(list.version): \(error)"))
        }
        result = next
      } catch {
        var failed = RuntimeError(
          [error], operation: parameters.describe("attach", "to", list.name), list: list,
          attachment: parameters.attachment)
        if existedBefore {
          failed.undo = .leftEarlierAttachment
        } else {
          let isOver = error.hasEnded(within: undoTimeout)
          undo(
            list, parameters, upTo: error.hasRun ? index : index - 1, encoded,
            stillRuns: isOver ? nil : plugin, &failed)
        }
        throw failed
      }
    }
    entry.result = encoded
    do throws(FileError) { try cache.write(entry) } catch {
      var failed = notStored(list, parameters, error)
      // Nobody could DEL with this result, or find the attachment again.
      if !existedBefore {
        undo(list, parameters, upTo: list.plugins.count - 1, encoded, stillRuns: nil, &failed)
      }
      throw failed
    }
    return result!
  }

  /// Whether an ADD of the same attachment has succeeded and was not deleted since. One in another namespace is a
  /// left-over: the container was started anew (after the machine was, say).
  package func isAttached(network: String, _ parameters: AttachmentParameters) -> Bool {
    switch cache.read(network: network, parameters.attachment) {
    case .absent, .unusable, .foreign: false
    case .entry(let entry): entry.result != nil && entry.parameters.namespace == parameters.namespace
    case .bareResult: true
    }
  }

  /// DEL of the plugins from `last` down to the first, whatever fails.
  private func undo(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, upTo last: Int,
    _ result: JSONValue?, stillRuns running: PluginConfiguration?, _ error: inout RuntimeError
  ) {
    if last >= 0 {
      error.undo = .done
      var runner = runner
      runner.limits = ExecutionLimits(timeout: undoTimeout)
      let failures = delete(
        list, list.plugins[...last], parameters, list.version.passesPrevResultOnDel ? result : nil, runner)
      error.undoProblems = failures.map(\.description)
      if let running {
        // The note in the cache stays with it.
        error.undoProblems.append(
          "plugin \"\(running.type)\" runs in this process and still goes on; DEL removes what it makes when it is done"
        )
      }
    }
    if error.undoProblems.isEmpty {
      do throws(FileError) { try cache.remove(network: list.name, parameters.attachment) } catch {
        // The note says that there may be something, and DEL copes with nothing.
      }
    }
  }

  private func notStored(
    _ list: NetworkConfigurationList, _ parameters: AttachmentParameters, _ error: FileError
  ) -> RuntimeError {
    RuntimeError(
      kind: .cache, operation: parameters.describe("attach", "to", list.name), network: list.name,
      attachment: parameters.attachment, file: error.path,
      reason: "the result cannot be remembered: \(error)",
      remedy: "the cache directory \(cache.directory) has to be writable", code: .ioFailure)
  }
}

extension PluginFailure {
  /// Whether the plugin may have done something.
  fileprivate var hasRun: Bool {
    switch cause {
    case .notFound, .notStarted: false
    default: true
    }
  }
}

extension NetworkConfigurationList {
  /// The list as the cache remembers it: with the plugins that came from files of their own, so that it is complete
  /// without them.
  var effectiveJSON: JSONValue {
    guard case .object(var object) = json.kind else { return json }
    let inlined = object.member(matching: "plugins")?.value.array?.count ?? 0
    if inlined == plugins.count { return json }
    object.removeAll(matching: "plugins")
    object.removeAll(matching: "loadOnlyInlinedPlugins")
    object.append("plugins", .array(plugins.map(\.json)))
    object.append("loadOnlyInlinedPlugins", true)
    return .object(object)
  }
}

extension CNIRuntime {
  func wrap(_ plugin: PluginConfiguration, _ operation: @autoclosure () -> String) throws(RuntimeError)
    -> NetworkConfigurationList
  {
    do throws(CNIError) { return try NetworkConfigurationList.wrapping(plugin) } catch {
      throw RuntimeError(
        kind: .invalidConfiguration, operation: operation(), network: plugin.name, file: plugin.source,
        reason: error.message, remedy: error.details, code: error.code)
    }
  }
}
