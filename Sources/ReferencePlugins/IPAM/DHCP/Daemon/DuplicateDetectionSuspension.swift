import LinuxNetworking

/// The kernel does not look for duplicates of an interface's IPv6 addresses for as long as this lives; afterwards it does as
/// before.
final class DuplicateDetectionSuspension {
  private let namespace: NetworkNamespace
  private let setting: String
  private let before: String

  /// Suspends it in the namespace that the calling thread is in.
  ///
  /// - Returns: `nil` if that is not possible, or nothing is looked for anyway.
  init?(of interface: String) {
    let setting = "net/ipv6/conf/\(interface)/accept_dad"
    guard let before = try? Sysctl.read(setting), before != "0",
      let namespace = try? NetworkNamespace.current()
    else { return nil }
    do throws(FileError) { try Sysctl.write("0", to: setting) } catch { return nil }
    self.namespace = namespace
    self.setting = setting
    self.before = before
  }

  deinit {
    // The interface may be gone, and its setting with it. What another has set meanwhile is to stay.
    try? namespace.run(from: NetworkNamespace.current()) {
      if (try? Sysctl.read(setting)) == "0" { try? Sysctl.write(before, to: setting) }
    }
  }
}
