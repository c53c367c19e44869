import CNI
import CNIExecution
import Glibc
import NetworkAddresses
import TestSupport
import Testing

/// The daemon and its plugin against ISC's Kea, for both families.
@Suite(
  .requiresRoot, .requiresProgram("kea-dhcp4"), .requiresProgram("kea-dhcp6"),
  .enabled(if: builtExecutable != nil, "the executable is not built"))
struct KeaTests {
  /// What is particular to a family.
  enum Family: String, CaseIterable, CustomTestStringConvertible {
    case ipv4, ipv6

    var testDescription: String { rawValue }

    /// The first address of the pool, as ADD has it in its result.
    func address(_ number: Int = 0) -> String {
      self == .ipv4 ? "10.6.0.\(100 + number)/24" : "fd00:6::\(100 + number)/128"
    }

    /// A server that gives `count` addresses, from the given one.
    func server(
      from first: Int = 0, count: Int = 10, renew: Int = 1, rebind: Int = 2, valid: Int = 4,
      _ more: String = ""
    ) -> DHCPServer.Program {
      let times = #""renew-timer":\#(renew),"rebind-timer":\#(rebind),"valid-lifetime":\#(valid)"#
      let (low, high) = (100 + first, 100 + first + count - 1)
      switch self {
      case .ipv4:
        return .kea4(
          """
          \(times),"authoritative":true,"calculate-tee-times":false,
          "option-data":[{"name":"domain-name-servers","data":"10.6.0.53"},{"name":"routers","data":"10.6.0.1"}],
          "subnet4":[{"id":1,"subnet":"10.6.0.0/24","pools":[{"pool":"10.6.0.\(low)-10.6.0.\(high)"}]\(more)}]
          """)
      case .ipv6:
        return .kea6(
          """
          \(times),"preferred-lifetime":\(valid),"calculate-tee-times":false,
          "option-data":[{"name":"dns-servers","data":"fd00:6::53"},{"name":"domain-search","data":"example.org"}],
          "subnet6":[{"id":1,"subnet":"fd00:6::/64","interface":"srv",
                      "pools":[{"pool":"fd00:6::\(low)-fd00:6::\(high)"}]\(more)}]
          """)
      }
    }

    /// What stands in Kea's log for each of these.
    var renewal: String { self == .ipv4 ? "DHCP4_LEASE_ALLOC" : "DHCP6_LEASE_RENEW" }
    var release: String { self == .ipv4 ? "DHCP4_RELEASE " : "DHCP6_RELEASE_NA " }
    var solicitation: String { self == .ipv4 ? "DHCPDISCOVER" : "SOLICIT" }
  }

  @Test(arguments: Family.allCases) func leasesRenewsAndReleases(_ family: Family) throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      let configuration = host.configuration([family.rawValue])
      try host.succeed(.status, configuration)

      let result = try host.add(configuration)
      #expect(result.ips.map(\.address.description) == [family.address()])
      if family == .ipv4 {
        #expect(result.ips[0].gateway?.description == "10.6.0.1")
        #expect(result.dns.nameservers == ["10.6.0.53"])
      } else {
        #expect(result.ips[0].gateway == nil)
        #expect(result.dns.nameservers == ["fd00:6::53"])
        #expect(result.dns.search == ["example.org"])
      }
      // The same question again gets the same answer.
      #expect(try host.add(configuration) == result)

      // The lease lasts four seconds; it is renewed each second.
      try server.waitForLog(family.renewal, count: family == .ipv4 ? 4 : 3)
      #expect(!server.log.contains("DECLINE"))
      let checked = try host.host.after(
        host.host.succeeded(try host.call(.add, configuration)), configuration)
      try host.succeed(.check, checked)

