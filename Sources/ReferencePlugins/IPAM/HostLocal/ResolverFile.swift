import CNI
import Glibc

/// Reads the `resolvConf` file of a configuration, in the format of resolv.conf(5).
///
/// As in the Go plugin, `search` and `options` lines add to earlier ones, where the C library lets the last `search`
/// line win; other keywords are ignored.
enum ResolverFile {
  static func read(_ path: String) throws(CNIError) -> DNSConfiguration {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw failure(path, errno) }
    defer { close(file) }
    var content: [UInt8] = []
    while content.count < 1 << 20 {
      let start = content.count
      content.append(contentsOf: repeatElement(0, count: 4096))
      let count = content.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress! + start, 4096) }
      guard count >= 0 else { throw failure(path, errno) }
      content.removeLast(4096 - count)
      if count == 0 { break }
    }
    return parse(content)
  }

  static func parse(_ content: [UInt8]) -> DNSConfiguration {
    var dns = DNSConfiguration()
    for line in content.split(separator: UInt8(ascii: "\n")) {
      let words = line.split { $0 == 0x20 || (0x09...0x0d).contains($0) }.map {
        String(decoding: $0, as: UTF8.self)
      }
      guard words.count >= 2, !words[0].hasPrefix("#"), !words[0].hasPrefix(";") else { continue }
      switch words[0] {
      case "nameserver": dns.nameservers.append(words[1])
      case "domain": dns.domain = words[1]
      case "search": dns.search += words[1...]
      case "options": dns.options += words[1...]
      default: break
      }
    }
    return dns
  }

  private static func failure(_ path: String, _ code: Int32) -> CNIError {
    CNIError(
      .ioFailure,
      "cannot read the file that ipam.resolvConf names, \(path): \(String(cString: strerror(code)))")
  }
}
