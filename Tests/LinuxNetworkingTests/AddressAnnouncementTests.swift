import Glibc
import LinuxNetworking
import NetworkAddresses
import SystemPackage
import TestSupport
import Testing

@Suite("Address announcements", .requiresRoot)
struct AddressAnnouncementTests {
  /// A pair of links: `here`, and `there` in the namespace given, both up, with ourselves as the only talker.
  private func withPair(_ body: (Int32, MACAddress, borrowing NetworkNamespace) throws -> Void) throws {
    try inNewNetworkNamespace {
      let pod = try NetworkNamespace.create(named: "there")
      try shell(
        """
        sysctl -qw net.ipv6.conf.default.autoconf=0 net.ipv6.conf.default.addr_gen_mode=1
        ip netns exec there sysctl -qw net.ipv6.conf.default.addr_gen_mode=1
        ip link add here address 02:00:00:00:00:01 type veth \
          peer name there address 02:00:00:00:00:02 netns there
        ip link set here up
        ip -n there link set there up
        until ip -br link show here | grep -q ' UP '; do sleep 0.01; done
        until ip -n there -br link show there | grep -q ' UP '; do sleep 0.01; done
        """)
      try body(Int32(if_nametoindex("here")), MACAddress("02:00:00:00:00:01")!, pod)
    }
  }

  /// A packet socket in the namespace that takes every frame.
  private func capture(in namespace: borrowing NetworkNamespace) throws -> Int32 {
    let socket = try namespace.run {
      Glibc.socket(AF_PACKET, Int32(SOCK_RAW.rawValue), Int32(UInt16(3).bigEndian))
    }
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return socket
  }

  private func next(_ socket: Int32, where wanted: ([UInt8]) -> Bool) -> [UInt8]? {
    while true {
      var frame = [UInt8](repeating: 0, count: 2048)
      let count = recv(socket, &frame, frame.count, 0)
      guard count > 0 else { return nil }
      frame.removeLast(frame.count - count)
      if wanted(frame) { return frame }
    }
  }

  @Test func arpAnnouncement() throws {
    try withPair { index, mac, pod in
      let socket = try capture(in: pod)
      defer { close(socket) }
      try AddressAnnouncement.gratuitousARP(
        interfaceIndex: index, mac: mac, address: IPv4Address("10.1.2.3")!)
      let frame = next(socket) { $0[12..<14] == [0x08, 0x06] }
      #expect(
        frame == [
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06,
          0, 1, 0x08, 0x00, 6, 4, 0, 1,
          2, 0, 0, 0, 0, 1, 10, 1, 2, 3,
          0, 0, 0, 0, 0, 0, 10, 1, 2, 3,
        ])
    }
  }

  @Test(arguments: [false, true])
  func neighbourAdvertisement(isRouter: Bool) throws {
    try withPair { index, mac, pod in
      let socket = try capture(in: pod)
      defer { close(socket) }
      // Not even an address of ours (a tentative one is none either).
      try AddressAnnouncement.unsolicitedNeighbourAdvertisement(
        interfaceIndex: index, mac: mac, address: IPv6Address("2001:db8::1:2")!, isRouter: isRouter)
      let frame = try #require(next(socket) { $0[12..<14] == [0x86, 0xdd] && $0[20] == 58 && $0[54] == 136 })
      let address: [UInt8] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2]
      let ethernet: [UInt8] = [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]
      let header: [UInt8] = [0x60, 0, 0, 0, 0, 32, 58, 255]
      let allNodes: [UInt8] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
      let checksum = Array(frame[56..<58])
      let message =
        [136, 0] + checksum + [isRouter ? 0xa0 : 0x20, 0, 0, 0] + address + [2, 1, 2, 0, 0, 0, 0, 1]
      #expect(frame == ethernet + header + address + allNodes + message)

      // Over pseudo-header and message, its own complement included, the sum is all ones (RFC 1071).
      let summed = address + allNodes + [0, 0, 0, 32, 0, 0, 0, 58] + message
      let sum = stride(from: 0, to: summed.count, by: 2).reduce(0) {
        $0 + Int(summed[$1]) << 8 + Int(summed[$1 + 1])
      }
      #expect(sum % 0xffff == 0)
    }
  }

  @Test func neighboursBelieveIt() throws {
    try withPair { index, _, pod in
      let new = MACAddress("02:00:00:00:00:99")!
      try shell(
        """
        ip -n there addr add 10.1.2.1/24 dev there
        ip -n there addr add 2001:db8::1/64 dev there nodad
        ip -n there neigh add 10.1.2.3 lladdr 02:00:00:00:00:77 nud stale dev there
        ip -n there neigh add 2001:db8::3 lladdr 02:00:00:00:00:77 nud stale dev there
        """)
      let addresses = [IPAddress("10.1.2.3")!, IPAddress("2001:db8::3")!]
      // The kernel there checks checksum, hop limit and all.
      try AddressAnnouncement.announce(addresses, interfaceIndex: index, mac: new)
      for address in addresses {
        for attempt in 0..<200 {
          let entry = try shell("ip -n there neigh show \(address)")
          if entry.contains("\(new)") { break }
          if attempt == 199 { Issue.record("\(entry)") }
          usleep(10_000)
        }
      }
    }
  }

  @Test func fromAnotherNamespace() throws {
    try withPair { index, mac, pod in
      let home = try NetworkNamespace.current()
      let homeID = try home.identity
      let thereIndex = try pod.run { Int32(if_nametoindex("there")) }
      let socket = try capture(in: home)
      defer { close(socket) }
      try AddressAnnouncement.announce(
        [IPAddress("10.9.9.9")!], interfaceIndex: thereIndex, mac: MACAddress("02:00:00:00:00:02")!,
        namespace: pod.descriptor)
      let frame = next(socket) { $0[12..<14] == [0x08, 0x06] }
      #expect(frame?[28..<32] == [10, 9, 9, 9])
      #expect(try NetworkNamespace.currentIdentity == homeID)
    }
  }

  @Test func saysWhyNot() throws {
    try withPair { index, mac, pod in
      func failure(_ index: Int32, namespace: Int32? = nil) -> AnnouncementError? {
        do throws(AnnouncementError) {
          try AddressAnnouncement.announce(
            [IPAddress("10.1.2.3")!], interfaceIndex: index, mac: mac, namespace: namespace)
          return nil
        } catch { return error }
      }
      try shell("ip link set here down")
      #expect(
        failure(index)?.description
          == "cannot announce 10.1.2.3 on interface \(index): Network is down (ENETDOWN)")
      #expect(failure(4711)?.errno == .noSuchAddressOrDevice)
      #expect(failure(index, namespace: 4711)?.errno == .badFileDescriptor)
      #expect(failure(index, namespace: 0) != nil)
      #expect(throws: Never.self) {
        try AddressAnnouncement.announce([], interfaceIndex: 4711, mac: mac)
      }
    }
  }
}
