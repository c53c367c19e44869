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

  /// The parameters as far as they can be trusted later on: without a namespace that is given by a path in `/proc`. That names a
  /// process, which may have ended, and its number be another process's; a DEL would work in a foreign namespace, and works
  /// without any.
  public var lasting: AttachmentParameters {
    var lasting = self
    let first = namespace.split(separator: "/").first { $0 != "." }
    if namespace.hasPrefix("/"), first == "proc" { lasting.namespace = "" }
    return lasting
  }
}
