import CNI
import CNIExecution
import TestSupport
import Testing

@Suite("bandwidth: what others do meanwhile", .requiresRoot)
struct BandwidthUpkeepTests {
  private let both = TestHost.limits(ingress: 8_000_000, egress: 16_000_000, burst: 1_000_000)

  @Test("Several interfaces of a container, in several networks and in one: each its own ifb")
  func severalInterfaces() throws {
    try TestHost.run { host in
      try host.makeContainer()
      var added: [(interface: String, name: String, configuration: String)] = []
      for (number, (interface, name)) in [("eth0", "net"), ("eth1", "other"), ("eth2", "net")].enumerated() {
        let first = try host.addPTP(interface: interface, name: name, ipam: TestHost.range(number))
        let configuration = try host.bandwidth(both, after: first, name: name)
        let result = try host.succeeded(host.call(.add, configuration, interface: interface))
        added.append((interface, name, try host.bandwidth(both, after: result, name: name)))
      }
      #expect(try shell("ip -o link show type ifb | wc -l") == "3\n")
      for attachment in added {
        let device = try shell(
          "ip -o link | sed -n 's/^[0-9]*: \\(bwp[^:]*\\):.*alias cni:\(attachment.name).c1.\(attachment.interface)$/\\1/p'"
        ).trimmingNewline
        let end = try host.hostEnd("c1", attachment.interface)
        #expect(try shell("tc filter show dev \(end) ingress").contains("device \(device))"))
        try host.succeeded(host.call(.check, attachment.configuration, interface: attachment.interface))
      }
      // One goes, the others stay.
      for (number, attachment) in added.enumerated() {
        for _ in 0..<2 {
          try host.succeeded(host.call(.del, attachment.configuration, interface: attachment.interface))
        }
        #expect(try shell("ip -o link show type ifb | wc -l") == "\(2 - number)\n")
        for other in added.dropFirst(number + 1) {
          try host.succeeded(host.call(.check, other.configuration, interface: other.interface))
        }
      }
      #expect(try host.traffic().isEmpty)
    }
  }

