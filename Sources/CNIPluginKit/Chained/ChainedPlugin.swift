import CNI
import LinuxNetworking

/// A plugin that comes behind another one in a list and builds on what that one has made.
///
/// It says only what is its own: what it does to the attachment, what there is to look at, what has to go. The kit does
/// the rest, the same for every one of them: it asks for `prevResult` where the protocol has one and manages without it
/// where callers may leave it out, hands the result on, undoes an ADD that fails, and knows what STATUS has to say.
///
/// | command | calls | with `prevResult` |
/// |---|---|---|
/// | ADD | `apply` | required |
/// | CHECK | `verify` | required |
/// | DEL | `remove` | if there is one that can be read |
/// | GC | `collectGarbage` | |
/// | STATUS | `checkRequirements` | |
///
/// What works in the container's namespace gets it from ``PluginCall/containerNamespace()``.
public protocol ChainedPlugin: Plugin {
  /// The capabilities without which ADD cannot do its work; both that network plugins need unless said otherwise.
  static var neededPrivileges: [Privileges.Capability] { get }

  /// ADD: does to the attachment what the plugin is for.
  ///
  /// - Parameters:
  ///   - call: What is asked for.
  ///   - result: That of the plugin before. What becomes of it is what the next one gets, and in the end the runtime.
  ///   - undo: Where each step that changed something registers how to take it back.
  func apply(_ call: PluginCall, to result: inout AddResult, undo: inout UndoLog) throws

  /// CHECK: throws when what `apply` has done is not there any more. `result` is that of the whole list.
  func verify(_ call: PluginCall, against result: AddResult) throws

  /// DEL: removes what `apply` left, as far as it does not go with the container's namespace. Nothing to remove is no
  /// error. `previous` is the attachment's result where the runtime handed it on.
  func remove(_ call: PluginCall, previous: AddResult?) throws

  /// GC: removes what stale attachments of the network left.
  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws

  /// STATUS: throws code 50 when something that an ADD needs is missing; privileges are the kit's.
  func checkRequirements(_ call: PluginCall) throws
}

extension ChainedPlugin {
  /// `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`.
  public static var neededPrivileges: [Privileges.Capability] { [.netAdmin, .sysAdmin] }
  /// Nothing: all of it goes with the container's namespace.
  public func remove(_ call: PluginCall, previous: AddResult?) throws {}
  /// Nothing: all of it goes with the containers' namespaces.
  public func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {}
  /// No needs beyond privileges.
  public func checkRequirements(_ call: PluginCall) throws {}
}

extension ChainedPlugin {
  /// ADD: what the plugin does, undone if a step of it fails; then the result for the next one.
  public func add(_ call: PluginCall) throws -> AddResult {
    var result = try call.requiredPrevResult()
    var undo = UndoLog()
    do {
      try apply(call, to: &result, undo: &undo)
      // A result that the caller's version has no words for is a failure like any other.
      try result.requireExpressible(in: call.configuration.version)
    } catch {
      throw undo.rollBack(after: error)
    }
    return result
  }

  /// CHECK against the result of the whole list.
  public func check(_ call: PluginCall) throws {
    try verify(call, against: call.requiredPrevResult())
  }

  /// DEL. A previous result that cannot be read must not keep anything from being removed.
  public func delete(_ call: PluginCall) throws {
    try remove(call, previous: try? call.configuration.prevResult())
  }

  /// GC, with the marks of what is not valid any more.
  public func collectGarbage(_ call: PluginCall, keeping valid: Set<Attachment>) throws {
    try collectGarbage(call, stale: StaleMarks(network: call.network, valid: valid))
  }

  /// STATUS: privileges, then the plugin's own needs.
  public func status(_ call: PluginCall) throws {
    try Self.requirePrivileges(Self.neededPrivileges, for: "do its work")
    try reportingUnavailability { try checkRequirements(call) }
  }
}
