import Glibc
public import NetworkAddresses
import SystemPackage

extension AddressAnnouncement {
  /// Announces IPv6 addresses of an interface in the calling thread's namespace, as
  /// ``unsolicitedNeighbourAdvertisement(interfaceIndex:mac:address:isRouter:namespace:)`` does, but through the kernel's
  /// own IPv6: without a packet socket, whose closing takes milliseconds.
  ///
  /// The interface must be up, and have the addresses beyond doubt (not tentative): the messages come from them.
  ///
  /// - Throws: `AnnouncementError`; `EADDRNOTAVAIL` for an address that is tentative, or not there.
  public static func advertise(
    _ addresses: [IPv6Address], interfaceIndex: Int32, mac: MACAddress
  ) throws(AnnouncementError) {
    for address in addresses {
      guard send(advertisement(mac, address), from: address, interfaceIndex) else {
        throw AnnouncementError(address: .v6(address), interfaceIndex: interfaceIndex, errno: .last)
      }
    }
  }

  /// The ICMPv6 message; the kernel fills in its checksum.
  private static func advertisement(_ mac: MACAddress, _ address: IPv6Address) -> [UInt8] {
    Array(neighbourAdvertisement(mac, address, isRouter: false).dropFirst(40))
  }

  private static func send(_ message: [UInt8], from source: IPv6Address, _ interface: Int32) -> Bool {
    let descriptor = socket(AF_INET6, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 58)  // IPPROTO_ICMPV6
    guard descriptor >= 0 else { return false }
    defer {
      let errno = Glibc.errno
      close(descriptor)
      Glibc.errno = errno
    }
    // Receivers drop it with any other hop limit: nobody beyond the link can have sent it.
    for (option, var value) in [(18, 255), (17, interface)] as [(Int32, Int32)] {  // IPV6_MULTICAST_HOPS, _IF
      guard setsockopt(descriptor, 41, option, &value, 4) == 0 else { return false }  // IPPROTO_IPV6
    }
    var from = socketAddress(source, interface)
    var to = socketAddress(.allNodes, interface)
    let length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    return withUnsafePointer(to: &from) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) == 0 }
    }
      && withUnsafePointer(to: &to) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          sendto(descriptor, message, message.count, 0, $0, length) == message.count
        }
      }
  }

  private static func socketAddress(_ address: IPv6Address, _ interface: Int32) -> sockaddr_in6 {
    var result = sockaddr_in6()
    result.sin6_family = sa_family_t(AF_INET6)
    withUnsafeMutableBytes(of: &result.sin6_addr) { $0.copyBytes(from: address.bytes) }
    result.sin6_scope_id = UInt32(interface)
    return result
  }
}