  @Test("A qdisc and filters of somebody else's stay, and come first", arguments: ["clsact", "ingress"])
  func foreignQdisc(kind: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      try shell(
        """
        tc qdisc add dev \(end) \(kind)
        tc filter add dev \(end) ingress protocol ip prio 10 u32 match ip dst 203.0.113.9/32 flowid 1:2
        tc filter add dev \(end) ingress protocol ip u32 match ip dst 203.0.113.10/32 flowid 1:3
        """)
      let before = try host.traffic()
      let result = try host.add(host.bandwidth(both, after: first))
      let filters = try shell("tc filter show dev \(end) ingress")
      #expect(
        filters.contains("pref 50000 u32") && filters.contains("pref 49152") && filters.contains("pref 10 "))
      let after = try host.bandwidth(both, after: result)
      try host.succeeded(host.call(.check, after))
      // Packets take the way: the counter of the ifb's bucket tells.
      try shell("ip netns exec c1 ping -q -c3 -i0.2 -W2 10.22.0.1")
      let device = try #require(host.interfaceNames(result).last)
      #expect(!(try shell("tc -s qdisc show dev \(device)").contains("Sent 0 bytes")))
      try host.succeeded(host.call(.del, after))
      #expect(try host.traffic() == before)
      try shell("ip netns exec c1 ping -q -c1 -W2 10.22.0.1")
    }
  }

  @Test("Filters that others have put into our qdisc keep it")
  func qdiscTaken() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      let result = try host.add(host.bandwidth(both, after: first))
      try shell(
        "tc filter add dev \(end) ingress protocol ip prio 10 u32 match ip dst 203.0.113.9/32 flowid 1:2")
      try host.succeeded(host.call(.del, host.bandwidth(both, after: result)))
      let filters = try shell("tc filter show dev \(end) ingress")
      #expect(filters.contains("pref 10 u32") && !filters.contains("mirred"))
      try shell("ip netns exec c1 ping -q -c1 -W2 10.22.0.1")
    }
  }

  @Test("A root qdisc of somebody else's is an error, and stays at DEL")
  func foreignRoot() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      // Of the same kind, under the same handle, but with numbers that no plugin would choose.
      for qdisc in ["htb default 1", "tbf rate 9mbit burst 20kb latency 400ms"] {
        try shell("tc qdisc add dev \(end) root handle 1: \(qdisc)")
        let before = try host.traffic()
        let error = try host.failed(host.call(.add, host.bandwidth(both, after: first)))
        #expect(error.message.contains("\(end) has a qdisc already") && error.details.contains("ingressRate"))
        #expect(try host.traffic() == before)
        try host.succeeded(host.call(.del, host.bandwidth(both, after: first)))
        #expect(try host.traffic() == before)
        // What the container sends can be shaped all the same.
        let egress = TestHost.limits(egress: 16_000_000)
        let result = try host.add(host.bandwidth(egress, after: first))
        try host.succeeded(host.call(.check, host.bandwidth(egress, after: result)))
        try host.succeeded(host.call(.del, host.bandwidth(egress, after: result)))
        #expect(try host.traffic() == before)
        try shell("tc qdisc del dev \(end) root")
      }
    }
  }

  @Test("ADD again is refused and changes nothing; what a killed ADD left is taken away")
  func repeated() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let result = try host.add(host.bandwidth(both, after: first))
      let before = try host.traffic()
      for keys in [both, TestHost.limits(ingress: 9_000_000), TestHost.limits(egress: 9_000_000)] {
        let error = try host.failed(host.call(.add, host.bandwidth(keys, after: first)))
        #expect(
          error.message.contains("shaped already") && error.details.contains("call DEL first"), "\(error)")
        #expect(try host.traffic() == before)
      }
      try host.succeeded(host.call(.del, host.bandwidth(both, after: result)))
      // The device is there, with its mark, and nothing leads to it.
      try shell("ip link add bwp623e1c388032 type ifb; ip link set bwp623e1c388032 alias cni:net/c1/eth0")
      let again = try host.add(host.bandwidth(both, after: first))
      #expect(host.interfaceNames(again).last == "bwp623e1c388032")
      try host.succeeded(host.call(.check, host.bandwidth(both, after: again)))
      try host.succeeded(host.call(.del, host.bandwidth(both, after: again)))
      #expect(try host.traffic().isEmpty)
    }
  }

  @Test("The name is taken by a stranger: another one, and the stranger stays")
  func takenName() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      for kind in ["ifb", "bridge"] {
        try shell("ip link add bwp623e1c388032 type \(kind); ip link set bwp623e1c388032 alias mine")
        let before = try host.traffic()
        let result = try host.add(host.bandwidth(both, after: first))
        #expect(host.interfaceNames(result).last != "bwp623e1c388032")
        try host.succeeded(host.call(.check, host.bandwidth(both, after: result)))
        try host.succeeded(host.call(.del, host.bandwidth(both)))
        #expect(try host.traffic() == before)
        try shell("ip link del bwp623e1c388032")
      }
    }
  }

  @Test("ADD that fails half-way leaves nothing")
  func failing() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      let before = try host.snapshot()
      // Somebody has a block of filters there, which takes none of a single link's: the filter is refused at the end.
      try shell("tc qdisc add dev \(end) ingress_block 7 clsact")
      let quiet = try host.traffic()
      let error = try host.failed(host.call(.add, host.bandwidth(both, after: first)))
      #expect(error.message.contains("cannot add filter"), "\(error)")
      #expect(try host.traffic() == quiet)
      try host.expectUnchanged(since: before)
    }
  }

  @Test("DEL with the namespace gone, without prevResult and without limits")
  func withoutNamespace() throws {
    try TestHost.run { host in
      for path in ["/run/netns/c1", ""] {
        try host.makeContainer()
        let first = try host.addPTP()
        _ = try host.add(host.bandwidth(both, after: first))
        try shell("ip netns del c1; for i in $(seq 50); do ip link | grep -q veth || break; sleep 0.1; done")
        #expect(try shell("ip -o link show type ifb | wc -l") == "1\n")
        try host.succeeded(host.call(.del, host.bandwidth(""), namespace: path))
        #expect(try host.traffic().isEmpty)
        try host.succeeded(host.call(.del, host.ptp("")))
      }
      // The namespace's path is not known, the namespace is still there: nothing remains on the host's end either.
      try host.makeContainer()
      let first = try host.addPTP()
      _ = try host.add(host.bandwidth(both, after: first))
      try host.succeeded(host.call(.del, host.bandwidth(""), namespace: ""))
      #expect(try host.traffic().isEmpty)
      try shell("ip netns exec c1 ping -q -c1 -W2 10.22.0.1")
    }
  }

  @Test("CHECK names what differs")
  func check() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let first = try host.addPTP()
      let end = try host.hostEnd()
      for (tamper, words) in [
        ("tc qdisc del dev \(end) root", ["eth0 receives", "tbf is gone from \(end)"]),
        (
          "tc qdisc replace dev \(end) root handle 1: tbf rate 9mbit burst 125000 latency 25ms",
          ["9000000", "8000000", "ingressRate"]
        ),
        (
          "tc qdisc replace dev \(end) root handle 1: tbf rate 8mbit burst 90000 latency 25ms",
          ["burst", end]
        ),
        ("tc qdisc replace dev \(end) root handle 2: htb", ["tbf is gone", "htb"]),
        ("tc qdisc del dev DEVICE root", ["eth0 sends", "tbf is gone from DEVICE"]),
        (
          "tc qdisc replace dev DEVICE root handle 1: tbf rate 9mbit burst 125000 latency 25ms",
          ["9000000", "16000000", "egressRate"]
        ),
        ("ip link set DEVICE down", ["DEVICE is down"]), ("ip link del DEVICE", ["ifb", "is gone"]),
        ("tc qdisc del dev \(end) ingress", ["nothing leads from \(end) to DEVICE"]),
        ("ip -n c1 link del eth0", ["no interface eth0"]),
      ] {
        if try !shell("ip -n c1 link").contains("eth0") { break }
        let result = try host.add(host.bandwidth(both, after: first))
        let device = try #require(host.interfaceNames(result).last)
        try shell(tamper.replacing("DEVICE", with: device))
        let error = try host.failed(host.call(.check, host.bandwidth(both, after: result)))
        for word in words {
          #expect(error.description.contains(word.replacing("DEVICE", with: device)), "\(tamper): \(error)")
        }
        try host.succeeded(host.call(.del, host.bandwidth(both, after: result)))
        try shell("tc qdisc del dev \(end) root 2>/dev/null || true")
        #expect(try host.traffic().isEmpty, "\(tamper)")
      }
    }
  }

  @Test("GC removes what belongs to no valid attachment of the network, and what leads to it")
  func garbage() throws {
    try TestHost.run { host in
      for container in ["c1", "c2", "c3"] {
        try host.makeContainer(container)
        let name = container == "c3" ? "other" : "net"
        let ipam = container == "c3" ? TestHost.range(0) : TestHost.dualStack
        let first = try host.addPTP(container: container, name: name, ipam: ipam)
        let end = try host.hostEnd(container)
        // The link stays, as with an interface plugin that does no GC: without its mark.
        try shell("ip link set \(end) alias ''")
        _ = try host.add(host.bandwidth(both, after: first, name: name), container: container)
      }
      try shell("ip link add bwp000000000000 type ifb")
      let end = try host.hostEnd("c1")
      func collect(_ valid: String) throws {
        let configuration = try host.bandwidth("\"cni.dev/valid-attachments\":[\(valid)]")
        try host.succeeded(host.call(.gc, configuration, container: "", namespace: "", interface: ""))
      }
      let second = #"{"containerID":"c2","ifname":"eth0"}"#
      let before = try host.traffic()
      try collect(#"{"containerID":"c1","ifname":"eth0"},\#(second)"#)
      #expect(try host.traffic() == before)
      try collect(second)
      let traffic = try host.traffic()
      #expect(!traffic.contains("cni:net/c1/eth0") && traffic.contains("cni:net/c2/eth0"))
      #expect(traffic.contains("cni:other/c3/eth0") && traffic.contains("bwp000000000000"))
      #expect(try shell("tc filter show dev \(end) ingress").isEmpty)
      try collect("")
      #expect(try shell("ip -o link show type ifb | wc -l") == "2\n")
    }
  }

  @Test("STATUS makes nothing, and needs no limits")
  func status() throws {
    try TestHost.run { host in
      let before = try host.snapshot()
      for keys in ["", both, "\"ingressRate\":0"] {
        try host.succeeded(
          host.call(.status, host.bandwidth(keys), container: "", namespace: "", interface: ""))
      }
      let error = try host.failed(
        host.call(
          .status, host.bandwidth("\"ingressRate\":1000"), container: "", namespace: "", interface: ""))
      #expect(error.code == .invalidConfiguration)
      try host.expectUnchanged(since: before)
      #expect(try host.traffic().isEmpty)
    }
  }
}
