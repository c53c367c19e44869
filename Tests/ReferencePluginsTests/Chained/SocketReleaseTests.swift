import CNI
import CNIExecution
import Glibc
import TestSupport
import Testing

/// What plugins do with their netfilter sockets, as seen from outside: in how many messages they travel, and what with them.
@Suite(
  "Netfilter sockets of plugins", .requiresRoot, .requiresProgram("strace"),
  .enabled(if: builtExecutable != nil, "the executable is not built"))
struct SocketReleaseTests {
  private struct Trace {
    /// How often sockets are handed to the kernel.
    var messages = 0
    /// Whether what was handed over last is collected at once: then the sender stays outside, and its close starts it.
    var catchesUp = false
  }

  private func trace(_ type: String, _ command: Command, _ configuration: String) throws -> Trace {
    try withTemporaryDirectory { directory in
      for name in [type, "host-local"] { symlink(builtExecutable!, directory + "/" + name) }
      let file = directory + "/trace"
      let result = try ChildProcess(
        [
          "strace", "-qq", "-o", file, "-e", "trace=sendmsg,socket", "-e", "signal=none",
          directory + "/" + type,
        ],
        environment: [
          "CNI_COMMAND": command.rawValue, "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/c1",
          "CNI_IFNAME": "eth0", "CNI_PATH": directory,
        ], input: Array(configuration.utf8)
      ).wait(timeout: 60)
      try #require(result.succeeded, "\(type) \(command): \(result)")
      var trace = Trace()
      for line in try shell("cat '\(file)'").split(separator: "\n") {
        if line.hasPrefix("socket(AF_UNIX") { trace.catchesUp = true }
        guard line.contains("SCM_RIGHTS"), let list = line.split(separator: "cmsg_data=[").last else {
          continue
        }
        let travellers = list.prefix { $0 != "]" }.split(separator: ",").map { $0.filter(\.isNumber) }
        let sender = line.drop { $0 != "(" }.dropFirst().prefix(while: \.isNumber)
        trace.messages += 1
        trace.catchesUp = !travellers.contains(String(sender))
      }
      return trace
    }
  }

  @Test(
    "All hand them over at once, and leave them for later; when the interface's plugin deletes, which is the last of a list, and after any GC, the kernel catches up",
    arguments: [
      ("portmap", Command.del, false), ("firewall", .del, false), ("bridge", .del, true), ("ptp", .del, true),
      ("firewall", .gc, true), ("bridge", .gc, true),
    ])
  func release(type: String, command: Command, catchesUp: Bool) throws {
    try TestHost.run { host in
      let valid = "\"cni.dev/valid-attachments\":[]"
      let configuration =
        switch type {
        case "bridge": host.bridge("\"ipMasq\":true," + valid)
        case "ptp": host.ptp("\"ipMasq\":true," + valid)
        default: host.chained(type, valid)
        }
      let trace = try trace(type, command, configuration)
      #expect(trace.messages == 1, "\(trace)")
      #expect(trace.catchesUp == catchesUp, "\(trace)")
    }
  }
}
