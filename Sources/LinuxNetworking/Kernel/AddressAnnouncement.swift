import CLinux
import Glibc
public import NetworkAddresses
public import SystemPackage

/// Tells the neighbours on a link at which MAC address an IP address now is, so that those who knew it
/// elsewhere learn it at once.
///
/// Both kinds of frame leave through a packet socket, put together here to the last byte. A raw ICMPv6 socket
/// would be the other way for IPv6, but the kernel lets it send only from an address that is no longer
/// tentative, and picks route and source by itself; a packet socket asks for nothing but an interface that is
/// up, and CAP_NET_RAW.
///
/// "Up" is more than the flag: the first end of a pair to be set up gets its queue, and a bridge port begins to
/// forward, when the kernel has worked off the carrier event in the background. What is sent before is lost
/// without an error: ask for the operational state first (both ends `up` in a reply to `RTM_GETLINK`).
public enum AddressAnnouncement {
  /// Announces an IPv4 address: an ARP request for it, sent by itself, to everybody (RFC 5227, section 3).
  ///
  /// - Parameters:
  ///   - interfaceIndex: the link.
  ///   - mac: where the address is now.
  ///   - address: the address.
  ///   - namespace: descriptor of the network namespace that has the interface; nil: the thread's own.
  public static func gratuitousARP(
    interfaceIndex: Int32, mac: MACAddress, address: IPv4Address, namespace: Int32? = nil
  ) throws(AnnouncementError) {
    try announce([.v4(address)], interfaceIndex: interfaceIndex, mac: mac, namespace: namespace)
  }

  /// Announces an IPv6 address: an unsolicited neighbour advertisement that overrides what the neighbours
  /// know, to all nodes of the link (RFC 4861, sections 4.4 and 7.2.6).
  ///
  /// - Parameters:
  ///   - interfaceIndex: the link.
  ///   - mac: where the address is now.
  ///   - address: the address.
  ///   - isRouter: for an address of a gateway. A neighbour that hears otherwise takes it from its list of default
  ///     routers.
  ///   - namespace: descriptor of the network namespace that has the interface; nil: the thread's own.
  public static func unsolicitedNeighbourAdvertisement(
    interfaceIndex: Int32, mac: MACAddress, address: IPv6Address, isRouter: Bool = false,
    namespace: Int32? = nil
  ) throws(AnnouncementError) {
    try announce(
      [.v6(address)], interfaceIndex: interfaceIndex, mac: mac, isRouter: isRouter, namespace: namespace)
  }

  /// Announces addresses of both families, each in its way, through one socket.
  public static func announce(
    _ addresses: [IPAddress], interfaceIndex: Int32, mac: MACAddress, isRouter: Bool = false,
    namespace: Int32? = nil
  ) throws(AnnouncementError) {
    guard let first = addresses.first else { return }
    let socket = try openSocket(namespace, for: first, interfaceIndex)
    defer { close(socket) }
    for address in addresses {
      let frame: [UInt8]
      let type: UInt16
      let destination: MACAddress
      switch address {
      case .v4(let address):
        frame = arpAnnouncement(mac, address)
        (type, destination) = (0x0806, .broadcast)
      case .v6(let address):
        frame = neighbourAdvertisement(mac, address, isRouter: isRouter)
        (type, destination) = (0x86dd, allNodes)
      }
      guard clinux_send_frame(socket, interfaceIndex, type, destination.bytes, frame, frame.count) == 0 else {
        throw AnnouncementError(address: address, interfaceIndex: interfaceIndex, errno: .last)
      }
    }
  }

  private static func openSocket(
    _ namespace: Int32?, for address: IPAddress, _ interfaceIndex: Int32
  ) throws(AnnouncementError) -> CInt {
    var home: CInt?
    if let namespace {
      do throws(NamespaceError) {
        home = try enter(namespace, path: "descriptor \(namespace)")
      } catch {
        throw AnnouncementError(address: address, interfaceIndex: interfaceIndex, namespace: error)
      }
    }
    let socket = clinux_packet_socket()
    let errno = Errno.last
    if let home { comeBack(to: home) }
    guard socket >= 0 else {
      throw AnnouncementError(address: address, interfaceIndex: interfaceIndex, errno: errno)
    }
    return socket
  }
}

/// An announcement that was not sent; those before it in the list were.
public struct AnnouncementError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The address to be announced.
  public var address: IPAddress
  /// The interface it was to leave through.
  public var interfaceIndex: Int32
  /// `ENETDOWN`: the interface is not up. `ENXIO` or `ENODEV`: there is none. `EPERM`: CAP_NET_RAW is missing.
  public var errno: Errno

  init(address: IPAddress, interfaceIndex: Int32, errno: Errno) {
    self.address = address
    self.interfaceIndex = interfaceIndex
    self.errno = errno
  }

  init(address: IPAddress, interfaceIndex: Int32, namespace error: NamespaceError) {
    self.init(address: address, interfaceIndex: interfaceIndex, errno: .badFileDescriptor)
    switch error {
    case .denied(_, let errno), .failed(_, _, let errno): self.errno = errno
    case .gone, .notANamespace: break
    }
  }

  /// `cannot announce 10.1.2.3 on interface 7: Network is down (ENETDOWN)`.
  public var description: String {
    "cannot announce \(address) on interface \(interfaceIndex): \(errno.explained)"
  }
}
