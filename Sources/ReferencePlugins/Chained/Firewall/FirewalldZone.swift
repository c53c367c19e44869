import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses

/// A zone of firewalld that containers' addresses are put into, over D-Bus (`firewalld.dbus(5)`).
///
/// An address is added to the running configuration, where it takes effect at once, and to the permanent one: what is
/// only in the former is lost when somebody runs `firewall-cmd --reload`. The permanent one outlives the machine's
/// containers, though: who has put what there is kept in files (``FirewalldRecord``).
struct FirewalldZone: ~Copyable {
  let name: String
  private var connection: DBusConnection

  private static let service = "org.fedoraproject.FirewallD1"
  private static let path = "/org/fedoraproject/FirewallD1"
  /// Milliseconds for all calls of one attachment. A reload of thousands of rules takes firewalld some seconds, during
  /// which it answers nothing.
  private static let patience = 30_000

  /// Connects to the firewalld that runs.
  ///
  /// - Throws: `CNIError` with `code` if there is no system bus, or no firewalld on it.
  init(_ name: String, code: CNIError.Code = .internalError) throws(CNIError) {
    self.name = name
    connection = try Self.connect(code)
  }

  private static func connect(_ code: CNIError.Code) throws(CNIError) -> DBusConnection {
    do throws(DBusError) {
      var connection = try DBusConnection.open(timeout: patience)
      if try connection.hasOwner(service) { return connection }
    } catch {
      throw CNIError(
        code, "firewalld cannot be reached: \(error)",
        details: "start dbus and firewalld, or leave \"backend\" out: other back ends need neither")
    }
    throw CNIError(
      code, "firewalld does not run: nobody has the name \(service) on the system bus",
      details: "start firewalld, or leave \"backend\" out: other back ends do not need it")
  }

  /// Whether firewalld runs; false also without a system bus.
  static var isRunning: Bool {
    do throws(DBusError) {
      var connection = try DBusConnection.open(timeout: patience)
      return try connection.hasOwner(service)
    } catch { return false }
  }

  private mutating func call(_ method: String, _ address: IPAddress) throws(DBusError) -> [DBusValue] {
    try connection.call(
      method, of: Self.service + ".zone", path: Self.path, destination: Self.service,
      [.string(name), .string(IPPrefix.host(address).description)])
  }

  private mutating func callPermanent(_ method: String, _ address: IPAddress) throws(DBusError) {
    // firewalld gives its zones other objects when it is reloaded: asked for each time, and again if it has just done so.
    var attempts = 10
    while true {
      do throws(DBusError) {
        let answer = try connection.call(
          "getZoneByName", of: Self.service + ".config", path: Self.path + "/config",
          destination: Self.service, [.string(name)])
        guard let path = answer.first?.text else { throw .malformed("getZoneByName without an object") }
        try connection.call(
          method, of: Self.service + ".config.zone", path: path, destination: Self.service,
          [.string(IPPrefix.host(address).description)])
        return
      } catch {
        attempts -= 1
        guard error.meansNoObject, attempts > 0 else { throw error }
      }
    }
  }

  /// Puts an address into the zone.
  ///
  /// - Throws: `CNIError` if firewalld refuses, for example because another zone has the address.
  mutating func add(_ address: IPAddress) throws(CNIError) {
    do throws(DBusError) { _ = try call("addSource", address) } catch {
      if error.hasCode("ZONE_ALREADY_SET") || error.hasCode("ALREADY_ENABLED") { return }
      var details = ""
      var code = CNIError.Code.internalError
      if error.hasCode("ZONE_CONFLICT") {
        details = "another zone has the address: firewall-cmd --get-zone-of-source"
      }
      if error.hasCode("INVALID_ZONE") {
        code = .invalidConfiguration
        details = "firewalldZone: firewalld has no such zone; firewall-cmd --get-zones names those it has"
      }
      throw CNIError(code, "firewalld does not put \(address) into zone \(name): \(error)", details: details)
    }
  }

  /// Puts an address into the zone for good.
  mutating func addPermanently(_ address: IPAddress) throws(DBusError) {
    do throws(DBusError) { try callPermanent("addSource", address) } catch {
      if !error.hasCode("ALREADY_ENABLED") { throw error }
    }
  }

  /// Takes an address out of the zone, for good and now. One that is not there, or a zone that is not, is no error.
  ///
  /// In this order: a reload in between would bring back what is still permanent. The second is done in any case.
  mutating func remove(_ address: IPAddress) throws(DBusError) {
    var failure: DBusError?
    do throws(DBusError) { try callPermanent("removeSource", address) } catch {
      if !error.meansAbsent { failure = error }
    }
    do throws(DBusError) { _ = try call("removeSource", address) } catch {
      if !error.meansAbsent, failure == nil { failure = error }
    }
    if let failure { throw failure }
  }

  /// Whether the running configuration has the address in this zone.
  mutating func contains(_ address: IPAddress) throws(CNIError) -> Bool {
    do throws(DBusError) { return try call("querySource", address).first == .boolean(true) } catch {
      throw CNIError(.internalError, "firewalld does not tell what is in zone \(name): \(error)")
    }
  }
}

extension DBusError {
  /// firewalld's own code, which its messages begin with.
  fileprivate func hasCode(_ code: String) -> Bool {
    guard case .failed(_, let message) = self else { return false }
    return message.utf8.starts(with: code.utf8)
  }

  /// What there was to be removed is not there, or firewalld has no such method.
  fileprivate var meansAbsent: Bool {
    if hasCode("NOT_ENABLED") || hasCode("UNKNOWN_SOURCE") || hasCode("INVALID_ZONE")
      || hasCode("ZONE_CONFLICT")
    {
      return true
    }
    return meansNoObject
  }

  /// There is no such object, or it does not understand that.
  fileprivate var meansNoObject: Bool {
    guard case .failed(let name, _) = self else { return false }
    return name == "org.freedesktop.DBus.Error.UnknownMethod"
      || name == "org.freedesktop.DBus.Error.UnknownObject"
      || name == "org.freedesktop.DBus.Error.UnknownInterface"
  }
}
