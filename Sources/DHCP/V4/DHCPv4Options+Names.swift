public import NetworkAddresses

extension DHCPv4Options {
  /// The domain of option 15; `nil` if there is none that could stand in resolv.conf(5).
  public var domain: String? {
    guard let text = text(.domainName) else { return nil }
    let name = text.hasSuffix(".") ? String(text.dropLast()) : text
    return DomainNames.isPlain(name) ? name : nil
  }

  /// The search list of option 119, up to the first name that cannot be read: as many names as a resolver may have.
  public var searchDomains: [String] { DomainNames.decode(self[.domainSearch] ?? [], limit: 32) }

  /// The first eight servers of option 6 that can be one.
  public var nameservers: [IPv4Address] { Array(addresses(.domainNameServers).filter(\.isUnicast).prefix(8)) }
}

/// Domain names as option 119 holds them: labels, with references to names before (RFC 1035, section 4.1.4; RFC 3397).
enum DomainNames {
  static func decode(_ bytes: [UInt8], limit: Int) -> [String] {
    var names: [String] = []
    var position = 0
    while position < bytes.count, names.count < limit {
      guard let (name, next) = name(in: bytes, at: position) else { break }
      if isPlain(name) { names.append(name) }
      position = next
    }
    return names
  }

  /// A name and where the next one starts. A reference only ever leads back: what is read is bounded.
  private static func name(in bytes: [UInt8], at start: Int) -> (String, next: Int)? {
    var labels: [String] = []
    var position = start
    var next: Int?
    var limit = start
    var length = 0
    while position < bytes.count {
      let head = Int(bytes[position])
      switch head >> 6 {
      case 0:
        if head == 0 { return (labels.joined(separator: "."), next ?? position + 1) }
        guard position + 1 + head <= bytes.count else { return nil }
        labels.append(String(decoding: bytes[position + 1..<position + 1 + head], as: UTF8.self))
        position += 1 + head
        length += 1 + head
        guard length <= 255 else { return nil }
      case 3:
        guard position + 1 < bytes.count else { return nil }
        let target = (head & 0x3f) << 8 | Int(bytes[position + 1])
        guard target < limit else { return nil }
        next = next ?? position + 2
        limit = target
        position = target
      default: return nil
      }
    }
    return nil
  }

  /// Whether it can stand in a resolver's configuration.
  static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 253
      && name.utf8.allSatisfy { $0.isOfHostName || $0 == UInt8(ascii: ".") }
  }
}
