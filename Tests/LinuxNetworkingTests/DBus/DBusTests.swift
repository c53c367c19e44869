import Glibc
import TestSupport
import Testing

@testable import LinuxNetworking

@Suite("D-Bus") struct DBusTests {
  // MARK: Messages

  /// Hello, as libdbus 1.14 sends it but for the order of its fields.
  private static let hello: [UInt8] =
    [0x6c, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0x6d, 0, 0, 0]
    + [1, 1, 0x6f, 0, 0x15, 0, 0, 0] + Array("/org/freedesktop/DBus".utf8) + [0, 0, 0]
    + [2, 1, 0x73, 0, 0x14, 0, 0, 0] + Array("org.freedesktop.DBus".utf8) + [0, 0, 0, 0]
    + [3, 1, 0x73, 0, 5, 0, 0, 0] + Array("Hello".utf8) + [0, 0, 0]
    + [6, 1, 0x73, 0, 0x14, 0, 0, 0] + Array("org.freedesktop.DBus".utf8) + [0, 0, 0, 0]

  private static let call = DBusMessage(
    call: "Hello", of: "org.freedesktop.DBus", path: "/org/freedesktop/DBus",
    destination: "org.freedesktop.DBus", serial: 1)

  @Test("A call is what the specification says, byte for byte")
  func golden() throws {
    #expect(Self.call.encoded() == Self.hello)
    #expect(DBusMessage(Self.hello[...]) == Self.call)
  }

  @Test("Messages with every type of value read back as what was written")
  func roundTrip() throws {
    var message = DBusMessage(.signal, serial: 0xffff_ffff)
    message.path = "/a"
    message.interface = "a.b"
    message.member = "C"
    message.sender = ":1.7"
    message.errorName = "a.b.Error"
    message.replySerial = 9
    message.startsNoService = true
    message.body = [
      .byte(255), .boolean(true), .int16(-2), .uint16(65535), .int32(-3), .uint32(4_000_000_000), .byte(1),
      .int64(.min), .uint64(.max), .double(-1.5), .string("ünï"), .objectPath("/x"), .signature("a{sv}"),
      .descriptor(3), .array(of: "s", []), .array(of: "t", []), .array(of: "s", [.string(""), .string("b")]),
      .structure([.byte(1), .uint64(2), .structure([.string("x")])]),
      .array(of: "{sv}", [.entry(.string("k"), .variant(.array(of: "i", [.int32(1), .int32(2)])))]),
      .variant(.variant(.boolean(false))),
      .array(of: "aas", [.array(of: "as", [.array(of: "s", [.string("z")])])]),
    ]
    #expect(DBusMessage(message.encoded()[...]) == message)
  }

  @Test("Messages in the other byte order are read")
  func bigEndian() throws {
    let bytes: [UInt8] =
      [0x42, 2, 1, 1, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0x10]
      + [5, 1, 0x75, 0, 0, 0, 0, 3, 8, 1, 0x67, 0, 2, 0x75, 0x62, 0] + [0, 0, 0, 5, 0, 0, 0, 1]
    let head = bytes.count
    #expect(try DBusMessage.length(bytes[...]) == head)
    var expected = DBusMessage(.methodReturn, serial: 7)
    expected.replySerial = 3
    expected.body = [.uint32(5), .boolean(true)]
    #expect(DBusMessage(bytes[...]) == expected)
  }

