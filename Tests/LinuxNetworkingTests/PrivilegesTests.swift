import Glibc
import LinuxNetworking
import TestSupport
import Testing

@Suite("Privileges", .requiresRoot)
struct PrivilegesTests {
  @Test func nothingIsMissingHere() {
    #expect(Privileges.missing([.netAdmin, .sysAdmin]) == [])
  }

  @Test func saysWhatIsMissing() async {
    await #expect(processExitsWith: .success) {
      #expect(setuid(65534) == 0)
      #expect(Privileges.missing() == [.netAdmin, .netRaw, .sysAdmin])
      #expect(Privileges.missing([.sysAdmin]) == [.sysAdmin])
      #expect(
        Privileges.explanation(needed: [.netAdmin, .sysAdmin])
          == "CAP_NET_ADMIN and CAP_SYS_ADMIN are missing (user ID 65534): run it as root, as container runtimes do"
      )
      #expect(
        Privileges.explanation(needed: [.netAdmin])
          == "CAP_NET_ADMIN is missing (user ID 65534): run it as root, as container runtimes do")
      #expect(
        Privileges.explanation()?.hasPrefix("CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN are ") == true)
      #expect(throws: NamespaceError.self) { _ = try NetworkNamespace.createAnonymous() }
    }
  }

  @Test func numbersAreTheKernels() {
    // linux/capability.h
    #expect(Privileges.Capability.allCases.map(\.rawValue) == [12, 13, 21])
    #expect(Privileges.Capability.allCases.map(\.name) == ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"])
  }
}
