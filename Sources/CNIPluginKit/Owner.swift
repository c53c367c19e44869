import CNI

/// The mark that everything on the host carries for the attachment, or the network, that it was made for.
///
/// Links carry it as their alias (`ip link` prints it), nf_tables elements as their comment, so that GC, CHECK and a
/// person can tell whose it is with no other state. The text is `cni:NETWORK/CONTAINER/INTERFACE` for what belongs to
/// one attachment and `cni:NETWORK` for what the attachments of a network share. None of the three names can contain
/// a slash or a colon.
public struct Owner: Hashable, Sendable, CustomStringConvertible {
  /// The network's name.
  public let network: String
  /// The attachment; `nil` for what the whole network shares.
  public let attachment: Attachment?

  /// The owner of what one attachment of `network` uses.
  public init(network: String, containerID: String, interfaceName: String) {
    self.network = network
    attachment = Attachment(containerID: containerID, interfaceName: interfaceName)
  }

  /// The owner of what all attachments of `network` share.
  public init(network: String) {
    self.network = network
    attachment = nil
  }

  /// Reads a mark; `nil` for a text that is not one, or that was cut off.
  public init?(_ text: String) {
    guard Self.isMark(text) else { return nil }
    let parts = text.utf8.dropFirst(4).split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    switch parts.count {
    case 1:
      self.init(network: String(Substring(parts[0])))
    case 3:
      self.init(
        network: String(Substring(parts[0])), containerID: String(Substring(parts[1])),
        interfaceName: String(Substring(parts[2])))
    default: return nil
    }
    if network.isEmpty { return nil }
  }

  /// Whether a text is anybody's mark, possibly a shortened one.
  public static func isMark(_ text: String) -> Bool { text.hasPrefix("cni:") }

  /// The mark: what `init(_:)` reads.
  public var description: String {
    guard let attachment else { return "cni:" + network }
    return "cni:" + network + "/" + attachment.containerID + "/" + attachment.interfaceName
  }

  /// The mark cut to what an interface alias (255 bytes, `IFALIASZ`) and an nf_tables comment (128 bytes) can hold,
  /// with a hash of the whole in place of the end, so that two long marks never read the same.
  public func mark(limit: Int) -> String {
    let text = description
    guard text.utf8.count > limit else { return text }
    return String(text.prefix(limit - 17)) + "~" + FNV.hexadecimal(text)
  }

  /// What the comment of an nf_tables rule or element has room for, in bytes: nft takes no longer one back.
  public static let commentLimit = 127

  /// Whether a mark read back from the kernel, possibly a shortened one, is this owner's.
  public func owns(_ text: String, limit: Int) -> Bool { text == mark(limit: limit) }

  /// The host's name for the attachment's link: `veth` and eight hexadecimal digits that follow from the owner.
  ///
  /// Being derived, not random, it lets DEL find the link when the container's namespace is already gone.
  ///
  /// - Parameters:
  ///   - prefix: What the name begins with.
  ///   - attempt: Above 0, another name, for when the first one is taken by somebody else.
  public func linkName(prefix: String = "veth", attempt: Int = 0) -> String {
    prefix + String(FNV.hexadecimal(attempt == 0 ? description : "\(attempt) " + description).prefix(8))
  }

  /// The names that ADD tries in turn, and that DEL therefore looks at: one that was taken then may be free by now, so
  /// a gap says nothing of the names behind it.
  public var linkNames: LazyMapSequence<Range<Int>, String> { (0..<10).lazy.map { linkName(attempt: $0) } }
}

/// FNV-1a, 64 bits: short, stable names out of long ones. Not for secrets.
enum FNV {
  static func hash(_ text: String) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    // FNV's high bits mix slowly for short texts; one avalanche step (MurmurHash3's) makes every prefix usable.
    hash = (hash ^ (hash >> 33)) &* 0xff51_afd7_ed55_8ccd
    return hash ^ (hash >> 33)
  }

  static func hexadecimal(_ text: String) -> String {
    var rest = hash(text)
    return String(unsafeUninitializedCapacity: 16) { digits in
      for index in (0..<16).reversed() {
        let digit = UInt8(truncatingIfNeeded: rest & 0xf)
        digits[index] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
        rest >>= 4
      }
      return 16
    }
  }
}
