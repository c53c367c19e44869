import CNI
import CNIExecution
import TestSupport
import Testing

@testable import ReferencePlugins

@Suite("tuning: what may not be restored", .requiresRoot)
struct TuningRestoringTests {
  @Test(
    "A setting that DEL may not restore keeps nobody: its record stays, for whoever tries next",
    arguments: [Command.gc, .del])
  func refused(command: Command) throws {
    try TestHost.run { host in
      try host.makeTunable()
      let before = try host.tunables()
      let configuration = host.tuning(everything)
      let result = try host.add(configuration)
      try withFixedSettings {
        try host.succeeded(host.call(.del, configuration))
        let record = try host.record()
        #expect(record.contains("core/somaxconn") && record.contains("ip_local_reserved_ports"))
        // What goes with the interface is not remembered.
        #expect(!record.contains("arp_notify") && !record.contains("mtu"))
        // While nothing has changed, neither does this.
        try host.succeeded(host.call(.del, configuration))
        try collect(host)
        #expect(try host.record() == record)
      }
      // The container goes on living, and is attached again: what was before is what was before the first time.
      _ = try host.add(configuration)
      try withFixedSettings { try host.succeeded(host.call(.del, configuration)) }
      #expect(try host.tunables().contains("somaxconn:500"))

      if command == .gc {
        try collect(host)
      } else {
        try host.succeeded(host.call(.del, host.after(result, configuration)))
      }
      #expect(try host.record() == "")
      let after = try host.tunables()
      for setting in ["somaxconn", "ip_local_reserved_ports"] {
        func line(_ text: String) -> Substring? { text.split(separator: "\n").first { $0.contains(setting) } }
        #expect(line(after) == line(before))
      }
    }
  }

  @Test("GC restores kernel settings of a container that lives and was never deleted, and of no other")
  func collected() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let before = try host.inContainer("cat /proc/sys/net/core/somaxconn")
      _ = try host.add(host.tuning(#""sysctl":{"net.core.somaxconn":"500"}"#))
      try collect(host, valid: #"{"containerID":"c1","ifname":"eth0"}"#)
      #expect(try host.inContainer("cat /proc/sys/net/core/somaxconn") == "500")
      try collect(host)
      #expect(try host.inContainer("cat /proc/sys/net/core/somaxconn") == before)
      #expect(try host.record() == "")
    }
  }

  @Test(
    "What a DEL could not restore is forgotten with the container, and left alone once it is somebody else's")
  func refusedForGood() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let configuration = host.tuning(#""sysctl":{"net.core.somaxconn":"500"}"#)
      func attachAndFail() throws {
        _ = try host.add(configuration)
        try withFixedSettings { try host.succeeded(host.call(.del, configuration)) }
        #expect(try host.record() != "")
      }
      func collectAll() throws {
        try collect(host)
        #expect(try host.record() == "")
      }
      try attachAndFail()
      try shell("ip netns exec c1 sh -c 'echo 900 > /proc/sys/net/core/somaxconn'")
      try collectAll()
      #expect(try host.inContainer("cat /proc/sys/net/core/somaxconn") == "900")

      try attachAndFail()
      try shell("ip netns delete c1; while [ -e /sys/class/net/host0 ]; do sleep 0.05; done")
      try collectAll()

      try host.makeTunable()
      try attachAndFail()
      // Another namespace where it was.
      try shell("mkdir /run/elsewhere; touch /run/elsewhere/c1; mount --bind /run/netns/c1 /run/elsewhere/c1")
      try shell(
        "ip netns delete c1; ip netns add c1; ip netns exec c1 sh -c 'echo 500 > /proc/sys/net/core/somaxconn'"
      )
      try collectAll()
      #expect(try host.inContainer("cat /proc/sys/net/core/somaxconn") == "500")
    }
  }

  /// GC; `valid` is what the list of valid attachments has in it, as JSON.
  private func collect(_ host: TestHost, valid: String = "") throws {
    let configuration = host.tuning("\"cni.dev/valid-attachments\":[\(valid)]")
    try host.succeeded(host.call(.gc, configuration, container: "", namespace: "", interface: ""))
  }

  /// Runs `body` where kernel settings can be read, and not be written.
  private func withFixedSettings(_ body: () throws -> Void) throws {
    try shell("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")
    defer { _ = try? shell("umount /proc/sys") }
    try body()
  }

  @Test("A record that cannot be read stays, and keeps nobody from being deleted; ADD does not replace it")
  func inaccessibleRecord() throws {
    try TestHost.run { host in
      try host.makeTunable()
      let configuration = host.tuning(#""sysctl":{"net.core.somaxconn":"500"}"#)
      _ = try host.add(configuration)
      let directory = host.dataDirectory + "/tuning"
      // Whose first bytes cannot be read, whoever asks.
      try shell("cd '\(directory)'; mv c1_eth0.json kept; ln -s /proc/self/mem c1_eth0.json")
      try host.succeeded(host.call(.del, configuration))
      try collect(host)
      let error = try host.failed(host.call(.add, host.tuning(#""sysctl":{"net.core.somaxconn":"600"}"#)))
      #expect(error.message.contains("c1_eth0.json"), "\(error)")
      #expect(try host.inContainer("cat /proc/sys/net/core/somaxconn") == "500")
      try shell("cd '\(directory)'; mv kept c1_eth0.json")
      try host.succeeded(host.call(.del, configuration))
      #expect(try host.inContainer("cat /proc/sys/net/core/somaxconn") != "500")
      #expect(try host.record() == "")
    }
  }
}
