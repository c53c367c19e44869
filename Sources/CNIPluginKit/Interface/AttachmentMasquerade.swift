import CNI

/// Masquerading as a step of an interface plugin with `ipMasq`: what it does at ADD, CHECK and DEL. GC is
/// `removeAll(where:)`, STATUS `checkRequirements(_:)`.
extension Masquerade {
  /// ADD: masquerades the addresses of `result`, if there are any, and registers the undo.
  public static func install(
    _ backend: Backend, for result: AddResult, in attachment: InterfaceAttachment
  ) throws {
    if result.ips.isEmpty { return }
    let masquerade = Masquerade(prefixes: result.ips.map(\.address), owner: attachment.call.owner)
    attachment.undo.register("masquerading") { try masquerade.remove() }
    try masquerade.install(backend)
  }

  /// CHECK: throws unless all addresses of `result` are masqueraded.
  public static func verify(_ result: AddResult, in attachment: InterfaceAttachment) throws {
    if result.ips.isEmpty { return }
    try Masquerade(prefixes: result.ips.map(\.address), owner: attachment.call.owner).verify()
  }

  /// DEL: removes what any implementation installed for the attachment; `backend` is what the configuration asks for
  /// now, `nil` for nothing.
  ///
  /// Also where it asks for nothing: at ADD it may have been another one.
  public static func remove(_ backend: Backend?, of call: PluginCall, previous: AddResult?) throws {
    try Masquerade(prefixes: previous?.ips.map(\.address) ?? [], owner: call.owner)
      .remove(knowsPrefixes: previous != nil, includingForeign: backend != nil)
  }
}
