import CNI
import LinuxNetworking

extension Plugin {
  /// For STATUS: throws code 50 if the process lacks one of the capabilities.
  ///
  /// - Parameter purpose: What cannot be done without, as it completes "TYPE cannot …": `make interfaces`.
  static func requirePrivileges(_ needed: [Privileges.Capability], for purpose: String) throws(CNIError) {
    guard !needed.isEmpty, let missing = Privileges.explanation(needed: needed) else { return }
    throw CNIError(.notAvailable, "\(type) cannot \(purpose)", details: missing)
  }

  /// For STATUS: what `body` throws becomes code 50, unless it is 51, which says more.
  public func reportingUnavailability(_ body: () throws -> Void) throws(CNIError) {
    do {
      try body()
    } catch {
      var failure = CNIError(describing: error)
      if failure.code != .limitedConnectivity { failure.code = .notAvailable }
      throw failure
    }
  }
}

extension PluginCall {
  /// The result of the plugin before (ADD) or of the whole list (CHECK), for a plugin that is no use without it.
  ///
  /// - Throws: code 7 if the runtime gave none; 6 or 1 if it is not a result.
  public func requiredPrevResult() throws(CNIError) -> AddResult {
    if let result = try configuration.prevResult() { return result }
    if command == .check {
      throw CNIError(
        .invalidConfiguration, "CHECK needs prevResult, the result of ADD, in the configuration",
        details: "the runtime keeps it in its cache; without it, delete and add the attachment again")
    }
    let name = configuration.type.isEmpty ? "this plugin" : configuration.type
    throw CNIError(
      .invalidConfiguration,
      "\(name) builds on the result of another plugin, and there is none (no prevResult in the configuration)",
      details: "put it behind a plugin that makes an interface, in the same list of \"plugins\"; lists need "
        + "cniVersion 0.3.0 or later")
  }
}
