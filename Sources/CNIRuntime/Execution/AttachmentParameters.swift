import CNI

/// What is asked for one attachment: the parameters of the specification, section 3.
public struct AttachmentParameters: Sendable, Hashable {
  /// The container.
  public var containerID: String
  /// The path of its network namespace. May be empty for DEL, when it is gone.
  public var namespace: String
  /// The interface inside the container.
  public var interfaceName: String
  /// Generic arguments (`CNI_ARGS`), which every plugin sees.
  public var arguments: CNIArguments
  /// Data by capability, of which each plugin sees what it has declared, under `runtimeConfig`.
  public var capabilityArguments: JSONObject

  /// The parameters of one attachment.
  public init(
    containerID: String, namespace: String, interfaceName: String, arguments: CNIArguments = CNIArguments(),
    capabilityArguments: JSONObject = JSONObject()
  ) {
    self.containerID = containerID
    self.namespace = namespace
    self.interfaceName = interfaceName
    self.arguments = arguments
    self.capabilityArguments = capabilityArguments
  }

  /// What identifies the attachment within its network.
  public var attachment: Attachment { Attachment(containerID: containerID, interfaceName: interfaceName) }
}
