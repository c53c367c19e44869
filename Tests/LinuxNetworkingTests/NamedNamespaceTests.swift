import CLinux
import Glibc
import LinuxNetworking
import SystemPackage
import TestSupport
import Testing

@Suite("Named network namespaces", .requiresRoot)
struct NamedNamespaceTests {
  private func failure<R: ~Copyable>(_ body: () throws(NamespaceError) -> R) -> NamespaceError? {
    do throws(NamespaceError) {
      _ = try body()
      return nil
    } catch { return error }
  }

  @Test func iproute2SeesOurs() throws {
    try inNewNetworkNamespace {
      let home = try NetworkNamespace.currentIdentity
      let created = try NetworkNamespace.create(named: "ours")
      #expect(try NetworkNamespace.currentIdentity == home)
      #expect(created.path == "/run/netns/ours")
      #expect(try NetworkNamespace.open("/run/netns/ours").identity == created.identity)
      #expect(try created.identity != home)
      #expect(try shell("ip netns list") == "ours\n")
      #expect(try shell("ip -n ours -o link").contains("lo: <LOOPBACK> "))
      #expect(
        try shell("ip netns exec ours readlink /proc/self/ns/net") == "net:[\(created.identity.inode)]\n")
      #expect(try shell("findmnt -no PROPAGATION /run/netns") == "shared\n")
      #expect(try shell("stat -c %a /run/netns") == "755\n")
      // The directory is made a mount point once.
      _ = try NetworkNamespace.create(named: "second")
      try shell("ip netns add third")
      #expect(try shell("findmnt -rno TARGET | grep -cx /run/netns") == "1\n")
      try shell("ip netns delete ours")
      #expect(
        failure { () throws(NamespaceError) in try NetworkNamespace.open("/run/netns/ours") }
          == .gone(path: "/run/netns/ours"))
      // We still hold it.
      #expect(try created.run { try NetworkNamespace.currentIdentity } == created.identity)
    }
  }

  @Test func weSeeThoseOfIproute2() throws {
    try inNewNetworkNamespace {
      try shell("ip netns add theirs")
      #expect(try !NetworkNamespace.open("/run/netns/theirs").isCurrent)
      try NetworkNamespace.delete(named: "theirs")
      #expect(try shell("ip netns list; ls /run/netns") == "")
    }
  }

  @Test func deletesWhatIsLeft() throws {
    try inNewNetworkNamespace {
      #expect(
        failure { () throws(NamespaceError) in try NetworkNamespace.delete(named: "none") }
          == .gone(path: "/run/netns/none"))
      try shell("ip netns add left; umount /run/netns/left")
      try NetworkNamespace.delete(named: "left")
      try shell("ip netns add twice; mount --bind /proc/self/ns/net /run/netns/twice")
      try NetworkNamespace.delete(named: "twice")
      #expect(try shell("ls /run/netns; findmnt -rno TARGET | grep -x /run/netns/.* || true") == "")
    }
  }

  @Test func aTakenNameIsLeftAlone() throws {
    try inNewNetworkNamespace {
      let first = try NetworkNamespace.create(named: "x")
      #expect(
        failure { () throws(NamespaceError) in try NetworkNamespace.create(named: "x") }
          == .failed(path: "/run/netns/x", operation: "create", .fileExists))
      #expect(try NetworkNamespace.open("/run/netns/x").identity == first.identity)
    }
  }

  @Test(arguments: ["", ".", "..", "a/b", "../x", "/", "a\0b", String(repeating: "n", count: 256)])
  func refusesNamesThatAreNotFileNames(name: String) throws {
    try inNewNetworkNamespace {
      let path = "/run/netns/\(name)"
      #expect(
        failure { () throws(NamespaceError) in try NetworkNamespace.create(named: name) }
          == .failed(path: path, operation: "create", .invalidArgument))
      #expect(
        failure { () throws(NamespaceError) in try NetworkNamespace.delete(named: name) }
          == .failed(path: path, operation: "delete", .invalidArgument))
    }
  }

  @Test func unusualNamesWork() throws {
    try inNewNetworkNamespace {
      for name in [String(repeating: "n", count: 255), "with space", "-n", "ü", "...", "a\nb"] {
        let made = try NetworkNamespace.create(named: name)
        #expect(try NetworkNamespace.open(made.path).identity == made.identity)
        try NetworkNamespace.delete(named: name)
      }
      #expect(try shell("ls -A /run/netns") == "")
    }
  }

  @Test func aFailureLeavesNoName() throws {
    try inNewNetworkNamespace {
      try shell("mkdir /run/netns; mount -t tmpfs -o ro none /run/netns; mount --make-shared /run/netns")
      #expect(
        failure { () throws(NamespaceError) in try NetworkNamespace.create(named: "x") }
          == .failed(path: "/run/netns/x", operation: "create", .readOnlyFileSystem))
      try shell("umount /run/netns; rmdir /run/netns; echo >/run/netns")
      #expect(
        failure { () throws(NamespaceError) in try NetworkNamespace.create(named: "x") }
          == .failed(path: "/run/netns", operation: "create", .notDirectory))
    }
  }

  @Test func racingCreatorsAgree() throws {
    try inNewNetworkNamespace {
      // All of them also find /run/netns missing.
      let results = try concurrently(8) { number in
        let shared = failure { () throws(NamespaceError) in try NetworkNamespace.create(named: "shared") }
        let own = try NetworkNamespace.create(named: "own\(number)")
        return (shared, try own.identity)
      }
      #expect(results.count { $0.0 == nil } == 1)
      #expect(
        results.count { $0.0 == .failed(path: "/run/netns/shared", operation: "create", .fileExists) } == 7)
      #expect(Set(results.map(\.1)).count == 8)
      #expect(try shell("findmnt -rno TARGET | grep -cx /run/netns") == "1\n")
      for number in 0..<8 {
        let opened = try NetworkNamespace.open("/run/netns/own\(number)")
        #expect(try opened.identity == results[number].1)
      }
    }
  }

  @Test func cyclesLeakNothing() throws {
    try inNewNetworkNamespace {
      // A table of descriptors of its own: other tests open and close theirs meanwhile.
      #expect(clinux_unshare(0x400 /* CLONE_FILES */) == 0)
      func descriptors() throws -> [String] { try StateFile.names(in: "/proc/thread-self/fd").sorted() }
      let before = try descriptors()
      let home = try NetworkNamespace.currentIdentity
      for cycle in 0..<500 {
        let made = try NetworkNamespace.create(named: "cycle")
        _ = try made.run { getpid() }
        _ = try NetworkNamespace.open(made.path).identity
        try NetworkNamespace.delete(named: "cycle")
        if cycle % 10 == 0 {
          _ = try NetworkNamespace.createAnonymous().run { getpid() }
          _ = try? NetworkNamespace.open("/etc/passwd")
          _ = try? NetworkNamespace.open("/nowhere")
        }
      }
      #expect(try descriptors() == before)
      #expect(try NetworkNamespace.currentIdentity == home)
      #expect(try shell("ls /run/netns; findmnt -rno TARGET | grep -c /run/netns/ || true") == "0\n")
    }
  }
}
