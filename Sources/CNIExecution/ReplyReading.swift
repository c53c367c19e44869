import CNI

/// Why a reply is not success; `nil` if it is.
func causeOfFailure(_ reply: PluginReply) -> PluginFailure.Cause? {
  switch reply.exitStatus {
  case .exited(0): return nil
  case .exited(let status):
    if let error = errorInside(reply.standardOutput) { return .error(error) }
    return .exited(status)
  case .signaled(let signal, let coreDumped): return .signaled(signal, coreDumped: coreDumped)
  case .unknown:
    // Only the words are left to tell success from failure by.
    if let error = errorInside(reply.standardOutput) { return .error(error) }
    if (try? JSONValue.parse(reply.standardOutput)) != nil { return nil }
    return .unknownStatus
  }
}

/// The error that a plugin has printed, also if it chattered before: what it wanted to say is worth more than the form.
private func errorInside(_ output: [UInt8]) -> CNIError? {
  if let error = CNIError.parse(output) { return error }
  var index = output.startIndex
  while let brace = output[index...].firstIndex(of: UInt8(ascii: "{")) {
    let startsLine = brace > 0 && output[brace - 1] == UInt8(ascii: "\n")
    if startsLine, let error = CNIError.parse(Array(output[brace...])) { return error }
    index = brace + 1
  }
  return nil
}

/// A reply that cannot be read, as an error of its own type to keep `throws` typed.
struct UnreadableReply: Error {
  var cause: PluginFailure.Cause
}

/// The result of an ADD that has exited with 0.
func readResult(_ reply: PluginReply, _ request: PluginRequest) throws(UnreadableReply) -> AddResult {
  if reply.standardOutput.allSatisfy({ $0 <= 0x20 }) {
    throw UnreadableReply(cause: .unreadableReply(reason: "it gave no result, although ADD has to"))
  }
  let json: JSONValue
  do { json = try JSONValue.parse(reply.standardOutput) } catch {
    throw UnreadableReply(cause: unreadable("its result is not JSON", "\(error)"))
  }
  guard case .object(let members) = json.kind else {
    throw UnreadableReply(cause: unreadable("its result is not a JSON object", ""))
  }
  // An error on standard output counts as one even if the exit status forgot to say so.
  if members["code"] != nil, members["msg"] != nil, members["ips"] == nil, members["interfaces"] == nil,
    let error = CNIError.parse(reply.standardOutput)
  {
    throw UnreadableReply(cause: .error(error))
  }
  var version: SpecVersion?
  if case .string(let written)? = members["cniVersion"]?.kind, !written.isEmpty {
    version = nil
  } else {
    // A result without a version is meant in that of the configuration: some plugins rely on it.
    version = try? request.version ?? request.parsedConfiguration().version
  }
  do {
    return try AddResult.decode(json, version: version)
  } catch {
    throw UnreadableReply(cause: unreadable("its result cannot be used: \(error.message)", error.details))
  }
}

func unreadable(_ reason: String, _ details: String) -> PluginFailure.Cause {
  .unreadableReply(reason: details.isEmpty ? reason : "\(reason): \(details)")
}
