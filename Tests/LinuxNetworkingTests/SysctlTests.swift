import LinuxNetworking
import SystemPackage
import TestSupport
import Testing

@Suite("Kernel settings")
struct SysctlTests {
  @Test(arguments: [
    ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
    ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
    ("/proc/sys/net/ipv4/ip_forward", "net/ipv4/ip_forward"),
    ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
    ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
    ("/proc/sys/net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
    ("net/ipv4/conf/.../rp_filter", "net/ipv4/conf/.../rp_filter"),
  ])
  func names(name: String, path: String) throws { #expect(try Sysctl.path(of: name) == "/proc/sys/\(path)") }

  @Test(arguments: [
    "", ".", "..", "/", "net/../kernel/hostname", "../etc/passwd", "/etc/passwd", "net//ipv4", "net/ipv4/",
    ".net.ipv4", "net..ipv4", "net.ipv4.//.x", "net/./ipv4", "/proc/sys/../self/mem", "/proc/sys/",
    "net/a\0b",
    "/proc/sysctl", "net.ipv4.conf./.rp_filter",
  ])
  func refused(name: String) {
    let expected = FileError(path: name, operation: "find the kernel setting", errno: .invalidArgument)
    #expect(throws: expected) { try Sysctl.path(of: name) }
    #expect(throws: expected) { try Sysctl.read(name) }
    #expect(throws: expected) { try Sysctl.write("1", to: name) }
    #expect(throws: expected) { try Sysctl.ensure(name, is: "1") }
  }

  @Test(.requiresRoot) func readsAndWritesInTheThreadsNamespace() throws {
    try inNewNetworkNamespace {
      let pod = try NetworkNamespace.createAnonymous()
      try pod.run { try Sysctl.write("1", to: "net/ipv4/ip_forward") }
      #expect(try pod.run { try Sysctl.read("net.ipv4.ip_forward") } == "1")
      #expect(try Sysctl.read("net/ipv4/ip_forward") == "0")
      #expect(try Sysctl.ensure("net.ipv4.ip_forward", is: "1") == true)
      #expect(try Sysctl.ensure("net.ipv4.ip_forward", is: "1") == false)
      #expect(try Sysctl.read("net/ipv4/ip_forward") == "1")

      try Sysctl.write("10000 20000", to: "net.ipv4.ip_local_port_range")
      #expect(try Sysctl.read("net.ipv4.ip_local_port_range") == "10000\t20000")
      #expect(try Sysctl.ensure("net.ipv4.ip_local_port_range", is: "10000  20000\n") == false)
      #expect(try Sysctl.ensure("net.ipv4.ip_local_port_range", is: "10000 20001") == true)
    }
  }

  @Test(.requiresRoot) func interfacesWithDotsInTheirNames() throws {
    try inNewNetworkNamespace {
      try shell("ip link add name eth0.100 type veth peer name p")
      #expect(try Sysctl.ensure("net/ipv4/conf/eth0.100/forwarding", is: "1") == true)
      #expect(try Sysctl.read("net.ipv4.conf.eth0/100.forwarding") == "1")
      #expect(try Sysctl.read("net.ipv4.conf.p.forwarding") == "0")
    }
  }

  @Test(.requiresRoot) func errorsNameTheFile() throws {
    try inNewNetworkNamespace {
      func message(_ body: () throws(FileError) -> Void) -> String? {
        do throws(FileError) {
          try body()
          return nil
        } catch { return "\(error)" }
      }
      #expect(
        message { () throws(FileError) in _ = try Sysctl.read("net/ipv4/no_such") }
          == "cannot read /proc/sys/net/ipv4/no_such: No such file or directory (ENOENT)")
      #expect(
        message { () throws(FileError) in try Sysctl.write("x", to: "net/ipv4/ip_forward") }
          == "cannot write /proc/sys/net/ipv4/ip_forward: Invalid argument (EINVAL)")
      try shell("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys")
      #expect(
        message { () throws(FileError) in try Sysctl.write("1", to: "net.ipv4.ip_forward") }
          == "cannot write /proc/sys/net/ipv4/ip_forward: Read-only file system (EROFS)")
      #expect(try Sysctl.ensure("net.ipv4.ip_forward", is: "0") == false)
      #expect(
        message { () throws(FileError) in _ = try Sysctl.ensure("net.ipv4.ip_forward", is: "1") } != nil)
      #expect(
        message { () throws(FileError) in _ = try Sysctl.read("net/ipv4") }
          == "cannot read /proc/sys/net/ipv4: Is a directory (EISDIR)")
    }
  }
}