      try host.succeed(.del, configuration)
      try server.waitForLog(family.release)
      try host.succeed(.del, configuration)
      #expect(try host.leaseFiles.isEmpty)
      #expect(try host.failure(.check, checked).message.contains("has no lease"))
    }
  }

  @Test func aRenamedInterfaceKeepsItsDHCPv6Lease() throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(Family.ipv6.server(), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      let configuration = host.configuration(["ipv6"])
      _ = try host.add(configuration)
      try shell("ip -n c1 link set eth0 down; ip -n c1 link set eth0 name net7")
      try shell(
        "echo 0 | ip netns exec c1 tee /proc/sys/net/ipv6/conf/net7/accept_dad; ip -n c1 link set net7 up")
      let renewals = count(Family.ipv6.renewal, in: server.log)
      try server.waitForLog(Family.ipv6.renewal, count: renewals + 2)
      try host.succeed(.del, configuration)
      try server.waitForLog(Family.ipv6.release)
    }
  }

  @Test func duplicatesAreLookedForAgainAfterADD() throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(Family.ipv6.server(valid: 60), on: "srv")
      try host.startDaemon(timeout: "2s")
      try host.makeContainer()
      let configuration = host.configuration(["ipv6"])
      let setting = "ip netns exec c1 cat /proc/sys/net/ipv6/conf/eth0/accept_dad"
      let before = try shell(setting)
      #expect(before.hasPrefix("1"))
      let result = try host.add(configuration)
      #expect(try shell(setting) == before)
      #expect(try host.add(configuration) == result)
      #expect(try shell(setting) == before)
      try host.succeed(.del, configuration)
      // And after one that fails.
      try server.stop()
      try shell("ip -n c1 link set eth0 down")
      #expect(try host.failure(.add, configuration).code == .tryAgainLater)
      #expect(try shell(setting) == before)
    }
  }

  @Test(arguments: Family.allCases) func aServerThatGoesCostsTheLeaseInTheEndAndGivesItBackWhenItComes(
    _ family: Family
  ) throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(valid: 3), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      let configuration = host.configuration([family.rawValue])
      let result = try host.host.succeeded(try host.call(.add, configuration))
      let checked = try host.host.after(result, configuration)
      try server.stop()
      try host.waitForDaemon("run out")
      let error = try host.failure(.check, checked)
      #expect(error.message.contains("has lost its lease"))
      // What was tried is said.
      #expect("\(error)".contains(family == .ipv4 ? "REQUEST sent" : "REBIND sent"))
      try server.start()
      try eventually("the lease is there again") {
        CNIError.parse(try host.call(.check, checked).standardOutput) == nil
      }
      #expect(try host.add(configuration).ips.map(\.address.description) == [family.address()])
    }
  }

  @Test(arguments: Family.allCases) func anotherServerTakesOverAtT2(_ family: Family) throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(renew: 1, rebind: 2, valid: 60), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      let configuration = host.configuration([family.rawValue])
      _ = try host.add(configuration)
      let before = try host.leaseFiles
      // Another server, with the same leases.
      try server.stop()
      if family == .ipv4 {
        try shell("ip addr del 10.6.0.1/24 dev srv; ip addr add 10.6.0.2/24 dev srv")
      } else {
        server.forgetIdentity()
      }
      try server.start()
      let first = try serverOf(before, family)
      // REBIND is repeated after ten seconds, if the first one came too early for the server.
      try eventually("the lease is another server's", within: 30) {
        try serverOf(host.leaseFiles, family) != first
      }
      #expect(try host.add(configuration).ips.map(\.address.description) == [family.address()])
      #expect(!server.log.contains(family.solicitation))
    }
  }

  private func serverOf(_ file: String, _ family: Family) throws -> String {
    let lease = try #require(try JSONValue.parse(Array(file.utf8))[family.rawValue])
    return try #require(lease[family == .ipv4 ? "server" : "serverID"]?.string)
  }

  @Test(arguments: Family.allCases) func aServerThatGivesAnotherAddressIsNotFollowed(_ family: Family) throws
  {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(valid: 4), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      let configuration = host.configuration([family.rawValue])
      let result = try host.host.succeeded(try host.call(.add, configuration))
      let checked = try host.host.after(result, configuration)
      try server.stop()
      server.forgetLeases()
      server.program = family.server(from: 50, valid: 4)
      try server.start()
      // kea-dhcp4 is silent about an address that it does not know, kea-dhcp6 withdraws it.
      try eventually("CHECK says that the lease is lost") {
        guard let error = CNIError.parse(try host.call(.check, checked).standardOutput) else { return false }
        #expect(error.message.contains("has lost its lease"))
        return true
      }
      // It comes back when the server is of its old mind.
      try server.stop()
      server.forgetLeases()
      server.program = family.server(valid: 4)
      try server.start()
      try eventually("the lease is there again", within: 30) {
        CNIError.parse(try host.call(.check, checked).standardOutput) == nil
      }
    }
  }

  @Test(arguments: Family.allCases) func aSlowServerIsWaitedFor(_ family: Family) throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(), on: "srv")
      try host.startDaemon()
      try host.makeContainer()
      server.pause()
      let results = try concurrently(2) { number in
        if number == 0 { return try host.add(host.configuration([family.rawValue])).ips }
        usleep(1_200_000)
        server.proceed()
        return []
      }
      #expect(results[0].map(\.address.description) == [family.address()])
    }
  }

  @Test(arguments: Family.allCases) func aFullPoolIsSaidSo(_ family: Family) throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(count: 1, valid: 60), on: "srv")
      try host.startDaemon(timeout: "2s")
      try host.makeContainer()
      try host.makeContainer("c2")
      let configuration = host.configuration([family.rawValue])
      _ = try host.add(configuration)
      let error = try host.failure(.add, configuration, container: "c2")
      #expect(error.code == .tryAgainLater)
      #expect(error.message.contains("within 2 s"))
      // A DHCPv4 server says nothing when it has nothing.
      #expect(
        error.message.contains(
          family == .ipv4 ? "DHCPv4: " : "ADVERTISE from"), "\(error)")
      if family == .ipv6 { #expect(error.message.contains("NoAddrsAvail"), "\(error)") }
      // What the first gives back, the second gets.
      try host.succeed(.del, configuration)
      try server.waitForLog(family.release)
      #expect(
        try host.add(configuration, container: "c2").ips.map(\.address.description) == [family.address()])
    }
  }

  @Test(arguments: Family.allCases) func nobodyAnswers(_ family: Family) throws {
    try DHCPNetwork.run { host in
      try host.startDaemon(timeout: "1s")
      try host.makeContainer()
      let error = try host.failure(.add, host.configuration([family.rawValue]))
      #expect(error.code == .tryAgainLater)
      #expect(
        error.message.contains(family == .ipv4 ? "DISCOVER sent, no answer" : "SOLICIT sent, no answer"))
      #expect(try host.leaseFiles.isEmpty)
    }
  }

  @Test(arguments: Family.allCases) func aDaemonThatWasKilledGoesOn(_ family: Family) throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(), on: "srv")
      try host.startDaemon()
      let configuration = host.configuration([family.rawValue])
      var addresses: [String: [IPPrefix]] = [:]
      for name in ["c1", "c2", "c3"] {
        try host.makeContainer(name)
        addresses[name] = try host.add(configuration, container: name).ips.map(\.address)
      }
      #expect(Set(addresses.values.joined()).count == 3)
      let solicitations = count(family.solicitation, in: server.log)
      try host.restartDaemon()
      try host.waitForDaemon("3 leases of before go on")
      try host.waitForDaemon("renewed")
      // Longer than the leases would have lasted.
      usleep(4_500_000)
      for (name, expected) in addresses {
        #expect(try host.add(configuration, container: name).ips.map(\.address) == expected)
      }
      #expect(count(family.solicitation, in: server.log) == solicitations)
    }
  }

  @Test(arguments: Family.allCases) func anAddressThatSomebodyHasIsDeclined(_ family: Family) throws {
    try DHCPNetwork.run { host in
      let server = try DHCPServer(family.server(valid: 60), on: "srv")
      // Other tests may keep the one who has it from answering at once.
      try host.startDaemon("-probe", "1s")
      try host.makeContainer("squatter")
      try shell(
        """
        echo 0 | ip netns exec squatter tee /proc/sys/net/ipv6/conf/eth0/accept_dad
        ip -n squatter addr add \(family.address()) dev eth0; ip -n squatter link set eth0 up
        sleep 0.1
        """)
      try host.makeContainer()
      let result = try host.add(host.configuration([family.rawValue]))
      #expect(result.ips.map(\.address.description) == [family.address(1)])
      try server.waitForLog("DECLINE")
    }
  }

  private func count(_ text: String, in log: String) -> Int {
    log.split(separator: "\n").count { $0.contains(text) }
  }
}
