import CLinux
import CNI
import Glibc
import LinuxNetworking
import NetworkAddresses
import SystemPackage

/// iptables, for those who ask for it: its programs, and a look into the kernel's legacy tables without them.
struct IPTables {
  private let family: AddressFamily

  init(_ family: AddressFamily) { self.family = family }

  /// Lines for `iptables-restore`.
  struct Rules {
    private var lines: [String]

    init(table: String) { lines = ["*" + table] }

    /// Makes a chain, or empties the one there is.
    mutating func makeChain(_ name: String) { lines.append(":\(name) - [0:0]") }
    mutating func append(_ line: String) { lines.append(line) }

    var text: String { (lines + ["COMMIT", ""]).joined(separator: "\n") }
  }

  /// Carries out `rules` in one call, and leaves everything else as it is.
  func restore(_ rules: Rules, legacy: Bool = false) throws {
    let name = program(legacy: legacy) + "-restore"
    _ = try HostProgram(name).run(["--wait", "--noflush"], input: rules.text)
  }

  private func program(legacy: Bool) -> String {
    (family == .ipv4 ? "iptables" : "ip6tables") + (legacy ? "-legacy" : "")
  }

  /// Whether the legacy table of the thread's network namespace has a chain of that name, read with `getsockopt` as
  /// iptables itself does. A kernel without the table, or without permission, has none.
  func legacyTable(_ table: String, contains chain: String) -> Bool {
    // Asking for a table that is not in use would create it.
    let names = family == .ipv4 ? "ip_tables_names" : "ip6_tables_names"
    guard let used = try? StateFile.read("/proc/thread-self/net/" + names),
      String(decoding: used, as: UTF8.self).split(separator: "\n").contains(Substring(table))
    else { return false }
    let socket = Glibc.socket(
      family == .ipv4 ? AF_INET : AF_INET6, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_RAW))
    guard socket >= 0 else { return false }
    defer { close(socket) }
    let level = Int32(family == .ipv4 ? IPPROTO_IP : IPPROTO_IPV6)
    // Where somebody changes the table between the two questions, they are asked again.
    for _ in 0..<100 {
      switch Self.legacyEntries(table, socket, level) {
      case .success(let entries): return Self.entries(entries, contain: chain)
      case .failure(.resourceTemporarilyUnavailable): continue
      case .failure: return false
      }
    }
    return false
  }

  /// The entries of a legacy table, as the kernel has them.
  private static func legacyEntries(
    _ table: String, _ socket: Int32, _ level: Int32
  ) -> Result<[UInt8], Errno> {
    // struct ipt_getinfo: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size.
    var info = Array(table.utf8) + [UInt8](repeating: 0, count: 84 - table.utf8.count)
    var length = socklen_t(info.count)
    guard getsockopt(socket, level, 64, &info, &length) == 0 else { return .failure(Errno(rawValue: errno)) }
    let size = info.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 80, as: UInt32.self) }
    // struct ipt_get_entries: name[32], size, padding, the entries.
    var entries = [UInt8](repeating: 0, count: 40 + Int(size))
    entries.replaceSubrange(0..<table.utf8.count, with: table.utf8)
    withUnsafeBytes(of: size) { entries.replaceSubrange(32..<36, with: $0) }
    length = socklen_t(entries.count)
    guard getsockopt(socket, level, 65, &entries, &length) == 0 else {
      return .failure(Errno(rawValue: errno))
    }
    return .success(entries)
  }

  private static func entries(_ entries: [UInt8], contain chain: String) -> Bool {
    // A chain begins with an entry that holds its name, followed by a zero.
    entries.withUnsafeBytes { bytes in
      let name = Array(chain.utf8) + [0]
      return clinux_memmem(bytes.baseAddress!, bytes.count, name, name.count) != nil
    }
  }

  /// Removes a chain of a legacy table with every rule that jumps to it.
  func removeLegacyChain(_ chain: String, table: String) throws {
    let saved = try HostProgram(program(legacy: true) + "-save").run(["-t", table], input: "")
    var rules = Rules(table: table)
    for line in saved.split(separator: "\n") where line.hasPrefix("-A ") && !line.hasPrefix("-A \(chain) ") {
      guard line.split(separator: " ").contains(Substring(chain)) else { continue }
      rules.append("-D" + line.dropFirst(2))
    }
    rules.append("-F \(chain)")
    rules.append("-X \(chain)")
    try restore(rules, legacy: true)
  }
}
