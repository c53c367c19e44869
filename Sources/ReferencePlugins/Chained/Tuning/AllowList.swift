import CNI
import LinuxNetworking

/// The settings that the administrator of the host lets configurations change: `/etc/cni/tuning/allowlist.conf`.
///
/// Each line is a regular expression, and a setting is allowed if one of them matches anywhere in its key as the
/// configuration writes it (`net.ipv4.conf.IFNAME.arp_notify`). Without the file, everything is allowed.
struct AllowList: Sendable {
  /// Where it is.
  static let defaultPath = "/etc/cni/tuning/allowlist.conf"

  let path: String
  /// The lines that are not empty, with their numbers, without white space around them.
  private let lines: [(number: Int, text: String)]

  /// Reads the list; nil if there is none.
  ///
  /// - Throws: `FileError` if it is there and cannot be read.
  init?(path: String = defaultPath) throws(FileError) {
    guard let bytes = try StateFile.readIfPresent(path) else { return nil }
    self.path = path
    var lines: [(number: Int, text: String)] = []
    var number = 0
    for line in bytes.split(separator: 0x0a, omittingEmptySubsequences: false) {
      number += 1
      func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0d ~= byte }
      guard let first = line.firstIndex(where: { !isBlank($0) }),
        let last = line.lastIndex(where: { !isBlank($0) })
      else { continue }
      lines.append((number, String(decoding: line[first...last], as: UTF8.self)))
    }
    self.lines = lines
  }

  /// Checks that every setting is allowed.
  ///
  /// - Throws: `CNIError` with code 7 for one that is not, or for a line that is no regular expression and comes before
  ///   one that matches.
  func require(_ settings: [SysctlSetting]) throws(CNIError) {
    var expressions: [RegularExpression] = []
    for setting in settings {
      var isAllowed = false
      for index in lines.indices where !isAllowed {
        if index == expressions.count { expressions.append(try expression(lines[index])) }
        isAllowed = expressions[index].matches(setting.key)
      }
      guard isAllowed else {
        throw CNIError(
          .invalidConfiguration, "sysctl: \(setting.key) is not allowed on this host",
          details: "no line of \(path) matches it; its administrator decides what may be set")
      }
    }
  }

  /// STATUS: every line is a regular expression.
  ///
  /// - Throws: `CNIError` with code 7 for the first that is none.
  func validate() throws(CNIError) {
    for line in lines { _ = try expression(line) }
  }

  private func expression(_ line: (number: Int, text: String)) throws(CNIError) -> RegularExpression {
    do {
      return try RegularExpression(line.text)
    } catch {
      throw CNIError(
        .invalidConfiguration,
        "line \(line.number) of \(path) is not a regular expression: \(error.reason)",
        details: "the line is \(line.text)")
    }
  }
}
