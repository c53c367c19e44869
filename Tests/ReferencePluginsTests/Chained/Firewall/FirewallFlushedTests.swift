import CNI
import TestSupport
import Testing

@Suite("firewall and a table that somebody has flushed", .requiresRoot, .requiresProgram("iptables-legacy"))
struct FirewallFlushedTests {
  private func change(_ form: String, _ words: String) throws {
    for program in ["iptables-\(form)", "ip6tables-\(form)"] { try shell("\(program) \(words)") }
  }

  @Test(
    "After `iptables -F` DEL removes the chains that nothing leads to any more", arguments: ["nft", "legacy"])
  func flushed(form: String) throws {
    try FirewallHost.run { host in
      let results = try ["c1", "c2"].map { try host.connect($0) }
      try change(form, "-P FORWARD DROP")
      let before = try host.rules()
      let first = try host.add("c1", results[0])
      try change(form, "-F")
      try host.delete(first, "c1")
      #expect(try host.rules() == before)
      // Another container's rules are no reason to keep any, nor are they touched.
      let second = try host.add("c1", results[0])
      try change(form, "-F")
      let third = try host.add("c2", results[1])
      try host.delete(second, "c1")
      try host.host.succeeded(host.check(third, "c2"))
      try host.delete(third, "c2")
      #expect(try host.rules() == before)
    }
  }

  @Test(
    "Empty chains that packets still come to are left to whoever made them", arguments: ["nft", "legacy"])
  func entered(form: String) throws {
    try FirewallHost.run { host in
      let result = try host.connect("c1")
      let added = try host.add("c1", result, "\"backend\":\"nftables\"")
      try change(form, "-N CNI-FORWARD")
      try change(form, "-N CNI-ADMIN")
      try change(form, "-A FORWARD -j CNI-FORWARD")
      try host.delete(added, "c1")
      for program in ["iptables-\(form)-save", "ip6tables-\(form)-save"] {
        let saved = try shell(program)
        for text in [":CNI-FORWARD ", ":CNI-ADMIN ", "-A FORWARD -j CNI-FORWARD"] {
          #expect(saved.contains(text))
        }
      }
    }
  }
}
