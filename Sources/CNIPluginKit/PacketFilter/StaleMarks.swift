import CNI

/// The marks of a network's attachments that a GC has to remove: all but those of the valid ones.
public struct StaleMarks: Sendable {
  /// The network.
  public let network: String
  /// The attachments that are to stay.
  public let valid: Set<Attachment>
  private let validMarks: Set<String>

  /// The marks of `network` whose attachment is not in `valid`.
  public init(network: String, valid: Set<Attachment>) {
    self.network = network
    self.valid = valid
    var marks: Set<String> = []
    for attachment in valid {
      let owner = Owner(
        network: network, containerID: attachment.containerID, interfaceName: attachment.interfaceName)
      // A mark is shortened where it is kept, in one of two lengths.
      for limit in [OwnedLinks.aliasLimit, Owner.commentLimit] { marks.insert(owner.mark(limit: limit)) }
    }
    validMarks = marks
  }

  /// Whether a mark read back from the kernel is of an attachment that is not valid any more.
  public func contains(_ mark: String) -> Bool {
    mark.hasPrefix("cni:" + network + "/") && !validMarks.contains(mark)
  }
}
