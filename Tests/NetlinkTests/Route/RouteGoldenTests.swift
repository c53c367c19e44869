import Glibc
import NetworkAddresses
import Testing

@testable import Netlink

/// Our bytes against those that iproute2 sends for the same command; see `Golden/route/capture-route.sh`.
@Suite struct RouteGoldenTests {
  /// Interfaces of the capture: `br0` is 10, `v0` is 11; a descriptor of the namespace `peer` was 4.
  static let bridge: Int32 = 10
  static let port: Int32 = 11
  static let peerNamespace: Int32 = 4

  static func mac(_ last: UInt8) -> MACAddress { MACAddress(bytes: [2, 0, 0, 0, 0, last])! }

  /// The message that the fixture has for each command.
  static func fixture(_ name: String) throws -> [String: String] {
    let folder = #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined()
    let path = "\(folder)/Golden/route/\(name).txt"
    let file = try #require(fopen(path, "r"), "cannot read \(path)")
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
    let text = String(decoding: bytes, as: UTF8.self)
    var messages: [String: String] = [:]
    var command = ""
    for line in text.split(separator: "\n") {
      if line.hasPrefix("# ") {
        command = String(line.dropFirst(2))
      } else {
        messages[command, default: ""] += line
      }
    }
    return messages
  }

  func check(_ name: String, _ cases: [(command: String, request: RouteRequest)]) throws {
    let fixture = try Self.fixture(name)
    for (command, request) in cases {
      #expect(hex(request.encoded()) == fixture[command], "\(command)")
    }
    #expect(Set(cases.map(\.command)) == Set(fixture.keys))
  }

  func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  @Test func links() throws {
    let port = LinkSelector.index(Self.port)
    try check(
      "link",
      [
        (
          "ip link add name veth0 type veth peer name eth0",
          .createLink(LinkSpecification(name: "veth0", kind: .veth(peer: LinkSpecification(name: "eth0"))))
        ),
        (
          "ip link add index 20 mtu 1400 address 02:00:00:00:00:01 txqueuelen 500 master br0 up name veth0 "
            + "type veth peer index 21 mtu 1400 address 02:00:00:00:00:02 netns peer up name eth0",
          .createLink(
            LinkSpecification(
              name: "veth0",
              kind: .veth(
                peer: LinkSpecification(
                  name: "eth0", index: 21, mtu: 1400, mac: Self.mac(2), namespace: Self.peerNamespace,
                  isUp: true)),
              index: 20, mtu: 1400, mac: Self.mac(1), transmitQueueLength: 500, master: Self.bridge,
              isUp: true))
        ),
        ("ip link add name br1 type bridge", .createLink(LinkSpecification(name: "br1", kind: .bridge()))),
        ("ip link set v0 up", .changeLink(port, LinkChange(isUp: true))),
        ("ip link set v0 down", .changeLink(port, LinkChange(isUp: false))),
        ("ip link set v0 mtu 1400", .changeLink(port, LinkChange(mtu: 1400))),
        ("ip link set v0 address 02:00:00:00:00:03", .changeLink(port, LinkChange(mac: Self.mac(3)))),
        ("ip link set v0 txqueuelen 500", .changeLink(port, LinkChange(transmitQueueLength: 500))),
        ("ip link set v0 group 5", .changeLink(port, LinkChange(group: 5))),
        ("ip link set v0 master br0", .changeLink(port, LinkChange(master: Self.bridge))),
        ("ip link set v0 nomaster", .changeLink(port, LinkChange(master: 0))),
        ("ip link set v0 alias cni/c1/eth0", .changeLink(port, LinkChange(alias: "cni/c1/eth0"))),
        ("ip link set v0 netns peer", .changeLink(port, LinkChange(namespace: Self.peerNamespace))),
        ("ip link set v0 promisc on", .changeLink(port, LinkChange(isPromiscuous: true))),
        (
          "ip link set v0 allmulticast on arp off",
          .changeLink(port, LinkChange(receivesAllMulticast: true, resolvesAddresses: false))
        ),
        ("ip link set v0 name w0", .changeLink(port, LinkChange(name: "w0"))),
        (
          "ip link set br0 type bridge vlan_filtering 1",
          .changeLink(.index(Self.bridge), LinkChange(kind: .bridge(.init { $0.vlanFiltering = true })))
        ),
        ("ip link del v0", .deleteLink(port)),
      ])
  }

