import CNI
import LinuxNetworking

/// The lock of a container's network namespace, for what several plugins choose there, such as the number of a table.
///
/// It is the one of ``HostLock``, which the Go plugins take as well where they take any.
public enum ContainerLock {
  /// How often it is tried, 10 ms apart. Whoever has good reason to hold it does so for a few milliseconds.
  public static let attempts = 200

  /// Holds the lock alone, until the namespace is closed.
  ///
  /// - Throws: `CNIError` with code 11 if somebody has held it for two seconds: the container's own processes can.
  public static func take(_ namespace: borrowing NetworkNamespace, for call: PluginCall) throws(CNIError) {
    guard !HostLock.tryExclusively(namespace, attempts: attempts) else { return }
    throw CNIError(
      .tryAgainLater,
      "somebody has locked the container's network namespace (\(namespace.path)) for two seconds",
      details: "`lslocks` tells who")
  }
}
