import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

/// A mapping costs the same however many there are: what is counted is what travels between plugin and kernel.
@Suite(
  "portmap: growth", .requiresRoot, .requiresProgram("strace"),
  .enabled(if: builtExecutable != nil, "the executable is not built"))
struct PortMapGrowthTests {
  /// Messages to and from the kernel, and processes made.
  private struct Cost: Equatable {
    var sent = 0
    var received = 0
    var receivedBytes = 0
    var processes = 0
  }

  private func cost(_ command: String, _ configuration: String, _ directory: String) throws -> Cost {
    let trace = directory + "/trace"
    let process = try ChildProcess(
      [
        "strace", "-f", "-qq", "-o", trace, "-e", "trace=sendto,sendmsg,recvfrom,recvmsg,execve", "-e",
        "signal=none", directory + "/portmap",
      ],
      environment: [
        "CNI_COMMAND": command, "CNI_CONTAINERID": "few", "CNI_NETNS": "/run/netns/c1", "CNI_IFNAME": "eth0",
        "CNI_PATH": directory,
      ], input: Array(configuration.utf8))
    let result = try process.wait(timeout: 60)
    try #require(result.succeeded, "\(command): \(result)")
    var cost = Cost()
    for line in try shell("cat '\(trace)'").split(separator: "\n") {
      if line.contains("execve(") { cost.processes += 1 }
      // What is sent with descriptors goes to nobody: so a socket is closed.
      if line.contains("send") && !line.contains("SCM_RIGHTS") { cost.sent += 1 }
      guard line.contains("recv"), let bytes = line.split(separator: "= ").last.flatMap({ Int($0) }) else {
        continue
      }
      cost.received += 1
      cost.receivedBytes += bytes
    }
    return cost
  }

  @Test(
    "ADD, CHECK and DEL among 5,000 mappings are the messages of ADD, CHECK and DEL among one; no other process runs"
  )
  func growth() throws {
    try TestHost.run { host in
      try withTemporaryDirectory { directory in
        symlink(builtExecutable!, directory + "/portmap")
        try host.addBridge()
        func configuration(_ address: String, _ mappings: some Sequence<Int>) throws -> String {
          let list = mappings.map { TestHost.mapping($0, 80, $0 % 2 == 0 ? "tcp" : "udp") }.joined(
            separator: ",")
          let result = "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"\(address)/16\"}]}"
          return try host.after(JSONValue.parse(result), host.portmap(list))
        }
        let few = try configuration("10.22.0.100", [60000, 60001])
        func measure() throws -> [Cost] { try ["ADD", "CHECK", "DEL"].map { try cost($0, few, directory) } }

        let one = try configuration("10.22.0.50", [1])
        try host.succeeded(host.call(.add, one, container: "one"))
        let before = try measure()
        let many = try configuration("10.22.0.51", 1001...6000)
        try host.succeeded(host.call(.add, many, container: "many"))
        let among = try measure()

        for (small, large) in zip(before, among) {
          #expect(small.processes == 1 && large.processes == 1)
          #expect(small.sent == large.sent, "\(before) \(among)")
          // Whether a set has other elements is seen from its first ones, at most a datagram.
          #expect(large.received <= small.received + 1 && large.receivedBytes < small.receivedBytes + 40_000)
        }
        // A question about all that is there, one transaction, the route to the container with its interface; then the
        // flows of the one port of UDP.
        #expect(among[0].sent <= 6, "\(among)")
        try host.succeeded(host.call(.check, many, container: "many"))
        try host.succeeded(host.call(.del, many, container: "many"))
        try host.succeeded(host.call(.del, one, container: "one"))
        #expect(try shell("nft list tables").isEmpty)
      }
    }
  }
}
