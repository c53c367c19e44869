import CNI
import LinuxNetworking
import NetworkAddresses
import Netlink

/// What an interface plugin works with during one ADD or CHECK: both namespaces, a socket in each, the undo log.
public final class InterfaceAttachment {
  /// The call.
  public let call: PluginCall
  /// The container's network namespace.
  public let namespace: NetworkNamespace
  /// The namespace that the plugin runs in. Its file also serves as the lock that keeps what attachments share (a
  /// bridge) from being removed while somebody is about to use it.
  public let hostNamespace: NetworkNamespace
  /// A route socket on the host.
  public var host: RouteSocket
  /// How to take back what was done so far.
  public var undo = UndoLog()
  private var containerSocket: RouteSocket?

  /// Opens the namespaces of `call`.
  ///
  /// - Throws: `NamespaceError` when the container's is gone or none; `CNIError` with code 4 when it is the
  ///   plugin's own, unless `CNI_NETNS_OVERRIDE` allows that.
  public init(_ call: PluginCall) throws {
    self.call = call
    namespace = try NetworkNamespace.open(call.namespacePath)
    hostNamespace = try NetworkNamespace.current()
    host = try RouteSocket()
    if !call.request.netnsOverride, try namespace.identity == hostNamespace.identity {
      throw CNIError(
        .invalidEnvironment,
        "CNI_NETNS (\(call.namespacePath)) is the network namespace that the plugin itself runs in",
        details: "pass the container's namespace, or set CNI_NETNS_OVERRIDE=1 if this is meant")
    }
  }

  /// Talks to the kernel in the container's namespace; the socket is opened at the first use.
  public func inContainer<R>(_ body: (inout RouteSocket) throws -> R) throws -> R {
    if containerSocket == nil { try enteringContainer {} }
    return try body(&containerSocket!)
  }

  /// Runs `body` with the calling thread in the container's namespace.
  ///
  /// The route socket is opened on the way where it is not yet: one switch of namespaces serves both.
  public func enteringContainer<R>(_ body: () throws -> R) throws -> R {
    try namespace.run(from: hostNamespace) {
      if containerSocket == nil { containerSocket = try RouteSocket() }
      return try body()
    }
  }
}
