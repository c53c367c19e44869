import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

@Suite("host-device when things go wrong", .requiresRoot)
struct HostDeviceUpkeepTests {
  private let device = "\"device\":\"nic0\""

  @Test("An ADD that fails gives the host its device back, as it was")
  func failedAdd() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      try shell(
        """
        ip link set nic0 up; ip addr add 192.0.2.5/24 dev nic0; ip -6 addr add 2001:db8::5/64 dev nic0 nodad
        ip route add default via 192.0.2.1; ip route add 198.51.100.0/24 via 192.0.2.7 src 192.0.2.5 metric 77
        ip -6 route add default via 2001:db8::1; sleep 0.1
        """)
      let before = try host.snapshot()
      // A pool without a free address.
      let error = try host.failed(host.device(.add, host.hostDevice(device, subnet: "10.0.0.0/31")))
      #expect(!error.description.contains("could not undo"), "\(error)")
      try host.expectReturned(since: before)

      try shell("ip -n c1 link add eth0 type ifb")
      let taken = try host.snapshot()
      #expect(
        try host.failed(host.device(.add, host.hostDevice(device))).message.contains(
          "already has an interface eth0"))
      try host.expectReturned(since: taken)
      #expect(try shell("ls /run/cni/host-device").isEmpty)
    }
  }

  @Test("An ADD that fails puts the device back into its bridge")
  func failedAddOfPort() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      try shell(
        """
        ip link add br0 address 02:00:5e:10:00:02 type bridge; echo 1 > /proc/sys/net/ipv6/conf/br0/disable_ipv6; ip link set nic0 master br0; ip link set nic0 up
        ip link set br0 up; sleep 0.2
        """)
      let before = try host.snapshot()
      _ = try host.failed(host.device(.add, host.hostDevice(device, subnet: "10.0.0.0/31")))
      try shell("sleep 0.2")
      try host.expectReturned(since: before)
    }
  }

  @Test("What the kernel keeps where it is, is refused with the reason")
  func immovable() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try shell("ip link add br0 address 02:00:5e:10:00:02 alias mine type bridge")
      let before = try host.snapshot()
      for name in ["br0", "lo"] {
        let error = try host.failed(host.device(.add, host.hostDevice("\"device\":\"\(name)\"")))
        #expect(error.message.contains("\(name) (") && error.message.contains("cannot be moved"), "\(error)")
        try host.expectReturned(since: before)
      }
    }
  }

  @Test("DEL without namespace brings the device back from where ADD has put it")
  func withoutNamespace() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let before = try host.snapshot()
      try host.succeeded(host.device(.add, host.hostDevice(device)))
      try host.succeeded(host.device(.del, host.hostDevice(device), namespace: ""))
      try host.expectReturned(since: before)
    }
  }

  @Test("A virtual device that ended with its namespace is no reason for DEL to fail, or to wait")
  func destroyed() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let configuration = host.hostDevice(device)
      try host.succeeded(host.device(.add, configuration))
      try shell(
        "ip netns del c1; for i in $(seq 100); do ip link show wire || exit 0; sleep 0.1; done; exit 1")
      let start = ContinuousClock.now
      try host.succeeded(host.device(.del, configuration))
      #expect(ContinuousClock.now - start < .seconds(2))
      #expect(try shell("ls /run/cni/host-device").isEmpty)
      #expect(try shell("ls \(host.dataDirectory)/net").contains("10.22.0.2") == false)
    }
  }

  @Test("GC brings back what stale attachments have, and leaves the others what they have")
  func garbage() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeContainer("c2")
      try host.makeDevice()
      try shell("ip link add nic1 type ifb")
      let before = try host.snapshot()
      let configuration = host.hostDevice(device)
      let other = host.hostDevice("\"device\":\"nic1\"")
      try host.succeeded(host.device(.add, configuration))
      try host.succeeded(host.device(.add, other, container: "c2"))
      let held = try host.snapshot()
      try host.collectDevices(host.hostDevice(device, name: "other"))
      try host.collectDevices(
        configuration,
        keeping: #"[{"containerID":"c1","ifname":"eth0"},{"containerID":"c2","ifname":"eth0"}]"#)
      try host.expectReturned(since: held)
      try host.collectDevices(configuration, keeping: #"[{"containerID":"c2","ifname":"eth0"}]"#)
      #expect(try shell("ip link show nic0").contains("alias uplink, third rack"))
      #expect(try shell("ip -n c2 -o link show eth0").contains("altname cni:net:c2:eth0"))
      try host.collectDevices(configuration)
      try host.expectReturned(since: before)
    }
  }

  @Test("GC and ADD finish a return that was cut short", arguments: ["GC", "ADD", "DEL"])
  func killed(by command: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let before = try host.snapshot()
      let configuration = host.hostDevice(device)
      try host.succeeded(host.device(.add, configuration))
      // As the kernel leaves it: in the host's namespace, under a name of its own, the container's gone.
      try shell("ip -n c1 link set eth0 netns $$ name dev5; ip netns del c1")
      switch command {
      case "GC": try host.collectDevices(configuration)
      case "DEL": try host.succeeded(host.device(.del, configuration))
      default:
        try host.makeContainer("c3")
        try host.succeeded(host.device(.add, configuration, container: "c3"))
        try host.succeeded(host.device(.del, configuration, container: "c3"))
        try shell("ip netns del c3")
        try host.succeeded(host.device(.del, configuration))
      }
      try host.makeContainer()
      try host.expectReturned(since: before)
    }
  }

  @Test("STATUS is that of the device: there, in use, missing")
  func status() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let configuration = host.hostDevice(device)
      try host.succeeded(host.deviceStatus(configuration))
      try host.succeeded(host.deviceStatus(host.hostDevice("\"capabilities\":{\"deviceID\":true}")))
      try host.succeeded(host.device(.add, configuration))
      let used = try host.failed(host.deviceStatus(configuration))
      #expect(used.code == .notAvailable && used.message.contains("in use by cni:net/c1/eth0"), "\(used)")
      try host.succeeded(host.device(.del, configuration))
      try host.succeeded(host.deviceStatus(configuration))
      let missing = try host.failed(host.deviceStatus(host.hostDevice("\"device\":\"nic9\"")))
      #expect(missing.code == .notAvailable && missing.message.contains("no such interface"), "\(missing)")
      #expect(missing.details.contains("lo, ") && missing.details.contains("nic0"), "\(missing)")
    }
  }
}
