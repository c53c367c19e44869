import TestSupport
import Testing

@Suite("ADD announces the addresses", .requiresRoot, .requiresProgram("python3"))
struct AnnouncementTests {
  /// Prints what is announced on the bridge: gratuitous ARP, and neighbour advertisements to all nodes.
  private let listener = """
    import socket, time
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.bind(("cni0", 0))
    link.settimeout(0.1)
    print("listening", flush=True)
    end = time.monotonic() + 3
    while time.monotonic() < end:
      try:
        frame = link.recv(2048)
      except TimeoutError:
        continue
      if frame[12:14] == b"\\x08\\x06" and frame[28:32] == frame[38:42]:
        print("ARP", socket.inet_ntoa(frame[28:32]), frame[22:28].hex(":"), flush=True)
      if frame[12:14] == b"\\x86\\xdd" and frame[20] == 58 and frame[54] == 136:
        target = socket.inet_ntop(socket.AF_INET6, frame[62:78])
        print("NA", target, "to", socket.inet_ntop(socket.AF_INET6, frame[38:54]), flush=True)
    """

  @Test("The bridge hears who has the addresses now, by ARP and by neighbour advertisement")
  func heard() throws {
    try TestHost.run { host in
      for name in ["c1", "c2"] { try host.makeContainer(name) }
      let configuration = host.bridge(
        "\"isGateway\":true",
        ipam: "\"ranges\":[[{\"subnet\":\"10.22.0.0/16\"}],[{\"subnet\":\"fd00:22::/64\"}]]")
      _ = try host.add(configuration, container: "c1")
      let ears = try ChildProcess(["python3", "-c", listener])
      try ears.waitForOutput("listening")
      let result = try host.add(configuration, container: "c2")
      let mac = try #require(result["interfaces"]?.array?.last?["mac"]?.string)
      let heard = try ears.wait(timeout: 20).standardOutput
      #expect(heard.contains("ARP 10.22.0.3 \(mac)"), "\(heard)")
      #expect(heard.contains("NA fd00:22::3 to ff02::1"), "\(heard)")
    }
  }
}
