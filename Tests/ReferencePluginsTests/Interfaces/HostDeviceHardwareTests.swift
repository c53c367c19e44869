import CNI
import CNIExecution
import LinuxNetworking
import TestSupport
import Testing

/// With network cards on a PCI bus.
@Suite("host-device with hardware", .requiresKernel(.pciDevices), .serialized)
struct HostDeviceHardwareTests {
  private struct NotTheMachine: Error {}

  /// Runs `body` with the machine's first network namespace as the host: it is the one that the kernel returns cards to.
  ///
  /// Never where that namespace has hardware of its own.
  private func onFirstNamespace(_ body: (TestHost, [SpareNetworkCard]) throws -> Void) throws {
    try TestHost.run { host in
      try NetworkNamespace.open("/proc/1/ns/net").run {
        try shell("mount -t sysfs sysfs /sys")
        try withSpareNetworkCards { cards in
          let own = try shell(
            "for d in /sys/class/net/*/device; do [ -e $d ] && basename ${d%/device}; done; true")
          guard Set(own.split(separator: "\n").map(String.init)).isSubset(of: cards.map(\.name)) else {
            throw NotTheMachine()
          }
          // Whatever an earlier run has left.
          for card in cards {
            try shell("ip link set \(card.name) down alias '\(card.pciAddress) of the host'")
          }
          try body(host, cards)
        }
      }
    }
  }

  private func configuration(_ host: TestHost, _ card: SpareNetworkCard) -> String {
    host.hostDevice("\"pciBusID\":\"\(card.pciAddress)\"")
  }

  /// The line of a card on the host.
  private func line(_ card: SpareNetworkCard) throws -> String {
    try shell("ip link show \(card.name)").replacing("\n", with: " ")
  }

  private func expectBack(_ card: SpareNetworkCard, sourceLocation: SourceLocation = #_sourceLocation) throws
  {
    let line = try line(card)
    #expect(
      line.contains("alias \(card.pciAddress) of the host") && !line.contains("altname")
        && !line.contains(",UP"),
      "\(line)", sourceLocation: sourceLocation)
    let path = try shell(
      "ls /sys/bus/pci/devices/\(card.pciAddress)/net /sys/bus/pci/devices/\(card.pciAddress)/virtio*/net 2>/dev/null || true"
    )
    #expect(path.contains(card.name), "\(path)", sourceLocation: sourceLocation)
  }

  @Test("By each of the keys: ADD, CHECK, DEL")
  func keys() throws {
    try TestHost.run { host in
      try withSpareNetworkCards { cards in
        for card in cards {
          try shell("ip link set \(card.name) alias '\(card.pciAddress) of the host'")
          let mac = try shell("cat /sys/class/net/\(card.name)/address").split(separator: "\n")[0]
          let path = try shell("readlink -f /sys/bus/pci/devices/\(card.pciAddress)").split(separator: "\n")[
            0]
          for keys in [
            "\"device\":\"\(card.name)\"", "\"hwaddr\":\"\(mac)\"", "\"pciBusID\":\"\(card.pciAddress)\"",
            "\"kernelpath\":\"\(path)\"", "\"runtimeConfig\":{\"deviceID\":\"\(card.pciAddress)\"}",
          ] {
            try host.makeContainer()
            let configuration = host.hostDevice(keys)
            let result = try host.succeeded(host.device(.add, configuration))
            #expect(try shell("ip -n c1 -o link show eth0").contains(mac), "\(keys)")
            try host.succeeded(host.device(.check, host.after(result, configuration)))
            let used = try host.failed(host.deviceStatus(configuration))
            #expect(used.message.contains("in use by cni:net/c1/eth0"), "\(used)")
            try shell("ip -n c1 link set eth0 down; ip -n c1 link set eth0 name mine0")
            try host.succeeded(host.device(.del, configuration))
            try expectBack(card)
            try shell("ip netns del c1")
          }
        }
      }
    }
  }

  @Test("A sysfs of another namespace: the kernel itself says which interface is the device's")
  func foreignTree() throws {
    try TestHost.run { host in
      // This one shows the namespace without the cards.
      try withSpareNetworkCards { cards in
        try shell(
          "ip netns add other; nsenter --net=/run/netns/other mount -t sysfs sysfs /sys; ls /sys/class/net")
        try host.makeContainer()
        for card in cards {
          let configuration = configuration(host, card)
          try host.succeeded(host.device(.add, configuration))
          try host.succeeded(host.device(.del, configuration))
          #expect(try shell("ip link").contains(card.name + ":"))
        }
      }
    }
  }

