public import CNI

/// What a plugin has said and how it ended.
public struct PluginReply: Sendable {
  private enum Output {
    case bytes([UInt8])
    case result(AddResult, SpecVersion)
  }

  private var output: Output
  /// How it ended.
  public var exitStatus: ExitStatus
  /// The end of what it wrote to standard error, at most 4 kB. Empty for a plugin that ran in-process: that one
  /// writes to ours.
  public var standardErrorTail: [UInt8]

  /// A reply; by default of a plugin that had nothing to say and succeeded.
  public init(
    standardOutput: [UInt8] = [], exitStatus: ExitStatus = .exited(0), standardErrorTail: [UInt8] = []
  ) {
    output = .bytes(standardOutput)
    self.exitStatus = exitStatus
    self.standardErrorTail = standardErrorTail
  }

  /// The reply of an in-process plugin whose ADD succeeded. Its text is made when somebody reads it: a caller in the
  /// same process takes the result as it is.
  ///
  /// - Throws: code 1 if the version cannot express the result.
  public init(_ result: AddResult, version: SpecVersion) throws(CNIError) {
    self.init()
    if result.isPreserved(in: version) {
      output = .result(result, version)
    } else {
      output = .bytes(try result.encode(as: version).serialized(pretty: true))
    }
  }

  /// All of standard output: a result, an error, a version reply, or nothing.
  public var standardOutput: [UInt8] {
    get {
      switch output {
      case .bytes(let bytes): bytes
      // A version that preserves it can express it.
      case .result(let result, let version): (try? result.encode(as: version).serialized(pretty: true)) ?? []
      }
    }
    set { output = .bytes(newValue) }
  }

  /// The result, where it need not be read from ``standardOutput``: reading that would give the same.
  var result: AddResult? {
    if case .result(let result, _) = output { result } else { nil }
  }
}

extension AddResult {
  /// Whether a result of that version, read again, is this one: the newest shape, without what only 1.1.0 has if it is
  /// for 1.0.0.
  fileprivate func isPreserved(in version: SpecVersion) -> Bool {
    switch version {
    case .v1_1_0: true
    case .v1_0_0:
      interfaces.allSatisfy { $0.mtu == nil && $0.socketPath == nil && $0.pciID == nil }
        && routes.allSatisfy {
          $0.mtu == nil && $0.advmss == nil && $0.priority == nil && $0.table == nil && $0.scope == nil
        }
    default: false
    }
  }
}
