import CNI
import NetworkAddresses
import Netlink

/// A plugin that gives a container an interface.
///
/// It says only what is its own: how the link is made, what connects it, what to check beyond the addresses. The kit
/// does the rest, the same for every one of them: IPAM, addresses, routes, announcement, result, CHECK against
/// `prevResult`, DEL, GC, STATUS, and undoing an ADD that fails.
///
/// The requirements are called in this order:
///
/// | command | calls |
/// |---|---|
/// | ADD | `createLink`, `complete`, `linkRoutes`, `connect` |
/// | CHECK | `checkLink` |
/// | DEL | `removeLink` (as it stands here: `linksUnused`), `disconnect` |
/// | GC | `collectGarbage` |
/// | STATUS | `checkRequirements` |
public protocol InterfacePlugin: Plugin {
  /// What all interface plugins read from their configuration.
  var settings: InterfaceSettings { get }

  /// Creates the link and everything below it, registering the undo of each step with `attachment.undo`.
  func createLink(in attachment: InterfaceAttachment) throws -> CreatedLink

  /// Completes the result after IPAM has answered: gateways, default routes, which interface has which address.
  func complete(_ result: inout AddResult, link: CreatedLink) throws

  /// Changes to the container's routes that belong to the link itself, and are not listed in the result.
  func linkRoutes(_ link: CreatedLink, result: AddResult) -> LinkRoutes

  /// Connects the configured link with the host: gateway addresses, forwarding, packet filter. It may change the
  /// result, and comes after the container's side has its addresses.
  func connect(_ link: CreatedLink, result: inout AddResult, in attachment: InterfaceAttachment) throws

  /// Checks the link itself against `prevResult`; addresses and routes are the kit's.
  func checkLink(_ link: Link, result: AddResult, in attachment: InterfaceAttachment) throws

  /// DEL: takes the interface from the container. As it stands here, by deleting it, and the host's end with it; a plugin
  /// that has moved a device of the host's brings it back. It comes before the lease is given back, so that an address is
  /// never in two places. Nothing there is no error. `previous` as with `disconnect`.
  func removeLink(_ call: PluginCall, previous: AddResult?) throws

  /// The host's links, by index, that are of no use any more once `port`, the host's end of the container's interface,
  /// is gone. They are deleted together with it: the kernel waits once for all.
  func linksUnused(without port: Link, network: String) throws -> [Int32]

  /// Removes what `connect` and `createLink` left outside the container. `previous` is the attachment's result
  /// where the runtime handed it on. Nothing to remove is no error.
  func disconnect(_ call: PluginCall, previous: AddResult?) throws

  /// Removes what stale attachments of the network left, beyond links with their mark and leases.
  func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws

  /// Throws code 50 when the plugin's own needs for an ADD are not met; IPAM and privileges are the kit's.
  func checkRequirements(_ call: PluginCall) throws
}

extension InterfacePlugin {
  /// Nothing to complete.
  public func complete(_ result: inout AddResult, link: CreatedLink) throws {}
  /// None but those that the kernel makes of the addresses.
  public func linkRoutes(_ link: CreatedLink, result: AddResult) -> LinkRoutes { LinkRoutes() }
  /// Nothing to connect.
  public func connect(_ link: CreatedLink, result: inout AddResult, in attachment: InterfaceAttachment) throws
  {}
  /// None.
  public func linksUnused(without port: Link, network: String) throws -> [Int32] { [] }
  /// Nothing to disconnect.
  public func disconnect(_ call: PluginCall, previous: AddResult?) throws {}
  /// Nothing beyond links and leases.
  public func collectGarbage(_ call: PluginCall, stale: StaleMarks) throws {}
  /// No needs of its own.
  public func checkRequirements(_ call: PluginCall) throws {}
}

/// The keys that all interface plugins have in common.
public struct InterfaceSettings: Sendable {
  /// `ipam.type`; `nil` for an interface without addresses (layer 2).
  public var ipamType: String?
  /// Whether an interface without `ipamType` has the addresses and routes that the plugin before has left in its result.
  public var inheritsAddresses: Bool
  /// `dns` of the configuration; it takes precedence over what IPAM says.
  public var dns: DNSConfiguration
  /// Whether all IPv6 addresses go through duplicate address detection, and ADD waits for it (`enabledad`). `false`: none
  /// does. `nil`: as the kernel does it, but for the addresses of IPAM, which nobody waits for.
  public var detectsDuplicateAddresses: Bool?
  /// Whether the container's interface stays down (`disableContainerInterface`).
  public var leavesInterfaceDown: Bool
  /// False for a device that a process drives by itself (DPDK): the container gets no interface of the kernel's. IPAM and
  /// the result are as ever; nothing is configured, announced or looked for in the container.
  public var hasKernelInterface = true

  /// Whether the lease is given back while the interface is still there, because that is the way to whoever gave it: a
  /// DHCP server. Other leases are given back afterwards.
  var releasesThroughInterface: Bool { ipamType == "dhcp" }

  /// Reads the common keys of a call's configuration.
  public init(
    _ call: PluginCall, detectsDuplicateAddresses: Bool? = nil, leavesInterfaceDown: Bool = false,
    inheritsAddresses: Bool = false
  ) throws(CNIError) {
    ipamType = call.configuration.ipamType
    self.inheritsAddresses = inheritsAddresses
    dns = call.configuration.dns
    self.detectsDuplicateAddresses = detectsDuplicateAddresses
    self.leavesInterfaceDown = leavesInterfaceDown
  }
}

/// Changes to a container's routes before and after those of the result are set.
public struct LinkRoutes: Sendable {
  /// Before: without them, gateways of the result may be out of reach.
  public var before: [RouteRequest]
  /// After: until then, gateways of the result may be within reach by what is changed here.
  public var after: [RouteRequest]

  /// Changes; none unless given.
  public init(before: [RouteRequest] = [], after: [RouteRequest] = []) {
    self.before = before
    self.after = after
  }
}

/// A link that an interface plugin made.
public struct CreatedLink: Sendable {
  /// All interfaces of the attachment, as the result lists them.
  public var interfaces: [Interface]
  /// The position of the container's interface in `interfaces`.
  public var position: Int
  /// The container's interface index, in the container's namespace.
  public var index: Int32
  /// The container's hardware address.
  public var mac: MACAddress?
  /// Links on the host that the plugin itself goes on with.
  public var hostLinks: [Link]
  /// How the neighbours learn who has the addresses now.
  public var announcement: AnnouncementWay

  /// A way to tell the neighbours of addresses: somebody else may have had them a moment ago, and be remembered.
  ///
  /// By itself the kernel announces IPv4 addresses when the interface comes up. That is enough where it has a carrier by
  /// then, which the end of a pair has not.
  public enum AnnouncementWay: Sendable {
    /// The hardware address is set to what it is, and the kernel announces the addresses of both families.
    case bySettingMAC
    /// IPv6 addresses by a message of ours: the hardware address is the parent's and has to remain so.
    case bySending
    /// What the kernel does by itself is all.
    case byKernel
    /// There is nobody to tell: no neighbour, or only one that was made together with the link and remembers nothing.
    case none
  }

  /// A link with its place in the result.
  public init(
    interfaces: [Interface], position: Int, index: Int32, mac: MACAddress?, hostLinks: [Link] = [],
    announcement: AnnouncementWay = .bySettingMAC
  ) {
    self.announcement = announcement
    self.hostLinks = hostLinks
    self.interfaces = interfaces
    self.position = position
    self.index = index
    self.mac = mac
  }
}
