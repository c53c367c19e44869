import CNI
import CNIPluginKit
import LinuxNetworking
import Netlink

/// `tap`: an interface in the container whose other end is a process, such as a virtual machine's.
struct Tap: InterfacePlugin {
  static let type = "tap"
  static let summary = "makes a TAP device in the container, for a process without privileges to use"

  let settings: InterfaceSettings
  /// `multiQueue`, `owner`, `group`.
  private var device: TapDevice
  /// `mtu` and the hardware address; `nil` for the kernel's choice.
  private var change = LinkChange()
  /// `bridge`: one in the container that the device becomes a port of.
  private var bridge: String?
  /// `selinuxContext`: that of the processes that may attach.
  private var context: String?

  init(_ call: PluginCall) throws {
    settings = try InterfaceSettings(call)
    device = TapDevice(name: call.interfaceName)
    if call.onlyRemoves { return }
    let keys = try call.configuration.object()
    device.isMultiQueue = try keys.flag("multiQueue")
    device.owner = try Self.identity("owner", "user", "-u", of: keys)
    device.group = try Self.identity("group", "group", "-g", of: keys)
    change.mtu = try keys.mtu()
    change.mac = try call.requestedMAC(elseKey: "mac")
    bridge = try keys.string("bridge")
    if let bridge { try Validation.interfaceName(bridge, ofKey: "bridge") }
    context = try keys.string("selinuxContext")
    if let context, context.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f }) {
      throw keys.failure(
        "selinuxContext", "is no security context",
        remedy: "write one as `ps -Z` prints it, such as system_u:system_r:container_t:s0")
    }
  }

  /// A number that identifies a user or a group. The largest one means none to the kernel.
  private static func identity(
    _ key: String, _ what: String, _ option: String, of keys: ConfigurationObject
  ) throws(CNIError) -> UInt32? {
    if let name = keys.value(key)?.json.string, Int(name) == nil {
      throw keys.failure(
        key, "is not a number",
        remedy: "write the \(what)'s ID, which `id \(option) \(name.prefix(32))` prints")
    }
    return try keys.integer(key, in: 0...Int(UInt32.max) - 1).map { UInt32($0) }
  }

  // MARK: ADD

  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink {
    let name = device.name
    let master = try bridge.map { try find($0, in: attachment) }
    try ContainerLink.requireFree(name, in: attachment)
    try attachment.enteringContainer { try create() }
    attachment.undo.register("creation of the TAP device") { [unowned attachment] in
      _ = try attachment.inContainer { try $0.deleteIfPresent(.name(name)) }
    }
    var change = change
    change.master = master?.index
    let link = try attachment.inContainer { socket in
      try socket.perform(.changeLink(.name(name), change))
      return try socket.link(named: name)
    }
    return CreatedLink(
      interfaces: [
        Interface(name: name, mac: link.mac?.description, sandbox: attachment.call.namespacePath)
      ],
      position: 0, index: link.index, mac: link.mac)
  }

  /// Makes the device in the namespace of the calling thread.
  private func create() throws {
    guard let context else {
      do {
        return try device.create()
      } catch {
        throw Self.explained(error)
      }
    }
    // The device has the context of the process that makes it; what is said of sockets (`setsockcreatecon`) is not
    // asked. And policies let a runtime enter that of its containers only by executing something.
    try Self.requireSELinux()
    var arguments = ["tuntap", "add", "dev", device.name, "mode", "tap"]
    if device.isMultiQueue { arguments.append("multi_queue") }
    if let owner = device.owner { arguments += ["user", "\(owner)"] }
    if let group = device.group { arguments += ["group", "\(group)"] }
    do {
      _ = try SELinux.executing(as: context) { try Self.ip.run(arguments) }
    } catch let error as FileError {
      throw CNIError(
        .invalidConfiguration, "selinuxContext: \(error)",
        details: "the policy has to know the context, and to let this process execute programs in it")
    }
  }

  private static let ip = HostProgram("ip", remedy: "install iproute2, or leave selinuxContext out")

  private static func explained(_ error: FileError) -> CNIError {
    guard error.path == TapDevice.controlFile else { return CNIError(.internalError, error.description) }
    var failure = CNIError(describing: error)
    if failure.details.isEmpty {
      failure.details =
        "load the kernel's module tun (`modprobe tun`); where plugins run in a container, give it the device \(error.path)"
    }
    return failure
  }

  private static func requireSELinux() throws(CNIError) {
    guard !SELinux.isEnabled else { return }
    throw CNIError(
      .invalidConfiguration, "selinuxContext: this host does not run SELinux",
      details: "remove the key, or enable SELinux")
  }

  private func find(_ bridge: String, in attachment: InterfaceAttachment) throws -> Link {
    guard let link = try attachment.inContainer({ try $0.find(.name(bridge)) }) else {
      throw CNIError(
        .invalidConfiguration, "bridge: the container has no interface \(bridge)",
        details: "the bridge has to be in the container's namespace before the TAP device comes")
    }
    guard link.kind == "bridge" else {
      throw CNIError(
        .invalidConfiguration, "bridge: \(bridge) is not a bridge but a \(link.kind ?? "network device")",
        details: "name a bridge in the container's namespace")
    }
    return link
  }

  // MARK: CHECK

  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws {
    func require(_ holds: Bool, _ problem: @autoclosure () -> String) throws(CNIError) {
      if !holds { throw CNIError(.internalError, "\(link.name) \(problem())") }
    }
    try require(link.kind == "tun" && link.tun?.isTap != false, "is no TAP device any more")
    if let found = link.tun {
      try require(
        found.isMultiQueue == device.isMultiQueue,
        "has \(found.isMultiQueue ? "several queues" : "one queue"), multiQueue asks for the opposite")
      try require(
        found.owner == device.owner,
        "belongs to user \(Self.text(found.owner)), owner says \(Self.text(device.owner))")
      try require(
        found.group == device.group,
        "belongs to group \(Self.text(found.group)), group says \(Self.text(device.group))")
    }
    if let bridge {
      let master = try find(bridge, in: attachment).index
      try require(link.master == master, "is not a port of the bridge \(bridge) any more")
    }
  }

  private static func text(_ identity: UInt32?) -> String { identity.map { "\($0)" } ?? "none" }

  // MARK: STATUS

  func checkRequirements(_ call: PluginCall) throws {
    do {
      try TapDevice.checkDriver()
    } catch {
      throw Self.explained(error)
    }
    guard context != nil else { return }
    try Self.requireSELinux()
    if !Self.ip.isInstalled {
      throw CNIError(
        .notAvailable, "ip is not installed, and selinuxContext needs it",
        details: "install iproute2, or leave selinuxContext out")
    }
  }
}
