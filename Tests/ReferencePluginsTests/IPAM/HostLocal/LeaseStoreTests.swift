import CNI
import Glibc
import NetworkAddresses
import Synchronization
import TestSupport
import Testing

@testable import ReferencePlugins

let abc = LeaseOwner(containerID: "abc", interfaceName: "eth0")
let xyz = LeaseOwner(containerID: "xyz", interfaceName: "eth0")

/// A data directory with the leases of a network named `net`, as tests and the Go plugin see it: files.
final class LeaseFiles {
  private let directory: TemporaryDirectory
  let data: String

  init() throws {
    directory = try TemporaryDirectory()
    data = directory.path
  }

  func store() throws -> LeaseStore { try openStore(data) }

  func hasLease(_ owner: LeaseOwner) throws -> Bool {
    let store = try store()
    return try store.hasLease(owner)
  }

  /// Gives an attachment one address from each set, as ADD does.
  @discardableResult
  func add(_ owner: LeaseOwner, _ sets: [RangeSet], addresses: [Int: String] = [:]) throws -> [String] {
    var store = try store()
    let requests = sets.enumerated().map { number, set in
      LeaseStore.Request(set: set, number: number, address: addresses[number].map(address))
    }
    return try store.lease(requests, to: owner).map(\.address.description)
  }

  func delete(_ owner: LeaseOwner) throws {
    var store = try store()
    try store.release(owner)
  }

  func write(_ name: String, _ content: String) throws {
    makeDirectory()
    let file = fopen("\(data)/net/\(name)", "we")
    fputs(content, file)
    fclose(file)
  }

  func makeDirectory() { mkdir("\(data)/net", 0o755) }

  func read(_ name: String) -> String? { text("\(data)/net/\(name)") }

  /// All that is in a directory, sorted.
  func list(_ name: String = "net") -> [String] {
    guard let stream = opendir("\(data)/\(name)") else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) { if !entry.name.hasPrefix(".") { names.append(entry.name) } }
    return names.sorted()
  }

  var leases: [String] { list().filter { IPAddress($0) != nil } }
  var indexEntries: [String] { list(".owners/net") }

  /// Whether the next operation will believe the index.
  var isIndexTrusted: Bool {
    var a = stat()
    var b = stat()
    return stat("\(data)/net", &a) == 0 && stat("\(data)/.owners/net", &b) == 0
      && a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec
      && a.st_mtim.tv_nsec != a.st_ctim.tv_nsec && b.st_mtim.tv_nsec != b.st_ctim.tv_nsec
  }
}

func openStore(_ data: String, network: String = "net") throws -> LeaseStore {
  try LeaseStore.open(dataDirectory: data, network: network, creating: true)!
}

func text(_ path: String) -> String? {
  guard let file = fopen(path, "re") else { return nil }
  defer { fclose(file) }
  var bytes = [UInt8](repeating: 0, count: 65536)
  return String(decoding: bytes[..<fread(&bytes, 1, bytes.count, file)], as: UTF8.self)
}

@Suite struct LeaseStoreTests {
  let v4: RangeSet
  let v6: RangeSet

  init() throws {
    v4 = try RangeSet([range("10.22.0.0/16")])
    v6 = try RangeSet([range("fd00:22::/64")])
  }

  @Test func writesTheDirectoryThatGoWrites() throws {
    let files = try LeaseFiles()
    #expect(try files.add(abc, [v4, v6]) == ["10.22.0.2/16", "fd00:22::2/64"])
    #expect(files.list() == ["10.22.0.2", "fd00:22::2", "last_reserved_ip.0", "last_reserved_ip.1", "lock"])
    #expect(files.read("10.22.0.2") == "abc\r\neth0")
    #expect(files.read("fd00:22::2") == "abc\r\neth0")
    #expect(files.read("last_reserved_ip.0") == "10.22.0.2")
    #expect(files.read("last_reserved_ip.1") == "fd00:22::2")
    #expect(files.read("lock") == "")
    #expect(files.indexEntries == ["abc,eth0"])
    #expect(files.isIndexTrusted)

    try files.delete(abc)
    #expect(files.leases == [])
    #expect(files.indexEntries == [])
    #expect(files.isIndexTrusted)
    #expect(try files.add(xyz, [v4]) == ["10.22.0.3/16"])
  }

