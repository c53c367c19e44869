/// What a plugin has said and how it ended.
public struct PluginReply: Sendable {
  /// All of standard output: a result, an error, a version reply, or nothing.
  public var standardOutput: [UInt8]
  /// How it ended.
  public var exitStatus: ExitStatus
  /// The end of what it wrote to standard error, at most 4 kB. Empty for a plugin that ran in-process: that one
  /// writes to ours.
  public var standardErrorTail: [UInt8]

  /// A reply; by default of a plugin that had nothing to say and succeeded.
  public init(
    standardOutput: [UInt8] = [], exitStatus: ExitStatus = .exited(0), standardErrorTail: [UInt8] = []
  ) {
    self.standardOutput = standardOutput
    self.exitStatus = exitStatus
    self.standardErrorTail = standardErrorTail
  }
}
