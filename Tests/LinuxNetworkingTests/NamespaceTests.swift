import Glibc
import LinuxNetworking
import SystemPackage
import TestSupport
import Testing

@Suite("Network namespaces", .requiresRoot)
struct NamespaceTests {
  private func failure(opening path: String) -> NamespaceError? {
    do throws(NamespaceError) {
      _ = try NetworkNamespace.open(path)
      return nil
    } catch { return error }
  }

  @Test func opensEveryFormOfPath() throws {
    try inNewNetworkNamespace {
      try shell("ip netns add pod")
      let holder = try ChildProcess(["sh", "-ec", "exec 9</run/netns/pod; echo ready; exec sleep 100"])
      let member = try ChildProcess(["ip", "netns", "exec", "pod", "sh", "-c", "echo ready; exec sleep 100"])
      try holder.waitForOutput("ready")
      try member.waitForOutput("ready")
      let pod = try NetworkNamespace.open("/run/netns/pod")
      let identity = try pod.identity
      for path in [
        "/var/run/netns/pod", "/proc/\(holder.pid)/fd/9", "/proc/\(member.pid)/ns/net",
        "/proc/\(member.pid)/task/\(member.pid)/ns/net", "/proc/self/fd/\(pod.descriptor)",
        "/run/netns/../netns//pod",
      ] {
        let opened = try NetworkNamespace.open(path)
        #expect(try opened.identity == identity, "\(path)")
        #expect(opened.path == path)
        #expect(fcntl(opened.descriptor, F_GETFD) & FD_CLOEXEC != 0)
      }
      #expect(try !pod.isCurrent)

      let own = try NetworkNamespace.open("/proc/thread-self/ns/net")
      #expect(try own.isCurrent)
      #expect(try NetworkNamespace.current().isCurrent)
      #expect(try own.identity == NetworkNamespace.currentIdentity)
      // The process's is another one: this thread left it.
      #expect(try !NetworkNamespace.open("/proc/self/ns/net").isCurrent)
      let link = try shell("readlink /proc/self/ns/net")
      #expect(link == "net:[\(try own.identity.inode)]\n")
    }
  }

  @Test func saysThatItIsGone() throws {
    try inNewNetworkNamespace {
      let ended = try ChildProcess(["true"])
      _ = try ended.wait()
      // What a mount that vanished leaves.
      try shell("ip netns add left; umount /run/netns/left; test -e /run/netns/left")
      for path in [
        "", "/run/netns/none", "/no/such/directory", "/proc/\(ended.pid)/ns/net", "/run/netns/left",
      ] {
        #expect(failure(opening: path) == .gone(path: path))
      }
    }
    #expect(
      NamespaceError.gone(path: "/run/netns/x").description
        == "network namespace /run/netns/x does not exist (any more)")
  }

  @Test func saysThatItIsSomethingElse() throws {
    try withTemporaryDirectory { directory in
      try shell("cd \(directory); echo text >text; mkfifo fifo; mkdir directory; ln -s text link")
      let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(socket) }
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: "\(directory)/socket".utf8) }
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          #expect(bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0)
        }
      }
      for name in ["text", "fifo", "directory", "link", "socket"] {
        let path = "\(directory)/\(name)"
        #expect(failure(opening: path) == .notANamespace(path: path))
      }
      for path in ["/proc/self/ns/mnt", "/proc/self/status", "/dev/null", "/dev/zero", "/"] {
        #expect(failure(opening: path) == .notANamespace(path: path))
      }
    }
  }

  @Test func refusesPathsThatTheKernelWouldCutOrCannotFollow() {
    let cut = "/proc/self/ns/net\0/x"
    #expect(failure(opening: cut) == .failed(path: cut, operation: "open", .invalidArgument))
    let long = "/" + String(repeating: "a", count: 5000)
    #expect(failure(opening: long) == .failed(path: long, operation: "open", .fileNameTooLong))
    let through = "/etc/passwd/net"
    #expect(failure(opening: through) == .failed(path: through, operation: "open", .notDirectory))
  }

  @Test func tellsDeniedApart() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryDirectory { directory in
        chmod(directory, 0o700)
        #expect(setegid(65534) == 0 && seteuid(65534) == 0)
        defer { seteuid(0) }
        let path = "\(directory)/x"
        do throws(NamespaceError) {
          _ = try NetworkNamespace.open(path)
          Issue.record("opened")
        } catch {
          #expect(error == .denied(path: path, .permissionDenied))
          #expect("\(error)" == "no permission for network namespace \(path): Permission denied (EACCES)")
        }
        let own = try NetworkNamespace.current()
        #expect(throws: NamespaceError.denied(path: own.path, .notPermitted)) { try own.run {} }
      }
    }
  }

  @Test func runsInsideAndComesBack() throws {
    struct Wrong: Error {}
    try inNewNetworkNamespace {
      let home = try NetworkNamespace.currentIdentity
      let outer = try NetworkNamespace.createAnonymous()
      let inner = try NetworkNamespace.createAnonymous()
      let (innerID, outerID) = (try inner.identity, try outer.identity)
      #expect(Set([home, innerID, outerID]).count == 3)
      #expect(try NetworkNamespace.currentIdentity == home)
      let seen = try outer.run {
        let before = try NetworkNamespace.currentIdentity
        let inside = try inner.run { try NetworkNamespace.currentIdentity }
        #expect(throws: Wrong.self) { try inner.run { throw Wrong() } }
        return [before, inside, try NetworkNamespace.currentIdentity]
      }
      #expect(seen == [outerID, innerID, outerID])
      #expect(try NetworkNamespace.currentIdentity == home)
      // From within, and to where one is already.
      let there = try NetworkNamespace.current().run {
        try outer.run { try outer.run { try outer.isCurrent } }
      }
      #expect(there)
      // Whatever the body does to the thread.
      try outer.run { _ = try shell("true") }
      #expect(try NetworkNamespace.currentIdentity == home)
      // A value that cannot be copied comes out.
      let third = try outer.run { try NetworkNamespace.current() }
      #expect(try third.identity == outerID)
    }
  }

  @Test func childrenAreWhereTheThreadIs() throws {
    try inNewNetworkNamespace {
      let pod = try NetworkNamespace.createAnonymous()
      let link = try pod.run { try shell("readlink /proc/self/ns/net") }
      #expect(link == "net:[\(try pod.identity.inode)]\n")
      #expect(try shell("readlink /proc/self/ns/net") != link)
    }
  }

  @Test func threadsAreInDifferentNamespacesAtOnce() throws {
    try inNewNetworkNamespace {
      let home = try NetworkNamespace.currentIdentity
      let strays = try concurrently(2) { _ in
        let own = try NetworkNamespace.createAnonymous()
        let identity = try own.identity
        var strays = 0
        for _ in 0..<1000 {
          if try own.run({ try NetworkNamespace.currentIdentity }) != identity { strays += 1 }
          if try NetworkNamespace.currentIdentity != home { strays += 1 }
        }
        return strays
      }
      #expect(strays == [0, 0])
    }
  }

  @Test func abortsWhenItCannotComeBack() async {
    await #expect(processExitsWith: .signal(SIGABRT)) {
      try inNewNetworkNamespace {
        let pod = try NetworkNamespace.createAnonymous()
        try pod.run { for descriptor in Int32(3)..<256 { close(descriptor) } }
      }
    }
  }
}
