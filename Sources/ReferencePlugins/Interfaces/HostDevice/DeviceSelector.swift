import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses

/// Which device is meant, by the key that says so.
enum DeviceSelector: Hashable, Sendable {
  /// `device`: an interface by its name, or one of its alternative names.
  case name(String)
  /// `hwaddr`: an interface by its hardware address; 6, 8 or 20 bytes.
  case hardwareAddress([UInt8])
  /// `kernelpath`, `pciBusID`, `runtimeConfig.deviceID`: a device by its directory in sysfs; nil if there is none.
  /// `text` is what the configuration says.
  case device(key: String, text: String, directory: String?)

  /// The bindings that leave a device to a process: it has no interface then (DPDK).
  private static let userspaceDrivers: Set<String> = ["vfio-pci", "uio_pci_generic", "igb_uio"]

  /// Reads the keys; nil if none of them is there.
  ///
  /// - Throws: code 7 for a wrong value, and for two keys that both mean a device.
  init?(_ keys: ConfigurationObject, in tree: DeviceTree) throws(CNIError) {
    var found: [(key: String, selector: DeviceSelector)] = []
    if let name = try Self.name(keys) { found.append(("device", .name(name))) }
    if let address = try Self.hardwareAddress(keys) { found.append(("hwaddr", .hardwareAddress(address))) }
    if let path = try Self.kernelPath(keys) {
      // `/sys` of the path is where the tree is.
      let directory = tree.root + path.dropFirst(4)
      found.append(
        (
          "kernelpath",
          .device(key: "kernelpath", text: path, directory: tree.exists(directory) ? directory : nil)
        ))
    }
    if let id = try Self.deviceID(keys) {
      let directory =
        tree.directory(of: .init(bus: "pci", name: id))
        ?? tree.directory(of: .init(bus: "auxiliary", name: id))
      let key = "runtimeConfig.deviceID"
      found.append((key, .device(key: key, text: id, directory: directory)))
    } else if let address = try Self.pciAddress(keys) {
      // What the runtime says replaces it: that comes from whoever allocates devices.
      let directory = tree.directory(of: .init(bus: "pci", name: address))
      found.append(("pciBusID", .device(key: "pciBusID", text: address, directory: directory)))
    }
    guard let first = found.first else { return nil }
    guard found.count == 1 else {
      throw keys.failure(
        found.map(\.key).joined(separator: " and ") + " each name a device", remedy: "leave one of them")
    }
    self = first.selector
  }

  /// The driver, if it is one that leaves the device to a process.
  func userspaceDriver(in tree: DeviceTree) -> String? {
    guard case .device(let key, _, let directory?) = self, key != "kernelpath",
      let driver = tree.driver(of: directory), Self.userspaceDrivers.contains(driver)
    else { return nil }
    return driver
  }

  /// The configuration's words.
  var description: String {
    switch self {
    case .name(let name): "device \"\(name)\""
    case .hardwareAddress(let bytes): "hwaddr \(hexadecimal(bytes))"
    case .device(let key, let text, _): "\(key) \"\(text)\""
    }
  }

  // MARK: Keys

  private static func name(_ keys: ConfigurationObject) throws(CNIError) -> String? {
    guard let name = try keys.string("device") else { return nil }
    // Longer ones can only be alternative names.
    if name.utf8.count <= 15 || name.utf8.count > 127 {
      try Validation.interfaceName(name, ofKey: "device")
    }
    return name
  }

  private static func hardwareAddress(_ keys: ConfigurationObject) throws(CNIError) -> [UInt8]? {
    guard let text = try keys.string("hwaddr") else { return nil }
    if let mac = MACAddress(text) { return mac.bytes }
    let groups = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
    let bytes = groups.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
    guard bytes.count == groups.count, bytes.count == 8 || bytes.count == 20 else {
      throw keys.failure(
        "hwaddr", "\"\(text)\" is not a hardware address",
        remedy: "write it as `ip link` shows it, for example 00:11:22:33:44:55")
    }
    return bytes
  }

  private static func kernelPath(_ keys: ConfigurationObject) throws(CNIError) -> String? {
    guard let path = try keys.string("kernelpath") else { return nil }
    guard path.hasPrefix("/sys/devices/"), !path.utf8.contains(0),
      !path.utf8.split(separator: 0x2f).contains(where: { $0.elementsEqual("..".utf8) })
    else {
      throw keys.failure(
        "kernelpath", "\"\(path)\" is not the path of a device",
        remedy:
          "write the directory of the device below /sys/devices/, as `readlink -f /sys/class/net/NAME/device` "
          + "shows it")
    }
    return path
  }

  private static func pciAddress(_ keys: ConfigurationObject) throws(CNIError) -> String? {
    guard let text = try keys.string("pciBusID") else { return nil }
    let address = text.lowercased()
    let digits = address.utf8.split(omittingEmptySubsequences: false) { $0 == 0x3a || $0 == 0x2e }
    guard digits.count == 4, digits[0].count >= 4, digits[1].count == 2, digits[2].count == 2,
      digits[3].count == 1, address.utf8.dropLast(2).last != 0x2e, address.utf8.dropLast().last == 0x2e,
      digits.allSatisfy({ $0.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit } })
    else {
      throw keys.failure(
        "pciBusID", "\"\(text)\" is not a PCI address",
        remedy: "write domain, bus, device and function as `lspci -D` shows them, for example 0000:00:1f.6")
    }
    return address
  }

  private static func deviceID(_ keys: ConfigurationObject) throws(CNIError) -> String? {
    guard let runtime = try keys.object("runtimeConfig"), let id = try runtime.string("deviceID") else {
      return nil
    }
    guard id != ".", id != "..", !id.utf8.contains(0x2f), !id.utf8.contains(0) else {
      throw runtime.failure(
        "deviceID", "\"\(id)\" is not the name of a device",
        remedy: "it is that of a PCI device (0000:00:1f.6) or of one on the auxiliary bus (mlx5_core.sf.4)")
    }
    return id
  }
}

/// `00:11:22:33:44:55`.
func hexadecimal(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
}