  @Test("No bytes whatever make the reader fail otherwise than by saying so")
  func hostile() throws {
    var generator = SystemRandomNumberGenerator()
    var message = Self.call
    message.body = [
      .array(of: "{sv}", [.entry(.string("k"), .variant(.structure([.byte(1), .string("v")])))]),
      .string("x"),
    ]
    let whole = message.encoded()
    for length in 0..<whole.count { #expect(DBusMessage(whole[..<length]) == nil) }
    for _ in 0..<20_000 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
      }
      _ = DBusMessage(bytes[...])
      _ = try? DBusMessage.length(bytes[...])
    }
    // An array of structures of nothing, which would hold any number of them; types that do not end; too deep nesting.
    for signature in [
      "a()", "a(", "(", "a", "{s}", "a{s}", ")", "v)", String(repeating: "a", count: 200) + "y",
    ] {
      var reader = DBusReader([8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][...], isBigEndian: false)
      #expect(throws: DBusReader.Malformed.self) { _ = try reader.values(signature) }
    }
  }

  @Test("Variants within variants end somewhere")
  func nesting() {
    func nested(_ depth: Int) -> [UInt8] {
      (0..<depth).flatMap { _ in [1, UInt8(ascii: "v"), 0] as [UInt8] } + [1, UInt8(ascii: "y"), 0, 7]
    }
    var reader = DBusReader(nested(20)[...], isBigEndian: false)
    #expect((try? reader.values("v")) != nil)
    reader = DBusReader(nested(5000)[...], isBigEndian: false)
    #expect(throws: DBusReader.Malformed.self) { _ = try reader.values("v") }
  }

  // MARK: Connections

  @Test("A real bus: names, errors, and nobody there", .requiresProgram("dbus-daemon"), .requiresRoot)
  func realBus() throws {
    try inNewNetworkNamespace {
      try shell(
        """
        mkdir -p /run/dbus; cat >/run/bus.conf <<'END'
        <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
         "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
        <busconfig><type>system</type><auth>EXTERNAL</auth><listen>unix:path=/run/dbus/system_bus_socket</listen>
         <listen>unix:abstract=swift-cni-test</listen>
         <policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
         <allow send_type="signal"/><allow receive_type="method_call"/><allow receive_type="method_return"/>
         <allow receive_type="error"/><allow receive_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
         <allow send_requested_reply="true" send_type="error"/></policy></busconfig>
        END
        """)
      let bus = try ChildProcess([
        "dbus-daemon", "--config-file=/run/bus.conf", "--nofork", "--nopidfile", "--print-address=1",
      ])
      try bus.waitForOutput("unix:")
      for address in [
        "unix:path=/run/dbus/system_bus_socket",
        "tcp:host=x;unix:path=/run/none;unix:abstract=swift-cni-test",
        "unix:path=/run/dbus/system%5fbus_socket,guid=0",
      ] {
        var connection = try DBusConnection.open(address, timeout: 10_000)
        #expect(try connection.hasOwner("org.freedesktop.DBus"))
        #expect(try !connection.hasOwner("org.example.Nobody"))
        let error = #expect(throws: DBusError.self) {
          try connection.call("X", of: "a.b", path: "/", destination: "org.example.Nobody")
        }
        #expect(error?.isNoSuchService == true, "\(String(describing: error))")
        let names = try connection.call(
          "ListNames", of: "org.freedesktop.DBus", path: "/", destination: "org.freedesktop.DBus")
        guard case .array("s", let list)? = names.first else {
          Issue.record("\(names)")
          return
        }
        #expect(list.contains(.string("org.freedesktop.DBus")))
      }
      #expect(throws: DBusError.self) { _ = try DBusConnection.open("unix:path=/run/none", timeout: 1000) }
      #expect(throws: DBusError.self) { _ = try DBusConnection.open("tcp:host=localhost", timeout: 1000) }
      #expect(throws: DBusError.self) { _ = try DBusConnection.open("", timeout: 1000) }
    }
  }

  @Test(
    "A bus that says nothing, nonsense, or no, costs no more than the time that was said",
    arguments: ["", "NO\\r\\n", "OK 1\\r\\nxxxxxxxxxxxxxxxxxxxxxxxx", "OK 1\\r\\n", "x"])
  func deafBus(answer: String) throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/bus"
      let script = """
        import socket, sys, time
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1); print("ready", flush=True)
        c, _ = s.accept(); c.recv(100); c.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
        time.sleep(20)
        """
      let server = try ChildProcess(["python3", "-c", script, path, answer])
      try server.waitForOutput("ready")
      var before = timespec()
      clock_gettime(CLOCK_MONOTONIC, &before)
      #expect(throws: DBusError.self) { _ = try DBusConnection.open("unix:path=\(path)", timeout: 400) }
      var after = timespec()
      clock_gettime(CLOCK_MONOTONIC, &after)
      #expect(after.tv_sec - before.tv_sec < 10)
    }
  }
}
