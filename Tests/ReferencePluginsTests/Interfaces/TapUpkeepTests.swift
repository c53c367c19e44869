import CNI
import CNIExecution
import TestSupport
import Testing

/// ADDs that fail, DEL under all circumstances, STATUS, and what the device is for: a process at its other end.
@Suite("tap: its user, and what is left", .requiresRoot, .enabled(if: findDriver(), "needs /dev/net/tun"))
struct TapUpkeepTests {
  // MARK: ADD that fails

  private func expectNothingLeft(
    _ message: String, _ keys: String, ipam: String? = nil, prepare: (TestHost) throws -> Void = { _ in }
  ) throws {
    try TestHost.run { host in
      try host.makeContainer()
      try prepare(host)
      let before = try host.snapshot()
      let error = try host.failed(host.call(.add, host.tap(keys, ipam: ipam)))
      #expect(error.description.contains(message), "\(error)")
      #expect(!error.description.contains("could not undo"), "\(error)")
      try host.expectUnchanged(since: before)
    }
  }

  @Test(
    "The container already has the interface, of another kind or a TAP device",
    arguments: [
      "ip -n c1 link add eth0 type veth peer name other", "ip -n c1 tuntap add eth0 mode tap",
    ])
  func takenName(preparation: String) throws {
    try expectNothingLeft("already has an interface eth0", "") { _ in try shell(preparation) }
  }

  @Test("The bridge is missing, or none, in the container") func noBridge() throws {
    try expectNothingLeft("no interface br0", "\"bridge\":\"br0\"") { _ in
      // One on the host is not meant.
      try shell("ip link add br0 type bridge")
    }
    try expectNothingLeft("lo is not a bridge", "\"bridge\":\"lo\"")
  }

  @Test("The kernel refuses the MTU") func impossibleMTU() throws {
    try expectNothingLeft("mtu", "\"mtu\":10")
  }

  @Test("IPAM fails, or a route does") func failedIPAM() throws {
    try expectNothingLeft("subnet", "", ipam: "\"subnet\":\"nonsense\"")
    try expectNothingLeft(
      "route", "",
      ipam: "\"subnet\":\"10.9.0.0/24\",\"routes\":[{\"dst\":\"192.0.2.0/24\",\"gw\":\"198.51.100.1\"}]")
  }

  @Test("The host does not run SELinux", .disabled(if: hasSELinux(), "this host does"))
  func noSELinux() throws {
    let keys = "\"selinuxContext\":\"system_u:system_r:container_t:s0\""
    try expectNothingLeft("does not run SELinux", keys)
    try TestHost.run { host in
      let error = try host.failed(
        host.call(.status, host.tap(keys), container: "", namespace: "", interface: ""))
      #expect(error.code == .notAvailable && error.message.contains("SELinux"), "\(error)")
    }
  }

