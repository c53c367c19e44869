import CNI
import CNIPluginKit
import LinuxNetworking
import NetworkAddresses
import Netlink

/// Looking for the device that a configuration means.
struct DeviceSearch {
  let selector: DeviceSelector
  let tree: DeviceTree
  let moved: MovedLinks

  /// The device's interface on the host. It may still bear the mark of a container that has gone.
  ///
  /// - Throws: `CNIError` that says what was looked for, what is there, and who has it.
  func find(in host: inout RouteSocket, log: (String) -> Void) throws -> Link {
    let found =
      switch selector {
      case .name(let name): try find(name: name, in: &host)
      case .hardwareAddress(let bytes): try find(bytes, in: &host, log: log)
      case .device(_, _, let directory):
        try directory.flatMap { try find(directory: $0, in: &host, log: log) }
      }
    if let found { return found }
    if let record = moved.record(where: isMeant) {
      throw CNIError(
        .internalError, "\(selector.description): \(record.name) is in use by \(record.owner)",
        details:
          "as \(record.owner.attachment!.interfaceName) in container \(record.owner.attachment!.containerID) "
          + "(\(record.namespace)); DEL brings it back")
    }
    throw try missing(in: &host)
  }

  /// Whether a link that was moved, and has its name on the host in its alias, is the device.
  func isMeant(_ link: Link) -> Bool {
    switch selector {
    case .name(let name): link.alias == name
    case .hardwareAddress(let bytes): link.hardwareAddress == bytes || link.permanentMAC?.bytes == bytes
    case .device(_, _, let directory?):
      // Before Linux 5.14 the kernel does not tell what device an interface is of.
      if let parent = link.parent { tree.parents(of: directory).contains(parent) } else { link.kind == nil }
    case .device: false
    }
  }

  private func isMeant(_ record: MovedLinkRecord) -> Bool {
    switch selector {
    case .name(let name): record.name == name
    case .hardwareAddress(let bytes): record.mac?.bytes == bytes || record.permanentMAC?.bytes == bytes
    case .device(_, _, let directory):
      if let directory, let bus = record.parentBus, let device = record.parentDevice {
        tree.parents(of: directory).contains(.init(bus: bus, name: device))
      } else {
        false
      }
    }
  }

  // MARK: By what the configuration says

  private func find(name: String, in host: inout RouteSocket) throws -> Link? {
    if let link = try host.find(.name(name)) { return link }
    // One that the kernel has put back under another name when its container ended.
    return try host.links().first { $0.alias == name && $0.isMarked }
  }

  private func find(_ bytes: [UInt8], in host: inout RouteSocket, log: (String) -> Void) throws -> Link? {
    /// Hardware before what stands on it with the same address: VLANs, bonds, bridges.
    func rank(_ link: Link) -> Int {
      switch link.kind {
      case nil: link.permanentMAC?.bytes == bytes ? 0 : 1
      case "bridge", "bond", "team": 3
      case "veth": 2
      default: link.link == nil ? 2 : 3
      }
    }
    let links = try host.links().filter {
      $0.hardwareAddress == bytes || $0.kind == nil && $0.permanentMAC?.bytes == bytes
    }
    let sorted = links.sorted { (rank($0), $0.index) < (rank($1), $1.index) }
    if sorted.count > 1 {
      log("\(selector.description) is that of \(list(sorted.map(\.name))): the first is taken")
    }
    return sorted.first
  }

  private func find(
    directory: String, in host: inout RouteSocket, log: (String) -> Void
  ) throws -> Link? {
    let parents = tree.parents(of: directory)
    func isOurs(_ link: Link, _ name: String) -> Bool {
      if let parent = link.parent { return parents.contains(parent) }
      // The sysfs may be of another namespace, where the name is that of another interface.
      let address = tree.hardwareAddress(of: name, of: directory)
      return address == nil || address == hexadecimal(link.hardwareAddress)
    }
    let names = tree.interfaces(of: directory)
    for name in names {
      guard let link = try host.find(.name(name)), isOurs(link, name) else { continue }
      if names.count > 1 {
        log("\(selector.description) has the interfaces \(list(names)): \(name) is taken")
      }
      return link
    }
    return try host.links().first { link in link.parent.map(parents.contains) == true }
  }

  // MARK: Errors

  private func missing(in host: inout RouteSocket) throws -> CNIError {
    let links = try host.links()
    switch selector {
    case .name(let name):
      var details = "the host has " + list(links.map(\.name))
      if let other = links.first(where: { $0.alias == name }) {
        details +=
          "; \(other.name) has \(name) in its alias, as a device has that a container left: if it is the one, "
          + "ip link set \(other.name) name \(name)"
      }
      return CNIError(
        .internalError, "\(selector.description): the host has no such interface", details: details)
    case .hardwareAddress:
      let present = links.filter { !$0.hardwareAddress.allSatisfy { $0 == 0 } }
        .map { "\($0.name) \(hexadecimal($0.hardwareAddress))" }
      return CNIError(
        .internalError, "\(selector.description): no interface of the host has it",
        details: "there are " + list(present))
    case .device(let key, _, nil):
      let details =
        switch key {
        case "kernelpath": "looked for in \(tree.root)/devices"
        case "pciBusID": "PCI devices are " + list(tree.devices(onBus: "pci"))
        default:
          "PCI devices are " + list(tree.devices(onBus: "pci")) + "; on the auxiliary bus are "
            + list(tree.devices(onBus: "auxiliary"))
        }
      return CNIError(.internalError, "\(selector.description): there is no such device", details: details)
    case .device(_, _, let directory?):
      let driver = tree.driver(of: directory)
      return CNIError(
        .internalError, "\(selector.description): the device has no interface on the host",
        details: driver.map { "its driver is \($0)" }
          ?? "no driver is bound to it, and \(directory) has no directory net")
    }
  }

  /// The first ones of a list that may be very long.
  private func list(_ texts: [String]) -> String {
    if texts.isEmpty { return "none" }
    return texts.prefix(16).joined(separator: ", ")
      + (texts.count > 16 ? " and \(texts.count - 16) more" : "")
  }
}

extension Link {
  /// The device that it is an interface of, where the kernel says so.
  fileprivate var parent: DeviceTree.Device? {
    guard let parentBus, let parentDevice else { return nil }
    return DeviceTree.Device(bus: parentBus, name: parentDevice)
  }
}
