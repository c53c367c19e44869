import Testing

@testable import ReferencePlugins

@Suite struct LeaseOwnerTests {
  @Test(arguments: [
    ("abc\r\neth0", "abc", "eth0"), ("abc", "abc", ""), (" \tabc\r\neth0\n", "abc", "eth0"),
    ("abc\r\n", "abc", ""),
    ("abc\r\net", "abc", "et"), ("abc\neth0", "abc\neth0", ""),
  ])
  func readsLeases(content: String, container: String, interface: String) {
    let owner = LeaseOwner(leaseContent: Array(content.utf8))
    #expect(owner == LeaseOwner(containerID: container, interfaceName: interface))
  }

  @Test(arguments: ["", "\r\n", "  \n"])
  func seesThatNobodyIsNamed(content: String) {
    #expect(LeaseOwner(leaseContent: Array(content.utf8)) == nil)
  }

  @Test func writesWhatGoWrites() {
    let owner = LeaseOwner(containerID: "abc", interfaceName: "eth0")
    #expect(owner.leaseContent == Array("abc\r\neth0".utf8))
    #expect(owner.withoutInterface.leaseContent == Array("abc".utf8))
    #expect(LeaseOwner(leaseContent: owner.leaseContent) == owner)
  }
}

@Suite struct ResolverFileTests {
  @Test func readsAllKeywords() {
    let dns = ResolverFile.parse(
      Array(
        """
        # a comment
        ; another one
        nameserver 192.0.2.3
          nameserver\t192.0.2.4 ignored
        search example.com
        search a.example b.example
        domain ignored.example
        domain example.org
        options ndots:2 rotate
        options edns0
        sortlist 10.0.0.0
        nameserver
        """.utf8))
    #expect(dns.nameservers == ["192.0.2.3", "192.0.2.4"])
    #expect(dns.domain == "example.org")
    #expect(dns.search == ["example.com", "a.example", "b.example"])
    #expect(dns.options == ["ndots:2", "rotate", "edns0"])
  }
}
