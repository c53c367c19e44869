import CNI
import LinuxNetworking

/// A kernel setting of the container's network, and the value it is to have.
struct SysctlSetting: Sendable, Hashable {
  /// The key as the configuration writes it: `net.ipv4.conf.IFNAME.arp_notify`.
  let key: String
  /// Below `/proc/sys`: `net/ipv4/conf/eth0/arp_notify`.
  let path: String
  /// As it is written; `\n` for an empty one, which is how lists are emptied.
  let value: String

  init(_ key: String, _ value: String, interface: String) throws(SysctlMistake) {
    self.key = key
    path = try Self.path(of: key, interface: interface)
    self.value = value.isEmpty ? "\n" : value
  }

  private static let root = "/proc/sys/"

  /// The path that a key stands for, below `/proc/sys`.
  ///
  /// Keys are names as for `sysctl(8)`: with dots, where a slash stands for a dot, or with slashes. `IFNAME` is the
  /// container's interface.
  static func path(of key: String, interface: String) throws(SysctlMistake) -> String {
    let file: String
    do {
      file = try Sysctl.path(of: key)
    } catch {
      throw SysctlMistake.malformed
    }
    let path = String(file.dropFirst(root.utf8.count))
    guard isOfNetwork(path) else { throw SysctlMistake.notOfNetwork }
    // A name can neither have a slash nor be "." or "..", but it can complete one of these.
    let replaced = path.replacingFirst("IFNAME", with: interface)
    guard isOfNetwork(replaced) else { throw SysctlMistake.malformed }
    return replaced
  }

  /// Whether a path leads to what is below `net`, which each network namespace has for itself, and nowhere else.
  static func isOfNetwork(_ path: String) -> Bool {
    let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return parts.count > 1 && parts[0].elementsEqual("net".utf8) && !path.utf8.contains(0)
      && parts.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
  }

  /// Whether two values mean the same to the kernel, which prints lists with tabs, numbers without leading zeros, and
  /// lists of ports with neighbours joined (`1-3` for `1,2,3`).
  static func same(_ one: String, _ other: String) -> Bool {
    if one == other { return true }
    func words(_ text: String) -> [Substring.UTF8View.SubSequence] {
      text.utf8.split { $0 == 0x20 || 0x09...0x0d ~= $0 }
    }
    let (left, right) = (words(one), words(other))
    guard left.count == right.count else { return false }
    return zip(left, right).allSatisfy { a, b in
      if a.elementsEqual(b) { return true }
      let (a, b) = (String(Substring(a)), String(Substring(b)))
      if let number = Int(a) { return number == Int(b) }
      return ports(a).map { $0 == ports(b) } ?? false
    }
  }

  /// `8080,9000-9002` as numbers; nil for anything else.
  private static func ports(_ text: String) -> Set<Int>? {
    var ports: Set<Int> = []
    for part in text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      let ends = part.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false).map {
        Int(String(Substring($0))) ?? -1
      }
      guard let first = ends.first, let last = ends.last, ends.count <= 2, first >= 0, first <= last,
        last < 65536
      else { return nil }
      ports.formUnion(first...last)
    }
    return ports
  }
}

/// What is wrong with a key.
enum SysctlMistake: Error {
  case malformed
  case notOfNetwork
}

extension String {
  /// Glibc has no such thing, and the standard library's own look for grapheme clusters.
  fileprivate func replacingFirst(_ word: String, with other: String) -> String {
    let (bytes, wanted) = (Array(utf8), Array(word.utf8))
    guard bytes.count >= wanted.count else { return self }
    for start in 0...(bytes.count - wanted.count) where bytes[start...].starts(with: wanted) {
      return String(
        decoding: bytes[..<start] + Array(other.utf8) + bytes[(start + wanted.count)...], as: UTF8.self)
    }
    return self
  }
}
