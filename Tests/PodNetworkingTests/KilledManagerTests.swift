import CNI
import Glibc
import LinuxNetworking
import PodNetworking
import TestSupport
import Testing

/// A container manager that is killed while it sets a pod up, and another one that comes after it.
@Suite("A killed manager", .requiresRoot, .enabled(if: builtExecutable != nil, "the executable is not built"))
struct KilledManagerTests {
  /// The command line, with all plugins inside.
  private func manager(_ host: PodHost, _ words: String...) throws -> ChildProcess {
    let tool = "\(host.directory)/cnitool"
    if access(tool, F_OK) != 0 { symlink(try #require(builtExecutable), tool) }
    return try ChildProcess(
      [tool] + words + ["--cache-dir", host.cache],
      environment: [
        "NETCONFPATH": host.configurations, "CNI_PATH": host.plugins, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "CAP_ARGS": #"{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}"#,
      ])
  }

  private func prepare(_ host: PodHost) throws {
    try host.put(
      host.bridge(
        "one", bridge: "br-one", subnet: "10.40.0.0/16", keys: #""isGateway":true,"ipMasq":true,"#,
        chained: #",{"type":"portmap","capabilities":{"portMappings":true}}"#), "1.conflist")
    try host.put(host.bridge("two", bridge: "br-two", subnet: "10.41.0.0/16"), "2.conflist")
  }

  @Test func theNextOneRemovesEverything() async throws {
    try await PodHost.run { host in
      try prepare(host)
      func setUp(_ number: Int) throws -> ChildProcess {
        try shell("ip netns add p\(number)")
        return try manager(
          host, "pod", "add", "default", "p\(number)", "id-of-p\(number)", "/run/netns/p\(number)",
          "--networks", "one,two:net1")
      }
      // How long one takes that nobody disturbs.
      let begin = clock()
      let first = try setUp(0).wait()
      let whole = clock() - begin
      #expect(first.succeeded, "\(first.standardError)")
      #expect(try host.links() == 2)
      // Made here and not in there: plugins run where it was made.
      let cleaner = host.networking()
      try waitFor { try await cleaner.tearDown(host.pod("p0")) }
      #expect(try host.links() == 0)

      var random = SystemRandomNumberGenerator()
      var states: Set<String> = []
      for number in 1...50 {
        let killed = try setUp(number)
        // Anywhere, and every other time while the plugins run.
        var moments = UInt32(whole * 1_100_000)
        if number % 4 < 2 {
          for _ in 0..<2000 where host.remembered.isEmpty { usleep(500) }
          moments /= 3
        }
        usleep(UInt32.random(in: 0...moments, using: &random))
        killed.send(signal: SIGKILL)
        _ = try killed.wait()
        states.insert(
          "\(host.remembered.count) remembered, \(try host.leases().count) leases, \(try host.links()) links")
        // Half of the time it knows the pod, half of the time only that there is none. Sometimes the namespace has gone as well.
        if number % 3 == 0 { try shell("ip netns del p\(number)") }
        let next = host.networking()
        try waitFor {
          if number % 2 == 0 {
            try await next.tearDown(host.pod("p\(number)"))
          } else {
            try await next.collectGarbage(keeping: [])
          }
        }
        let left = """
          \(host.remembered) \(try host.leases()) \(try shell("ip -o link show type veth")) \
          \(try shell("nft list ruleset | grep id-of-p\(number) || true"))
          """
        #expect(left.trimmed == "[] []", "after kill \(number): \(left)")
        if number % 3 != 0 { try shell("ip netns del p\(number)") }
      }
      print("a manager killed 50 times left before the next one came: \(states.sorted())")
      // Some of them were in the middle of it.
      #expect(states.count > 2)
    }
  }

  private func clock() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  // MARK: - The command line

  @Test func theCommandLine() async throws {
    try await PodHost.run { host in
      try prepare(host)
      try shell("ip netns add web")
      let pod = ["default", "web", "id-of-web", "/run/netns/web"]
      let added = try manager(
        host, "pod", "add", pod[0], pod[1], pod[2], pod[3], "--networks", "two,one:net7", "--ip", "10.41.0.9",
        "--output",
        "json"
      ).wait()
      #expect(added.succeeded, "\(added.standardError)")
      let shown = try JSONValue.parse(added.standardOutput)
      #expect(shown.array?.map { $0["network"]?.string } == ["two", "one"])
      #expect(shown.array?.map { $0["interface"]?.string } == ["eth0", "net7"])
      #expect(shown.array?.first?["addresses"] == ["10.41.0.9/16"])
      #expect(shown.array?.first?["result"]?["cniVersion"]?.string == "1.1.0")
      let status = try manager(host, "pod", "status", pod[0], pod[1], pod[2], pod[3]).wait()
      #expect(status.succeeded, "\(status.standardError)")
      let lines = status.standardOutput.split(separator: "\n")
      #expect(lines.count == 3 && lines[0].hasPrefix("NETWORK  INTERFACE  MAC"))
      #expect(lines.contains { $0.hasPrefix("two") && $0.contains("10.41.0.9/16") })
      let spared = try manager(host, "pod", "gc", "--keep", "id-of-web").wait()
      #expect(spared.succeeded && host.remembered.count == 2)
      try shell("ip -n web link del net7")
      let broken = try manager(host, "pod", "status", pod[0], pod[1], pod[2], pod[3]).wait()
      #expect(broken.exitStatus == 1 && broken.standardError.contains("\"one\""))
      // A network of which a plugin is missing is passed over, and that is told.
      try shell("ip netns add other")
      try host.put(host.noop("first").replacing("\"noop\"", with: "\"not-installed\""), "00.conflist")
      try host.put(host.bridge("third", bridge: "br-three", subnet: "10.42.0.0/16"), "01.conflist")
      let other = try manager(
        host, "pod", "add", "default", "other", "id-of-other", "/run/netns/other"
      ).wait()
      #expect(other.succeeded && other.standardOutput.contains("third"), "\(other.standardError)")
      #expect(other.standardError.contains("\"first\" is passed over"), "\(other.standardError)")
      // Garbage is what belongs to the networks of the directory, unless all others are asked for as well.
      unlink("\(host.configurations)/00.conflist")
      unlink("\(host.configurations)/01.conflist")
      let some = try manager(host, "pod", "gc", "--keep", "id-of-web").wait()
      #expect(some.succeeded && host.remembered.count == 3, "\(some.standardError)")
      let all = try manager(host, "pod", "gc", "--keep", "id-of-web", "--all-networks").wait()
      #expect(all.succeeded && host.remembered.count == 2, "\(all.standardError)")
      removeTree(host.configurations)
      let deleted = try manager(host, "pod", "del", pod[0], pod[1], pod[2]).wait()
      #expect(deleted.succeeded, "\(deleted.standardError)")
      #expect(try host.remembered.isEmpty && host.leases().isEmpty && host.links() == 0)
      // Mistakes are told in one line and how it goes.
      for words in [
        ["pod", "add", "default", "web", "id"], ["pod", "status"], ["pod", "frobnicate"], ["pod"],
      ] {
        let result = try runTool(host, words)
        let usage = words == ["pod", "status"] ? "pod status" : "pod add"
        #expect(
          result.exitStatus == 2 && result.standardError.contains("\(usage) NAMESPACE NAME ID NETNS"),
          "\(words): \(result.standardError)")
      }
      for word in ["add", "status", "del", "gc"] {
        let help = try runTool(host, ["help", "pod", word])
        #expect(help.exitStatus == 0 && help.standardOutput.hasPrefix("Usage: cnitool pod \(word)"))
        #expect(try runTool(host, ["pod", word, "--help"]).standardOutput == help.standardOutput)
      }
    }
  }

  private func runTool(_ host: PodHost, _ words: [String]) throws -> CommandResult {
    try ChildProcess(
      ["\(host.directory)/cnitool"] + words, environment: ["NETCONFPATH": host.configurations]
    ).wait()
  }
}

extension String {
  fileprivate var trimmed: String {
    split(whereSeparator: { $0 == " " || $0 == "\n" }).joined(separator: " ")
  }
}
