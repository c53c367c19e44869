import CNI
import LinuxNetworking
import NetworkAddresses

/// The host as the router between its containers and the world: settings of its kernel.
public enum Router {
  /// Whose packets are forwarded, by a setting for each family.
  private static let forwarding: [(family: AddressFamily, setting: String)] = [
    (.ipv4, "net/ipv4/ip_forward"), (.ipv6, "net/ipv6/conf/all/forwarding"),
  ]

  /// Lets the host forward the families that the addresses are of. Nobody switches it off again: others may rely on it
  /// by then.
  ///
  /// - Throws: `FileError` where it is off and cannot be written.
  public static func enableForwarding(for addresses: [IPConfiguration]) throws {
    for (family, setting) in forwarding where addresses.contains(where: { $0.address.family == family }) {
      try Sysctl.ensure(setting, is: "1")
    }
  }

  /// CHECK: the host still forwards the families that the addresses are of.
  public static func verifyForwarding(for addresses: [IPConfiguration]) throws {
    for (family, setting) in forwarding where addresses.contains(where: { $0.address.family == family }) {
      guard try Sysctl.read(setting) == "0" else { continue }
      throw CNIError(
        .internalError, "the host does not forward \(family) any more",
        details: "something has set \(setting.replacingSlashes) to 0 since ADD set it to 1")
    }
  }

  /// Keeps the host from taking routes and addresses from what a container announces at `interface` (`accept_ra`).
  ///
  /// - Returns: The setting's value before; `nil` if it was not changed, or if the kernel has no IPv6.
  @discardableResult
  public static func refuseAdvertisements(on interface: String) -> String? {
    let setting = acceptance(interface)
    guard let before = try? Sysctl.read(setting), before != "0", (try? Sysctl.write("0", to: setting)) != nil
    else { return nil }
    return before
  }

  /// Gives the setting back the value that `refuseAdvertisements` found.
  public static func restoreAdvertisements(on interface: String, _ value: String) {
    // The interface may be gone.
    try? Sysctl.write(value, to: acceptance(interface))
  }

  private static func acceptance(_ interface: String) -> String { "net/ipv6/conf/\(interface)/accept_ra" }
}

extension String {
  /// A setting's name as `sysctl(8)` has it.
  fileprivate var replacingSlashes: String { String(map { $0 == "/" ? "." : $0 }) }
}
