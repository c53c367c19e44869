import Glibc
import Testing

import TestSupport

/// What the other tests stand on.
@Suite("Surroundings of tests", .requiresRoot)
struct SurroundingsTests {
  private func namespaceLink() throws -> String {
    try shell("readlink /proc/self/ns/net /proc/self/ns/mnt")
  }

  @Test func threadAndChildrenAreInANewNamespace() throws {
    let outside = try namespaceLink()
    try inNewNetworkNamespace {
      let inside = try namespaceLink()
      #expect(inside.split(separator: "\n").count == 2)
      #expect(Set(inside.split(separator: "\n")).isDisjoint(with: outside.split(separator: "\n")))
      #expect(try shell("ip -o link").split(separator: "\n").count == 1)
      #expect(try shell("ls /sys/class/net") == "lo\n")
      #expect(try shell("sysctl -qw net.ipv4.ip_forward=1; cat /proc/sys/net/ipv4/ip_forward") == "1\n")
    }
    #expect(try namespaceLink() == outside)
  }

  @Test func namedNamespacesStayInside() throws {
    try inNewNetworkNamespace {
      try shell("ip netns add inner; ip -n inner link set lo up; ip netns exec inner true")
      #expect(try shell("ip netns list") == "inner\n")
    }
    #expect(access("/run/netns/inner", F_OK) != 0)
  }

  @Test func nests() throws {
    try inNewNetworkNamespace {
      let outer = try namespaceLink()
      let inner = try inNewNetworkNamespace { try namespaceLink() }
      #expect(inner != outer)
      #expect(try namespaceLink() == outer)
    }
  }

  @Test func errorsComeOut() {
    struct Wrong: Error {}
    #expect(throws: Wrong.self) { try inNewNetworkNamespace { throw Wrong() } }
  }

  @Test func expectationsBelongToTheTest() throws {
    let names = try concurrently(2) { _ in try inNewNetworkNamespace { Test.current?.name } }
    #expect(names == [Test.current?.name, Test.current?.name] && names[0] != nil)
  }

  @Test func commandsGiveOutputAndStatus() throws {
    let result = try runCommand("sh", "-c", "cat; echo no >&2; exit 3", input: Array("yes".utf8))
    #expect(result.exitStatus == 3)
    #expect(result.standardOutput == "yes")
    #expect(result.standardError == "no\n")
    #expect(try runCommand("sh", "-c", "kill -9 $$").exitStatus == -9)
    #expect(throws: SetupError.self) { try runCommand("no-such-program-here") }
    #expect(throws: CommandFailure.self) { try runCommand("sleep", "20", timeout: 0.2) }
  }

  @Test func temporaryDirectoryVanishes() throws {
    let path = try withTemporaryDirectory { path in
      try shell("mkdir -p \(path)/a/b; touch \(path)/a/b/c; ln -s / \(path)/a/root")
      return path
    }
    #expect(access(path, F_OK) != 0)
  }
}
