import CNI
import CNIExecution
import TestSupport
import Testing

@testable import ReferencePlugins

@Suite("bandwidth", .requiresRoot)
struct BandwidthTests {
  private let both = TestHost.limits(ingress: 8_000_000, egress: 16_000_000, burst: 1_000_000)

  @Test(
    "A whole life in the versions that have lists",
    arguments: SpecVersion.allCases.filter { $0 >= .v0_3_0 })
  func lifeCycle(version: SpecVersion) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP(version: version.rawValue)
      let (before, quiet) = (try host.snapshot(), try host.traffic())
      #expect(quiet.isEmpty)
      let configuration = try host.bandwidth(both, after: first, version: version.rawValue)
      let result = try host.add(configuration)
      #expect(result["cniVersion"]?.string == version.rawValue)
      let decoded = try AddResult.decode(result, version: version)
      let previous = try AddResult.decode(first, version: version)
      #expect(decoded.interfaces.dropLast() == previous.interfaces[...] && decoded.ips == previous.ips)
      let device = try #require(decoded.interfaces.last)
      #expect(device.name.hasPrefix("bwp") && device.name.utf8.count == 15 && device.sandbox == nil)
      #expect(try shell("ip link show \(device.name)").contains(device.mac ?? "none"))
      let after = try host.bandwidth(both, after: result, version: version.rawValue)
      if version >= .v0_4_0 { try host.succeeded(host.call(.check, after)) }
      if version >= .v1_1_0 {
        try host.succeeded(host.call(.status, configuration, container: "", namespace: "", interface: ""))
      }
      for _ in 0..<3 {
        try host.succeeded(host.call(.del, after))
        try host.expectUnchanged(since: before)
        #expect(try host.traffic() == quiet)
      }
    }
  }

  @Test("In the kernel: tbf at the host's end, a filter to an ifb, tbf there")
  func kernelState() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.add(host.ptp("\"mtu\":1400"))
      let end = host.interfaceNames(first)[0]
      let result = try host.add(host.bandwidth(both, after: first))
      let device = try #require(host.interfaceNames(result).last)
      // The name that the Go plugin derives from "net" and "c1".
      #expect(device == "bwp623e1c388032")
      // 125,000 bytes, but for what whole ticks cannot say.
      #expect(
        try shell("tc qdisc show dev \(end)").contains(
          "qdisc tbf 1: root refcnt 2 rate 8Mbit burst 125000b lat 25ms"))
      #expect(
        try shell("tc qdisc show dev \(device)").contains(
          "qdisc tbf 1: root refcnt 2 rate 16Mbit burst 124998b lat 25ms"))
      #expect(try shell("tc qdisc show dev \(end) ingress").contains("qdisc ingress ffff: parent ffff:fff1"))
      let filters = try shell("tc filter show dev \(end) ingress")
      #expect(
        filters.contains("filter parent ffff: protocol all pref 1 u32") && filters.contains("flowid 1:1"))
      #expect(filters.contains("mirred (Egress Redirect to device \(device)) stolen"))
      let link = try shell("ip -d -o link show \(device)")
      #expect(link.contains("mtu 1400") && link.contains(",UP,") && link.contains("alias cni:net/c1/eth0"))
    }
  }

  @Test("One direction only, with the other absent or zero", arguments: [false, true])
  func oneDirection(zeros: Bool) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      for direction in ["ingress", "egress"] {
        let other = direction == "ingress" ? "egress" : "ingress"
        var keys = "\"\(direction)Rate\":8000000,\"\(direction)Burst\":1000000"
        if zeros { keys += ",\"\(other)Rate\":0,\"\(other)Burst\":0" }
        let configuration = try host.bandwidth(keys, after: first)
        let result = try host.add(configuration)
        let traffic = try host.traffic()
        #expect(traffic.contains("tbf 1: dev \(end)") == (direction == "ingress"))
        #expect(traffic.contains("ifb") == (direction == "egress"))
        #expect(host.interfaceNames(result).count == (direction == "ingress" ? 2 : 3))
        try host.succeeded(host.call(.check, host.bandwidth(keys, after: result)))
        try host.succeeded(host.call(.del, configuration))
        #expect(try host.traffic().isEmpty)
      }
      // Neither: the result is handed on.
      let nothing = "\"ingressRate\":0,\"ingressBurst\":0,\"egressRate\":0,\"egressBurst\":0"
      for keys in [
        "", nothing, "\"runtimeConfig\":{\"bandwidth\":{}}", "\"runtimeConfig\":{\"bandwidth\":null}",
      ] {
        let configuration = try host.bandwidth(keys, after: first)
        #expect(try host.add(configuration) == first)
        try host.succeeded(host.call(.check, configuration))
        try host.succeeded(host.call(.del, configuration))
      }
      #expect(try host.traffic().isEmpty)
    }
  }

  @Test(
    "Runtimes say it in runtimeConfig, with capital letters; what the administrator has written counts more")
  func runtimeConfig() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      let runtime =
        #""runtimeConfig":{"bandwidth":{"IngressRate":3000000,"IngressBurst":1000000,"EgressRate":0,"EgressBurst":0}}"#
      for (keys, rate) in [
        (runtime, "3Mbit"), (runtime + #","ingressRate":null"#, "3Mbit"),
        (runtime + #","ingressRate":5000000,"ingressBurst":800000"#, "5Mbit"),
      ] {
        let configuration = try host.bandwidth(keys, after: first)
        _ = try host.add(configuration)
        #expect(try shell("tc qdisc show dev \(end)").contains("rate \(rate) "))
        // As Go writes it, all four in capitals too; DEL also comes without.
        try host.succeeded(host.call(.del, host.bandwidth("")))
        #expect(try host.traffic().isEmpty)
      }
    }
  }

  @Test("Bursts that the kernel cannot have are as large as may be; smaller than a packet they hold one")
  func bursts() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      for (rate, burst, shown) in [
        // 274,877,906 microseconds at a million bytes per second: what 32 bits of ticks can say.
        (8_000_000, "34359738359", "burst 27487790"), (8_000_000, "18446744073709551615", "burst 27487790"),
        // At a gigabyte per second all of it lasts 4 seconds, and what may wait fits 32 bits together with it.
        (8_000_000_000, "34359738359", "burst 426996"), (8_000_000, "1000", "burst 1517b"),
      ] {
        let keys = "\"ingressRate\":\(rate),\"ingressBurst\":\(burst)"
        let result = try host.add(host.bandwidth(keys, after: first))
        let text = try shell("tc qdisc show dev \(end)")
        #expect(text.contains(shown) && text.contains("lat 25ms"), "\(rate) \(burst): \(text)")
        let after = try host.bandwidth(keys, after: result)
        try host.succeeded(host.call(.check, after))
        try host.succeeded(host.call(.del, host.bandwidth("", after: result)))
        #expect(try host.traffic().isEmpty)
      }
    }
  }

  @Test("Wrong values of every key: the error names key and remedy")
  func wrongValues() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      for (keys, code, words) in [
        (
          #""ingressRate":1000"#, CNIError.Code.invalidConfiguration, ["ingressBurst", "ingressRate is 1000"]
        ),
        (#""ingressBurst":1000"#, .invalidConfiguration, ["ingressRate", "ingressBurst is 1000"]),
        (
          #""egressRate":1000,"egressBurst":0"#, .invalidConfiguration, ["egressBurst", "egressRate is 1000"]
        ),
        (#""egressBurst":1000"#, .invalidConfiguration, ["egressRate"]),
        (
          #""ingressRate":7,"ingressBurst":1000"#, .invalidConfiguration, ["ingressRate", "less than a byte"]
        ),
        (#""ingressRate":-1,"ingressBurst":1000"#, .invalidConfiguration, ["ingressRate", "-1"]),
        (#""ingressRate":"1000","ingressBurst":1000"#, .decodingFailure, ["ingressRate", "quotation marks"]),
        (#""ingressRate":1e6,"ingressBurst":1000"#, .decodingFailure, ["ingressRate"]),
        (#""ingressRate":18446744073709551616,"ingressBurst":1"#, .invalidConfiguration, ["ingressRate"]),
        (#""egressRate":true,"egressBurst":1"#, .decodingFailure, ["egressRate"]),
        (#""runtimeConfig":{"bandwidth":[]}"#, .decodingFailure, ["runtimeConfig.bandwidth"]),
        (
          #""runtimeConfig":{"bandwidth":{"EgressRate":5000}}"#, .invalidConfiguration,
          ["runtimeConfig.bandwidth.egressBurst", "egressRate is 5000"]
        ),
      ] {
        let configuration = try host.bandwidth(keys, after: first)
        for command in [Command.add, .check] {
          let error = try host.failed(host.call(command, configuration))
          #expect(
            error.code == code || error.code == .decodingFailure && code == .invalidConfiguration, "\(keys)")
          for word in words { #expect(error.description.contains(word), "\(keys): \(error)") }
        }
        // What a mistake keeps from being made, it must not keep from being removed.
        try host.succeeded(host.call(.del, configuration))
      }
      #expect(try host.traffic().isEmpty)
      let alone = try host.failed(host.call(.add, host.bandwidth(both)))
      #expect(alone.code == .invalidConfiguration && alone.message.contains("prevResult"))
    }
  }

  @Test("An interface without another end on the host: the error says what to do")
  func notAPair() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let empty = try JSONValue.parse(#"{"cniVersion":"1.1.0","interfaces":[],"ips":[]}"#)
      let missing = try host.failed(host.call(.add, host.bandwidth(both, after: empty)))
      #expect(missing.message.contains("no interface eth0") && missing.details.contains("behind the plugin"))
      try shell("ip -n c1 link add eth0 type bridge")
      let bridge = try host.failed(host.call(.add, host.bandwidth(both, after: empty)))
      #expect(bridge.message.contains("of kind bridge") && bridge.details.contains("veth"))
      // Both ends in containers; and on the host, a pair with just these numbers.
      try shell(
        """
        ip -n c1 link del eth0; ip netns add c2
        ip -n c1 link add eth0 index 77 type veth peer name other index 78 netns c2
        ip netns add c3; ip link add stranger index 78 type veth peer name eth0 index 77 netns c3
        """)
      let elsewhere = try host.failed(host.call(.add, host.bandwidth(both, after: empty)))
      #expect(elsewhere.message.contains("is not on the host"))
      try host.succeeded(host.call(.del, host.bandwidth(both, after: empty)))
      #expect(try host.traffic().isEmpty)
    }
  }

  @Test("The linter knows the keys")
  func linted() throws {
    let keys = KeyRecord()
    let json = try JSONValue.parse(
      #"{"cniVersion":"1.0.0","name":"n","type":"bandwidth","ingressRate":8000,"ingressBurst":8000,"egresRate":1}"#
    )
    #expect(ReferencePlugins.problem(in: json, for: "bandwidth", recording: keys) == nil)
    #expect(keys.unknownKeys.map(\.path) == ["egresRate"])
    #expect(keys.unknownKeys.first?.suggestion == "egressRate")
  }
}
