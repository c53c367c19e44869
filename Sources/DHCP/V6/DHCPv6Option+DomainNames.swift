extension DHCPv6Option {
  /// Reads names as labels (RFC 1035, section 3.1; RFC 8415, section 10, forbids compression). `nil` if a label leads
  /// beyond the end or has more than 63 bytes, or a name more than 255.
  ///
  /// A name that could not be a host's is left out.
  static func domainNames(_ data: ArraySlice<UInt8>) -> [String]? {
    var reader = ByteReader(data)
    var names: [String] = []
    while !reader.isAtEnd {
      var name: [UInt8] = []
      var isHostName = true
      while true {
        guard let length = reader.byte(), length <= 63, let label = reader.bytes(Int(length)) else {
          return nil
        }
        guard length > 0 else { break }
        if !name.isEmpty { name.append(UInt8(ascii: ".")) }
        name += label
        isHostName = isHostName && label.allSatisfy(\.isOfHostName)
        guard name.count <= 253 else { return nil }
      }
      if isHostName && !name.isEmpty { names.append(String(decoding: name, as: UTF8.self)) }
    }
    return names
  }

  /// Labels of more than 63 bytes are cut.
  static func write(domainName: String, to bytes: inout [UInt8]) {
    for label in domainName.utf8.split(separator: UInt8(ascii: ".")) {
      bytes.append(UInt8(min(label.count, 63)))
      bytes += label.prefix(63)
    }
    bytes.append(0)
  }
}
