import Glibc
import Netlink
import TestSupport
import Testing

@Suite("Netfilter sockets that go away")
struct NetfilterReleaseTests {
  /// How many sockets of netfilter the thread's namespace has.
  private static func count() throws -> Int {
    // sk Eth Pid Groups …
    try String(decoding: readFile("/proc/thread-self/net/netlink"), as: UTF8.self).split(separator: "\n")
      .count {
        $0.split(separator: " ").dropFirst().first == "12"
          && $0.split(separator: " ").dropFirst(2).first != "0"
      }
  }

  private static func readFile(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
  }

  private static func use() throws {
    var socket = try NetfilterSocket()
    _ = try socket.generation()
  }

  private static func countBecomes(_ expected: Int) throws -> Bool {
    for _ in 0..<500 {
      if try count() == expected { return true }
      usleep(10_000)
    }
    return false
  }

  /// Whether they stay for a tenth of a second, in which the kernel is done with what nobody has postponed.
  private static func stay() throws -> Bool {
    for _ in 0..<100 {
      if try count() == 0 { return false }
      usleep(1000)
    }
    return true
  }

  @Test("They are gone soon, with nobody asking", .requiresRoot)
  func atOnce() throws {
    try inNewNetworkNamespace {
      try Self.use()
      #expect(try Self.countBecomes(0))
    }
  }

  @Test("Postponed, they stay until somebody catches up", .requiresRoot)
  func postponed() throws {
    try inNewNetworkNamespace {
      // Anybody on the machine who closes a socket of unix(7) makes the kernel catch up, too.
      var stayed = false
      for _ in 0..<500 where !stayed {
        try NetfilterRelease.postponed { try Self.use() }
        stayed = try Self.stay()
        NetfilterRelease.catchUp()
        #expect(try Self.countBecomes(0))
      }
      #expect(stayed)
    }
  }

  @Test("Postponing ends with its scope, and holds for its thread alone", .requiresRoot)
  func scope() throws {
    try inNewNetworkNamespace {
      NetfilterRelease.postponed { NetfilterRelease.postponed {} }
      try Self.use()
      #expect(try Self.countBecomes(0))
      try NetfilterRelease.postponed { try onNewThread { try Self.use() } }
      #expect(try Self.countBecomes(0))
    }
  }

  @Test(
    "Those of a scope go together at its end, however many they are; who catches up within it waits for that",
    .requiresRoot, arguments: [1, 16, 17, 40])
  func together(number: Int) throws {
    try inNewNetworkNamespace {
      try NetfilterRelease.postponed {
        try NetfilterRelease.postponed { for _ in 0..<number { try Self.use() } }
        NetfilterRelease.catchUp()
        // More than there is room for are left to the kernel before.
        if number <= 16 { #expect(try Self.count() == number) }
      }
      #expect(try Self.countBecomes(0))
    }
  }
}