  @Test("Without /dev/net/tun, ADD and STATUS say what to do")
  func noDriver() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try shell("mount -t tmpfs t /dev/net")
      let before = try host.snapshot()
      let failed = try host.failed(host.call(.add, host.tap()))
      #expect(
        failed.description.contains("/dev/net/tun") && failed.description.contains("modprobe tun"),
        "\(failed)")
      try host.expectUnchanged(since: before)
      let status = try host.failed(
        host.call(.status, host.tap(), container: "", namespace: "", interface: ""))
      #expect(status.code == .notAvailable && status.description.contains("modprobe tun"), "\(status)")
    }
  }

  // MARK: DEL

  @Test("DEL with the namespace gone or not given gives the lease back")
  func deleteWithoutNamespace() throws {
    try TestHost.run { host in
      let before = try host.snapshot()
      let configuration = host.tap(ipam: "\"subnet\":\"10.9.0.0/24\"")
      for namespace in ["/run/netns/c1", ""] {
        try host.makeContainer()
        _ = try host.add(configuration)
        try shell("ip netns del c1")
        try host.succeeded(host.call(.del, configuration, namespace: namespace))
        try host.succeeded(host.call(.del, configuration, namespace: namespace))
        try host.expectUnchanged(since: before)
      }
    }
  }

  @Test("DEL removes a device that a process is using", .requiresProgram("python3"))
  func deleteInUse() throws {
    try TestHost.run { host in
      try host.makeContainer()
      let before = try host.snapshot()
      try openDriverToAll()
      _ = try host.add(host.tap("\"owner\":1000"))
      let user = try ChildProcess(python("hold", user: 1000))
      try user.waitForOutput("attached")
      try host.succeeded(host.call(.del, host.tap("\"owner\":1000")))
      try host.expectUnchanged(since: before)
    }
  }

  // MARK: The process at the other end

  /// Attaches to eth0 as a user without privileges: `attach` ends then, `hold` waits, `ask` asks for the addresses
  /// given by ARP and neighbour solicitation and prints who answers.
  private let program = """
    import fcntl, os, socket, struct, sys, time
    what, user, group, flags, *targets = sys.argv[1:]
    os.setgroups([]); os.setgid(int(group)); os.setuid(int(user))
    def attach():
      tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
      fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"eth0", 0x1002 | int(flags, 16)))  # IFF_TAP, IFF_NO_PI
      return tun
    queues = [attach()]
    if what == "twice": queues.append(attach())
    print("attached", len(queues), flush=True)
    if what == "hold": time.sleep(30)
    own = bytes.fromhex("020000000042")
    def answered(question, matches):
      for _ in range(40):
        try: os.write(queues[-1], question)
        except OSError: pass  # not up yet
        time.sleep(0.05)
        for queue in queues:
          try:
            while True:
              if matches(os.read(queue, 2048)): return True
          except BlockingIOError: pass
      return False
    for target in targets:
      if ":" in target:
        address = socket.inet_pton(socket.AF_INET6, target)
        source = socket.inet_pton(socket.AF_INET6, "fe80::42")
        group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + address[13:]
        body = struct.pack("!BBHI", 135, 0, 0, 0) + address + b"\\x01\\x01" + own
        words = struct.unpack(f"!{(40 + len(body)) // 2}H", source + group + struct.pack("!II", len(body), 58) + body)
        total = sum(words)
        while total >> 16: total = (total & 0xffff) + (total >> 16)
        body = body[:2] + struct.pack("!H", ~total & 0xffff) + body[4:]
        packet = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group + body
        question = b"\\x33\\x33" + group[12:] + own + b"\\x86\\xdd" + packet
        matches = lambda frame: frame[12:14] == b"\\x86\\xdd" and frame[54] == 136 and frame[62:78] == address
      else:
        address = socket.inet_aton(target)
        question = (b"\\xff" * 6 + own + b"\\x08\\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1)
                    + own + bytes(4) + bytes(6) + address)
        matches = lambda frame: frame[12:14] == b"\\x08\\x06" and frame[21] == 2 and frame[28:32] == address
      print(target, "answers" if answered(question, matches) else "is silent", flush=True)
    """

  private func python(
    _ what: String, user: Int, group: Int = 65534, flags: String = "0", _ targets: String...
  ) -> [String] {
    ["ip", "netns", "exec", "c1", "python3", "-c", program, what, "\(user)", "\(group)", flags] + targets
  }

  /// As udev does on a host: everybody may open the driver's file.
  private func openDriverToAll() throws {
    try shell(
      "mount -t tmpfs t /dev/net; mknod /dev/net/tun c 10 200; chmod 755 /dev/net; chmod 666 /dev/net/tun")
  }

  @Test(
    "The owner, without privileges, sends and receives in both families; another user may not even attach",
    .requiresProgram("python3"))
  func owner() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try openDriverToAll()
      _ = try host.add(host.tap("\"owner\":1000", ipam: TestHost.dualStack))
      let used = try ChildProcess(python("ask", user: 1000, "10.22.0.2", "fd00:22::2", "10.22.0.3")).wait()
      #expect(used.standardOutput.contains("10.22.0.2 answers"), "\(used)")
      #expect(used.standardOutput.contains("fd00:22::2 answers"), "\(used)")
      #expect(used.standardOutput.contains("10.22.0.3 is silent"), "\(used)")
      let refused = try ChildProcess(python("attach", user: 1001)).wait()
      #expect(!refused.succeeded && refused.standardError.contains("Operation not permitted"), "\(refused)")
    }
  }

  @Test("A member of the group may attach, another user may not", .requiresProgram("python3"))
  func group() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try openDriverToAll()
      _ = try host.add(host.tap("\"group\":77"))
      let member = try ChildProcess(python("attach", user: 1000, group: 77)).wait()
      #expect(member.succeeded, "\(member)")
      let other = try ChildProcess(python("attach", user: 1000, group: 78)).wait()
      #expect(other.standardError.contains("Operation not permitted"), "\(other)")
      try host.succeeded(host.call(.del, host.tap()))
      // Nobody's: whoever may open the driver's file.
      _ = try host.add(host.tap())
      let anybody = try ChildProcess(python("attach", user: 1000)).wait()
      #expect(anybody.succeeded, "\(anybody)")
    }
  }

  @Test("Two queues at once with multiQueue, one without", .requiresProgram("python3"))
  func queues() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      try openDriverToAll()
      _ = try host.add(host.tap("\"owner\":1000,\"multiQueue\":true", ipam: "\"subnet\":\"10.9.0.0/24\""))
      let both = try ChildProcess(python("twice", user: 1000, flags: "100", "10.9.0.2")).wait()
      #expect(
        both.standardOutput.contains("attached 2") && both.standardOutput.contains("answers"), "\(both)")
      try host.succeeded(host.call(.del, host.tap()))
      _ = try host.add(host.tap("\"owner\":1000"))
      let second = try ChildProcess(python("twice", user: 1000)).wait()
      #expect(!second.succeeded && second.standardError.contains("busy"), "\(second)")
    }
  }

  @Test("As a port of the container's bridge it reaches what is there", .requiresProgram("python3"))
  func bridge() throws {
    try TestHost.run { host in
      try host.makeContainer()
      try openDriverToAll()
      try shell(
        """
        ip -n c1 link add br0 type bridge; ip -n c1 link set br0 up; ip -n c1 addr add 10.9.0.1/24 dev br0
        ip -n c1 addr add fd00:9::1/64 dev br0 nodad
        """)
      _ = try host.add(host.tap("\"owner\":1000,\"bridge\":\"br0\""))
      let used = try ChildProcess(python("ask", user: 1000, "10.9.0.1", "fd00:9::1")).wait()
      #expect(used.standardOutput.contains("10.9.0.1 answers"), "\(used)")
      #expect(used.standardOutput.contains("fd00:9::1 answers"), "\(used)")
    }
  }
}

private func hasSELinux() -> Bool { (try? shell("grep -q selinuxfs /proc/filesystems")) != nil }