  @Test func namesStandWhereIPRoutePutsNewNames() {
    // By name: index 0 and the name as the last attribute; the kernel's own look-up.
    #expect(
      hex(RouteRequest.changeLink(.name("v0"), LinkChange(alias: "a")).encoded())
        == "300000001000050000000000000000000000000000000000000000000000000005001400610000000700030076300000")
    #expect(
      hex(RouteRequest.deleteLink(.name("an-alternative-name")).encoded()).hasSuffix(
        "18003500616e2d616c7465726e61746976652d6e616d6500"))
  }

  @Test func addresses() throws {
    func add(_ text: String, _ change: (inout InterfaceAddress) -> Void = { _ in }) -> RouteRequest {
      var address = InterfaceAddress(IPPrefix(text)!)
      change(&address)
      return .addAddress(address, index: Self.port)
    }
    try check(
      "address",
      [
        ("ip addr add 10.22.0.5/16 dev v0", add("10.22.0.5/16")),
        (
          "ip addr add 10.22.0.1/16 brd 10.22.255.255 label v0:1 dev v0",
          add("10.22.0.1/16") {
            $0.broadcast = IPv4Address(10, 22, 255, 255)
            $0.label = "v0:1"
          }
        ),
        (
          "ip addr add 10.22.0.5 peer 10.22.0.1/32 dev v0",
          add("10.22.0.5/32") { $0.peer = IPAddress("10.22.0.1") }
        ),
        ("ip addr add 2001:db8::5/64 dev v0", add("2001:db8::5/64")),
        ("ip addr add 2001:db8::5/64 dev v0 nodad", add("2001:db8::5/64") { $0.flags = .noDAD }),
        (
          "ip addr add 10.22.0.5/16 dev v0 noprefixroute scope link",
          add("10.22.0.5/16") {
            $0.flags = .noPrefixRoute
            $0.scope = .link
          }
        ),
        (
          "ip addr add 2001:db8::5/64 dev v0 valid_lft 3600 preferred_lft 1800",
          add("2001:db8::5/64") { $0.lifetimes = .init(preferred: 1800, valid: 3600) }
        ),
        (
          "ip addr replace 10.22.0.5/16 dev v0",
          .addAddress(InterfaceAddress(IPPrefix("10.22.0.5/16")!), index: Self.port, replace: true)
        ),
        (
          "ip addr del 192.0.2.1/24 dev v0",
          .deleteAddress(InterfaceAddress(IPPrefix("192.0.2.1/24")!), index: Self.port)
        ),
      ])
  }

  @Test func neighbours() throws {
    let port = Self.port
    func entry(_ vlan: UInt16? = nil) -> Neighbour {
      Neighbour(forwarding: Self.mac(10), to: port, vlan: vlan, state: [.noARP, .reachable])
    }
    var deleted = entry()
    deleted.state = [.noARP, .permanent]
    try check(
      "neighbour",
      [
        (
          "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0",
          .addNeighbour(Neighbour(interface: port, address: IPAddress("192.0.2.9")!, mac: Self.mac(9)))
        ),
        (
          "ip neigh replace 2001:db8::9 lladdr 02:00:00:00:00:09 dev v0 nud reachable",
          .addNeighbour(
            Neighbour(
              interface: port, address: IPAddress("2001:db8::9")!, mac: Self.mac(9), state: .reachable),
            replace: true)
        ),
        (
          "ip neigh add proxy 192.0.2.10 dev v0",
          .addNeighbour(
            Neighbour(interface: port, address: IPAddress("192.0.2.10")!, mac: nil, flags: .proxy))
        ),
        (
          "ip neigh del 192.0.2.9 dev v0",
          .deleteNeighbour(
            Neighbour(interface: port, address: IPAddress("192.0.2.9")!, mac: nil))
        ),
        ("bridge fdb add 02:00:00:00:00:0a dev v0 master static", .addNeighbour(entry())),
        ("bridge fdb add 02:00:00:00:00:0a dev v0 master static vlan 7", .addNeighbour(entry(7))),
        ("bridge fdb del 02:00:00:00:00:0a dev v0 master", .deleteNeighbour(deleted)),
      ])
  }
}
