import CLinux
import Glibc

/// What the process may do, for explaining an `EPERM`, and for those who start a plugin by hand.
public enum Privileges {
  /// A capability that network plugins need (`capabilities(7)`). The raw value is its number.
  public enum Capability: UInt8, Sendable, Hashable, CaseIterable {
    /// Links, addresses, routes, rules, kernel settings of the network.
    case netAdmin = 12
    /// Packet sockets: announcements of addresses.
    case netRaw = 13
    /// Entering and making namespaces, mounting.
    case sysAdmin = 21

    /// `CAP_NET_ADMIN`, …
    public var name: String {
      switch self {
      case .netAdmin: "CAP_NET_ADMIN"
      case .netRaw: "CAP_NET_RAW"
      case .sysAdmin: "CAP_SYS_ADMIN"
      }
    }
  }

  /// Those of `needed` that the calling thread does not have in its effective set. One system call.
  public static func missing(_ needed: [Capability] = Capability.allCases) -> [Capability] {
    var set: UInt64 = 0
    // It cannot fail for the calling thread; if something forbids even that, the kernel has the last word.
    guard clinux_effective_capabilities(&set) == 0 else { return [] }
    return needed.filter { set & 1 << UInt64($0.rawValue) == 0 }
  }

  /// Why something was not permitted, in words for whoever has to change it; nil if nothing can be seen that
  /// would explain it.
  ///
  /// `CAP_NET_ADMIN and CAP_SYS_ADMIN are missing (user ID 1000): run it as root, or …`
  public static func explanation(needed: [Capability] = Capability.allCases) -> String? {
    let missing = missing(needed).map(\.name)
    if let last = missing.last {
      let list = missing.count == 1 ? last : missing.dropLast().joined(separator: ", ") + " and " + last
      let verb = missing.count == 1 ? "is" : "are"
      return geteuid() == 0
        ? "\(list) \(verb) missing although the user ID is 0: the container or service that this runs in drops them"
        : "\(list) \(verb) missing (user ID \(geteuid())): run it as root, as container runtimes do"
    }
    guard isInUserNamespace else { return nil }
    return
      "this runs in a user namespace: its capabilities are good only for network namespaces made inside of it"
  }

  /// The first user namespace maps all IDs onto themselves.
  private static var isInUserNamespace: Bool {
    guard let map = try? StateFile.read("/proc/self/uid_map", limit: 1 << 16) else { return false }
    let words = map.split { $0 == 0x20 || $0 == 0x0a }
    return words.map { String(decoding: $0, as: UTF8.self) } != ["0", "0", "4294967295"]
  }
}
