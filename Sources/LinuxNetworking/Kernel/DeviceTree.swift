import Glibc

/// What sysfs says of devices and of the network interfaces that are theirs (`sysfs-rules`, `sysfs-bus-pci`).
///
/// Directories `net` show the interfaces of the network namespace that the sysfs was mounted in, which need not be the
/// caller's own: whoever goes on with an interface compares its hardware address. All else is the same everywhere.
public struct DeviceTree: Hashable, Sendable {
  /// A device by its bus and its name there, as `IFLA_PARENT_DEV_BUS_NAME` and `IFLA_PARENT_DEV_NAME` have it.
  public struct Device: Hashable, Sendable {
    /// `pci`, `virtio`, `auxiliary`, `usb`.
    public var bus: String
    /// `0000:00:05.0`, `virtio2`, `mlx5_core.sf.4`.
    public var name: String

    /// A device by name.
    public init(bus: String, name: String) {
      self.bus = bus
      self.name = name
    }
  }

  /// Where sysfs is mounted; no slash at the end.
  public let root: String

  /// The tree that is mounted at `root`.
  public init(root: String = "/sys") { self.root = root }

  /// The directory of a device; nil if there is no such device on that bus.
  public func directory(of device: Device) -> String? {
    guard !device.name.isEmpty, device.name != ".", device.name != "..", !device.name.utf8.contains(0x2f)
    else {
      return nil
    }
    let path = "\(root)/bus/\(device.bus)/devices/\(device.name)"
    return access(path, F_OK) == 0 ? path : nil
  }

  /// Whether there is such a directory in the tree.
  public func exists(_ directory: String) -> Bool { access(directory, F_OK) == 0 }

  /// The names of the devices on a bus, sorted.
  public func devices(onBus bus: String) -> [String] { names(in: "\(root)/bus/\(bus)/devices") }

  /// The driver that a device is bound to; nil if to none.
  public func driver(of directory: String) -> String? { target(of: directory + "/driver") }

  /// The names of a device's interfaces, sorted.
  public func interfaces(of directory: String) -> [String] {
    directories(of: directory).flatMap { names(in: $0 + "/net") }
  }

  /// The hardware address of an interface as sysfs shows it, `02:00:5e:10:00:01`; nil if it does not.
  public func hardwareAddress(of interface: String, of directory: String) -> String? {
    for directory in directories(of: directory) {
      if let bytes = try? StateFile.read("\(directory)/net/\(interface)/address", limit: 4096) {
        return String(decoding: bytes.prefix { $0 != 0x0a }, as: UTF8.self)
      }
    }
    return nil
  }

  /// What the kernel may call the parent of a device's interfaces: the device itself, or those behind it.
  public func parents(of directory: String) -> [Device] {
    directories(of: directory).compactMap { path in
      guard let bus = target(of: path + "/subsystem"), let slash = path.utf8.lastIndex(of: 0x2f) else {
        return nil
      }
      return Device(bus: bus, name: String(path[path.utf8.index(after: slash)...]))
    }
  }

  /// A device's directory, and those of the virtio devices behind it: with these, PCI is only the transport.
  private func directories(of directory: String) -> [String] {
    [directory] + names(in: directory).filter { $0.hasPrefix("virtio") }.map { "\(directory)/\($0)" }
  }

  private func names(in directory: String) -> [String] {
    ((try? StateFile.names(in: directory)) ?? []).sorted()
  }

  /// The last component of what a symbolic link leads to.
  private func target(of path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes {
      readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    guard count > 0 else { return nil }
    return buffer[..<count].split(separator: 0x2f).last.map { String(decoding: $0, as: UTF8.self) }
  }
}
