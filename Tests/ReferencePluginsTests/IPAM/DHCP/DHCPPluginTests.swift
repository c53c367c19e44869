import CNI
import CNIExecution
import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

@Suite(
  "dhcp, with dnsmasq", .requiresRoot, .requiresProgram("dnsmasq"),
  .enabled(if: builtExecutable != nil, "the executable is not built"), .serialized)
struct DHCPPluginTests {
  @Test func aLeaseFromTheBeginningToTheEnd() throws {
    try DHCPHost.run { host in
      try host.startServer("--dhcp-option=option:dns-server,10.60.0.2", "--domain=example.org")
      try host.startDaemon()
      try host.makeContainer()
      try host.succeed(.status)
      let result = try host.add()
      let address = try #require(result.ips.first?.address)
      #expect(address.length == 16)
      #expect(try host.leases().map(\.address) == [address.address.description])
      #expect(try host.leases()[0].identifier == "00:63:31:2f:6e:65:74:2f:65:74:68:30", "c1/net/eth0")
      #expect(result.ips[0].gateway == IPAddress("10.60.0.1"))
      #expect(
        result.routes == [
          RouteConfiguration(destination: IPPrefix("0.0.0.0/0")!, gateway: IPAddress("10.60.0.1"))
        ])
      #expect(result.dns.nameservers == ["10.60.0.2"])
      #expect(result.dns.domain == "example.org")
      #expect(try host.files() == ["net,c1,eth0.lease.json"])
      try host.succeed(.check, host.after(result))
      #expect(try host.add() == result, "asked again, the same")
      #expect(try host.heard().filter { $0.contains("DHCPDISCOVER") }.count == 1)

      var other = result
      other.ips[0].address = IPPrefix("10.60.9.9/16")!
      #expect(try host.fail(.check, host.after(other)).message.contains("was given the address 10.60.9.9/16"))

      try host.succeed(.del)
      try eventually("the server has it back") { try host.leases().isEmpty }
      #expect(try host.files() == [])
      try host.succeed(.del)
      #expect(try host.fail(.check, host.after(result)).message.contains("has no lease for net/c1/eth0"))
    }
  }

  @Test(arguments: SpecVersion.allCases) func inEveryVersion(version: SpecVersion) throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      try host.makeContainer()
      let configuration = host.configuration(version: version.rawValue)
      let json = try host.succeed(.add, configuration)
      #expect(json["cniVersion"]?.string == version.rawValue)
      let result = try AddResult.decode(json)
      #expect(result.ips.count == 1)
      if version >= .v0_4_0 { try host.succeed(.check, host.after(result, configuration)) }
      try host.succeed(.del, configuration)
    }
  }

  @Test func collectsGarbage() throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      for name in ["c1", "c2"] {
        try host.makeContainer(name)
        _ = try host.add(container: name)
      }
      let valid = #"{"containerID":"c2","ifname":"eth0"}"#
      func configuration(_ name: String, _ valid: String) throws -> String {
        var json = try JSONValue.parse(host.configuration()).object!
        json.append("name", .string(name))
        json.append("cni.dev/valid-attachments", try JSONValue.parse("[\(valid)]"))
        return JSONValue.object(json).description
      }
      try host.succeed(.gc, configuration("elsewhere", ""))
      #expect(try host.leases().count == 2)
      try host.succeed(.gc, configuration("net", valid))
      try eventually("one is back") { try host.leases().count == 1 }
      #expect(try host.files() == ["net,c2,eth0.lease.json"])
    }
  }

  @Test func routes() throws {
    try DHCPHost.run { host in
      try host.startServer(
        "--dhcp-option=121,10.9.0.0/16,10.60.0.7,10.8.0.0/24,0.0.0.0",
        "--dhcp-option=249,10.7.0.0/16,10.60.0.8",
        "--dhcp-option=33,172.16.0.0,10.60.0.9", "--dhcp-option=26,1400")
      try host.startDaemon()
      try host.makeContainer()
      func routes(_ ipam: String) throws -> [String] {
        defer { _ = try? host.call(.del) }
        return try host.add(host.configuration(ipam)).routes.map {
          var text = "\($0.destination) \($0.gateway?.description ?? "-")"
          if let scope = $0.scope { text += " scope \(scope)" }
          if let priority = $0.priority { text += " priority \(priority)" }
          if let mtu = $0.mtu { text += " mtu \(mtu)" }
          return text
        }
      }
      #expect(try routes("") == ["0.0.0.0/0 10.60.0.1"], "what is not asked for does not come")
      #expect(
        try routes(#""request":[{"option":"121"}]"#) == [
          "10.9.0.0/16 10.60.0.7", "10.8.0.0/24 0.0.0.0 scope 253",
        ])
      #expect(
        try routes(#""request":[{"option":"249"}],"priority":7"#) == ["10.7.0.0/16 10.60.0.8 priority 7"])
      #expect(
        try routes(#""request":[{"option":"static-routes"},{"option":"interface-mtu"}]"#) == [
          "172.16.0.0/16 10.60.0.9 mtu 1400", "0.0.0.0/0 10.60.0.1 mtu 1400",
        ])
    }
  }

  @Test func whatIsProvidedArrives() throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      try host.makeContainer()
      let configuration = host.configuration(
        #""provide":[{"option":"host-name","value":"fixed","fromArg":"POD"},{"option":"61","value":"X1"}]"#)
      _ = try host.add(configuration)
      #expect(try host.leases()[0].name == "fixed")
      #expect(try host.leases()[0].identifier == "58:31")
      try host.succeed(.del, configuration)
      try eventually("released under the same identifier") { try host.leases().isEmpty }
      _ = try host.add(configuration, arguments: "IgnoreUnknown=1;POD=web-1")
      #expect(try host.leases()[0].name == "web-1", "the argument wins")
    }
  }

  @Test func withoutDefaultsTheMaskMustBeAskedFor() throws {
    try DHCPHost.run { host in
      try host.startResponder(#""address":"10.60.0.5","server":"10.60.0.1","options":{"1":""}"#)
      try host.startDaemon()
      try host.makeContainer()
      let error = try host.fail(.add, host.configuration(#""request":[{"skipDefault":true}]"#))
      #expect(error.message.contains("without a subnet mask (option 1)"))
      try eventually("what was given is given back") {
        try host.heard().last?.hasPrefix("RELEASE 10.60.0.5") == true
      }
    }
  }

  @Test(arguments: ["bridge", "macvlan"]) func underAnInterfacePlugin(type: String) throws {
    try DHCPHost.run { host in
      try host.startServer()
      try host.startDaemon()
      try shell("ip netns add c1")
      if type == "macvlan" {
        try shell(
          "ip link add up0 type veth peer name up1; ip link set up0 master lan up; ip link set up1 up")
      }
      let keys = type == "bridge" ? #""type":"bridge","bridge":"lan""# : #""type":"macvlan","master":"up1""#
      let configuration = host.configuration(plugin: keys)
      let result = try host.add(configuration, type: type)
      let address = result.ips[0].address
      #expect(try shell("ip -n c1 -4 addr show eth0").contains(address.description))
      #expect(try shell("ip -n c1 route").contains("default via 10.60.0.1"))
      try shell("ip netns exec c1 ping -c 1 -W 2 10.60.0.1")
      try host.succeed(.check, host.after(result, configuration), type: type)
      try host.succeed(.del, configuration, type: type)
      try eventually("the lease is back") { try host.leases().isEmpty }
      #expect(try !shell("ip -n c1 -o link").contains("eth0"))
      try host.succeed(.del, configuration, type: type)
    }
  }

  @Test(.enabled(if: access("/usr/lib/cni/dhcp", X_OK) == 0, "needs the Go plugin"))
  func resultsAreThoseOfTheGoPlugin() throws {
    try DHCPHost.run { host in
      try host.startServer("--dhcp-option=33,172.16.0.0,10.60.0.9")
      try host.startDaemon()
      try host.makeContainer()
      let goSocket = host.directory + "/go.sock"
      let goDaemon = try ChildProcess(["/usr/lib/cni/dhcp", "daemon", "-socketpath", goSocket])
      defer { withExtendedLifetime(goDaemon) {} }
      try eventually("the Go daemon listens") { access(goSocket, F_OK) == 0 }
      let keys = #""request":[{"option":"33"}]"#
      func go(_ command: String, _ socket: String) throws -> CommandResult {
        try runCommand(
          "/usr/lib/cni/dhcp",
          environment: [
            "CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/c1",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/usr/lib/cni",
          ],
          input: Array(
            #"{"cniVersion":"1.0.0","name":"net","type":"dhcp","ipam":{"type":"dhcp","daemonSocketPath":"\#(socket)",\#(keys)}}"#
              .utf8))
      }
      let theirs = try AddResult.decode(try JSONValue.parse(go("ADD", goSocket).standardOutput))
      let identifier = try host.leases()[0].identifier
      _ = try go("DEL", goSocket)
      let ours = try host.add(host.configuration(keys, version: "1.0.0"))
      #expect(ours.ips.map(\.gateway) == theirs.ips.map(\.gateway))
      #expect(ours.ips.map(\.address.length) == theirs.ips.map(\.address.length))
      #expect(ours.routes == theirs.routes)
      #expect(try host.leases()[0].identifier == identifier, "the server knows the container again")

      // Either half with the other's: an error that says so.
      #expect(try go("ADD", host.socketPath).standardOutput.contains("this is the dhcp daemon of swift-cni"))
      for command in [Command.add, .check, .status] {
        let configuration = host.configuration().replacing(host.socketPath, with: goSocket)
        let error = try host.fail(command, configuration)
        #expect(error.message.contains("is the one of the Go plugins"))
        if command == .status { #expect(error.code == .notAvailable) }
      }
    }
  }
}

@Suite("dhcp, what is wrong") struct DHCPConfigurationTests {
  private func problem(_ ipam: String) throws -> CNIError? {
    DHCPPlugin.problem(
      in: try JSONValue.parse(
        #"{"cniVersion":"1.1.0","name":"net","type":"bridge","ipam":{"type":"dhcp",\#(ipam)}}"#))
  }

  @Test(arguments: [
    (#""daemonSocketPath":"dhcp.sock""#, "ipam.daemonSocketPath"),
    (#""daemonSocketPath":7"#, "ipam.daemonSocketPath"),
    (#""priority":-1"#, "ipam.priority"), (#""priority":"high""#, "ipam.priority"),
    (#""families":["ipv5"]"#, "ipam.families[0]"), (#""families":"ipv4""#, "ipam.families"),
    (#""provide":[{"value":"x"}]"#, "ipam.provide[0].option"),
    (#""provide":[{"option":"hostname","value":"x"}]"#, "ipam.provide[0].option"),
    (#""provide":[{"option":"256","value":"x"}]"#, "ipam.provide[0].option"),
    (#""provide":[{"option":"0","value":"x"}]"#, "ipam.provide[0].option"),
    (#""provide":[{"option":"53","value":"x"}]"#, "ipam.provide[0].option"),
    (#""provide":[{"option":"dhcp-parameter-request-list","value":"x"}]"#, "use request"),
    (#""provide":[{"option":"12","value":7}]"#, "ipam.provide[0].value"),
    (#""request":[{"option":"nothing"}]"#, "ipam.request[0].option"),
    (#""request":[{"option":"255"}]"#, "ipam.request[0].option"),
    (#""request":[{"skipDefault":"yes"}]"#, "ipam.request[0].skipDefault"),
    (#""request":"121""#, "ipam.request"),
  ]) func keysAreChecked(ipam: String, words: String) throws {
    let error = try #require(try problem(ipam))
    #expect(error.description.contains(words), "\(error)")
    #expect([CNIError.Code.invalidConfiguration, .decodingFailure].contains(error.code))
  }

  @Test func valuesThatAreTooLong() throws {
    let long = String(repeating: "x", count: 256)
    #expect(
      try problem(#""provide":[{"option":"12","value":"\#(long)"}]"#)?.description.contains("255") == true)
    #expect(try problem(#""provide":[{"option":"12","value":"\#(long.dropLast())"}]"#) == nil)
  }

  @Test(arguments: [
    #""priority":0"#, #""priority":null,"provide":null,"request":[]"#, #""DaemonSocketPath":"/run/x.sock""#,
    #""provide":[{"option":"host-name"}]"#, #""provide":[{"option":12,"value":"x"}]"#,
    #""request":[{"skipDefault":true}]"#,
    #""families":["ipv4"]"#, #""families":[]"#,
  ]) func whatIsFine(ipam: String) throws {
    #expect(try problem(ipam) == nil)
  }

  @Test func flags() throws {
    func parse(_ arguments: String...) -> DaemonSettings? {
      if case .run(let settings) = DaemonFlags.parse(arguments) { settings } else { nil }
    }
    #expect(parse() == DaemonSettings())
    let settings = try #require(
      parse(
        "-pidfile", "/p", "--hostprefix=/host", "-socketpath=/s", "-broadcast", "-timeout", "1m30s",
        "-resendmax=500ms",
        "--resendtimeout", "20s", "-statedir", "/d", "-probe=0"))
    #expect(settings.pidFile == "/p")
    #expect(settings.hostPrefix == "/host")
    #expect(settings.socketPath == "/s")
    #expect(settings.broadcast)
    #expect(settings.timeout == .seconds(90))
    #expect(settings.longestPause == .milliseconds(500))
    #expect(settings.patience == .seconds(20), "the shorter one counts")
    #expect(settings.stateDirectory == "/d")
    #expect(settings.probing == .zero)
    #expect(parse("-broadcast=false")?.broadcast == false)
    #expect(parse("-socketpath=")?.socketPath == DHCPConfiguration.defaultSocketPath)
    for wrong in [
      ["-timeout"], ["-timeout", "10"], ["-timeout=0s"], ["-timeout=-1s"], ["-nothing"], ["daemon"],
      ["---timeout=1s"],
      ["-pidfile=p"], ["-broadcast=maybe"], ["-statedir=d"], ["-="],
    ] {
      guard case .mistake = DaemonFlags.parse(wrong) else {
        Issue.record("\(wrong) is no mistake")
        continue
      }
    }
    guard case .help = DaemonFlags.parse(["-h"]) else {
      Issue.record("-h")
      return
    }
  }

  @Test func durations() {
    #expect(GoDuration.parse("1h2m3.5s") == .milliseconds(3_723_500))
    #expect(GoDuration.parse("1.5h") == .seconds(5400))
    #expect(GoDuration.parse("250us") == .microseconds(250))
    #expect(GoDuration.parse("0") == .zero)
    for wrong in ["", "1", "s", "1s2", "1x", "-1s", "1..2s", "99999999999h", "1 s"] {
      #expect(GoDuration.parse(wrong) == nil, "\(wrong)")
    }
  }
}
