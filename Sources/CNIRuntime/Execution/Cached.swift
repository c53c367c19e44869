import CNI

/// An entry of the cache that is there and of no use, as an error of its own to keep `throws` typed.
struct CacheFailure: Error {
  var problem: CacheProblem
}

extension CNIRuntime {
  /// The result that ADD had, in the newest shape; `nil` if nothing is remembered, or only that ADD was begun.
  public func cachedResult(
    network: String, _ attachment: Attachment, version: SpecVersion? = nil
  ) throws(RuntimeError) -> AddResult? {
    try validate(network, attachment)
    do throws(CacheFailure) { return try cachedResult(network, attachment, version) } catch {
      throw unreadable(error.problem, network, attachment)
    }
  }

  /// The configuration (a list, or a single plugin, as JSON) and the parameters that ADD had; `nil` if they are not
  /// remembered.
  public func cachedConfiguration(
    network: String, _ attachment: Attachment
  ) throws(RuntimeError) -> (configuration: [UInt8], parameters: AttachmentParameters)? {
    try validate(network, attachment)
    switch cache.read(network: network, attachment) {
    case .absent, .bareResult: return nil
    case .entry(let entry): return (entry.configuration, entry.parameters)
    case .unusable(let problem), .foreign(let problem): throw unreadable(problem, network, attachment)
    }
  }

  /// All attachments that are remembered, of one container if one is given; entries that cannot be read are left out
  /// (``ResultCache/entries(containerID:)`` tells them).
  public func cachedAttachments(containerID: String? = nil) -> [CacheEntry] {
    cache.entries(containerID: containerID).entries
  }

  private func validate(_ network: String, _ attachment: Attachment) throws(RuntimeError) {
    do throws(CNIError) {
      try Validation.attachment(
        network: network, containerID: attachment.containerID, interfaceName: attachment.interfaceName)
    } catch {
      throw RuntimeError(
        kind: .invalidParameter, operation: "look for an attachment in the cache", network: network,
        attachment: attachment, reason: error.message, remedy: error.details, code: error.code)
    }
  }

  private func unreadable(_ problem: CacheProblem, _ network: String, _ attachment: Attachment)
    -> RuntimeError
  {
    RuntimeError(
      kind: .cache, operation: "read what is remembered of network \"\(network)\"", network: network,
      attachment: attachment, file: problem.file, reason: problem.description,
      remedy: "the file may be removed; DEL works without it", code: .decodingFailure)
  }

  func cachedResult(
    _ network: String, _ attachment: Attachment, _ version: SpecVersion?
  ) throws(CacheFailure) -> AddResult? {
    try result(in: cache.read(network: network, attachment), network, attachment, version)
  }

  /// The result in the version of the list, as plugins are given it.
  func cachedJSON(
    _ list: NetworkConfigurationList, _ attachment: Attachment, in content: ResultCache.Content
  ) throws(CacheFailure) -> JSONValue? {
    guard let result = try result(in: content, list.name, attachment, list.version) else { return nil }
    do throws(CNIError) { return try result.encode(as: list.version) } catch {
      throw unusableResult(list.name, attachment, error)
    }
  }

  private func result(
    in content: ResultCache.Content, _ network: String, _ attachment: Attachment, _ version: SpecVersion?
  ) throws(CacheFailure) -> AddResult? {
    let json: JSONValue
    var configured = version
    switch content {
    case .absent: return nil
    case .unusable(let problem), .foreign(let problem): throw CacheFailure(problem: problem)
    case .bareResult(let result): json = result
    case .entry(let entry):
      guard let result = entry.result else { return nil }
      json = result
      if configured == nil { configured = (try? entry.configurationList())?.version }
    }
    do throws(CNIError) { return try AddResult.decode(json, version: configured) } catch {
      throw unusableResult(network, attachment, error)
    }
  }

  private func unusableResult(_ network: String, _ attachment: Attachment, _ error: CNIError) -> CacheFailure
  {
    CacheFailure(
      problem: CacheProblem(
        file: cache.file(network: network, attachment), reason: "its result cannot be used: \(error)"))
  }
}
