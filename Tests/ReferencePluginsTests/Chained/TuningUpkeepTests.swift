import CNI
import CNIExecution
import TestSupport
import Testing

@testable import ReferencePlugins

@Suite("tuning: records, allow-list, GC, STATUS", .requiresRoot)
struct TuningUpkeepTests {
  // MARK: Records

  @Test("Two in a list: DEL brings back what was before the first")
  func twice() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let before = try host.tunables()
      let first = host.tuning(#""mtu":1400,"sysctl":{"net.core.somaxconn":"500"}"#)
      let result = try host.add(first)
      let second = host.tuning(
        #""mtu":1300,"promisc":true,"sysctl":{"net.core.somaxconn":"600","net.ipv4.conf.IFNAME.arp_notify":"1"}"#
      )
      _ = try host.add(try host.after(result, second))
      let tuned = try host.tunables()
      #expect(tuned.contains("mtu 1300") && tuned.contains("somaxconn:600") && tuned.contains("PROMISC"))

      // A third one that fails leaves the record of the two.
      let record = try host.record()
      _ = try host.failed(
        host.call(.add, host.tuning(#""txQLen":9,"sysctl":{"net.ipv4.conf.IFNAME.rp_filter":"x"}"#)))
      #expect(try host.record() == record)
      #expect(try host.tunables() == tuned)

      try host.succeeded(host.call(.del, second))
      #expect(try host.tunables() == before)
      try host.succeeded(host.call(.del, first))
      #expect(try host.tunables() == before)
    }
  }

  @Test("The record of an earlier life says nothing of this one")
  func earlierLife() throws {
    try TestHost.run { host in
      try host.makeTunable()
      _ = try host.add(host.tuning(#""mac":"02:00:00:00:00:77","mtu":1400"#))
      try shell("ip netns delete c1; while [ -e /sys/class/net/host0 ]; do sleep 0.05; done")
      try host.makeTunable()
      try shell("ip -n c1 link set eth0 address 02:00:00:00:00:55 txqueuelen 10")
      let before = try host.tunables()
      // DEL for what has gone must not touch what has come.
      try host.succeeded(host.call(.del, host.tuning("")))
      #expect(try host.tunables() == before)
      _ = try host.add(host.tuning(#""mac":"02:00:00:00:00:77""#))
      try host.succeeded(host.call(.del, host.tuning("")))
      #expect(try host.tunables() == before)
    }
  }

  @Test("What somebody else has set since is left alone")
  func foreignChange() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let configuration = host.tuning(
        #""sysctl":{"net.core.somaxconn":"500","net.ipv4.conf.IFNAME.arp_notify":"1"}"#)
      _ = try host.add(configuration)
      try shell("ip netns exec c1 sh -c 'echo 900 > /proc/sys/net/core/somaxconn'")
      try host.succeeded(host.call(.del, configuration))
      let after = try host.tunables()
      #expect(after.contains("somaxconn:900") && after.contains("arp_notify:0"))
    }
  }

  @Test("A namespace that is gone, or not given: the record goes", arguments: ["/run/netns/c1", ""])
  func withoutNamespace(path: String) throws {
    try TestHost.run { host in
      try host.makeTunable()
      _ = try host.add(host.tuning(everything))
      try shell("ip netns delete c1")
      for _ in 0..<2 {
        try host.succeeded(
          host.call(
            .del, host.chained("tuning", "\"dataDir\":\"\(host.dataDirectory)/tuning\""), namespace: path))
      }
      #expect(try host.record() == "")
    }
  }

  @Test("An interface that is gone: settings of the namespace come back all the same")
  func withoutInterface() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let setting = try host.inContainer("cat /proc/sys/net/core/somaxconn")
      _ = try host.add(host.tuning(everything))
      try shell("ip -n c1 link delete eth0")
      try host.succeeded(host.call(.del, host.tuning(everything)))
      #expect(try host.inContainer("cat /proc/sys/net/core/somaxconn") == setting)
      #expect(try host.record() == "")
    }
  }

  @Test(
    "A record that is empty, cut or something else never keeps an attachment",
    arguments: [
      "", "{\"mac\":\"02:00:0", "[1]", "null", "text",
      "{\"mac\":5,\"mtu\":\"x\",\"promisc\":1,\"sysctl\":[]}",
      "{\"sysctl\":{\"kernel/hostname\":{\"before\":\"x\",\"after\":\"y\"},\"net/../kernel/hostname\":{\"before\":\"x\",\"after\":\"y\"}}}",
      "{\"mtu\":-5,\"txQLen\":-1,\"mac\":\"zz\"}", "{\"mtu\":1,\"txQLen\":3}",
    ])
  func foreignRecord(content: String) throws {
    try TestHost.run { host in
      try host.makeTunable()
      let before = try host.tunables()
      let name = try host.inContainer("cat /proc/sys/kernel/hostname")
      try shell(
        "mkdir '\(host.dataDirectory)/tuning'; printf '%s' '\(content)' > '\(host.dataDirectory)/tuning/c1_eth0.json'"
      )
      // ADD does not mind it either.
      _ = try host.add(host.tuning(#""mtu":1400"#))
      try host.succeeded(host.call(.del, host.tuning("")))
      #expect(try host.tunables() == before)
      try shell("printf '%s' '\(content)' > '\(host.dataDirectory)/tuning/c1_eth0.json'")
      try host.succeeded(host.call(.del, host.tuning("")))
      #expect(try host.record() == "")
      // An MTU that it cannot have does not keep the rest from coming back.
      let expected = content.contains("txQLen\":3") ? before.replacing("qlen 1000", with: "qlen 3") : before
      #expect(try host.tunables() == expected)
      #expect(try host.inContainer("cat /proc/sys/kernel/hostname") == name)
    }
  }

  @Test("A directory in the place of a record, or a file in that of the directory")
  func noRecord() throws {
    try TestHost.run { host in
      try host.makeTunable()
      try shell("mkdir -p '\(host.dataDirectory)/tuning/c1_eth0.json'")
      try host.succeeded(host.call(.del, host.tuning("")))
      try shell(
        "rmdir '\(host.dataDirectory)/tuning/c1_eth0.json' '\(host.dataDirectory)/tuning'; touch '\(host.dataDirectory)/tuning'"
      )
      try host.succeeded(host.call(.del, host.tuning("")))
      let before = try host.tunables()
      let error = try host.failed(host.call(.add, host.tuning(#""mtu":1400"#)))
      #expect(error.code == .ioFailure && error.message.contains("tuning"))
      #expect(try host.tunables() == before)
    }
  }

  // MARK: Allow-list

  /// A host whose administrator allows what matches one of the lines.
  private func allowing(_ lines: String, _ body: (TestHost) throws -> Void) throws {
    try TestHost.run { host in
      // A copy of /etc, seen by nobody else.
      try shell("mkdir /run/etc; cp -a /etc/. /run/etc; mount --bind /run/etc /etc; mkdir -p /etc/cni/tuning")
      try shell("printf '\(lines)' > /etc/cni/tuning/allowlist.conf")
      try host.makeTunable()
      try body(host)
    }
  }

  @Test("Only what the administrator's list matches may be set")
  func allowList() throws {
    try allowing("  ^net\\\\.ipv4\\\\.conf\\\\.IFNAME\\\\.[a-z_]*$\\r\\n\\n^net.core.somaxconn$\\n") { host in
      let allowed = host.tuning(
        #""sysctl":{"net.ipv4.conf.IFNAME.arp_notify":"1","net.core.somaxconn":"500"},"mtu":1400"#)
      _ = try host.add(allowed)
      try host.succeeded(host.call(.status, allowed, container: "", namespace: "", interface: ""))
      try host.succeeded(host.call(.del, allowed))
      let before = try host.tunables()
      for key in ["net.ipv4.conf.all.arp_notify", "net.ipv4.ip_forward", "net/ipv4/conf/IFNAME/arp_notify"] {
        let refused = host.tuning("\"mtu\":1400,\"sysctl\":{\"net.core.somaxconn\":\"500\",\"\(key)\":\"1\"}")
        let error = try host.failed(host.call(.add, refused))
        #expect(
          error.code == .invalidConfiguration && error.message.contains(key)
            && error.details.contains("allowlist.conf"))
        #expect(try host.tunables() == before)
        let status = try host.failed(host.call(.status, refused, container: "", namespace: "", interface: ""))
        #expect(status.code == .notAvailable)
      }
      _ = try host.add(host.tuning(#""mtu":1400"#))
    }
  }

  @Test("A line that is no expression allows nothing, and STATUS says so")
  func brokenAllowList() throws {
    try allowing("^net.core\\n^(net\\n") { host in
      _ = try host.add(host.tuning(#""sysctl":{"net.core.somaxconn":"500"}"#))
      let other = host.tuning(#""sysctl":{"net.ipv4.conf.IFNAME.arp_notify":"1"}"#)
      let error = try host.failed(host.call(.add, other))
      #expect(error.message.contains("line 2") && error.details.contains("^(net"))
      let status = try host.failed(
        host.call(.status, host.tuning(""), container: "", namespace: "", interface: ""))
      #expect(status.code == .notAvailable && status.message.contains("line 2"))
      try shell("rm /etc/cni/tuning/allowlist.conf; mkdir /etc/cni/tuning/allowlist.conf")
      #expect(try host.failed(host.call(.add, other)).code == .ioFailure)
      #expect(
        try host.failed(host.call(.status, other, container: "", namespace: "", interface: "")).code
          == .notAvailable)
    }
  }

  // MARK: GC, STATUS

  @Test("GC removes the records of this network's stale attachments, and no others")
  func garbage() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let directory = host.dataDirectory + "/tuning"
      for (container, name) in [("c1", "net"), ("c2", "net"), ("c3", "other")] {
        // The containers are one and the same: what counts is what they are called.
        try host.succeeded(
          host.call(.add, host.tuning(#""promisc":true"#, name: name), container: container))
        try shell("ip -n c1 link set eth0 promisc off")
      }
      try shell("cd '\(directory)'; echo '{\"mtu\":1500}' > c4_eth0.json; : > c5_eth0.json; touch other.txt")
      let valid = #""cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}]"#
      try host.succeeded(host.call(.gc, host.tuning(valid), container: "", namespace: "", interface: ""))
      let names = try shell("ls '\(directory)'").split(separator: "\n")
      #expect(names == ["c1_eth0.json", "c3_eth0.json", "c4_eth0.json", "c5_eth0.json", "other.txt"])
      let absent = host.chained("tuning", "\"dataDir\":\"/run/absent\",\(valid)")
      try host.succeeded(host.call(.gc, absent, container: "", namespace: "", interface: ""))
    }
  }

  @Test("STATUS: what would be kept needs a place")
  func status() throws {
    try TestHost.run { host in
      let fine = host.tuning(everything)
      try host.succeeded(host.call(.status, fine, container: "", namespace: "", interface: ""))
      #expect(try shell("ls '\(host.dataDirectory)'").isEmpty)
      try shell("mkdir /run/fixed; mount -t tmpfs -o ro none /run/fixed")
      let fixed = host.chained("tuning", "\"dataDir\":\"/run/fixed/a/b\"")
      let error = try host.failed(host.call(.status, fixed, container: "", namespace: "", interface: ""))
      #expect(error.code == .notAvailable && error.message.contains("/run/fixed/a/b"))
      let mistaken = host.tuning(#""sysctl":{"kernel.hostname":"x"}"#)
      #expect(
        try host.failed(host.call(.status, mistaken, container: "", namespace: "", interface: "")).code
          == .invalidConfiguration)
    }
  }
}

/// Debian's tuning and ours restore what the other has changed.
@Suite("tuning in two hands", .requiresRoot, .requiresProgram("\(AddressPlugin.goDirectory)/tuning"))
struct TuningPeerTests {
  private static let keys = #""mac":"02:00:00:00:00:77","mtu":1400,"promisc":true,"allmulti":true"#

  @Test("What one has changed, the other checks and restores", arguments: [true, false])
  func handover(goFirst: Bool) throws {
    try TestHost.run { ours in
      var go = ours
      go.runner = PluginRunner(path: [AddressPlugin.goDirectory])
      let (adder, deleter) = goFirst ? (go, ours) : (ours, go)
      try ours.makeTunable()
      let before = try ours.tunables()
      // Version 1.1 does not know the key.
      let knowsQueue = try shell("grep -c txQLen \(AddressPlugin.goDirectory)/tuning || true") != "0\n"
      let configuration = ours.tuning(
        Self.keys + (knowsQueue ? ",\"txQLen\":77" : ""),
        previous: ours.interfaceResult("10.1.0.2/24", version: "1.0.0"), version: "1.0.0")
      let result = try adder.add(configuration)
      #expect(try ours.tunables() != before)
      try deleter.check(configuration, after: result)
      try deleter.succeeded(deleter.call(.del, deleter.after(result, configuration)))
      #expect(try ours.tunables() == before)
      #expect(try shell("ls '\(ours.dataDirectory)/tuning'").isEmpty)
      try deleter.succeeded(deleter.call(.del, configuration))
    }
  }
}