  @Test(
    "The namespace has gone, and the card is on its way back: DEL waits for it", arguments: [false, true])
  func vanished(isRecordLost: Bool) throws {
    try onFirstNamespace { host, cards in
      for card in cards {
        try host.makeContainer()
        let configuration = configuration(host, card)
        try host.succeeded(host.device(.add, configuration))
        try shell("ip netns del c1")
        if isRecordLost {
          // Then nobody knows that there is anything to wait for.
          try shell("sed 's/\"alias\":\"[^\"]*\",//' -i /run/cni/host-device/*")
          try shell(
            "for i in $(seq 100); do ip link show 'cni:net:c1:eth0' && rm -r /run/cni && exit 0; sleep 0.1; done; exit 1"
          )
        }
        try host.succeeded(host.device(.del, configuration))
        if isRecordLost { try shell("ip link set \(card.name) alias '\(card.pciAddress) of the host'") }
        try expectBack(card)
        try host.succeeded(host.device(.del, configuration))
        try expectBack(card)
      }
    }
  }

  @Test(
    "Nobody has called DEL: GC, or the next ADD, puts right what the kernel returned",
    arguments: ["GC", "ADD"])
  func orphan(command: String) throws {
    try onFirstNamespace { host, cards in
      let card = cards[0]
      try host.makeContainer()
      let configuration = host.hostDevice("\"device\":\"\(card.name)\"")
      // Another interface has the name that the card would come back under.
      try shell("ip link add net1 type ifb")
      defer { _ = try? shell("ip link del net1") }
      try host.succeeded(host.device(.add, configuration, interface: "net1"))
      try shell(
        "ip netns del c1; for i in $(seq 100); do ip link show 'cni:net:c1:net1' && exit 0; sleep 0.1; done; exit 1"
      )
      #expect(try shell("ip link show 'cni:net:c1:net1'").contains(": dev"))
      if command == "GC" {
        try host.collectDevices(configuration)
      } else {
        try host.makeContainer("c2")
        try host.succeeded(host.device(.add, configuration, container: "c2"))
        try host.succeeded(host.device(.del, configuration, container: "c2"))
      }
      try expectBack(card)
    }
  }

  @Test("The card's name is taken when the kernel returns it")
  func takenMeanwhile() throws {
    try onFirstNamespace { host, cards in
      let card = cards[0]
      try host.makeContainer()
      let configuration = configuration(host, card)
      try host.succeeded(host.device(.add, configuration))
      try shell("ip link add \(card.name) type ifb")
      defer { _ = try? shell("ip link del \(card.name) type ifb || true") }
      try shell("ip netns del c1")
      let error = try host.failed(host.device(.del, configuration))
      #expect(error.message.contains("another interface"), "\(error)")
      try host.succeeded(host.device(.del, configuration))
      try shell("ip link del \(card.name)")
      try host.collectDevices(configuration)
      try expectBack(card)
    }
  }

  @Test(
    "A card that the Go plugin moved and the kernel returned gets its name back",
    .requiresProgram("\(AddressPlugin.goDirectory)/host-device"))
  func fromGo() throws {
    try onFirstNamespace { host, cards in
      var go = host
      go.runner = PluginRunner(path: [AddressPlugin.goDirectory], embedded: .none)
      let card = cards[0]
      try host.makeContainer()
      let configuration = host.hostDevice("\"device\":\"\(card.name)\"", version: "1.0.0")
      try go.succeeded(go.device(.add, configuration, interface: "net1"))
      try shell(
        "ip netns del c1; for i in $(seq 100); do ip link show net1 && exit 0; sleep 0.1; done; exit 1")
      try host.succeeded(host.device(.del, configuration, interface: "net1"))
      try shell("ip link set \(card.name) alias '\(card.pciAddress) of the host'")
      try expectBack(card)
    }
  }

  @Test("A card that is bound to a driver for processes is not moved")
  func userspace() throws {
    try TestHost.run { host in
      try withSpareNetworkCards { cards in
        // The others of its like need an IOMMU, or a module that is not in the kernel.
        let driver = "uio_pci_generic"
        let card = cards.last!
        let device = "/sys/bus/pci/devices/\(card.pciAddress)"
        try shell(
          """
          $(cat /proc/sys/kernel/modprobe) \(driver)
          echo \(driver) > \(device)/driver_override; echo \(card.pciAddress) > \(device)/driver/unbind
          echo \(card.pciAddress) > /sys/bus/pci/drivers_probe
          """)
        defer {
          _ = try? shell(
            """
            echo \(card.pciAddress) > \(device)/driver/unbind; echo > \(device)/driver_override
            echo \(card.pciAddress) > /sys/bus/pci/drivers_probe
            """)
        }
        #expect(try shell("readlink \(device)/driver").contains(driver))
        try host.makeContainer()
        let before = try host.snapshot()
        let configuration = configuration(host, card)
        try host.succeeded(host.deviceStatus(configuration))
        let result = try host.succeeded(host.device(.add, configuration))
        #expect(
          result["interfaces"]?.array?.first?["mac"] == nil && result["ips"]?.array?.count == 1, "\(result)")
        #expect(try shell("ip -n c1 -o link").contains("eth0") == false)
        let after = try host.after(result, configuration)
        try host.succeeded(host.device(.check, after))
        try host.succeeded(host.device(.del, after))
        try host.succeeded(host.device(.del, after))
        try host.expectReturned(since: before)
      }
    }
  }
}
