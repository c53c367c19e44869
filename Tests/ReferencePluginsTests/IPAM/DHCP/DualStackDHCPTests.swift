import CNI
import CNIExecution
import TestSupport
import Testing

/// Both families at once, and with the bridge plugin around: what the container can do then.
@Suite(
  .requiresRoot, .requiresProgram("dnsmasq"),
  .enabled(if: builtExecutable != nil, "the executable is not built"))
struct DualStackDHCPTests {
  /// dnsmasq for both families, with router advertisements.
  private static func server(_ more: [String] = []) -> DHCPServer.Program {
    .dnsmasq(
      [
        "--dhcp-range=10.6.0.100,10.6.0.199,255.255.255.0,2m", "--dhcp-range=fd00:6::100,fd00:6::1ff,64,2m",
        "--enable-ra", "--ra-param=srv,4,60", "--dhcp-option=option:dns-server,10.6.0.53",
        "--dhcp-option=option6:dns-server,[fd00:6::53]", "--dhcp-option=option6:domain-search,example.org",
      ] + more)
  }

  @Test func aContainerOnABridgeReachesTheRouterByBothFamilies() throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(Self.server(), on: "srv")
      try host.startDaemon()
      try host.host.makeContainer()
      let configuration = host.bridgeConfiguration(["ipv4", "ipv6"])
      let json = try host.host.succeeded(try host.call(.add, configuration))
      let result = try AddResult.decode(json, name: "result")
      #expect(result.ips.map(\.address.family) == [.ipv4, .ipv6])
      #expect(result.ips[1].address.length == 128)
      #expect(result.dns.nameservers == ["10.6.0.53", "fd00:6::53"])
      #expect(result.dns.search == ["example.org"])
      #expect(result.interfaces.contains { $0.name == "eth0" })
      try host.succeed(.check, host.host.after(json, configuration))

      try shell("ip netns exec c1 ping -c1 -W2 10.6.0.1")
      // The route comes from a router advertisement, which the kernel asks for by itself.
      try eventually("the container has a default route") {
        try shell("ip -n c1 -6 route show default").contains("proto ra")
      }
      try shell("ip netns exec c1 ping -6 -c1 -W2 fd00:6::1")

      try host.succeed(.del, configuration)
      try server.waitForLog("DHCPRELEASE(srv)", count: 2)
    }
  }

  @Test func theFamilyThatIsMissingIsNamedAndTheOtherGivenBack() throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(
        .dnsmasq(["--dhcp-range=10.6.0.100,10.6.0.199,255.255.255.0,2m"]), on: "srv")
      try host.startDaemon(timeout: "1500ms")
      try host.makeContainer()
      let error = try host.failure(.add, host.configuration(["ipv4", "ipv6"]))
      #expect(error.code == .tryAgainLater)
      #expect(error.message.contains("DHCPv6: "))
      #expect(error.message.contains("SOLICIT sent, no answer"))
      try server.waitForLog("DHCPRELEASE(srv)")
      #expect(try host.leaseFiles.isEmpty)
    }
  }

  @Test func theTwoAreAskedAtTheSameTime() throws {
    try DHCPNetwork.run { host in
      // Each answer of DHCPv4 takes a second.
      let server = try DHCPServer(Self.server(["--dhcp-reply-delay=1"]), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      _ = try host.add(host.configuration(["ipv4", "ipv6"]))
      let log = server.log.split(separator: "\n")
      let acknowledged = try #require(log.firstIndex { $0.contains("DHCPACK") })
      let replied = try #require(log.firstIndex { $0.contains("DHCPREPLY") })
      #expect(replied < acknowledged)
    }
  }

  @Test func ipv6WorksInAContainerThatComesWithItSwitchedOff() throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(Self.server(), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      try shell("echo 1 | ip netns exec c1 tee /proc/sys/net/ipv6/conf/all/disable_ipv6")
      let result = try host.add(host.configuration(["ipv6"]))
      #expect(result.ips.map(\.address.length) == [128])
      #expect(server.log.contains("DHCPREPLY"))
    }
  }
}
