import CNI
import LinuxNetworking
import Netlink

extension PluginCall {
  /// Opens the container's namespace, `CNI_NETNS`.
  ///
  /// - Throws: `NamespaceError` if it is gone or none; `CNIError` with code 4 if it is the plugin's own, where what is
  ///   meant for a container would befall the host, unless `CNI_NETNS_OVERRIDE` allows that.
  public func containerNamespace() throws -> NetworkNamespace {
    let namespace = try NetworkNamespace.open(namespacePath)
    if !request.netnsOverride, try namespace.isCurrent {
      throw CNIError(
        .invalidEnvironment,
        "CNI_NETNS (\(namespacePath)) is the network namespace that the plugin itself runs in",
        details: "pass the container's namespace, or set CNI_NETNS_OVERRIDE=1 if this is meant")
    }
    return namespace
  }

  /// The links, addresses and routes of the container's namespace.
  ///
  /// - Throws: As ``containerNamespace()``; `NetlinkError`.
  public func containerSocket() throws -> RouteSocket {
    // A name of its own: what has none is closed before the descriptor is used.
    let namespace = try containerNamespace()
    return try RouteSocket(namespace: namespace.descriptor)
  }

  /// Opens the container's namespace, which may be gone, or not even given: `nil` then. There is nothing left in it.
  public func containerNamespaceIfPresent() throws -> NetworkNamespace? {
    if namespacePath.isEmpty { return nil }
    do {
      return try containerNamespace()
    } catch NamespaceError.gone {
      return nil
    }
  }
}
