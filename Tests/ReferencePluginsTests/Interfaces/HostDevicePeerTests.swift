import CNI
import CNIExecution
import TestSupport
import Testing

/// A node changes hands with containers running, in either direction.
@Suite(
  "host-device and the Go plugin", .requiresRoot, .requiresProgram("\(AddressPlugin.goDirectory)/host-device")
)
struct HostDevicePeerTests {
  private func run(_ body: (_ ours: TestHost, _ go: TestHost) throws -> Void) throws {
    try TestHost.run { host in
      var go = host
      go.runner = PluginRunner(path: [AddressPlugin.goDirectory], embedded: .none)
      try host.makeContainer()
      try host.makeDevice()
      try shell("ip link set nic0 alias ''")
      try body(host, go)
    }
  }

  private let keys = ["\"device\":\"nic0\"", "\"hwaddr\":\"02:00:5e:10:00:01\""]

  @Test("Both give the same result")
  func results() throws {
    try run { ours, go in
      for subnet in ["10.22.0.0/16", nil] {
        for version in ["0.3.1", "0.4.0", "1.0.0"] {
          let configuration = ours.hostDevice(keys[0], subnet: subnet, version: version)
          let result = try ours.succeeded(ours.device(.add, configuration))
          try ours.succeeded(ours.device(.del, configuration))
          try shell("rm -rf \(ours.dataDirectory)/*")
          let other = try go.succeeded(go.device(.add, configuration))
          #expect(result == other)
          try go.succeeded(go.device(.del, configuration))
          try shell("rm -rf \(ours.dataDirectory)/*")
        }
      }
    }
  }

  @Test("What the Go plugin has moved, ours checks and brings back")
  func fromGo() throws {
    try run { ours, go in
      for keys in keys {
        let before = try ours.snapshot()
        let configuration = ours.hostDevice(keys, version: "1.0.0")
        let result = try go.succeeded(go.device(.add, configuration))
        let after = try ours.after(result, configuration)
        try ours.succeeded(ours.device(.check, after))
        try ours.succeeded(ours.device(.del, after))
        try ours.expectReturned(since: before)
        try ours.succeeded(ours.device(.del, after))
        try ours.expectReturned(since: before)
      }
    }
  }

  @Test("Also when the container has renamed it, and when its name is taken")
  func fromGoRenamed() throws {
    try run { ours, go in
      let before = try ours.snapshot()
      let configuration = ours.hostDevice(keys[0], version: "1.0.0")
      var after = try ours.after(go.succeeded(go.device(.add, configuration)), configuration)
      try shell("ip -n c1 link set eth0 down; ip -n c1 link set eth0 name mine0")
      try ours.succeeded(ours.device(.del, after))
      try ours.expectReturned(since: before)

      after = try ours.after(go.succeeded(go.device(.add, configuration)), configuration)
      try shell("ip link add nic0 type ifb")
      let error = try ours.failed(ours.device(.del, after))
      #expect(error.message.contains("another interface"), "\(error)")
      #expect(try shell("ip -o link | grep -c 02:00:5e:10:00:01") == "1\n")
    }
  }

  @Test("What ours has moved, the Go plugin checks and brings back")
  func toGo() throws {
    try run { ours, go in
      let before = try ours.snapshot()
      let configuration = ours.hostDevice(keys[0], version: "1.0.0")
      let after = try ours.after(ours.succeeded(ours.device(.add, configuration)), configuration)
      try go.succeeded(go.device(.check, after))
      try go.succeeded(go.device(.del, after))
      // A device bears the mark until one of ours meets it.
      try shell("ip link property del dev nic0 altname cni:net:c1:eth0")
      try ours.expectReturned(since: before)
      try ours.succeeded(ours.device(.del, after))
      try ours.expectReturned(since: before)
    }
  }
}
