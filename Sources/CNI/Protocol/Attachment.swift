/// A container's interface in a network: what ADD makes and DEL removes.
public struct Attachment: Hashable, Sendable {
  /// The container's ID.
  public var containerID: String
  /// The name of the interface in the container.
  public var interfaceName: String

  /// The attachment of a container by an interface.
  public init(containerID: String, interfaceName: String) {
    self.containerID = containerID
    self.interfaceName = interfaceName
  }

  /// The attachment as GC is given it.
  public func encode() -> JSONValue {
    ["containerID": .string(containerID), "ifname": .string(interfaceName)]
  }

  init(_ object: ConfigurationObject) throws(CNIError) {
    containerID = try object.requiredString("containerID")
    interfaceName = try object.requiredString("ifname")
  }
}