  @Test func releasesOnlyTheAttachments() throws {
    let files = try LeaseFiles()
    let second = LeaseOwner(containerID: "abc", interfaceName: "eth1")
    try files.add(abc, [v4])
    try files.add(second, [v4])
    try files.delete(abc)
    #expect(files.leases == ["10.22.0.3"])
    try files.delete(abc)
    try files.delete(xyz)
    #expect(files.leases == ["10.22.0.3"])
  }

  @Test func refusesASecondLeaseFromTheSameSet() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    let error = #expect(throws: CNIError.self) { try files.add(abc, [v4]) }
    #expect(error?.message.contains("already has 10.22.0.2") == true)
    #expect(throws: CNIError.self) { try files.add(abc, [v6, v4]) }
    #expect(files.leases == ["10.22.0.2"])
    #expect(try files.add(abc, [v6]) == ["fd00:22::2/64"])
    try files.delete(abc)
    #expect(files.leases == [])
  }

  @Test func givesARequestedAddress() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4], addresses: [0: "10.22.7.7"])
    #expect(files.read("last_reserved_ip.0") == "10.22.7.7")
    #expect(try files.add(abc, [v4], addresses: [0: "10.22.7.9"]) == ["10.22.7.9/16"])
    let taken = #expect(throws: CNIError.self) { try files.add(xyz, [v4], addresses: [0: "10.22.7.7"]) }
    #expect(taken?.message.contains("leased to container abc, interface eth0") == true)
    let gateway = #expect(throws: CNIError.self) { try files.add(xyz, [v4], addresses: [0: "10.22.0.1"]) }
    #expect(gateway?.message.contains("gateway") == true)
    try files.delete(abc)
    #expect(files.leases == [])
  }

  @Test func undoesAnAddThatFailsHalfWay() throws {
    let files = try LeaseFiles()
    let tiny = try RangeSet([range("10.99.0.0/30")])
    try files.add(xyz, [tiny])
    let error = #expect(throws: CNIError.self) { try files.add(abc, [v4, v6, tiny]) }
    #expect(error?.code == .tryAgainLater)
    #expect(
      error?.message
        == "no free address in 10.99.0.0/30 (1 usable, all leased; leases in \(files.data)/net): "
        + "run GC or widen the range")
    #expect(files.leases == ["10.99.0.2"])
    #expect(files.indexEntries == ["xyz,eth0"])
    #expect(files.isIndexTrusted)
  }

  @Test func believesNoTimesThatAreEqualByChance() throws {
    // The kernel's clock has ticks of milliseconds: what is made within one of them has the same time.
    for _ in 0..<300 {
      let files = try LeaseFiles()
      files.makeDirectory()
      mkdir("\(files.data)/.owners", 0o755)
      try files.write("10.22.0.2", "abc\r\neth0")
      mkdir("\(files.data)/.owners/net", 0o755)
      var a = stat()
      var b = stat()
      try #require(stat("\(files.data)/net", &a) == 0 && stat("\(files.data)/.owners/net", &b) == 0)
      guard a.st_mtim.tv_nsec == b.st_mtim.tv_nsec else { continue }
      #expect(try files.hasLease(abc))
      try files.delete(abc)
      #expect(files.leases == [])
      return
    }
  }

  @Test func knowsLeasesWithoutInterface() throws {
    let files = try LeaseFiles()
    try files.write("10.22.0.2", "abc")
    try files.write("10.22.0.3", "abc\r\neth0")
    #expect(try files.hasLease(LeaseOwner(containerID: "abc", interfaceName: "eth9")))
    #expect(try !files.hasLease(xyz))
    #expect(throws: CNIError.self) {
      try files.add(LeaseOwner(containerID: "abc", interfaceName: "eth9"), [v4])
    }
    // Those that name the interface go first, and alone.
    try files.delete(abc)
    #expect(files.leases == ["10.22.0.2"])
    try files.delete(abc)
    #expect(files.leases == [])
  }

  @Test func isNotMisledByForeignChanges() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    // The Go plugin adds and removes.
    try files.write("10.22.0.3", "xyz\r\neth0")
    #expect(!files.isIndexTrusted)
    #expect(try files.hasLease(xyz))
    #expect(files.isIndexTrusted)
    #expect(files.indexEntries == ["abc,eth0", "xyz,eth0"])
    unlink("\(files.data)/net/10.22.0.2")
    #expect(try !files.hasLease(abc))
    #expect(files.indexEntries == ["xyz,eth0"])
    // In place, which shows in no directory.
    try files.write("10.22.0.3", "other\r\neth0")
    #expect(try !files.hasLease(xyz))
    try files.delete(xyz)
    #expect(files.leases == ["10.22.0.3"])
  }

  @Test func believesNoIndexThatIsOlderThanTheLeases() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    try shell("cd \(files.data) && cp -a .owners saved && mv net gone && mkdir net")
    #expect(try !files.hasLease(abc))
    try shell("cd \(files.data) && rm -rf net .owners && mv gone net && mv saved .owners")
    #expect(files.isIndexTrusted)
    #expect(try files.hasLease(abc))
    try shell("cd \(files.data) && rm -rf .owners")
    #expect(try files.hasLease(abc))
    #expect(files.isIndexTrusted)
  }

  @Test func outlivesACutOperation() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    // Killed after the lease was made, after it was written, and after the index entry of another.
    try files.write("10.22.0.3", "")
    try files.write("10.22.0.4", "xyz\r\neth0")
    symlink("10.22.0.9", "\(files.data)/.owners/net/lost,eth0")
    #expect(try files.add(LeaseOwner(containerID: "new", interfaceName: "eth0"), [v4]) == ["10.22.0.5/16"])
    #expect(files.indexEntries == ["abc,eth0", "new,eth0", "xyz,eth0"])
    try files.delete(xyz)
    #expect(files.leases == ["10.22.0.2", "10.22.0.3", "10.22.0.5"])
    // Nobody's lease is not given to anyone, and goes with GC.
    var store = try files.store()
    try store.releaseAll(except: [abc])
    #expect(files.leases == ["10.22.0.2"])
  }

  @Test func releasesALeaseThatLostItsContent() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    truncate("\(files.data)/net/10.22.0.2", 0)
    #expect(files.isIndexTrusted)
    try files.delete(abc)
    #expect(files.leases == [])
  }

  @Test(arguments: ["", "10.22.0", "nonsense", "10.99.0.1"])
  func survivesABadHint(hint: String) throws {
    let files = try LeaseFiles()
    try files.write("last_reserved_ip.0", hint)
    #expect(try files.add(abc, [v4]) == ["10.22.0.2/16"])
    #expect(files.read("last_reserved_ip.0") == "10.22.0.2")
  }

  @Test func shortensTheHint() throws {
    let files = try LeaseFiles()
    try files.write("last_reserved_ip.0", "10.22.255.254")
    #expect(try files.add(abc, [v4]) == ["10.22.0.2/16"])
    #expect(files.read("last_reserved_ip.0") == "10.22.0.2")
  }

  @Test func collectsWhatIsNotValid() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4, v6])
    try files.add(xyz, [v4])
    try files.write("10.22.1.1", "abc")
    try files.write("10.22.1.2", "gone")
    try files.write("10.22.1.3", "abc\r\net")
    try files.write("notes", "an administrator's")
    var store = try files.store()
    try store.releaseAll(except: [abc])
    #expect(files.leases == ["10.22.0.2", "10.22.1.1", "fd00:22::2"])
    #expect(files.list().contains("notes"))
    #expect(files.indexEntries == ["abc,", "abc,eth0"])
  }

  @Test func stampsOnceCollected() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    try files.add(xyz, [v4])
    do {
      var store = try files.store()
      try store.releaseAll(except: [abc])
    }
    #expect(files.isIndexTrusted)
    #expect(files.indexEntries == ["abc,eth0"])
  }

  @Test func comesThroughWithoutIndex() throws {
    let files = try LeaseFiles()
    try shell("touch \(files.data)/.owners")
    try files.add(abc, [v4, v6])
    try files.add(xyz, [v4])
    #expect(throws: CNIError.self) { try files.add(abc, [v4]) }
    #expect(try files.hasLease(abc))
    try files.delete(abc)
    #expect(files.leases == ["10.22.0.3"])
    var store = try files.store()
    try store.releaseAll(except: [])
    #expect(files.leases == [])
  }

  @Test func asksTheLeasesWhereAnEntryCannotBeRead() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    try files.add(xyz, [v4])
    // Not a link; both directories get the same time again.
    try shell(
      """
      cd \(files.data) && rm .owners/net/abc,eth0 && touch .owners/net/abc,eth0
      touch -d '2026-01-02 03:04:05.678901234' net .owners/net
      """)
    #expect(files.isIndexTrusted)
    #expect(try files.hasLease(abc))
    #expect(throws: CNIError.self) { try files.add(abc, [v4]) }
    try files.delete(abc)
    #expect(files.leases == ["10.22.0.3"])
    #expect(try files.hasLease(xyz))
  }

  @Test func isNotStoppedByWhatIsNoFile() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    try shell("cd \(files.data)/net && mkdir 10.22.0.3 && ln -s /etc/passwd 10.22.0.4 && mkfifo 10.22.0.5")
    #expect(try files.add(xyz, [v4]) == ["10.22.0.6/16"])
    try files.delete(xyz)
    var store = try files.store()
    try store.releaseAll(except: [abc])
    #expect(files.leases == ["10.22.0.2", "10.22.0.3", "10.22.0.4"])
  }

  @Test func takesLongAndOddIDs() throws {
    let files = try LeaseFiles()
    let long = LeaseOwner(containerID: String(repeating: "x", count: 1000), interfaceName: "eth0")
    try files.add(long, [v4])
    try files.write("10.22.9.9", "a/b\r\neth0")
    try files.write("10.22.9.8", "../../../escape\r\neth0")
    #expect(try files.hasLease(long))
    #expect(files.indexEntries.count == 3)
    #expect(files.indexEntries.allSatisfy { $0.hasPrefix(",") })
    try files.delete(long)
    #expect(files.leases == ["10.22.9.8", "10.22.9.9"])
    #expect(files.indexEntries.count == 2)
  }

  @Test func needsNothingToOpenWhatIsNotThere() throws {
    let files = try LeaseFiles()
    let store = try LeaseStore.open(dataDirectory: files.data, network: "net", creating: false)
    let isThere = store != nil
    #expect(!isThere)
    #expect(files.list("") == [])
    _ = try openStore(files.data + "/a/b")
    #expect(files.list("a/b") == ["lock"] || files.list("a/b") == ["net"])
  }

  @Test func canBeRemovedAtAnyTime() throws {
    let files = try LeaseFiles()
    try files.add(abc, [v4])
    do {
      var store = try files.store()
      try shell("rm -rf \(files.data)/net \(files.data)/.owners")
      try store.release(abc)
    }
    #expect(try files.add(abc, [v4]) == ["10.22.0.2/16"])
  }

  @Test func knowsWhetherThePoolHasRoom() throws {
    let files = try LeaseFiles()
    let tiny = try RangeSet([range("10.99.0.0/30")])
    func status(_ sets: [RangeSet]) throws {
      try PoolStatus.check(sets: sets, dataDirectory: files.data, network: "net")
    }
    #expect(throws: Never.self) { try status([v4, tiny]) }
    #expect(files.list("") == [])
    try files.add(abc, [tiny])
    #expect(throws: Never.self) { try status([v4]) }
    let error = #expect(throws: CNIError.self) { try status([v4, tiny]) }
    #expect(error?.code == .notAvailable)
    #expect(error?.message.contains("10.99.0.0/30") == true)
  }

  @Test(.requiresRoot) func saysWhatItCannotWrite() throws {
    let files = try LeaseFiles()
    let data = files.data
    try files.add(abc, [v4])
    let v4 = v4
    try inNewNetworkNamespace {
      try shell("mount --bind \(data) \(data) && mount -o remount,bind,ro \(data)")
      do {
        let store = try openStore(data)
        let hasLease = try store.hasLease(abc)
        #expect(hasLease)
      }
      for network in ["net", "other"] {
        let error = #expect(throws: CNIError.self) {
          var store = try openStore(data, network: network)
          _ = try store.lease([.init(set: v4, number: 0)], to: xyz)
        }
        #expect(error?.code == .ioFailure)
        #expect(error?.message.contains("\(data)/\(network)") == true)
        #expect(error?.message.contains("Read-only") == true)
        let status = #expect(throws: CNIError.self) {
          try PoolStatus.check(sets: [v4], dataDirectory: data, network: network)
        }
        #expect(status?.code == .notAvailable)
      }
      let error = #expect(throws: CNIError.self) {
        var store = try openStore(data)
        try store.release(abc)
      }
      #expect(error?.message.contains("cannot remove \(data)/net/10.22.0.2") == true)
    }
  }

  @Test func gives200AtOnce200Addresses() async throws {
    let files = try LeaseFiles()
    let data = files.data
    let v4 = v4
    let v6 = v6
    let all = try await withThrowingTaskGroup(of: [String].self) { group in
      for number in 0..<200 {
        group.addTask {
          try onNewThread {
            var store = try openStore(data)
            let owner = LeaseOwner(containerID: "c\(number)", interfaceName: "eth0")
            return try store.lease([.init(set: v4, number: 0), .init(set: v6, number: 1)], to: owner)
              .map(\.address.description)
          }
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(Set(all).count == 400)
    #expect(files.leases.count == 400)
    #expect(files.indexEntries.count == 200)
    #expect(files.isIndexTrusted)
    for number in 0..<200 { try files.delete(LeaseOwner(containerID: "c\(number)", interfaceName: "eth0")) }
    #expect(files.leases == [])
    #expect(files.indexEntries == [])
  }

  /// Counted in calls of read(2) and write(2), which the kernel counts for each thread.
  @Test func costsTheSameWith50000Leases() throws {
    func cost(leases: Int) throws -> (add: Int, check: Int, delete: Int) {
      let files = try LeaseFiles()
      let large = try RangeSet([range("10.0.0.0/8")])
      for number in 0..<leases {
        let address = large.address(at: UInt128(number + 1)).address
        try files.write(address.description, "c\(number)\r\neth0")
      }
      try files.write("last_reserved_ip.0", large.address(at: UInt128(leases)).address.description)
      try files.add(xyz, [large])
      let data = files.data
      return try onNewThread {
        func counting(_ body: (inout LeaseStore) throws -> Void) throws -> Int {
          let before = inputAndOutputCalls()
          do {
            var store = try openStore(data)
            try body(&store)
          }
          return inputAndOutputCalls() - before
        }
        return (
          try counting { _ = try $0.lease([.init(set: large, number: 0)], to: abc) },
          try counting { if try !$0.hasLease(abc) { Issue.record("lease lost") } },
          try counting { try $0.release(abc) }
        )
      }
    }
    let few = try cost(leases: 10)
    let many = try cost(leases: 50_000)
    #expect(few == many)
    #expect(few.add > 0 && few.add < 10, "\(few)")
  }
}

/// How often this thread has called read(2), write(2) and the like so far.
private func inputAndOutputCalls() -> Int {
  let counters = text("/proc/thread-self/io") ?? ""
  return counters.split(separator: "\n").filter { $0.hasPrefix("sysc") }
    .reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
}
