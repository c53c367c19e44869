import NetworkAddresses
import TestSupport
import Testing

@testable import Netlink

/// Packets, not rules.
@Suite(
  .requiresRoot, .requiresProgram("nft"), .requiresProgram("ip"), .requiresProgram("ping"),
  .requiresProgram("nsenter"))
struct NFTTrafficTests {
  /// A bridge with one container; `inside` runs a command in it, and `check` says whether the bridge answers it.
  private let prelude = """
    unshare -n sleep 60 & pid=$!
    trap 'kill $pid' EXIT
    while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
    inside() { nsenter -t $pid -n "$@"; }
    check() { inside ping -c 4 -W 2 -i 0.5 $1 >/dev/null 2>&1 && echo yes || echo no; }

    """

  @Test func aForgedSourceAddressIsDropped() throws {
    let layout = SpoofGuardLayout()
    let mac = try #require(MACAddress("02:42:ac:11:00:02"))
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      try socket.commit(layout.everything + layout.allow("guarded0", mac, comment: "net/one/eth0"))
      let answers = try shell(
        prelude + """
          ip link add br0 type bridge
          ip addr add 10.9.0.1/24 dev br0
          ip link set br0 up
          ip link add guarded0 type veth peer name eth0 netns $pid
          ip link set guarded0 master br0 up
          inside ip link set eth0 address \(mac) up
          inside ip addr add 10.9.0.2/24 dev eth0
          check 10.9.0.1
          inside ip link set eth0 address 02:42:ac:11:00:99
          check 10.9.0.1
          inside ip link set eth0 address \(mac)
          check 10.9.0.1
          """)
      #expect(answers == "yes\nno\nyes\n")
      #expect(
        try socket.element([.interface("guarded0"), .mac(mac)], of: layout.allowed)?.comment == "net/one/eth0"
      )
    }
  }

  @Test func whatLeavesTheSubnetIsMasqueraded() throws {
    let layout = MasqueradeLayout()
    let subnet = try #require(IPPrefix("10.22.0.0/16"))
    let pod = try #require(IPAddress("10.22.0.5"))
    try inNewNetworkNamespace {
      var socket = try NetfilterSocket()
      try socket.commit(firstPossible: layout.ladder(pod, subnet: subnet, chain: "net", owner: "n/one/eth0"))
      // The outside has no route back to the pod: only masqueraded traffic is answered.
      let script = { (prefix: String) in
        prelude + """
          unshare -n sleep 60 & outside=$!
          trap 'kill $pid $outside' EXIT
          while [ "$(readlink /proc/$outside/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
          echo 1 >/proc/sys/net/ipv4/ip_forward
          ip link add \(prefix)a type veth peer name eth0 netns $pid
          ip link add \(prefix)b type veth peer name eth0 netns $outside
          ip addr add 10.22.0.1/16 dev \(prefix)a
          ip addr add 192.0.2.1/24 dev \(prefix)b
          ip link set \(prefix)a up
          ip link set \(prefix)b up
          inside ip addr add 10.22.0.5/16 dev eth0
          inside ip link set eth0 up
          inside ip route add default via 10.22.0.1
          nsenter -t $outside -n ip addr add 192.0.2.9/24 dev eth0
          nsenter -t $outside -n ip link set eth0 up
          check 10.22.0.1
          check 192.0.2.9
          ip link del \(prefix)a
          ip link del \(prefix)b
          """
      }
      #expect(try shell(script("x")) == "yes\nyes\n")
      var transaction = NFTransaction()
      transaction.delete(Element(NFTValue(pod)), from: layout.sources4)
      try socket.commit(transaction)
      #expect(try shell(script("y")) == "yes\nno\n")
    }
  }
}
