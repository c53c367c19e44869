import CNI
import CNIExecution
import Glibc
import NetworkAddresses
import TestSupport
import Testing

@testable import ReferencePlugins

/// Kills the plugin at each of the calls that change files, one after another, and goes on with what it left.
@Suite(
  .requiresProgram("strace"), .enabled(if: builtExecutable != nil, "the executable is not built"), .serialized
)
struct KilledTests {
  private static let calls =
    "openat,write,linkat,pwrite64,close,flock,symlink,unlink,unlinkat,mkdir,utimensat"

  /// Calls the plugin as a process that is killed at its `call`th call of one kind. False if it ended before.
  private func kill(
    _ command: Command, _ configuration: String, container: String, at kind: String, _ call: Int,
    in directory: String
  ) throws -> Bool {
    let plugin = "\(directory)/host-local"
    if access(plugin, F_OK) != 0 { symlink(builtExecutable!, plugin) }
    let reply = try AddressPlugin.process(
      plugin,
      PluginRequest(
        command: command, containerID: container, namespace: "/run/netns/none", interfaceName: "eth0",
        path: ["/none"], configuration: Array(configuration.utf8)),
      prefix: [
        "strace", "-qq", "-o", "/dev/null", "-e", "trace=\(kind)", "-e",
        "inject=\(kind):signal=KILL:when=\(call)",
      ])
    return reply.status == -SIGKILL
  }

  @Test(arguments: calls.split(separator: ",").map(String.init)) func leavesNothingThatIsInTheWay(
    kind: String
  ) throws {
    let files = try LeaseFiles()
    let tools = try LeaseFiles()
    let configuration = hostLocal(
      files.data, #""ranges":[[{"subnet":"10.22.0.0/16"}],[{"subnet":"fd00::/64"}]]"#)
    func call(_ command: Command, _ container: String) throws -> AddressPlugin.Reply {
      try AddressPlugin.ours.call("host-local", command, configuration, container: container)
    }
    #expect(try call(.add, "bystander").status == 0)
    for command in [Command.add, .del] {
      for number in 1...40 {
        let container = "\(command.rawValue)-\(kind)-\(number)"
        if command == .del { #expect(try call(.add, container).status == 0) }
        let isKilled = try kill(
          command, configuration, container: container, at: kind, number, in: tools.data)
        // As runtimes do after a call that ended like this.
        #expect(try call(.del, container).status == 0)
        #expect(files.leases.allSatisfy { files.read($0)?.hasPrefix(container) == false })
        #expect(try call(.check, "bystander").status == 0)
        #expect(try call(.add, "\(container)-next").status == 0)
        #expect(try call(.check, "\(container)-next").status == 0)
        #expect(try call(.del, "\(container)-next").status == 0)
        #expect(files.isIndexTrusted)
        if !isKilled { break }
      }
    }
    // Where files have a name before they are written to, they are nobody's meanwhile, and go with GC.
    let valid = #""cni.dev/valid-attachments":[{"containerID":"bystander","ifname":"eth0"}]"#
    let gc = hostLocal(files.data, #""ranges":[[{"subnet":"10.22.0.0/16"}]]"#, valid)
    #expect(try AddressPlugin.ours.call("host-local", .gc, gc).status == 0)
    #expect(files.leases == ["10.22.0.2", "fd00::2"])
    #expect(files.indexEntries == ["bystander,eth0"])
  }
}
