import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

@Suite("host-device", .requiresRoot)
struct HostDeviceTests {
  @Test(
    "ADD, packets, CHECK, DEL, DEL again, in every version",
    arguments: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
  func life(version: String) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let before = try host.snapshot()
      let configuration = host.hostDevice("\"device\":\"nic0\"", version: version)
      let result = try host.succeeded(host.device(.add, configuration))
      if version == "1.1.0" {
        let expected = """
          {"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"02:00:5e:10:00:01","sandbox":"/run/netns/c1"}],
           "ips":[{"address":"10.22.0.2/16","gateway":"10.22.0.1","interface":0}]}
          """
        #expect(try result == JSONValue.parse(expected), "\(result)")
      }
      try shell("ip netns exec c1 ping -c 1 -W 5 10.22.255.254")
      let link = try shell("ip -n c1 link show eth0")
      #expect(link.contains("alias nic0") && link.contains("altname cni:net:c1:eth0"), "\(link)")

      let after = try host.after(result, configuration)
      if !version.hasPrefix("0.1"), !version.hasPrefix("0.2"), !version.hasPrefix("0.3") {
        try host.succeeded(host.device(.check, after))
      }
      try host.succeeded(host.device(.del, after))
      try host.expectReturned(since: before)
      try host.succeeded(host.device(.del, configuration))
      try host.expectReturned(since: before)
      #expect(try shell("ls /run/cni/host-device").isEmpty)
    }
  }

  @Test("Without IPAM the interface is up, and that is all")
  func withoutIPAM() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let configuration = host.hostDevice("\"device\":\"nic0\"", subnet: nil)
      let result = try host.succeeded(host.device(.add, configuration))
      let expected = """
        {"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"02:00:5e:10:00:01","sandbox":"/run/netns/c1"}]}
        """
      #expect(try result == JSONValue.parse(expected), "\(result)")
      #expect(try shell("ip -n c1 link show eth0").contains(",UP,"))
      try host.succeeded(host.device(.check, host.after(result, configuration)))
    }
  }

  @Test("CHECK finds what is wrong")
  func check() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      let after = try host.after(host.succeeded(host.device(.add, configuration)), configuration)
      try shell("ip -n c1 addr del 10.22.0.2/16 dev eth0")
      #expect(try host.failed(host.device(.check, after)).message.contains("lost its address"))
      try shell(
        """
        ip -n c1 addr add 10.22.0.2/16 dev eth0
        ip -n c1 link set eth0 alias ''; ip -n c1 link property del dev eth0 altname cni:net:c1:eth0
        """)
      #expect(try host.failed(host.device(.check, after)).message.contains("not the device"))
      try shell("ip -n c1 link set eth0 down name other")
      #expect(try host.failed(host.device(.check, after)).message.contains("no interface eth0"))
    }
  }

  // MARK: Names

  @Test("A name that the container uses for something else is no obstacle, in either direction")
  func hostNameInContainer() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      try shell("ip -n c1 link add nic0 type ifb")
      let before = try host.snapshot()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      try host.succeeded(host.device(.add, configuration))
      #expect(try shell("ip -n c1 -o link show eth0").contains("02:00:5e:10:00:01"))
      try host.succeeded(host.device(.del, configuration))
      try host.expectReturned(since: before)
    }
  }

  @Test("A name that the host uses for something else is no obstacle")
  func containerNameOnHost() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      try shell("ip link add eth0 type ifb")
      let before = try host.snapshot()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      try host.succeeded(host.device(.add, configuration))
      try host.succeeded(host.device(.del, configuration))
      try host.expectReturned(since: before)
    }
  }

  @Test(
    "Where its name is taken meanwhile, a device comes back under another, is not lost, and GC ends it",
    arguments: [false, true])
  func takenMeanwhile(isTakenInContainerToo: Bool) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      try host.succeeded(host.device(.add, configuration))
      try shell("ip link add nic0 type ifb")
      if isTakenInContainerToo { try shell("ip -n c1 link add nic0 type ifb") }
      let error = try host.failed(host.device(.del, configuration))
      #expect(
        error.message.contains("another interface") && error.details.contains("ip link set dev"), "\(error)")
      #expect(try shell("ip -n c1 -o link").contains("eth0") == false)
      // The address has been given back all the same.
      #expect(try shell("ls \(host.dataDirectory)/net").contains("10.22.0.2") == false)
      let link = try shell("ip link").split(separator: "\n").map(String.init)
      #expect(link.contains { $0.contains("alias nic0") })
      // A runtime that tries again is not kept from ending the container.
      try host.succeeded(host.device(.del, configuration))
      try shell("ip link set nic0 name other")
      try host.collectDevices(configuration)
      let back = try shell("ip link show nic0")
      #expect(back.contains("02:00:5e:10:00:01") && back.contains("alias uplink, third rack"), "\(back)")
      #expect(!back.contains("altname"))
    }
  }

  @Test("A device that the container has renamed comes back")
  func renamed() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let before = try host.snapshot()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      try host.succeeded(host.device(.add, configuration))
      try shell(
        "ip -n c1 link set eth0 down; ip -n c1 link set eth0 name mine0; ip -n c1 link add eth0 type ifb")
      try host.succeeded(host.device(.del, configuration))
      // What the container has made stays the container's.
      try shell("ip -n c1 link del eth0")
      try host.expectReturned(since: before)
    }
  }

  @Test("Hardware address, MTU, and the mark itself may have changed")
  func changed() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let before = try host.snapshot()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      try host.succeeded(host.device(.add, configuration))
      try shell("ip -n c1 link set eth0 mtu 1300 address 02:00:5e:10:00:77 alias none")
      try host.succeeded(host.device(.del, configuration))
      try host.expectReturned(since: before)

      try host.succeeded(host.device(.add, configuration))
      try shell(
        "ip -n c1 link property del dev eth0 altname cni:net:c1:eth0; ip -n c1 link set eth0 mtu 1200")
      try host.succeeded(host.device(.del, configuration))
      try host.expectReturned(since: before)
    }
  }

  @Test("Without the record, a device comes back with its name, and without its alias")
  func lostRecord() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      try shell("ip link set nic0 alias ''")
      let before = try host.snapshot()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      for damage in ["rm -r /run/cni", "for f in /run/cni/host-device/*; do echo '{\"owner' > $f; done"] {
        try host.succeeded(host.device(.add, configuration))
        try shell(damage + "; ip -n c1 link set eth0 down; ip -n c1 link set eth0 name mine0")
        try host.succeeded(host.device(.del, configuration))
        try host.expectReturned(since: before)
      }
    }
  }

  // MARK: Whose it is

  @Test("A second ADD is refused, and says who has the device")
  func twice() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeContainer("c2")
      try host.makeDevice()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      try host.succeeded(host.device(.add, configuration))
      let held = try host.snapshot()
      let same = try host.failed(host.device(.add, configuration))
      #expect(same.message.contains("already in the container, as eth0"), "\(same)")
      try host.expectReturned(since: held)
      let other = try host.failed(host.device(.add, configuration, container: "c2"))
      #expect(other.message.contains("nic0 is in use by cni:net/c1/eth0"), "\(other)")
      // The runtime calls DEL after an ADD that failed.
      try host.succeeded(host.device(.del, configuration, container: "c2"))
      try host.expectReturned(since: held)
      #expect(try shell("ip -n c1 -o link show eth0").contains("02:00:5e:10:00:01"))
    }
  }

  @Test("DEL of an ADD that never ran takes nothing from the container")
  func neverRan() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      // The last one looks like a device that the Go plugin has moved, but not like this one.
      try shell("ip -n c1 link add eth0 type ifb; ip -n c1 link set eth0 alias nic7")
      let before = try host.snapshot()
      for keys in [
        "\"device\":\"nic0\"", "\"hwaddr\":\"02:00:5e:10:00:01\"", "\"pciBusID\":\"0000:00:05.0\"", "",
      ] {
        try host.succeeded(host.device(.del, host.hostDevice(keys)))
        try host.expectReturned(since: before)
      }
      try host.succeeded(
        host.device(.del, host.hostDevice("\"device\":\"nic0\""), namespace: "/run/netns/gone"))
      try host.expectReturned(since: before)
    }
  }

  @Test("DEL for another interface of the container leaves this one")
  func otherInterface() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try host.makeDevice()
      let configuration = host.hostDevice("\"device\":\"nic0\"")
      try host.succeeded(host.device(.add, configuration))
      let held = try host.snapshot()
      try host.succeeded(host.device(.del, configuration, interface: "net1"))
      try host.expectReturned(since: held)
      try host.succeeded(host.device(.del, host.hostDevice("\"device\":\"nic0\"", name: "other")))
      try host.expectReturned(since: held)
    }
  }
}
