import CNI
import Netlink

// The mark of a device that was moved into a container is one of its alternative names: the kernel finds it by that in
// either namespace, whatever the container calls it. The alias, where other links have their mark, has the device's
// name on the host, as with the Go plugins: they can bring it back, too.

extension Owner {
  /// The mark as an alternative name: `cni:NETWORK:CONTAINER:INTERFACE`, at most 127 bytes. A slash would do for the kernel,
  /// but not for `ip`.
  public var alternativeName: String { Self.exchange("/", ":", in: mark(limit: 127)) }

  /// The mark that an alternative name stands for; nil if it is none.
  static func mark(alternativeName name: String) -> String? {
    name.hasPrefix("cni:") ? exchange(":", "/", in: name) : nil
  }

  private static func exchange(_ old: Character, _ new: Character, in text: String) -> String {
    "cni:" + String(text.dropFirst(4).map { $0 == old ? new : $0 })
  }
}

extension Link {
  /// The alternative names that are marks of attachments.
  var marks: [String] { alternativeNames.filter { $0.hasPrefix("cni:") } }

  /// Whether it was moved for an attachment.
  public var isMarked: Bool { !marks.isEmpty }

  /// Whether the attachment has it.
  public func hasMark(of owner: Owner) -> Bool { alternativeNames.contains(owner.alternativeName) }

  /// Whether another attachment has it.
  func hasMark(otherThan owner: Owner) -> Bool { !marks.isEmpty && !hasMark(of: owner) }

  /// The alias, if it can be the name of an interface: what a device that was moved is called on the host.
  public var nameInAlias: String? {
    guard let alias, (try? Validation.interfaceName(alias)) != nil else { return nil }
    return alias
  }
}

extension StaleMarks {
  /// Whether a link is a device that an attachment has which is not valid any more.
  func contains(deviceOf link: Link) -> Bool {
    link.marks.contains { Owner.mark(alternativeName: $0).map(contains) == true }
  }
}
